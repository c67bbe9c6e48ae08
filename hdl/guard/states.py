"""The breaker's trading states: what leads from one to the other, and what a new one brings with it."""

from amaranth.hdl import Mux, Signal
from amaranth.lib import data

from ..protocol.commands import BandPolicy, StateCommand
from ..protocol.reports import Reason, TradingState
from .timers import ENTRIES, Kind
from .work import Job, Work

TRIP_US = 1_000
"""How long after it has tripped policy *halt* halts: no timer that the book starts is shorter."""


def add_states(work: Work) -> None:
    """Add the states HALT, CALL, RESUME, ENTER, TIMER and JUDGE.

    HALT, CALL and RESUME are for commands, TIMER is for what is due. They and others lead to ENTER, with the state that
    begins and how long it lasts, and from there to STORE. JUDGE is for limit states.
    """
    m, row, rules = work.m, work.row, work.rules
    breaker = work.breaker
    order = data.View(StateCommand, breaker.command)
    by_watchdog = work.reason == Reason.WATCHDOG
    target = work.target
    timed, closes = work.timed, work.closes
    span_us, later_ns = work.span_us, (work.now_ns + work.span_ns)[:64]
    halted = rules.state == TradingState.HALTED

    with m.State("HALT"):
        m.next = "STORE"
        with m.If(by_watchdog):
            m.d.sync += [row.timetable[number].at.set.eq(0) for number in range(ENTRIES)]
        with m.If(rules.state != TradingState.CLOSED):
            work.enters(TradingState.HALTED, Mux(by_watchdog, 0, order.duration_us))
            m.d.sync += timed.eq(~by_watchdog & (order.duration_us != 0))
    with m.State("CALL"):
        m.next = "STORE"
        with m.If(rules.state != TradingState.CLOSED):
            work.enters(TradingState.CALL, Mux(order.duration_us == 0, row.call_us, order.duration_us))
    with m.State("RESUME"):
        m.next = "STORE"
        with m.If(halted & work.fits):
            m.next = "GO_ON"
        with m.Elif(halted & ~work.everyone):
            work.rejects(Reason.BOOK_CROSSED)
    with m.State("GO_ON"):
        with m.If(rules.batch):
            work.enters(TradingState.CALL, row.call_us)
        with m.Else():
            work.enters(TradingState.TRADING)

    # A state begins: its end is worked out, a call's extra time and its first indicative price as well.
    work.waits("ENTER", "ENTERED")
    with m.State("ENTERED"):
        same = halted & (target == TradingState.HALTED) & (row.phase.set == timed)
        same = same & (~timed | (row.phase.time_ns == later_ns))
        m.next = "STORE"
        with m.If(same):
            m.d.sync += work.tells.eq(0)
        with m.Else():
            m.d.sync += [
                rules.state.eq(target),
                row.phase.set.eq(timed),
                row.phase.time_ns.eq(later_ns),
                row.indicative.set.eq(0),
                row.tripped.eq(0),
            ]
            with m.If(target == TradingState.CALL):
                m.d.sync += [row.closes.eq(closes), row.widenings.eq(1), row.call_extra_us.eq(row.extra_us)]
                m.d.sync += span_us.eq(row.extra_us)
                m.next = "EXTRA"
    work.waits("EXTRA", "EXTRA_ADDED")
    with m.State("EXTRA_ADDED"):
        m.d.sync += [row.phase.time_ns.eq(row.phase.time_ns + work.span_ns), span_us.eq(row.indicative_us)]
        m.next = "INDICATIVE_TIME"
    work.waits("INDICATIVE_TIME", "INDICATIVE_SET")
    with m.State("INDICATIVE_SET"):
        m.d.sync += [row.indicative.set.eq(row.indicative_us != 0), row.indicative.time_ns.eq(later_ns)]
        m.next = "STORE"

    with m.State("TIMER"):
        with m.Switch(work.timers.first_kind):
            with m.Case(Kind.SHORT_BUCKET):
                m.next = "END_SHORT"
            with m.Case(Kind.LONG_BUCKET):
                m.next = "END_LONG"
            for number, kind in enumerate((Kind.PRE_OPEN, Kind.OPENING_CALL, Kind.CLOSING_CALL, Kind.CLOSED)):
                with m.Case(kind):
                    entry = row.timetable[number]
                    duration_us = Mux(entry.duration_us == 0, row.call_us, entry.duration_us)
                    match kind:
                        case Kind.PRE_OPEN:
                            work.enters(TradingState.PRE_OPEN)
                        case Kind.CLOSED:
                            work.enters(TradingState.CLOSED)
                        case _:
                            work.enters(TradingState.CALL, duration_us)
                            m.d.sync += closes.eq(kind is Kind.CLOSING_CALL)
                    m.d.sync += [entry.at.set.eq(0), work.reason.eq(Reason.SCHEDULE)]
            with m.Case(Kind.PHASE):
                with m.Switch(rules.state):
                    with m.Case(TradingState.CALL):
                        m.next = "AUCTION"
                    with m.Case(TradingState.HALTED):
                        work.enters(TradingState.CALL, row.call_us)
                        m.d.sync += work.reason.eq(Reason.HALT_OVER)
                    with m.Default():
                        work.enters(TradingState.HALTED, row.halt_us)
                        m.d.sync += [timed.eq(row.halt_us != 0), work.reason.eq(Reason.LIMIT)]
            with m.Case(Kind.INDICATIVE):
                m.next = "AUCTION"

    # Does a limit state begin or end?
    begins, ends, trips = Signal(), Signal(), Signal()
    reviewed = work.job == Job.REVIEW
    with m.State("JUDGE"):
        starts = (rules.state == TradingState.TRADING) & work.at_bound
        matches = (rules.state == TradingState.TRADING) | (rules.state == TradingState.LIMIT)
        strands = matches & reviewed & work.stranded
        trip = (row.policy == BandPolicy.HALT) & ~row.tripped & (starts | strands)
        m.d.sync += [
            begins.eq(starts),
            ends.eq((rules.state == TradingState.LIMIT) & ~work.at_bound),
            trips.eq(trip),
            span_us.eq(Mux(trip, TRIP_US, row.limit_us)),
        ]
        m.next = "JUDGE_WAIT"
    work.waits("JUDGE_WAIT", "JUDGED")
    with m.State("JUDGED"):
        with m.If(begins):
            m.d.sync += rules.state.eq(TradingState.LIMIT)
        with m.If(ends):
            m.d.sync += rules.state.eq(TradingState.TRADING)
        with m.If(trips):
            m.d.sync += row.tripped.eq(1)
        with m.If(trips | (~row.tripped & (begins | ends))):
            m.d.sync += [
                row.phase.set.eq(trips | (begins & (row.limit_us != 0))),
                row.phase.time_ns.eq(later_ns),
            ]
        m.d.sync += [work.reason.eq(Reason.LIMIT), work.tells.eq(~reviewed & (begins | ends))]
        m.next = "STORE"
        with m.If(reviewed):
            m.next = "VERDICT"
    with m.State("VERDICT"):
        verdict = breaker.verdict
        m.d.comb += [
            verdict.valid.eq(1),
            verdict.payload.changed.eq(begins | ends),
            verdict.payload.state.eq(rules.state),
            verdict.payload.until_ns.eq(Mux(row.phase.set, row.phase.time_ns, 0)),
        ]
        with m.If(verdict.ready):
            m.next = "STORE"
