"""Every short run of the whole appliance: what no command, halt or timer may break, looked for in each of them.

No solver follows an operator command through the whole appliance: it takes some forty cycles, an auction hundreds. So
every run of a few commands out of `letters` is carried out here, one by one, by the appliance's own Verilog, and what
it reports is checked. Each run ends with a halt, a cancel of every order, and a resume.
"""

import struct

import numpy as np
from breaker import SHORTEST_US, command

from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.commands import (
    COMMAND_BYTES,
    BandPolicy,
    ExpiryAction,
    Opcode,
    OrderFlags,
    OrderType,
    ScheduledState,
    SelfTradePrevention,
    Side,
    TimeInForce,
    TradingMode,
)
from bandgap.hdl.protocol.registers import BY_NAME
from bandgap.hdl.protocol.reports import Reason, ReportKind, TradingState
from bandgap.sim.embedded import EmbeddedTransport

CONFIG = BookConfig(instruments=1, orders=8, ticks=4, accounts=2, word_bits=2, links=1)
EPOCH_REGISTER = BY_NAME["epoch"].at()
PAUSE_NS = 1_500 * SHORTEST_US
"""Longer than a timer, shorter than two."""

REPORT = struct.Struct("<BBxxIQIIIHBB")
ORDER, TRADE, BAND, STATE = (
    struct.Struct("<IIIHHI"),
    struct.Struct("<IIIHHIIHHI"),
    struct.Struct("<II"),
    struct.Struct("<QB"),
)
MATCHES = (TradingState.TRADING, TradingState.LIMIT)

Letter = tuple[Opcode, str, tuple[int, ...]]


def order(side: Side, price_ticks: int, lots: int, time_in_force: TimeInForce = TimeInForce.GTC) -> Letter:
    """A new order in the slot of its place in the run."""
    kind = OrderType.LIMIT if price_ticks else OrderType.MARKET
    modes = (side, kind, time_in_force, SelfTradePrevention.OFF, OrderFlags.REDUCE_ONLY)
    return Opcode.NEW_ORDER, "IIIHHBBBBB3x", (price_ticks, lots, 0, -1, 1, *(mode.value for mode in modes))


def band(lower_ticks: int, upper_ticks: int, policy: BandPolicy) -> Letter:
    return Opcode.SET_BAND, "IIIB11x", (lower_ticks, upper_ticks, lower_ticks, policy.value)


def letters(policy: BandPolicy) -> tuple[Letter, ...]:
    """The commands that runs are made of; prices are 4 to 7, the band is 5 to 6 at first."""
    return (
        order(Side.BUY, 7, 2),
        order(Side.BUY, 5, 1),
        order(Side.SELL, 4, 2),
        order(Side.SELL, 6, 1),
        order(Side.BUY, 0, 1, TimeInForce.IOC),
        (Opcode.CANCEL, "8xIHH8x", (0, 0, 1)),
        (Opcode.REPLACE, "IIIHHB3xI", (6, 1, 0, 0, 1, Side.BUY.value, 0)),
        band(4, 5, policy),
        band(6, 7, policy),
        (Opcode.HALT, "I20x", (0,)),
        (Opcode.HALT, "I20x", (SHORTEST_US,)),
        (Opcode.RESUME, "24x", ()),
        (Opcode.CALL, "I20x", (SHORTEST_US,)),
        (Opcode.HEARTBEAT, "QB15x", (SHORTEST_US * 1000, ExpiryAction.HALT.value)),
        (Opcode.SET_SCHEDULE, "QIB11x", (1, SHORTEST_US, ScheduledState.CLOSING_CALL.value)),
        (Opcode.SET_DYNAMIC_BAND, "IIIIBB6x", (1, SHORTEST_US, 0, 0, 1, 0)),
        (Opcode.READ_CLOCK, "24x", ()),  # behind a pause
    )


def set_up(policy: BandPolicy, mode: TradingMode, flags: int) -> tuple[Letter, ...]:
    """What goes before each run."""
    durations = (SHORTEST_US, SHORTEST_US, SHORTEST_US, SHORTEST_US, 0)
    return (
        (Opcode.SET_INSTRUMENT, "IIIBB10x", (4, 0, 1, 2, 0)),
        (Opcode.SET_BREAKER, "IIIIIBB2x", (*durations, mode.value, flags)),
        band(5, 6, policy),
        (Opcode.RESUME, "24x", ()),
    )


class Told:
    """What the reports of a run say, checked one by one.

    Attributes
    ----------
    lots : What is open of each order.
    state : The instrument's.
    """

    def __init__(self) -> None:
        self.lots: dict[int, int] = {}
        self.state, self._band = TradingState.HALTED, (0, 0)

    def take(self, report: bytes, canceled: bool) -> None:
        """Take over a report; `canceled`: it answers a cancel."""
        kind, reason, _, _, number, *_ = REPORT.unpack_from(report)
        price_ticks, lots, _, token, _, remaining = ORDER.unpack_from(report, REPORT.size)
        match ReportKind(kind):
            case ReportKind.BAND_MOVED:
                self._band = BAND.unpack_from(report, REPORT.size)
            case ReportKind.TRADING_STATE:
                self.state = TradingState(STATE.unpack_from(report, REPORT.size)[1])
            case ReportKind.ACCEPTED:
                assert not self.lots.get(token), "an order in the slot of another"
                self.lots[token] = lots
            case ReportKind.REPLACED:
                assert self.lots.get(token), "an order that is gone is replaced"
                self.lots[token] = lots
            case ReportKind.CANCELED:
                self._reduce(token, lots, remaining)
            case ReportKind.TRADE:
                *_, maker, _, maker_remaining = TRADE.unpack_from(report, REPORT.size)
                auction = self.state is TradingState.CALL and number == 0
                assert self.state in MATCHES or auction, f"a trade in {self.state.name}"
                assert self._band[0] <= price_ticks <= self._band[1], "a trade outside the band"
                self._reduce(token, lots, remaining)
                self._reduce(maker, lots, maker_remaining)
            case ReportKind.REJECTED if canceled:
                assert reason == Reason.UNKNOWN_ORDER.value and not self.lots.get(token), (
                    "an order is gone without a report"
                )

    def _reduce(self, token: int, lots: int, remaining: int) -> None:
        assert self.lots.get(token, 0) - lots == remaining, "a quantity that does not follow"
        self.lots[token] = remaining


class Run:
    """A run of commands on a device.

    Parameters
    ----------
    device : It takes the run in an epoch of its own.
    begin_ns : The run's first stamp; later than that of any run before.
    """

    def __init__(self, device: EmbeddedTransport, begin_ns: int):
        self._device, self._now_ns = device, begin_ns
        self._numbers: dict[int, Opcode] = {}
        self._told = Told()
        device.write_register(EPOCH_REGISTER, 1)

    @property
    def state(self) -> TradingState:
        """The instrument's, as told."""
        return self._told.state

    def carry_out(self, letters: tuple[Letter, ...]) -> None:
        """Send commands, and check what they and their timers report.

        Raises
        ------
        AssertionError : Something does not hold; the message says what.
        """
        rows, arrivals_ns = [], []
        for place, (opcode, layout, fields) in enumerate(letters):
            self._now_ns += PAUSE_NS if opcode is Opcode.READ_CLOCK else 1
            number = len(self._numbers) + 1
            self._numbers[number] = opcode
            rows.append(command(opcode, number, layout, *(place if field == -1 else field for field in fields)))
            arrivals_ns.append(self._now_ns)
        commands = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), COMMAND_BYTES)
        self._device.send(commands, np.array(arrivals_ns, np.uint64))
        for report in self._device.receive():
            raw = report.tobytes()
            number = REPORT.unpack_from(raw)[4]
            assert number == 0 or number in self._numbers
            malformed = raw[0] == ReportKind.REJECTED.value and raw[1] == Reason.MALFORMED.value
            assert not malformed, "a letter that means nothing"
            self._told.take(raw, self._numbers.get(number) is Opcode.CANCEL)


def look(
    device: EmbeddedTransport, begin_ns: int, before: tuple[Letter, ...], run: tuple[Letter, ...], batch: bool
) -> TradingState:
    """Carry out a run and check it; the state in which it ends, before its halt."""
    checked = Run(device, begin_ns)
    checked.carry_out(before)
    checked.carry_out(run)
    ended = checked.state
    checked.carry_out(
        ((Opcode.HALT, "I20x", (0,)), *((Opcode.CANCEL, "8xIHH8x", (0, token, 1)) for token in range(len(run))))
    )
    checked.carry_out(((Opcode.RESUME, "24x", ()),))
    trades = TradingState.CALL if batch else TradingState.TRADING
    assert checked.state is (TradingState.CLOSED if ended is TradingState.CLOSED else trades), "it does not trade again"
    return ended
