"""A flow from a file through a device: limits wide open, every answer written down, the books balanced at the end."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.protocol.commands import ALL_INSTRUMENTS, BandPolicy, Opcode
from bandgap.hdl.protocol.reports import ReportKind
from bandgap.host.device.device import Device
from bandgap.host.gateway.order_entry import REQUEST_DTYPE, OrderEntry
from bandgap.host.wire import (
    Bytes2D,
    Records,
    as_reports,
    command_headers,
    new_commands,
    report_headers,
    select_reports,
    to_bytes,
)
from bandgap.sim.flow.file import CHUNK_ROWS, Chunk, PriceRange, Survey
from bandgap.sim.statistics import FlowStatistics
from bandgap.sim.summary import Check

from .report_rows import report_rows

GRANT_QUOTE = (1 << 62) - 1
"""Credit of each account: as wide open as the device allows."""

PRICE_LIMIT = 1 << 32


class ReplayError(ValueError):
    """The flow cannot run on this device; the message says why."""


@dataclass(frozen=True)
class Window:
    """Where an instrument's prices can rest: `base_ticks` and the `ticks` from there on."""

    base_ticks: int
    ticks: int


def place_window(prices: PriceRange, ticks: int, base_ticks: int | None) -> Window:
    """Over the whole range when it fits, else around the first prices; `base_ticks` overrides."""
    if base_ticks is None:
        fits = prices.highest_ticks - prices.lowest_ticks < ticks
        middle = (prices.lowest_ticks + prices.highest_ticks) // 2 if fits else prices.first_ticks
        base_ticks = max(0, min(middle - ticks // 2, PRICE_LIMIT - ticks))
    if not 0 <= base_ticks <= PRICE_LIMIT - ticks:
        raise ReplayError(f"a window of {ticks:,} ticks cannot start at {base_ticks}")
    return Window(base_ticks, ticks)


class ReplaySession:
    """One run.

    Arguments
    ---------
    device : A fresh device; the session sets instruments, bands and credit.
    survey : What the flow holds.
    window_base_ticks : Where every instrument's window starts; None places each over its prices.

    Attributes
    ----------
    statistics : What has been counted so far.

    Raises
    ------
    ReplayError : The flow names more instruments or higher accounts than the device has, or the window does not exist.
    """

    def __init__(self, device: Device, survey: Survey, window_base_ticks: int | None = None) -> None:
        sizes = device.sizes
        if len(survey.instruments) > sizes.instruments:
            raise ReplayError(f"the flow has {len(survey.instruments)} instruments, the device has {sizes.instruments}")
        if survey.accounts[-1] >= sizes.accounts:
            raise ReplayError(f"the flow names account {survey.accounts[-1]}, the device has {sizes.accounts}")
        self.statistics = FlowStatistics()
        self._device = device
        self._survey = survey
        self._entry = OrderEntry(sizes.orders)
        self._accounts = np.array(survey.accounts, np.uint32)
        self._spent_quote = np.zeros(sizes.accounts, np.int64)
        self._open_lots = np.zeros(sizes.orders, np.int64)
        self._client_order_id = np.zeros(sizes.orders, np.uint64)
        self._account = np.zeros(sizes.orders, np.uint32)
        self._instruments = self._place_instruments(sizes.ticks, window_base_ticks)
        self._open_wide()

    def run(self, chunk: Chunk) -> list[tuple[Any, ...]]:
        """Send a chunk of requests; returns the rows of `report_rows`."""
        encoded = self._entry.encode(chunk.requests)
        reports, first_number = self._exchange(encoded.commands, chunk.requests["arrival_ns"][encoded.rows])
        self.statistics.add_reports(reports)
        # An order at the window's very edge is at the band's bound: the device tells of a limit state, the sender did
        # not ask for it.
        reports = reports[report_headers(reports)["kind"] != ReportKind.TRADING_STATE.value]
        causes = encoded.rows[report_headers(reports)["command_number"] - first_number]
        ids = self._entry.follow(reports)
        self.statistics.add_requests(chunk.requests["kind"])
        self.statistics.add_refusals(encoded.refusals)
        self._account_for(reports, ids.client_order_id)
        return report_rows(chunk, encoded, reports, causes, ids, self._survey.instruments)

    def settle(self) -> list[Check]:
        """Cancel what rests and tell whether the run ended in balance: each check."""
        resting = int(np.count_nonzero(self._open_lots))
        came_back = all([self._cancel_resting(slots) for slots in self._resting_slots()])
        return [
            ("what rests comes back with the quantity its reports left", came_back, f"{resting:,} orders"),
            ("the book is empty then", self._book_is_empty(), "an instrument that holds an order cannot be set anew"),
            ("credit is what was granted less fills at their limits", self._credit_agrees(), "of every account"),
        ]

    def _place_instruments(self, ticks: int, window_base_ticks: int | None) -> Records:
        """The command that sets each instrument; they share the ladder equally."""
        share_log2 = (ticks // len(self._survey.instruments)).bit_length() - 1
        instruments = new_commands(Opcode.SET_INSTRUMENT, len(self._survey.instruments))
        for index, prices in enumerate(self._survey.prices):
            window = place_window(prices, 1 << share_log2, window_base_ticks)
            instruments[index]["header"]["instrument"] = index
            instruments[index]["window_base_ticks"] = window.base_ticks
            instruments[index]["ladder_offset"] = index << share_log2
        instruments["multiplier_quote"] = 1
        instruments["window_log2"] = share_log2
        return instruments

    def _open_wide(self) -> None:
        """Instruments, bands as wide as their windows, credit without end, trading."""
        bands = new_commands(Opcode.SET_BAND, len(self._instruments))
        bands["header"]["instrument"] = self._instruments["header"]["instrument"]
        bands["lower_ticks"] = bands["reference_ticks"] = self._instruments["window_base_ticks"]
        bands["upper_ticks"] = bands["lower_ticks"] + ((1 << self._instruments["window_log2"].astype(np.int64)) - 1)
        bands["policy"] = BandPolicy.REJECT.value
        resume = new_commands(Opcode.RESUME, 1)
        resume["header"]["instrument"] = ALL_INSTRUMENTS
        for commands in (self._instruments, bands, self._grants(GRANT_QUOTE), resume):
            reports, _ = self._exchange(to_bytes(commands), None)
            rejected = select_reports(reports, ReportKind.REJECTED)
            if len(rejected):
                raise ReplayError(f"the device rejected its set-up: reason {rejected['header']['reason'][0]}")

    def _grants(self, amount_quote: int) -> Records:
        grants = new_commands(Opcode.GRANT_CREDIT, len(self._accounts))
        grants["account"] = self._accounts
        grants["amount_quote"] = amount_quote
        return grants

    def _exchange(self, commands: Bytes2D, arrival_ns: NDArray[np.uint64] | None) -> tuple[Bytes2D, int]:
        """Send commands; returns their reports and the first command's number."""
        self._device.number(commands)
        first_number = int(command_headers(commands)["number"][0]) if len(commands) else 0
        self._device.send(commands, arrival_ns)
        return self._device.receive(), first_number

    def _account_for(self, reports: Bytes2D, client_order_ids: NDArray[np.uint64]) -> None:
        """Follow what each order has left and what each account's fills took of its credit."""
        headers = report_headers(reports)
        orders, trades = as_reports(reports, ReportKind.ACCEPTED), as_reports(reports, ReportKind.TRADE)
        kinds = headers["kind"]
        accepted, traded = kinds == ReportKind.ACCEPTED.value, kinds == ReportKind.TRADE.value
        self._client_order_id[orders["token"][accepted]] = client_order_ids[accepted]
        self._account[orders["token"][accepted]] = orders["account"][accepted]

        # An order's last report of the batch tells what it has left; repeated indices assign in order.
        places = np.arange(len(reports))
        told = kinds != ReportKind.REJECTED.value
        place = np.concatenate([places[told], places[traded]])
        token = np.concatenate([orders["token"][told], trades["maker_token"][traded]])
        left = np.concatenate([orders["remaining_lots"][told], trades["maker_remaining_lots"][traded]])
        in_order = np.argsort(place, kind="stable")
        self._open_lots[token[in_order]] = left[in_order]

        # A taker's fills were reserved at its own limit, which the first report of the same command tells.
        entered = accepted | (kinds == ReportKind.REPLACED.value)
        entry = places[entered][np.searchsorted(headers["number"][entered], headers["number"][traded], "right") - 1]
        lots = trades["quantity_lots"][traded].astype(np.int64)
        np.add.at(self._spent_quote, trades["account"][traded], lots * orders["price_ticks"][entry])
        np.add.at(self._spent_quote, trades["maker_account"][traded], lots * trades["price_ticks"][traded])

    def _resting_slots(self) -> Iterator[NDArray[np.intp]]:
        slots = np.flatnonzero(self._open_lots)
        for start in range(0, len(slots), CHUNK_ROWS):
            yield slots[start : start + CHUNK_ROWS]

    def _cancel_resting(self, slots: NDArray[np.intp]) -> bool:
        """Whether each of these orders comes back with what it has left."""
        requests = np.zeros(len(slots), REQUEST_DTYPE)
        requests["kind"] = Opcode.CANCEL.value
        requests["account"] = self._account[slots]
        requests["client_order_id"] = self._client_order_id[slots]
        encoded = self._entry.encode(requests)
        reports, _ = self._exchange(encoded.commands, None)
        self._entry.follow(reports)
        canceled = select_reports(reports, ReportKind.CANCELED)
        return len(canceled) == len(slots) and bool((canceled["quantity_lots"] == self._open_lots[slots]).all())

    def _book_is_empty(self) -> bool:
        """An instrument that holds an order cannot be set anew."""
        halt = new_commands(Opcode.HALT, 1)
        halt["header"]["instrument"] = ALL_INSTRUMENTS
        self._exchange(to_bytes(halt), None)
        reports, _ = self._exchange(to_bytes(self._instruments), None)
        return len(select_reports(reports, ReportKind.DONE)) == len(self._instruments)

    def _credit_agrees(self) -> bool:
        """A grant of nothing answers with the balance."""
        reports, _ = self._exchange(to_bytes(self._grants(0)), None)
        balances = select_reports(reports, ReportKind.DONE)["balance_quote"]
        return bool((balances == GRANT_QUOTE - self._spent_quote[self._accounts]).all())
