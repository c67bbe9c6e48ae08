"""The demo's session: a daemon is given what an invented market asks for, and what comes of it is written down."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.protocol.commands import Opcode
from bandgap.hdl.protocol.reports import ReportKind
from bandgap.host.breaker import HaltCause
from bandgap.host.daemon import Daemon
from bandgap.host.gateway.order_entry import REQUEST_DTYPE
from bandgap.host.oracle.oracle import Quote
from bandgap.host.step import StepInput, StepResult
from bandgap.host.wire import select_reports
from bandgap.sim.flow.flash_crash import Session
from bandgap.sim.lab.statistics import FlowStatistics

STEP_NS = 250_000_000


@dataclass(frozen=True)
class Halt:
    """Trading in an instrument stopped at `from_ns`, and went on at `to_ns` (None: not before the session's end)."""

    instrument: int
    cause: HaltCause
    from_ns: int
    to_ns: int | None


@dataclass
class Chart:
    """One instrument over time, a value a step.

    Attributes
    ----------
    last_ticks : Price of the step's last trade; None without one.
    mark_ticks : Mark price; None without one.
    lower_ticks, upper_ticks : Band; None before the first.
    """

    last_ticks: list[int | None] = field(default_factory=list)
    mark_ticks: list[int | None] = field(default_factory=list)
    lower_ticks: list[int | None] = field(default_factory=list)
    upper_ticks: list[int | None] = field(default_factory=list)


@dataclass
class Recording:
    """What happened.

    Attributes
    ----------
    charts : One for each instrument.
    start_ns : When the first step began; `STEP_NS` lie between two.
    halts : Every halt that a breaker or the oracle caused, by instrument and time.
    liquidations : (time, account) of every account that fell under its maintenance margin.
    closing_orders : How many orders closed their positions.
    covered_quote : What the insurance fund paid.
    book_at_end : How many orders rested when the venue closed.
    statistics : Counts and latencies.
    """

    charts: list[Chart]
    start_ns: int = STEP_NS
    halts: list[Halt] = field(default_factory=list)
    liquidations: list[tuple[int, int]] = field(default_factory=list)
    closing_orders: int = 0
    covered_quote: int = 0
    book_at_end: int = 0
    statistics: FlowStatistics = field(default_factory=FlowStatistics)


def run(daemon: Daemon, session: Session, progress: Callable[[int], None]) -> Recording:
    """Carry a session through the daemon; at its end every order that rests is canceled.

    Arguments
    ---------
    daemon : A fresh venue.
    session : What comes in.
    progress : Told after each step how many requests it carried.
    """
    recording = Recording([Chart() for _ in daemon.config.instruments])
    halted: dict[int, tuple[int, HaltCause]] = {}
    edges_ns = range(recording.start_ns, session.end_ns + STEP_NS + 1, STEP_NS)
    requests_until = np.searchsorted(session.requests["arrival_ns"], edges_ns)
    quotes_until = np.searchsorted(session.quotes["time_ns"], edges_ns, side="right")
    told = 0
    for time_ns, (first, last), heard in zip(edges_ns, pairwise([0, *requests_until]), quotes_until, strict=False):
        requests = session.requests[first:last].copy()
        requests["arrival_ns"] = np.maximum(requests["arrival_ns"], time_ns)
        quotes = [Quote(*quote) for quote in session.quotes[told:heard][list(_QUOTE_FIELDS)].tolist()]
        told = heard
        result = daemon.step(StepInput(time_ns, requests, quotes))
        _record(recording, daemon, time_ns, requests, result)
        _follow_halts(recording, halted, result)
        progress(len(requests))
    closing = _mass_cancels(len(daemon.config.accounts), daemon.time_ns)
    result = daemon.step(StepInput(daemon.time_ns, closing))
    recording.book_at_end = len(select_reports(result.reports, ReportKind.CANCELED))
    recording.halts += [Halt(instrument, cause, start, None) for instrument, (start, cause) in halted.items()]
    recording.halts.sort(key=lambda halt: (halt.instrument, halt.from_ns))
    return recording


_QUOTE_FIELDS = ("source", "instrument", "price_ticks", "time_ns")


def _mass_cancels(accounts: int, time_ns: int) -> NDArray[np.void]:
    requests = np.zeros(accounts, REQUEST_DTYPE)
    requests["kind"] = Opcode.MASS_CANCEL.value
    requests["account"] = np.arange(accounts)
    requests["arrival_ns"] = time_ns
    return requests


def _record(recording: Recording, daemon: Daemon, time_ns: int, requests: NDArray[np.void], result: StepResult) -> None:
    statistics = recording.statistics
    statistics.add_requests(requests["kind"])
    statistics.add_refusals(result.encoded.refusals)
    statistics.add_reports(result.reports)
    trades = select_reports(result.reports, ReportKind.TRADE)
    for instrument, (chart, breaker) in enumerate(zip(recording.charts, daemon.breakers, strict=True)):
        prices = trades["price_ticks"][trades["header"]["instrument"] == instrument]
        chart.last_ticks.append(int(prices[-1]) if len(prices) else None)
        chart.mark_ticks.append(result.marks_ticks[instrument])
        chart.lower_ticks.append(breaker.band.lower_ticks if breaker.band else None)
        chart.upper_ticks.append(breaker.band.upper_ticks if breaker.band else None)
    recording.liquidations += [(time_ns, account) for account in result.liquidation.kill]
    recording.closing_orders += len(result.liquidation.close)
    recording.covered_quote += sum(amount for _, amount in result.liquidation.cover)


def _follow_halts(recording: Recording, halted: dict[int, tuple[int, HaltCause]], result: StepResult) -> None:
    """Halts that begin are remembered in `halted`, those that end are recorded."""
    for change in result.trading_changes:
        if not change.trading:
            halted[change.instrument] = change.time_ns, change.cause
        elif change.instrument in halted:
            from_ns, cause = halted.pop(change.instrument)
            recording.halts.append(Halt(change.instrument, cause, from_ns, change.time_ns))
