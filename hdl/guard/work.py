"""What the breaker has at hand while it works at an instrument."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import enum
from amaranth.lib.memory import Memory
from amaranth.utils import ceil_log2

from ..config import BookConfig
from ..protocol.reports import Reason, TradingState
from .answers import reject
from .band import Instrument
from .breaker_row import Row
from .ratio import Ratio
from .rolling import Ask, Rolling
from .timers import ENTRIES, Timers


class Job(enum.Enum, shape=3):
    """What the breaker is at work for: a command of the operator, the watchdog, a timer, the limit states behind these;
    a question of the book, or timers that trades have started."""

    COMMAND = 1
    WATCHDOG = 2
    TIMER = 3
    LIMITS = 4
    REVIEW = 5
    FILE = 6


class Work:
    """Registers, units and kinds of states that the breaker's parts share.

    Attributes
    ----------
    m, breaker, config : The module that is built, its ports, and sizes.
    rolling, timers, ratio : Units of the breaker.
    job, index, now_ns : What is at work: for what, which instrument, and its time.
    row, rules : The instrument's row, and what the fast path knows of it.
    stored, store : The row as it was; in this cycle it is stored.
    at_bound, fits : A best price stands at its bound, or beyond; the book is not crossed, nor beyond the band.
    resting : Any of its orders rests.
    stranded : See `hdl.beats.Review`.
    span_us, span_ns : A duration; in nanoseconds two cycles later.
    tells, reason, last : The state is reported, with this reason; as the last report.
    everyone, count, finishes : All instruments in turn; how many were reported; then comes a DONE.
    price_ticks : A price that is looked at: of an auction, or for the reference.
    lower_ticks, upper_ticks : A band that is found.
    auction : An auction is being followed.
    target, timed, closes : The state that begins; a timer ends it; it is the closing call.
    """

    def __init__(self, m: Module, breaker, config: BookConfig):
        self.m, self.breaker, self.config = m, breaker, config
        m.submodules.rolling = self.rolling = Rolling(config)
        m.submodules.timers = self.timers = Timers(config)
        m.submodules.ratio = self.ratio = Ratio()
        self.job = Signal.like(breaker.job)
        self.index = Signal(max(1, ceil_log2(config.instruments)))
        self.now_ns = Signal(64)
        self.row, self.rules = Signal(Row), Signal(Instrument)
        self.at_bound, self.fits, self.resting, self.stranded = Signal(), Signal(), Signal(), Signal()
        self.span_us, self.span_ns = Signal(32), Signal(42)
        self.tells, self.last = Signal(), Signal()
        self.reason = Signal(Reason, init=Reason.OPERATOR)
        self.everyone, self.finishes = Signal(), Signal()
        self.count = Signal(range(config.instruments + 1))
        self.price_ticks = Signal(32)
        self.lower_ticks, self.upper_ticks = Signal(32), Signal(32)
        self.auction = Signal()
        self.target = Signal(TradingState, init=TradingState.HALTED)
        self.timed, self.closes = Signal(), Signal()

        m.submodules.rows = rows = Memory(shape=Row, depth=config.instruments, init=[])
        write, read = rows.write_port(), rows.read_port(domain="comb")
        self.stored, self.store = read.data, write.en
        ask = self.rolling.ask
        m.d.comb += [
            read.addr.eq(self.index),
            write.addr.eq(self.index),
            write.data.eq(self.row),
            self.timers.instrument.eq(self.index),
            ask.payload.instrument.eq(self.index),
            ask.payload.command.eq(breaker.command),
            ask.payload.lower_ticks.eq(self.lower_ticks),
            ask.payload.upper_ticks.eq(self.upper_ticks),
            ask.payload.price_ticks.eq(self.price_ticks),
            ask.payload.time_ns.eq(self.now_ns),
        ]
        m.d.sync += self.span_ns.eq(self.span_us * 1000)

        entries = [self.row.timetable[number].at for number in range(ENTRIES)]
        for kind, deadline in enumerate([*self.rolling.deadlines, *entries, self.row.phase, self.row.indicative]):
            m.d.comb += self.timers.deadlines[kind].eq(deadline)

    def asks(self, state: str, what: Ask, then: str) -> None:
        """A state that asks the trades for something."""
        with self.m.State(state):
            self.m.d.comb += [self.rolling.ask.valid.eq(1), self.rolling.ask.payload.what.eq(what)]
            with self.m.If(self.rolling.ask.ready):
                self.m.next = then

    def waits(self, state: str, then: str, condition=1) -> None:
        """A state that waits: for a cycle at least."""
        with self.m.State(state), self.m.If(condition):
            self.m.next = then

    def sends(self, state: str, then: str, draft) -> None:
        """A state that gives the book the beat that `draft` lays out."""
        with self.m.State(state):
            draft(self.breaker.beat)
            self.m.d.comb += self.breaker.push.eq(1)
            with self.m.If(self.breaker.free):
                self.m.next = then

    def enters(self, state: TradingState, duration_us=None) -> None:
        """Let a state begin, which is reported; without a duration it has no end of its own."""
        self.m.d.sync += [
            self.target.eq(state),
            self.timed.eq(duration_us is not None),
            self.closes.eq(0),
            self.tells.eq(1),
        ]
        if duration_us is not None:
            self.m.d.sync += self.span_us.eq(duration_us)
        self.m.next = "ENTER"

    def rejects(self, reason: Reason) -> None:
        """Reject the command; nothing is stored."""
        self.m.d.sync += self.reason.eq(reason)
        self.m.next = "REJECT"

    def calculates(self, state: str, then: str, value, factor, divisor=1) -> None:
        """States that begin a calculation and wait for its quotient."""
        with self.m.State(state):
            self.m.d.comb += [
                self.ratio.start.eq(1),
                self.ratio.value.eq(value),
                self.ratio.factor.eq(factor),
                self.ratio.divisor.eq(divisor),
            ]
            self.m.next = f"{state}_WAIT"
        self.waits(f"{state}_WAIT", then, self.ratio.ready)

    def add_reject(self) -> None:
        """Add the state REJECT."""
        self.sends("REJECT", "READY", lambda beat: reject(self.m, beat, self.breaker.command, self.reason))

    def in_window(self, price_ticks):
        """A signed price, cut off at the window's edges."""
        base_ticks = self.rules.window_base_ticks
        top_ticks = base_ticks + (1 << self.rules.window_log2)[:17] - 1
        return Mux(price_ticks < base_ticks, base_ticks, Mux(price_ticks > top_ticks, top_ticks, price_ticks))[:32]
