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
)
from bandgap.hdl.protocol.reports import ReportFlags, ReportKind
from bandgap.host.device.device import Device
from bandgap.host.device.transport import Bytes2D
from bandgap.host.wire import Records, as_reports, new_commands, report_headers, select_reports, to_bytes
from bandgap.sim.embedded import open_config

BASE_TICKS = 10_000
"""The lowest price that can rest."""

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
    middle_ticks : The price in the middle of the window.
    highest_ticks : The highest price of the window; the lowest is `BASE_TICKS`.
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

    def share(self, instruments: int) -> None:
        """Halt, and set so many instruments instead, on equal parts of the ladder."""
        rows = self._rows // instruments
        self.highest_ticks, self.middle_ticks = BASE_TICKS + rows - 1, BASE_TICKS + rows // 2
        commands = new_commands(Opcode.SET_INSTRUMENT, instruments)
        commands["header"]["instrument"] = np.arange(instruments)
        commands["window_base_ticks"] = BASE_TICKS
        commands["ladder_offset"] = rows * np.arange(instruments)
        commands["window_log2"] = rows.bit_length() - 1
        commands["multiplier_quote"] = 1
        halt = new_commands(Opcode.HALT, 1)
        halt["header"]["instrument"] = ALL_INSTRUMENTS
        self._set_up(halt, commands)

    def collect(self, instrument: int, duration_us: int) -> None:
        """Begin a call, in a band as wide as the window."""
        band, call = (new_commands(opcode, 1) for opcode in (Opcode.SET_BAND, Opcode.CALL))
        band["lower_ticks"], band["upper_ticks"] = BASE_TICKS, self.highest_ticks
        band["reference_ticks"] = self.middle_ticks
        band["policy"] = BandPolicy.REJECT.value
        call["duration_us"] = duration_us
        for command in (band, call):
            command["header"]["instrument"] = instrument
            self._set_up(command)

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
