"""Commands written down by hand, and what device and model say to them."""

from collections.abc import Container

import numpy as np

from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.commands import (
    ALL_INSTRUMENTS,
    BandPolicy,
    InstrumentFlags,
    Opcode,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from bandgap.hdl.protocol.reports import ReportKind
from bandgap.host.device.transport import Bytes2D, Transport
from bandgap.host.wire import new_commands, report_headers, to_bytes, without_cycles
from bandgap.sim.flow.episode import Episode
from bandgap.sim.lab.compare import run_device
from bandgap.sim.lab.describe import report_fields
from bandgap.sim.model_device import ModelTransport

BUY, SELL = Side.BUY.value, Side.SELL.value
GTC, IOC, FOK = TimeInForce.GTC.value, TimeInForce.IOC.value, TimeInForce.FOK.value
OFF, DECREMENT = SelfTradePrevention.OFF.value, SelfTradePrevention.DECREMENT.value

GRANTED_QUOTE = 1 << 60
"""What every account of a script is granted at first: more than it can spend."""


class Script:
    """Commands of one epoch, all by link 0; instruments are set, have credit without end, and trade from the start.

    Arguments
    ---------
    config : Sizes of the device; its instruments share the ladder equally.
    epoch : The device epoch.
    base_ticks : First price of every window.
    top_of_book : Whether best prices are told.
    depth : The instruments whose levels are told.
    """

    def __init__(
        self,
        config: BookConfig,
        epoch: int = 1,
        base_ticks: int = 100,
        *,
        top_of_book: bool = True,
        depth: Container[int] = (),
    ) -> None:
        self._config, self._epoch = config, epoch
        self._rows: list[Bytes2D] = []
        self._generations = [0] * config.orders
        self.base_ticks = base_ticks
        self.window_ticks = 1 << (config.ticks // config.instruments).bit_length() - 1
        for instrument in range(config.instruments):
            told = instrument in depth
            self.add(
                Opcode.SET_INSTRUMENT,
                instrument,
                window_base_ticks=base_ticks,
                ladder_offset=instrument * self.window_ticks,
                multiplier_quote=1,
                window_log2=self.window_ticks.bit_length() - 1,
                flags=top_of_book * InstrumentFlags.TOP_OF_BOOK.value + told * InstrumentFlags.DEPTH.value,
            )
        for account in range(config.accounts):
            self.grant(account, GRANTED_QUOTE)
        self.add(Opcode.RESUME, ALL_INSTRUMENTS)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, opcode: Opcode, instrument: int = 0, **fields: int) -> None:
        """A command of any kind; fields that are not named are zero."""
        record = new_commands(opcode, 1)
        header = record["header"]
        header["instrument"], header["epoch"], header["number"] = instrument, self._epoch, len(self._rows) + 1
        for name, value in fields.items():
            record[name] = value
        self._rows.append(to_bytes(record))

    def new(
        self,
        token: int,
        side: int,
        price_ticks: int,
        quantity_lots: int = 1,
        instrument: int = 0,
        account: int = 0,
        time_in_force: int = GTC,
        mode: int = OFF,
        generation: int | None = None,
        flags: int = 0,
    ) -> None:
        """A limit order; by default with the slot's next generation."""
        self._generations[token] = (self._generations[token] + 1) & 0xFFFF if generation is None else generation
        self.add(
            Opcode.NEW_ORDER,
            instrument,
            price_ticks=price_ticks,
            quantity_lots=quantity_lots,
            account=account,
            token=token,
            generation=self._generations[token],
            side=side,
            order_type=OrderType.LIMIT.value,
            time_in_force=time_in_force,
            self_trade_prevention=mode,
            flags=flags,
        )

    def cancel(self, token: int, instrument: int = 0, account: int = 0) -> None:
        self.add(Opcode.CANCEL, instrument, account=account, token=token, generation=self._generations[token])

    def replace(
        self, token: int, side: int, price_ticks: int, quantity_lots: int, instrument: int = 0, account: int = 0
    ) -> None:
        self.add(
            Opcode.REPLACE,
            instrument,
            price_ticks=price_ticks,
            quantity_lots=quantity_lots,
            account=account,
            token=token,
            generation=self._generations[token],
            side=side,
        )

    def grant(self, account: int, amount_quote: int) -> None:
        """Credit on top of the `GRANTED_QUOTE` that every account has; below zero it is taken back."""
        self.add(Opcode.GRANT_CREDIT, amount_quote=amount_quote, account=account)

    def mass_cancel(self, account: int) -> None:
        self.add(Opcode.MASS_CANCEL, account=account)

    def kill(self, account: int) -> None:
        self.add(Opcode.KILL_ACCOUNT, account=account)

    def call(self, duration_us: int) -> None:
        """A call in every instrument."""
        self.add(Opcode.CALL, ALL_INSTRUMENTS, duration_us=duration_us)

    def halt(self) -> None:
        """Halt every instrument."""
        self.add(Opcode.HALT, ALL_INSTRUMENTS)

    def band(self, lower_ticks: int, upper_ticks: int, instrument: int = 0) -> None:
        self.add(
            Opcode.SET_BAND,
            instrument,
            lower_ticks=lower_ticks,
            upper_ticks=upper_ticks,
            reference_ticks=lower_ticks,
            policy=BandPolicy.REJECT.value,
        )

    @property
    def commands(self) -> Bytes2D:
        """Rows of 32 bytes."""
        return np.concatenate(self._rows)

    def episode(self, time_ns: int = 0) -> Episode:
        """All of it at one time."""
        return Episode(
            index=0,
            epoch=self._epoch,
            token_ranges=[(0, self._config.orders)] + [(0, 0)] * (self._config.links - 1),
            commands=self.commands,
            links=np.zeros(len(self), np.uint8),
            arrivals_ns=np.full(len(self), time_ns, np.uint64),
            end_ns=time_ns,
        )

    def run(self, device: Transport) -> Bytes2D:
        """What the device reports, which is what the model reports."""
        reports = run_device(device, self.episode())
        assert_same(reports, self.expected())
        return reports

    def expected(self) -> Bytes2D:
        """What the model reports."""
        return run_device(ModelTransport(self._config), self.episode())


def assert_same(reports: Bytes2D, expected: Bytes2D) -> None:
    """The same reports, cycle counters aside; the first that differs is shown field by field."""
    expected = without_cycles(expected)
    if np.array_equal(without_cycles(reports), expected):
        return
    for row, (ours, theirs) in enumerate(zip(without_cycles(reports), expected, strict=False)):
        one, other = report_fields(ours.tobytes()), report_fields(theirs.tobytes())
        if one != other:
            names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
            differing = ", ".join(f"{name} {one.get(name)}, not {other.get(name)}" for name in names)
            raise AssertionError(f"report {row} ({other['kind']}): {differing}")
    raise AssertionError(f"{len(reports)} reports, not {len(expected)}")


def kinds(reports: Bytes2D) -> list[ReportKind]:
    """The kind of each report, market data left out."""
    found = (ReportKind(kind) for kind in report_headers(reports)["kind"].tolist())
    return [kind for kind in found if kind not in (ReportKind.TOP_OF_BOOK, ReportKind.LEVEL)]
