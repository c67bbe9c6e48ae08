"""The demo's session: a daemon is given what an invented market asks for, and what comes of it is written down."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.protocol.commands import Opcode
from bandgap.hdl.protocol.reports import ReportKind, TradingState
from bandgap.host.breaker import HaltCause
from bandgap.host.daemon import Daemon
from bandgap.host.gateway.order_entry import REQUEST_DTYPE
from bandgap.host.oracle.oracle import Quote
from bandgap.host.step import StepInput, StepResult
from bandgap.host.wire import select_reports
from bandgap.sim.flow.flash_crash import Session
from bandgap.sim.statistics import FlowStatistics

from .tape import Auction, Tape

STEP_NS = 250_000_000


@dataclass
class Stop:
    """An instrument did not trade continuously, from the beginning of a limit state, halt or call until it did again.

    Attributes
    ----------
    instrument : Which.
    cause : Why.
    from_ns : When its limit state, or else its halt, began.
    halted_ns : When it was halted; None if the limit state went by.
    to_ns : When it traded again; None: not before the session's end.
    auction : The auction that ended it; None without one.
    """

    instrument: int
    cause: HaltCause
    from_ns: int
    halted_ns: int | None = None
    to_ns: int | None = None
    auction: Auction | None = None


@dataclass
class Chart:
    """One instrument over time, a value a step.

    Attributes
    ----------
    last_ticks : Price of the step's last trade; None without one.
    mark_ticks : Mark price; None without one.
    """

    last_ticks: list[int | None] = field(default_factory=list)
    mark_ticks: list[int | None] = field(default_factory=list)


@dataclass
class Recording:
    """What happened.

    Attributes
    ----------
    charts : One for each instrument.
    tape : What the device told of bands, states and auctions.
    start_ns : When the first step began; `STEP_NS` lie between two.
    stops : Every time that an instrument left continuous trading, by instrument and time.
    index_ppm : How far the index had moved, a value a step.
    liquidations : (time, account) of every account that fell under its maintenance margin.
    closing_orders : How many orders closed their positions.
    covered_quote : What the insurance fund paid.
    book_at_end : How many orders rested when the venue closed.
    statistics : Counts and latencies.
    """

    charts: list[Chart]
    tape: Tape
    start_ns: int = STEP_NS
    stops: list[Stop] = field(default_factory=list)
    index_ppm: list[int] = field(default_factory=list)
    liquidations: list[tuple[int, int]] = field(default_factory=list)
    closing_orders: int = 0
    covered_quote: int = 0
    book_at_end: int = 0
    statistics: FlowStatistics = field(default_factory=FlowStatistics)


def run(daemon: Daemon, session: Session, progress: Callable[[Recording, int, int], None]) -> Recording:
    """Carry a session through the daemon; at its end every order that rests is canceled.

    Arguments
    ---------
    daemon : A fresh venue.
    session : What comes in.
    progress : Told after each step what is recorded so far, the step's time and how many requests it carried.
    """
    instruments = daemon.config.instruments
    recording = Recording([Chart() for _ in instruments], Tape(len(instruments)))
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
        _record(recording, time_ns, requests, result)
        progress(recording, time_ns, len(requests))
    closing = _mass_cancels(len(daemon.config.accounts), daemon.time_ns)
    result = daemon.step(StepInput(daemon.time_ns, closing))
    recording.book_at_end = len(select_reports(result.reports, ReportKind.CANCELED))
    return recording


_QUOTE_FIELDS = ("source", "instrument", "price_ticks", "time_ns")


def _mass_cancels(accounts: int, time_ns: int) -> NDArray[np.void]:
    requests = np.zeros(accounts, REQUEST_DTYPE)
    requests["kind"] = Opcode.MASS_CANCEL.value
    requests["account"] = np.arange(accounts)
    requests["arrival_ns"] = time_ns
    return requests


def _record(recording: Recording, time_ns: int, requests: NDArray[np.void], result: StepResult) -> None:
    statistics = recording.statistics
    statistics.add_requests(requests["kind"])
    statistics.add_refusals(result.encoded.refusals)
    statistics.add_reports(result.reports)
    recording.tape.follow(result.commands, result.reports)
    trades = select_reports(result.reports, ReportKind.TRADE)
    for instrument, chart in enumerate(recording.charts):
        prices = trades["price_ticks"][trades["header"]["instrument"] == instrument]
        chart.last_ticks.append(int(prices[-1]) if len(prices) else None)
        chart.mark_ticks.append(result.marks_ticks[instrument])
    _record_stops(recording, result)
    recording.index_ppm.append(result.index_ppm)
    recording.liquidations += [(time_ns, account) for account in result.liquidation.kill]
    recording.closing_orders += len(result.liquidation.close)
    recording.covered_quote += sum(amount for _, amount in result.liquidation.cover)


def _record_stops(recording: Recording, result: StepResult) -> None:
    """The stops that begin with this step, and what becomes of those that are open."""
    open_stops = {stop.instrument: stop for stop in recording.stops if stop.to_ns is None}
    for change in result.trading_changes:
        stop = open_stops.get(change.instrument)
        if change.state is TradingState.TRADING:
            if stop is not None:
                stop.to_ns = change.time_ns
                stop.auction = next(
                    (
                        auction
                        for auction in recording.tape.tracks[change.instrument].auctions
                        if auction.time_ns == change.time_ns
                    ),
                    None,
                )
                del open_stops[change.instrument]
            continue
        if stop is None:
            stop = open_stops[change.instrument] = Stop(change.instrument, HaltCause.BREAKER, change.time_ns)
            recording.stops.append(stop)
        if change.state is TradingState.HALTED:
            stop.halted_ns = change.time_ns
            stop.cause = change.cause
    recording.stops.sort(key=lambda stop: (stop.instrument, stop.from_ns))
