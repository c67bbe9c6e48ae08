"""The circuit breaker: states, bands and timers of the instruments. Rules: `docs/circuit-breaker.md`.

One instrument is at work at a time. Its row is loaded, changed by what is to be done, and stored; then its timers are
looked at again:

    READY -> LOAD -> LOOK -> ACT -> (what the job needs) -> STORE -> TELL -> NEXT (-> LOAD) -> FINISH

Operator commands and timers have the guard to themselves, so they may take their time and send the book one beat after
the other. While orders flow the breaker only answers the book's reviews, and files the timers of windows that trades
have started.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..beats import BODY, Best, Cause, GuardedCommand, Review, Traded, Uncrossed, Verdict
from ..bits import lowest_set
from ..config import BookConfig
from ..protocol.commands import ALL_INSTRUMENTS, BandPolicy, Header, Opcode
from ..protocol.reports import Done, Reason, ReportKind, TradingState, TradingStateChanged
from .answers import answer
from .auctions import add_auctions
from .band import Instrument
from .parameters import add_parameters
from .reference import add_reference
from .rolling import Ask
from .states import add_states
from .timers import Deadline, Kind
from .work import Job, Work


class Breaker(wiring.Component):
    """See the module.

    Parameters
    ----------
    config : Sizes.

    Attributes
    ----------
    looked_at, kept, bests_of : An instrument, what is known of it, and its best prices.
    store, force : What becomes known; see `hdl.guard.instruments.Instruments`, as for `kept`.
    start, job : In this cycle the guard gives a job, up to `LIMITS`; only while `ready`.
    cause, command : Of the job; a timer's cause has its deadline. Steady until `ready`.
    ready : There is none, or it is done.
    idle : The breaker is `ready` and nothing of the book is at work here.
    push, beat, free : Beats for the book: in this cycle one is given, and taken if `free`.
    drained : The book has carried out all it was given.
    first, first_kind : The timer that acts first. Right while `idle`.
    traded, review, verdict, uncrossed, resting : See `hdl.book.engine.Engine`.
    settled : Every trade told is in the band in force.
    """

    def __init__(self, config: BookConfig):
        self._config = config
        instruments = config.instruments
        index = unsigned(ceil_log2(instruments))
        super().__init__(
            {
                "looked_at": Out(index),
                "kept": In(Instrument),
                "store": Out(data.StructLayout({"enable": 1, "instrument": index, "rules": Instrument})),
                "force": Out(
                    data.StructLayout({"enable": 1, "instrument": index, "lower_ticks": 32, "upper_ticks": 32})
                ),
                "start": In(1),
                "job": In(Job, init=Job.COMMAND),
                "cause": In(Cause),
                "command": In(256),
                "ready": Out(1),
                "idle": Out(1),
                "push": Out(1),
                "beat": Out(GuardedCommand),
                "free": In(1),
                "drained": In(1),
                "first": Out(Deadline),
                "first_kind": Out(Kind, init=Kind.SHORT_BUCKET),
                "traded": In(stream.Signature(Traded)),
                "review": In(stream.Signature(Review)),
                "verdict": Out(stream.Signature(Verdict)),
                "uncrossed": In(Uncrossed),
                "bests_of": In(data.StructLayout({"bid": Best, "ask": Best})),
                "resting": In(instruments),
                "settled": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        work = Work(m, self, config)
        rolling, timers = work.rolling, work.timers
        index, row, rules, job = work.index, work.row, work.rules, work.job
        wiring.connect(m, wiring.flipped(self.traded), rolling.traded)
        opcode = data.View(Header, self.command[: Header.as_shape().size]).opcode
        retimed = Signal(1 << ceil_log2(config.instruments))
        _, retimed_index = lowest_set(retimed)
        at_end = index == config.instruments - 1

        m.d.comb += [
            retimed.eq(rolling.retimed),
            self.first.eq(timers.first),
            self.first_kind.eq(timers.first_kind),
            self.settled.eq(rolling.settled),
            self.force.eq(rolling.force),
            self.looked_at.eq(index),
            self.store.instrument.eq(index),
            self.store.rules.eq(self._known(rules, row)),
            self.beat.cause.eq(self.cause),
            self.beat.cause.instrument.eq(index),
            self.beat.body.eq(self.command),
        ]

        # How the best prices lie to each other and to the bounds.
        bid, ask, asked_bid, asked_ask = (Signal(Best, name=name) for name in ("bid", "ask", "asked_bid", "asked_ask"))
        review = self.review.payload
        crossed, beyond = Signal(), Signal()
        m.d.sync += [
            work.at_bound.eq(
                rules.banded
                & (
                    (bid.any & (bid.price_ticks >= rules.upper_ticks))
                    | (ask.any & (ask.price_ticks <= rules.lower_ticks))
                )
            ),
            crossed.eq(bid.any & ask.any & (bid.price_ticks >= ask.price_ticks)),
            beyond.eq(
                rules.banded
                & (
                    (bid.any & (bid.price_ticks > rules.upper_ticks))
                    | (ask.any & (ask.price_ticks < rules.lower_ticks))
                )
            ),
        ]
        m.d.comb += work.fits.eq(~crossed & ~beyond)

        def look():
            m.d.sync += [
                row.eq(work.stored),
                rules.eq(self.kept),
                bid.eq(self.bests_of.bid),
                ask.eq(self.bests_of.ask),
                work.resting.eq(self.resting.bit_select(index, 1)),
            ]

        with m.FSM() as fsm:
            m.d.comb += [
                self.ready.eq(fsm.ongoing("READY")),
                self.idle.eq(
                    self.ready & rolling.settled & ~self.traded.valid & ~self.review.valid & (rolling.retimed == 0)
                ),
            ]
            with m.State("READY"):
                m.d.sync += [
                    work.tells.eq(0),
                    work.last.eq(0),
                    work.finishes.eq(0),
                    work.count.eq(0),
                    work.everyone.eq(0),
                ]
                with m.If(self.start):
                    m.d.sync += [job.eq(self.job), work.now_ns.eq(self.cause.time_ns), index.eq(self.cause.instrument)]
                    m.next = "LOAD"
                    with m.If(
                        (self.job == Job.WATCHDOG)
                        | ((self.job == Job.COMMAND) & (self.cause.instrument == ALL_INSTRUMENTS))
                    ):
                        m.d.sync += [work.everyone.eq(1), index.eq(0)]
                    with m.If(self.job == Job.TIMER):
                        m.d.sync += index.eq(timers.first_instrument)
                    with m.If(self.job == Job.LIMITS):
                        m.d.sync += index.eq(0)
                        m.next = "LIMIT"
                with m.Elif(self.review.valid & ~self.traded.valid & rolling.settled):
                    m.d.comb += self.review.ready.eq(1)
                    m.d.sync += [
                        job.eq(Job.REVIEW),
                        work.stranded.eq(review.stranded),
                        asked_bid.eq(review.bid),
                        asked_ask.eq(review.ask),
                        work.now_ns.eq(review.time_ns),
                        index.eq(review.instrument),
                    ]
                    m.next = "LOAD"
                with m.Elif(rolling.retimed != 0):
                    m.d.sync += [job.eq(Job.FILE), index.eq(retimed_index)]
                    m.d.comb += rolling.retiming.eq(Const(1, config.instruments) << retimed_index)
                    m.next = "LOAD"

            # Those whose limit state may begin or end.
            with m.State("LIMIT"):
                look()
                m.next = "LIMIT_COMPARE"
            with m.State("LIMIT_COMPARE"):
                m.next = "LIMIT_LOOK"
            with m.State("LIMIT_LOOK"):
                m.next = "NEXT"
                with m.If(
                    rules.known
                    & (
                        ((rules.state == TradingState.TRADING) & work.at_bound)
                        | ((rules.state == TradingState.LIMIT) & ~work.at_bound)
                    )
                ):
                    m.next = "LOAD"

            work.asks("LOAD", Ask.LOAD, "LOOK")
            with m.State("LOOK"):
                look()
                with m.If(job == Job.REVIEW):
                    m.d.sync += [bid.eq(asked_bid), ask.eq(asked_ask)]
                m.next = "COMPARE"
            with m.State("COMPARE"):
                m.next = "ACT"
            with m.State("ACT"):
                with m.Switch(job):
                    with m.Case(Job.COMMAND):
                        m.d.sync += [work.finishes.eq(1), work.reason.eq(Reason.OPERATOR)]
                        m.next = "COMMAND"
                    with m.Case(Job.WATCHDOG):
                        m.d.sync += work.reason.eq(Reason.WATCHDOG)
                        m.next = "HALT"
                    with m.Case(Job.TIMER):
                        m.d.sync += work.last.eq(1)
                        m.next = "TIMER"
                    with m.Case(Job.FILE):
                        m.next = "STORE"
                    with m.Default():
                        m.next = "JUDGE"
                with m.If(~rules.known & (opcode != Opcode.SET_INSTRUMENT)):
                    m.next = "STORE"

            work.add_reject()
            add_states(work)
            add_parameters(work)
            add_reference(work)
            add_auctions(work)

            with m.State("STORE"):
                m.d.comb += [
                    work.store.eq(rules.known),
                    self.store.enable.eq(rules.known),
                    timers.file.eq(rules.known),
                ]
                m.next = "TELL"
            with m.State("TELL"):
                with m.If(work.tells):
                    changed = data.View(TradingStateChanged, Signal(TradingStateChanged.as_shape().size))
                    answer(m, self.beat, ReportKind.TRADING_STATE, reason=work.reason, last=work.last)
                    m.d.comb += [
                        changed.until_ns.eq(Mux(row.phase.set, row.phase.time_ns, 0)),
                        changed.state.eq(rules.state),
                        self.beat.body.eq(Value.cast(changed)[BODY:]),
                        self.push.eq(1),
                    ]
                with m.If(~work.tells | self.free):
                    m.d.sync += [work.tells.eq(0), work.count.eq(work.count + work.tells)]
                    m.next = "NEXT"
            with m.State("NEXT"):
                with m.If(timers.ready):
                    m.d.sync += index.eq(index + 1)
                    with m.If((job == Job.LIMITS) & ~at_end):
                        m.next = "LIMIT"
                    with m.Elif(work.everyone & ~at_end):
                        m.next = "LOAD"
                    with m.Elif(work.finishes):
                        m.next = "FINISH"
                    with m.Else():
                        m.next = "READY"
            with m.State("FINISH"):
                done = data.View(Done, Signal(Done.as_shape().size))
                answer(m, self.beat, ReportKind.DONE)
                m.d.comb += [
                    done.count.eq(work.count),
                    self.beat.cause.instrument.eq(self.cause.instrument),
                    self.beat.body.eq(Value.cast(done)[BODY:]),
                    self.push.eq(1),
                ]
                with m.If(self.free):
                    m.next = "READY"
        return m

    def _known(self, rules, row) -> Value:
        """What the fast path is told of an instrument."""
        trades = (rules.state == TradingState.TRADING) | (rules.state == TradingState.LIMIT)
        calls = (rules.state == TradingState.CALL) | (rules.state == TradingState.PRE_OPEN)
        collects = calls | ((rules.state == TradingState.HALTED) & row.stays_open)
        derived = {
            "enters": trades | collects,
            "collects": collects,
            "free_price": calls & ~rules.batch,
            "timed": row.rolls | (row.limit_us != 0) | (row.policy == BandPolicy.HALT),
        }
        return Cat(Value.cast(derived.get(name, rules[name])) for name in Instrument.as_shape().members)
