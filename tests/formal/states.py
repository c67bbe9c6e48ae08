"""Proofs of `hdl.guard.breaker`: where each command leads, and that all of it leads back to trading."""

from functools import partial
from unittest.mock import patch

from amaranth.asserts import AnySeq
from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from harness import Harness, opened, rows, some
from proof import Proof

from bandgap.hdl.beats import Best
from bandgap.hdl.config import BookConfig
from bandgap.hdl.guard import work
from bandgap.hdl.guard.band import Instrument
from bandgap.hdl.guard.breaker import Breaker
from bandgap.hdl.guard.breaker_row import Row
from bandgap.hdl.guard.instruments import BOUNDS
from bandgap.hdl.guard.operator import OF_INSTRUMENTS
from bandgap.hdl.guard.ratio import Ratio
from bandgap.hdl.guard.rolling import Rolling
from bandgap.hdl.guard.timers import Timers
from bandgap.hdl.guard.work import Job
from bandgap.hdl.protocol.commands import ALL_INSTRUMENTS, Header, Opcode
from bandgap.hdl.protocol.reports import TradingState

CONFIG = BookConfig(instruments=1, orders=2, ticks=4, accounts=2, word_bits=2)
JOBS = (Job.COMMAND, Job.WATCHDOG, Job.LIMITS, Job.REVIEW)


def signature_of(component: wiring.Component) -> wiring.Signature:
    """Its ports, without it."""
    component._MustUse__silence = True
    return component.signature


class AnyRatio(wiring.Component):
    """A `hdl.guard.ratio.Ratio` that answers anything in the next cycle."""

    def __init__(self):
        super().__init__(signature_of(Ratio()))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.ready.eq(1)
        with m.If(self.start):
            m.d.sync += self.quotient.eq(AnySeq(len(self.quotient)))
        return m


class AnyRolling(wiring.Component):
    """A `hdl.guard.rolling.Rolling` with any trades, that answers at once; the band in force stands."""

    def __init__(self, config: BookConfig):
        super().__init__(signature_of(Rolling(config)))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += [
            self.ask.ready.eq(1),
            self.done.eq(self.ask.valid),
            self.settled.eq(1),
            *(
                Value.cast(port).eq(AnySeq(len(Value.cast(port))))
                for port in (self.row, self.mean, self.lower_ticks, self.upper_ticks, self.deadlines)
            ),
        ]
        return m


class AnyTimers(wiring.Component):
    """A `hdl.guard.timers.Timers` that is ready at once; which is the first matters to no command."""

    def __init__(self, config: BookConfig):
        super().__init__(signature_of(Timers(config)))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.ready.eq(1)
        return m


def one_of(state: Value, *states: TradingState) -> Value:
    """Whether it is one of these."""
    return Cat(state == each for each in states).any()


class Leads(Harness):
    """Whatever an instrument's state and parameters, each command ends, and leads where the rules say.

    It starts in any state, with any parameters and trades, and gets one job: any command for the breaker, the watchdog,
    or a look whether a limit state begins or ends, of its own or for the book. So what holds behind the job
    holds behind any number of them.

    Parameters
    ----------
    cycles : So many are enough.
    reaches : From which states to which it leads, among others.
    """

    def __init__(self, cycles: int, reaches: tuple[tuple[TradingState, TradingState], ...], faulty: bool = False):
        self._cycles, self._reaches = cycles, reaches
        super().__init__(faulty)

    def describe(self, m: Module) -> None:
        dut = Breaker(CONFIG)
        with (
            patch.object(work, "Ratio", AnyRatio),
            patch.object(work, "Rolling", AnyRolling),
            patch.object(work, "Timers", AnyTimers),
        ):
            m.submodules.dut = inner = opened(dut)
        instrument = Signal(Instrument)  # what `hdl.guard.instruments` keeps of it
        (row,) = (data.View(Row, row) for row in rows(m, inner, "rows"))
        old, old_row = some(m, Instrument, "old"), some(m, Row, "old_row")
        age = Signal(range(self._cycles + 1))
        begins = age == 0
        with m.If(begins):
            m.d.sync += instrument.eq(old)
        with m.If(dut.store.enable):
            m.d.sync += [
                instrument[name].eq(dut.store.rules[name])
                for name in Instrument.as_shape().members
                if name not in BOUNDS
            ]
        with m.If(dut.force.enable):
            m.d.sync += [instrument[name].eq(dut.force[name]) for name in BOUNDS]
        with m.If(age != self._cycles):
            m.d.sync += age.eq(age + 1)
        given, ended, over = Signal(), Signal(), Signal()
        m.d.comb += [given.eq(age == 1), over.eq((age > 1) & dut.idle & ~ended)]
        m.d.sync += ended.eq(ended | over)

        # What was; before the opening and when it is closed, no timer but the timetable's ends the state.
        self.assume(
            m, old.known & one_of(old.state, *TradingState) & (~begins | (Value.cast(row) == Value.cast(old_row)))
        )

        def timer_fits(state, row):
            return ~row.phase.set | ~one_of(state, TradingState.PRE_OPEN, TradingState.CLOSED)

        self.assume(m, timer_fits(old.state, old_row))

        job, opcode = some(m, 3, "job"), some(m, 8, "opcode")
        everyone = some(m, 1, "everyone")
        header, body = Signal(Header), some(m, 256 - Header.as_shape().size, "body")
        bid, ask = some(m, Best, "bid"), some(m, Best, "ask")
        command, reviews = job == Job.COMMAND.value, job == Job.REVIEW.value
        is_opcode = {each: command & (opcode == each.value) for each in (*OF_INSTRUMENTS, Opcode.SET_INSTRUMENT)}
        for_all = is_opcode[Opcode.HALT] | is_opcode[Opcode.CALL] | is_opcode[Opcode.RESUME]
        self.assume(m, Cat(job == each.value for each in JOBS).any() & (~command | Cat(*is_opcode.values()).any()))
        self.assume(m, ~everyone | for_all)
        m.d.comb += [
            Value.cast(header.opcode).eq(opcode),
            header.instrument.eq(Mux(everyone, ALL_INSTRUMENTS, 0)),
            dut.command.eq(Cat(header, body)),
            dut.cause.instrument.eq(header.instrument),
            dut.kept.eq(instrument),
            dut.cause.time_ns.eq(some(m, 64, "time_ns")),
            Value.cast(dut.job).eq(job),
            dut.start.eq(given & ~reviews),
            dut.review.valid.eq(given & reviews),
            dut.review.payload.bid.eq(bid),
            dut.review.payload.ask.eq(ask),
            dut.review.payload.stranded.eq(some(m, 1, "stranded")),
            dut.bests_of.bid.eq(bid),
            dut.bests_of.ask.eq(ask),
            dut.free.eq(1),
            dut.drained.eq(1),
            dut.verdict.ready.eq(1),
        ]

        # Where it leads.
        crossed = bid.any & ask.any & (bid.price_ticks >= ask.price_ticks)
        beyond_ticks = (bid.price_ticks > old.upper_ticks, ask.price_ticks < old.lower_ticks)
        beyond = old.banded & ((bid.any & beyond_ticks[0]) | (ask.any & beyond_ticks[1]))
        bound_ticks = (bid.price_ticks >= old.upper_ticks, ask.price_ticks <= old.lower_ticks)
        at_bound = old.banded & ((bid.any & bound_ticks[0]) | (ask.any & bound_ticks[1]))
        trades = Mux(old.batch, TradingState.CALL.value, TradingState.TRADING.value)
        closed = old.state == TradingState.CLOSED
        state = Value.cast(old.state)
        leads = Signal(len(state))
        m.d.comb += leads.eq(state)
        with m.If((is_opcode[Opcode.HALT] | (job == Job.WATCHDOG.value)) & ~closed):
            m.d.comb += leads.eq(TradingState.HALTED.value)
        with m.If(is_opcode[Opcode.CALL] & ~closed):
            m.d.comb += leads.eq(TradingState.CALL.value)
        with m.If(is_opcode[Opcode.RESUME] & (old.state == TradingState.HALTED) & ~crossed & ~beyond):
            m.d.comb += leads.eq(trades)
        with m.If(is_opcode[Opcode.SET_INSTRUMENT]):
            m.d.comb += leads.eq(TradingState.HALTED.value)
        with m.If(((job == Job.LIMITS.value) | reviews) & at_bound & (old.state == TradingState.TRADING)):
            m.d.comb += leads.eq(TradingState.LIMIT.value)
        with m.If(((job == Job.LIMITS.value) | reviews) & ~at_bound & (old.state == TradingState.LIMIT)):
            m.d.comb += leads.eq(TradingState.TRADING.value)
        self.claim(m, "ends", (age != self._cycles) | ended)
        self.claim(m, "leads", ~over | (Value.cast(instrument.state) == leads))
        self.claim(m, "stays_known", ~over | instrument.known)
        self.claim(m, "timer_fits", ~over | timer_fits(instrument.state, row))
        self.claim(m, "calls_end", ~over | (leads != TradingState.CALL.value) | (state == leads) | row.phase.set)
        for origin, then in self._reaches:
            name = f"from_{origin.name.lower()}_to_{then.name.lower()}"
            self.reach(m, name, over & (state == origin.value) & (leads == then.value))


HALTED, TRADING, LIMIT, CALL, PRE_OPEN, CLOSED = TradingState
PROOFS = (
    Proof(
        "states",
        partial(
            Leads,
            22,
            (
                (TRADING, LIMIT),
                (LIMIT, TRADING),
                (TRADING, HALTED),
                (CALL, HALTED),
                (PRE_OPEN, HALTED),
                (CLOSED, HALTED),
                (HALTED, TRADING),
                (HALTED, CALL),
                (TRADING, CALL),
            ),
        ),
        steps=24,
        terms=(13,),
        unbounded=False,
        faults=0,
        quick=False,
    ),
)
