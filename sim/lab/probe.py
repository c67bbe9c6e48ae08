"""An appliance of its own to measure one thing in: one instrument over the whole ladder, and nobody short of credit."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.commands import (
    ALL_INSTRUMENTS,
    BandPolicy,
    Opcode,
    OrderType,
    SelfTradePrevention,
    TimeInForce,
    TradingMode,
)
from bandgap.hdl.protocol.reports import ReportFlags, ReportKind
from bandgap.host.device.device import Device
from bandgap.host.device.transport import Bytes2D
from bandgap.host.wire import Records, as_reports, new_commands, report_headers, select_reports, to_bytes
from bandgap.sim.embedded import open_config

BASE_TICKS = 10_000
"""The lowest price that can rest."""

BUCKETS, BUCKET_US = 8, 1_000_000
"""Of a rolling window."""

MARKET = 0
"""The price of a market order."""

GRANT_QUOTE = 1 << 60
"""More than all orders together can reserve."""


class Measurement(NamedTuple):
    """What was measured, on what, which of many values it is, and the value; the unit is clock cycles mostly."""

    figure: str
    flow: str
    statistic: str
    value: float
    unit: str = "cycles"


class MeasurementError(RuntimeError):
    """The appliance did something else than what was to be measured."""


class Probe:
    """A fresh appliance.

    Arguments
    ---------
    config : Its sizes.
    accounts : How many accounts are granted credit.

    Attributes
    ----------
    instruments : How many there are; the first one trades.
    slots : Orders that fit in.
    lowest_ticks, middle_ticks, highest_ticks : The lowest price of the window, `BASE_TICKS` if nothing else was set,
        the one in its middle, and the highest.
    """

    def __init__(self, config: BookConfig, accounts: int) -> None:
        self._device = Device(open_config(config))
        sizes = self._device.sizes
        self.instruments = sizes.instruments
        self.slots = sizes.orders
        self._tokens = 0
        self._rows = sizes.ticks
        self._waited_ns = 0
        grants = new_commands(Opcode.GRANT_CREDIT, accounts)
        grants["account"] = np.arange(accounts)
        grants["amount_quote"] = GRANT_QUOTE
        self._set_up(grants)
        self.share(1)
        self._set_up(new_commands(Opcode.RESUME, 1))

    def share(self, instruments: int, lowest_ticks: int = BASE_TICKS) -> None:
        """Halt, and set so many instruments instead, on equal parts of the ladder, from that price on."""
        rows = self._rows // instruments
        self.lowest_ticks, self.middle_ticks = lowest_ticks, lowest_ticks + rows // 2
        self.highest_ticks = lowest_ticks + rows - 1
        commands = new_commands(Opcode.SET_INSTRUMENT, instruments)
        commands["header"]["instrument"] = np.arange(instruments)
        commands["window_base_ticks"] = lowest_ticks
        commands["ladder_offset"] = rows * np.arange(instruments)
        commands["window_log2"] = rows.bit_length() - 1
        commands["multiplier_quote"] = 1
        halt = new_commands(Opcode.HALT, 1)
        halt["header"]["instrument"] = ALL_INSTRUMENTS
        self._set_up(halt, commands)

    def band(self, instrument: int, lower_ticks: int, upper_ticks: int) -> None:
        """Set an instrument's band."""
        band = new_commands(Opcode.SET_BAND, 1)
        band["header"]["instrument"] = instrument
        band["lower_ticks"], band["upper_ticks"] = lower_ticks, upper_ticks
        band["reference_ticks"] = (lower_ticks + upper_ticks) // 2
        band["policy"] = BandPolicy.REJECT.value
        self._set_up(band)

    def collect(self, instrument: int, duration_us: int) -> None:
        """Begin a call."""
        call = new_commands(Opcode.CALL, 1)
        call["header"]["instrument"] = instrument
        call["duration_us"] = duration_us
        self._set_up(call)

    def repeat(self, extension_us: int, indicative_us: int) -> None:
        """By how much the first instrument's calls are extended, and how often their indicative price is told; zero:
        never."""
        durations = new_commands(Opcode.SET_BREAKER, 1)
        durations["call_us"] = durations["extension_us"] = extension_us
        durations["indicative_us"] = indicative_us
        durations["mode"] = TradingMode.CONTINUOUS.value
        self._set_up(durations)

    def roll(self, width_ticks: int) -> None:
        """Two rolling windows of the first instrument, in a band as wide as its window; zero: without widths."""
        self.band(0, self.lowest_ticks, self.highest_ticks)
        windows = new_commands(Opcode.SET_DYNAMIC_BAND, 1)
        for name in ("short", "long"):
            windows[f"{name}_width_ticks"], windows[f"{name}_buckets"] = width_ticks, BUCKETS
            windows[f"{name}_bucket_us"] = BUCKET_US
        self._set_up(windows)

    def wait(self, duration_us: int) -> None:
        """The next commands come so much later."""
        self._waited_ns += duration_us * 1_000

    def orders(
        self,
        side: ArrayLike,
        price_ticks: ArrayLike,
        quantity_lots: ArrayLike,
        account: ArrayLike,
        time_in_force: TimeInForce = TimeInForce.GTC,
        prevention: SelfTradePrevention = SelfTradePrevention.OFF,
    ) -> Records:
        """New orders in slots not used before, as many as the longest of `side` (values of `Side`), prices, quantities
        and accounts; with a limit, or market orders where the price is `MARKET`."""
        fields = np.broadcast_arrays(*np.atleast_1d(side, price_ticks, quantity_lots, account))
        commands = new_commands(Opcode.NEW_ORDER, len(fields[0]))
        for name, values in zip(("side", "price_ticks", "quantity_lots", "account"), fields, strict=True):
            commands[name] = values
        commands["token"] = self._tokens + np.arange(len(commands))
        commands["generation"] = 1
        market = commands["price_ticks"] == MARKET
        commands["order_type"] = np.where(market, OrderType.MARKET.value, OrderType.LIMIT.value)
        commands["time_in_force"] = np.where(market, TimeInForce.IOC.value, time_in_force.value)
        commands["self_trade_prevention"] = prevention.value
        self._tokens += len(commands)
        if self._tokens > self.slots:
            raise ValueError(f"the appliance has {self.slots} slots, not {self._tokens}")
        return commands

    @staticmethod
    def cancels(orders: Records) -> Records:
        """Cancels of new orders, in their order."""
        commands = new_commands(Opcode.CANCEL, len(orders))
        for name in ("account", "token", "generation"):
            commands[name] = orders[name]
        return commands

    def run(self, commands: Records) -> Bytes2D:
        """Send commands back to back; their reports."""
        rows = to_bytes(commands)
        self._device.number(rows)
        arrival_ns = np.full(len(rows), self._device.clock() + self._waited_ns, np.uint64) if self._waited_ns else None
        self._device.send(rows, arrival_ns)
        self._waited_ns = 0
        return self._device.receive()

    def run_apart(self, commands: Records) -> Bytes2D:
        """Send each command when nothing of the one before is under way any more; their reports."""
        return np.concatenate([self.run(commands[place : place + 1]) for place in range(len(commands))])

    def rest(self, orders: Records) -> None:
        """Send orders that all rest and do not trade."""
        headers = report_headers(self.run(orders))
        resting = (headers["kind"] == ReportKind.ACCEPTED.value) & (headers["flags"] == ReportFlags.LAST.value)
        if len(headers) != len(orders) or not resting.all():
            raise MeasurementError("an order that was to rest did not")

    def _set_up(self, *batches: Records) -> None:
        for commands in batches:
            if len(select_reports(self.run(commands), ReportKind.REJECTED)):
                raise MeasurementError("the appliance rejects its set-up")

    def close(self) -> None:
        """Let the appliance go."""
        self._device.close()


def latency_cycles(reports: Bytes2D) -> NDArray[np.uint32]:
    """(n,) Cycles from each report's command first seen to the report."""
    headers = report_headers(reports)
    cycles: NDArray[np.uint32] = headers["exit_cycle"] - headers["entry_cycle"]
    return cycles


def of_kind(reports: Bytes2D, kind: ReportKind, count: int) -> Bytes2D:
    """The rows that are of `kind`, which must be `count`."""
    rows: Bytes2D = reports[report_headers(reports)["kind"] == kind.value]
    if len(rows) != count:
        raise MeasurementError(f"{len(rows)} reports are {kind.name}, not {count}")
    return rows


def trade_prices(trades: Bytes2D) -> NDArray[np.uint32]:
    """(n,) Price of each trade, in ticks."""
    prices: NDArray[np.uint32] = as_reports(trades, ReportKind.TRADE)["price_ticks"]
    return prices
