"""Bounded proofs of the circuit breaker in the whole appliance, by what it reports.

They begin behind a simulated set-up, as those of `appliance.py` do, with a band and two orders that rest, in one of the
breaker's states; from there on every cycle brings any command of the order flow, or none.
"""

import struct
from functools import partial

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data
from appliance import (
    CONFIG,
    EPOCH,
    GENERATION,
    LOTS_BITS,
    NUMBER_BITS,
    PRICE_BITS,
    SET_UP,
    Market,
    Resting,
    resting_orders,
    settled,
)
from proof import Proof

from bandgap.hdl.appliance import Appliance
from bandgap.hdl.protocol.commands import (
    BandPolicy,
    BreakerFlags,
    Opcode,
    Side,
    TradingMode,
)
from bandgap.hdl.protocol.reports import BandMoved, Reason, ReportKind, Trade, TradingState, TradingStateChanged

LOWER_TICKS, UPPER_TICKS = 1, 2
LOTS = 2
INSIDE = (Resting(Side.BUY, LOWER_TICKS, LOTS), Resting(Side.SELL, UPPER_TICKS, LOTS))
"""The orders that rest at first: neither at the bound of its side."""

BEYOND = (Resting(Side.BUY, LOWER_TICKS, LOTS), Resting(Side.SELL, UPPER_TICKS + 1, LOTS))
"""The same; no buy may reach the second."""

SHORTEST_US = 1_000


def command(opcode: Opcode, number: int, layout: str = "24x", *fields: int) -> bytes:
    """A command for the first instrument."""
    return struct.pack("<BBHI" + layout, opcode.value, 0, EPOCH, number, *fields)


def behind(*commands: bytes, resting: tuple[Resting, ...] = INSIDE) -> tuple[bytes, ...]:
    """The set-up: the market's, a band, orders, and these commands."""
    number = len(SET_UP) + 1
    band = command(Opcode.SET_BAND, number, "IIIB11x", LOWER_TICKS, UPPER_TICKS, LOWER_TICKS, BandPolicy.CLAMP.value)
    return (*SET_UP, band, *resting_orders(resting, number + 1), *commands)


COLLECTS = command(
    Opcode.SET_BREAKER,
    8,
    "IIIIIBB2x",
    0,
    0,
    SHORTEST_US,
    SHORTEST_US,
    0,
    TradingMode.CONTINUOUS.value,
    BreakerFlags.COLLECT.value,
)
HALT = command(Opcode.HALT, 9)


class Gate(Market):
    """No trade prints outside the band, none while orders do not match, and what rests leaves only by a report.

    Parameters
    ----------
    set_up : The commands behind which it begins.
    state : The state that they lead to.
    calm : See `appliance.Market`.
    """

    def __init__(
        self,
        set_up: tuple[bytes, ...],
        state: TradingState,
        calm: bool = True,
        faulty: bool = False,
    ):
        self._set_up, self._state = set_up, state
        super().__init__(calm=calm, faulty=faulty)

    def describe(self, m: Module) -> None:
        appliance = Appliance(CONFIG)
        m.submodules.dut = settled(appliance, self._set_up)
        commands, reports = appliance.commands, appliance.reports
        sent = Signal(NUMBER_BITS, init=1)
        self._commands(m, commands, sent)
        m.d.sync += sent.eq(sent + (commands.valid & commands.ready))
        m.d.comb += reports.ready.eq(1)

        # What the reports say of the instrument.
        report = data.View(Trade, Value.cast(reports.payload))
        moved, changed = (data.View(layout, Value.cast(reports.payload)) for layout in (BandMoved, TradingStateChanged))
        header = report.header
        kind, reason = header.kind, header.reason
        tells = {each: reports.valid & (kind == each) for each in ReportKind}
        lower_ticks, upper_ticks = Signal(PRICE_BITS, init=LOWER_TICKS), Signal(PRICE_BITS, init=UPPER_TICKS)
        state = Signal(TradingState, init=self._state)
        with m.If(tells[ReportKind.BAND_MOVED]):
            m.d.sync += [lower_ticks.eq(moved.lower_ticks), upper_ticks.eq(moved.upper_ticks)]
        with m.If(tells[ReportKind.TRADING_STATE]):
            m.d.sync += state.eq(changed.state)
        matches = (state == TradingState.TRADING) | (state == TradingState.LIMIT)
        trade = tells[ReportKind.TRADE]
        in_band = (report.price_ticks >= lower_ticks) & (report.price_ticks <= upper_ticks)
        self.claim(m, "in_band", ~trade | in_band)
        self.claim(m, "trades_in_its_state", ~trade | matches)

        # The orders that rest at first.
        for token in range(len(INSIDE)):
            left = Signal(LOTS_BITS, name=f"left_{token}", init=LOTS)
            stays = Signal(name=f"stays_{token}", init=1)
            mine, makes = report.token == token, report.maker_token == token
            canceled = tells[ReportKind.CANCELED] & mine
            with m.If((tells[ReportKind.ACCEPTED] | tells[ReportKind.REPLACED]) & mine):
                m.d.sync += left.eq(report.quantity_lots)
            with m.If((trade & mine) | canceled):
                m.d.sync += left.eq(report.remaining_lots)
            with m.If(trade & makes):
                m.d.sync += left.eq(report.maker_remaining_lots)
            with m.If(left == 0):
                m.d.sync += stays.eq(0)
            named = mine & (report.generation == GENERATION) & (report.account == 0)
            missed = tells[ReportKind.REJECTED] & (Value.cast(header.side) == 0) & (reason == Reason.UNKNOWN_ORDER)
            self.claim(m, f"rests_{token}", ~(missed & named & stays) | (left == 0))
            self.claim(m, f"keeps_its_slot_{token}", ~(tells[ReportKind.ACCEPTED] & mine) | (left == 0))
            self.reach(m, f"canceled_{token}", canceled & stays & (reason == Reason.REQUESTED))
        if self._state == TradingState.HALTED and COLLECTS not in self._set_up:
            self.reach(m, "rejected", tells[ReportKind.REJECTED] & (reason == Reason.HALTED))
        else:
            self.reach(m, "accepted", tells[ReportKind.ACCEPTED])
        if self._state == TradingState.TRADING:
            self.reach(m, "trade", trade)


PROOFS = tuple(
    Proof(name, partial(Gate, set_up, *rest), steps=steps, terms=(10, 12), unbounded=False, faults=0, quick=False)
    for name, steps, set_up, *rest in (
        ("gate-trading", 12, behind(resting=BEYOND), TradingState.TRADING),
        ("gate-halted", 14, behind(HALT), TradingState.HALTED, False),
        ("gate-collecting", 14, behind(COLLECTS, HALT), TradingState.HALTED, False),
    )
)
