"""A replay on the reference model: windows, answers, and the balance at the end."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.reports import ReportKind
from bandgap.host.device.device import Device
from bandgap.host.wire import Bytes2D, as_reports, report_headers
from bandgap.sim.flow.file import FlowFile, PriceRange
from bandgap.sim.model_device import ModelTransport
from bandgap.sim.replay.report_rows import COLUMNS, DETAILS
from bandgap.sim.replay.session import ReplayError, ReplaySession, Window, place_window

DEVICE = BookConfig(instruments=2, orders=4, ticks=2_048, accounts=8)
HEADER = "command,client_order_id,side,price_ticks,quantity,time_in_force,account,instrument,self_trade_prevention\n"


def replay(
    folder: Path, rows: str, transport: ModelTransport | None = None
) -> tuple[list[dict[str, Any]], dict[str, bool]]:
    """The report rows by column, and the checks, of a flow on a device with four order slots."""
    path = folder / "flow.csv"
    path.write_text(HEADER + rows)
    flow = FlowFile(path)
    session = ReplaySession(Device(transport or ModelTransport(DEVICE)), flow.survey())
    reports = [dict(zip(COLUMNS + DETAILS, row, strict=True)) for chunk in flow.chunks() for row in session.run(chunk)]
    return reports, {claim: passed for claim, passed, _ in session.settle()}


def short(reports: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(report[column] for column in COLUMNS) for report in reports]


def test_every_answer_in_the_words_of_the_client(tmp_path: Path) -> None:
    reports, checks = replay(
        tmp_path,
        "new,1,buy,100,5,gtc,0,A,\n"
        "new,2,buy,100,5,gtc,1,A,\n"
        "replace,1,buy,101,4,,0,A,\n"
        "new,3,sell,100,6,ioc,2,A,\n"
        "new,3,sell,101,9,ioc,2,A,\n"
        "cancel,2,,,,,1,A,\n"
        "cancel,2,,,,,1,A,\n"
        "replace,2,buy,1,1,,1,A,\n"
        "new,9,buy,5000,1,gtc,0,A,\n",
    )
    assert short(reports) == [
        (1, "accepted", 1, "buy", 100, 5, ""),
        (2, "accepted", 2, "buy", 100, 5, ""),
        (3, "replaced", 1, "buy", 101, 4, ""),
        (4, "accepted", 3, "sell", 100, 6, ""),
        (4, "trade", 3, "", 101, 4, 1),
        (4, "trade", 3, "", 100, 2, 2),
        (5, "new_rejected", 3, "sell", 101, 9, ""),  # the id is taken until its end has been reported
        (6, "canceled", 2, "buy", 100, "", ""),
        (7, "cancel_rejected", 2, "", "", "", ""),
        (8, "replace_rejected", 2, "", "", "", ""),
        (9, "new_rejected", 9, "buy", 5_000, 1, ""),
    ]
    assert [report["reason"] for report in reports if "rejected" in report["report"]] == [
        "duplicate_id",
        "unknown_order",
        "unknown_order",
        "outside_window",
    ]
    trade = reports[4]
    assert (trade["account"], trade["maker_account"], trade["remaining"], trade["maker_remaining"]) == (2, 0, 2, 0)
    assert all(checks.values()) and len(checks) == 3


def test_cancels_alone_are_answered(tmp_path: Path) -> None:
    reports, checks = replay(tmp_path, "cancel,7,,,,,0,A,\n")
    assert short(reports) == [(1, "cancel_rejected", 7, "", "", "", "")]
    assert all(checks.values())


def test_what_does_not_fit_is_rejected_with_a_reason_and_the_run_ends_in_balance(tmp_path: Path) -> None:
    rows = "".join(f"new,{n},{'buy' if n % 2 else 'sell'},{100 + n % 2 * -5},3,gtc,{n % 3},A,\n" for n in range(1, 11))
    reports, checks = replay(tmp_path, rows + "new,99,sell,95,4,ioc,7,B,\n")
    assert [report["reason"] for report in reports].count("book_full") == 7
    assert [report["row"] for report in reports] == list(range(1, 12))
    assert all(checks.values())


def test_instruments_share_the_device_and_keep_their_names(tmp_path: Path) -> None:
    reports, checks = replay(
        tmp_path, "new,1,buy,100,5,gtc,0,A,\nnew,2,sell,90000,5,gtc,1,B,\nnew,3,sell,100,5,ioc,1,A,\n"
    )
    assert [(report["report"], report["instrument"]) for report in reports] == [
        ("accepted", "A"),
        ("accepted", "B"),
        ("accepted", "A"),
        ("trade", "A"),
    ]
    assert all(checks.values())


def test_self_trade_prevention_is_off_unless_asked_for(tmp_path: Path) -> None:
    rows = "new,1,buy,100,5,gtc,0,A,{}\nnew,2,sell,100,5,gtc,0,A,{}\n"
    off, _ = replay(tmp_path, rows.format("", ""))
    assert [report["report"] for report in off] == ["accepted", "accepted", "trade"]
    newest, checks = replay(tmp_path, rows.format("cancel_newest", "cancel_newest"))
    assert [report["report"] for report in newest] == ["accepted", "accepted", "canceled"]
    assert newest[2]["reason"] == "self_trade" and newest[2]["client_order_id"] == 2
    assert all(checks.values())


@pytest.mark.parametrize(
    ("prices", "base", "window"),
    [
        (PriceRange(1_000, 1_100, 1_050), None, Window(538, 1_024)),
        (PriceRange(0, 1_023, 7), None, Window(0, 1_024)),
        (PriceRange(1_000, 2_024, 1_010), None, Window(498, 1_024)),
        (PriceRange(340, 23_170, 19_196), None, Window(18_684, 1_024)),
        (PriceRange(2**32 - 2, 2**32 - 1, 2**32 - 1), None, Window(2**32 - 1_024, 1_024)),
        (PriceRange(1_000, 1_100, 1_050), 77, Window(77, 1_024)),
    ],
)
def test_the_window_is_placed_over_the_range_or_around_the_first_prices(
    prices: PriceRange, base: int | None, window: Window
) -> None:
    assert place_window(prices, 1_024, base) == window


@pytest.mark.parametrize("base", [-1, 2**32 - 1_023])
def test_a_window_that_does_not_exist_is_refused(base: int) -> None:
    with pytest.raises(ReplayError, match=f"a window of 1,024 ticks cannot start at {base}"):
        place_window(PriceRange(1, 1, 1), 1_024, base)


def test_a_flow_that_does_not_fit_is_refused_before_it_runs(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="the flow has 3 instruments, the device has 2"):
        replay(tmp_path, "".join(f"new,{n},buy,1,1,gtc,0,I{n},\n" for n in (1, 2, 3)))
    with pytest.raises(ReplayError, match="the flow names account 8, the device has 8"):
        replay(tmp_path, "new,1,buy,1,1,gtc,8,A,\n")


class Liar(ModelTransport):
    """Changes one field of the first report of a kind, from a number of reports on."""

    def __init__(self, kind: ReportKind, field: str, after: int) -> None:
        super().__init__(DEVICE)
        self._kind, self._field, self._left = kind, field, after

    def receive(self) -> Bytes2D:
        reports = super().receive().copy()
        for row in np.flatnonzero(report_headers(reports)["kind"] == self._kind.value):
            self._left -= 1
            if self._left == 0:
                as_reports(reports, self._kind)[self._field][row] += 1
        return reports


ROWS = "new,1,buy,100,5,gtc,0,A,\nnew,2,sell,100,2,gtc,1,A,\nnew,3,sell,101,5,gtc,1,A,\n"


@pytest.mark.parametrize(
    ("kind", "field", "after", "broken"),
    [
        (ReportKind.ACCEPTED, "remaining_lots", 3, "what rests comes back"),
        (ReportKind.CANCELED, "quantity_lots", 1, "what rests comes back"),
        (ReportKind.TRADE, "price_ticks", 1, "credit is what was granted"),
        (ReportKind.TRADE, "quantity_lots", 1, "credit is what was granted"),
        (ReportKind.DONE, "balance_quote", 7, "credit is what was granted"),
    ],
)
def test_a_device_that_lies_fails_a_check(
    tmp_path: Path, kind: ReportKind, field: str, after: int, broken: str
) -> None:
    _, honest = replay(tmp_path, ROWS)
    assert all(honest.values())
    _, checks = replay(tmp_path, ROWS, Liar(kind, field, after))
    assert [claim.startswith(broken) for claim, passed in checks.items() if not passed] == [True]


def test_an_order_that_stays_behind_fails_a_check(tmp_path: Path) -> None:
    class Keeper(ModelTransport):
        """Swallows the last cancel."""

        def send(self, commands: Bytes2D, arrival_ns: Any = None, link: int = 0) -> None:
            super().send(commands[:-1] if commands[0, 0] == 2 else commands, arrival_ns, link)

    _, checks = replay(tmp_path, ROWS, Keeper(DEVICE))
    assert list(checks.values()) == [False, False, False], "its reserve does not come back either"
