"""Counting a run, by hand."""

import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bandgap.hdl.protocol.commands import Opcode
from bandgap.hdl.protocol.reports import REPORT_BYTES, Reason, ReportFlags, ReportKind
from bandgap.host.gateway.order_entry import Refusal
from bandgap.host.wire import as_reports
from bandgap.sim.statistics import FlowStatistics, Latencies
from bandgap.sim.summary import clock_note, lines_of, print_summary, speed_line
from bandgap.sim.timing import TIMING, read_timing, write_timing


def reports(*rows: tuple[ReportKind, Reason | None, int, bool]) -> np.ndarray:
    """Reports of these kinds, reasons, cycles from entry to exit, and whether they are the last."""
    buffer = np.zeros((len(rows), REPORT_BYTES), np.uint8)
    view = as_reports(buffer, ReportKind.TRADE)
    for place, (kind, reason, cycles, last) in enumerate(rows):
        header = view["header"]
        header["kind"][place] = kind.value
        header["reason"][place] = reason.value if reason else 0
        header["entry_cycle"][place] = 2**32 - 5
        header["exit_cycle"][place] = (2**32 - 5 + cycles) % 2**32
        header["flags"][place] = ReportFlags.LAST.value if last else 0
        view["quantity_lots"][place] = 2**32 - 1
    return buffer


def test_quantiles_are_nearest_ranks() -> None:
    latencies = Latencies()
    assert latencies.quantile(0.5) == 0
    assert not latencies.measured
    latencies.add(np.array([7], np.uint32))
    latencies.add(np.arange(1, 100, dtype=np.uint32))
    assert latencies.counts.sum() == 100
    assert latencies.quantile(0.5) == 49, "the 50th of 1, 2, ..., 7, 7, ..., 99"
    assert latencies.quantile(0.999) == latencies.quantile(1.0) == 99
    assert latencies.quantile(0.0001) == 1
    assert latencies.measured


def test_a_run_is_counted_by_kind_and_reason() -> None:
    statistics = FlowStatistics()
    statistics.add_requests(np.array([Opcode.NEW_ORDER.value] * 3 + [Opcode.CANCEL.value], np.uint8))
    statistics.add_refusals(np.array([Refusal.BOOK_FULL], np.uint8))
    statistics.add_reports(
        reports(
            (ReportKind.ACCEPTED, None, 3, False),
            (ReportKind.TRADE, None, 10, False),
            (ReportKind.TRADE, None, 12, True),
            (ReportKind.REJECTED, Reason.CREDIT, 2, True),
            (ReportKind.CANCELED, Reason.REQUESTED, 4, True),
            (ReportKind.CANCELED, Reason.MASS_CANCEL, 5_000, False),
            (ReportKind.DONE, None, 5_000, True),
        )
    )
    statistics.add_reports(reports((ReportKind.REJECTED, Reason.CREDIT, 2, True)))
    assert statistics.requests == {"NEW_ORDER": 3, "CANCEL": 1}
    assert statistics.reports == {"ACCEPTED": 1, "TRADE": 2, "REJECTED": 2, "CANCELED": 2, "DONE": 1}
    assert statistics.rejects == {"BOOK_FULL": 1, "CREDIT": 2}
    assert statistics.cancels == {"REQUESTED": 1, "MASS_CANCEL": 1}
    assert statistics.traded_lots == 2 * (2**32 - 1)
    latencies = np.flatnonzero(statistics.latencies.counts).tolist()
    assert latencies == [2, 4, 12], "last reports of order commands, over the counter's wrap, a mass cancel left out"


def test_the_summary_tells_all_of_it_and_marks_a_failed_check() -> None:
    statistics = FlowStatistics()
    statistics.add_requests(np.full(2_000, Opcode.NEW_ORDER.value, np.uint8))
    statistics.add_reports(
        reports((ReportKind.ACCEPTED, None, 17, True), (ReportKind.REJECTED, Reason.KILLED, 3, True))
    )
    lines = {what: (value, remark) for what, value, remark in lines_of(statistics)}
    assert lines["messages"] == ("2,000", "new order 2,000")
    assert lines["rejected"] == ("1", "killed 1")
    assert lines["latency max"][0] == "17 cycles"
    assert speed_line(statistics, 0.5)[1] == "4,000 messages/s"
    console = Console(record=True, width=120, file=StringIO())
    print_summary(
        console,
        "a [/run]",
        [*lines_of(statistics), ("[/what]", "[/value]", "[/remark]")],
        [("it holds", True, "[/so]"), ("it breaks", False, "[/there]")],
    )
    text = console.export_text()
    assert "a [/run]" in text
    assert re.search(r"\[/what\] +\[/value\] +\[/remark\]", text)
    assert "✔ it holds ([/so])" in text
    assert "✘ it breaks ([/there])" in text
    assert clock_note() in " ".join(text.split())


def test_nanoseconds_are_of_the_clock_that_was_placed_and_routed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statistics = FlowStatistics()
    statistics.add_reports(reports((ReportKind.ACCEPTED, None, 17, True)))
    monkeypatch.setattr("bandgap.sim.timing._CHECKOUT", tmp_path)
    assert ("latency max", "17 cycles", "") in lines_of(statistics), "nothing was placed"
    assert clock_note() == "from an order command first seen to its last report"
    timing = read_timing(Path(__file__).parents[2] / TIMING)
    assert timing
    write_timing(tmp_path / TIMING, replace(timing, clock_mhz=66.6))
    assert ("latency max", "17 cycles", "255 ns at 66.6 MHz") in lines_of(statistics), "255.3 ns"
    assert clock_note().endswith("; 66.6 MHz is what ecp5, placed and routed, can keep")


def test_a_device_without_clock_cycles_tells_no_latency() -> None:
    statistics = FlowStatistics()
    statistics.add_reports(reports((ReportKind.ACCEPTED, None, 0, True)))
    assert not any("latency" in what for what, _, _ in lines_of(statistics))
