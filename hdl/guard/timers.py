"""Which timer of which instrument is due first."""

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, enum, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..config import BookConfig

ENTRIES = 4
"""Of a timetable."""


class Kind(enum.Enum, shape=3):
    """The timers of an instrument, in the order in which they act at the same deadline."""

    SHORT_BUCKET = 0
    LONG_BUCKET = 1
    PRE_OPEN = 2
    OPENING_CALL = 3
    CLOSING_CALL = 4
    CLOSED = 5
    PHASE = 6
    INDICATIVE = 7


class Deadline(data.Struct):
    """When a timer acts, if it is `set`."""

    set: 1
    time_ns: unsigned(64)


class Timers(wiring.Component):
    """The earliest timer of each instrument is kept; of these, the earliest of all is what is shown.

    Parameters
    ----------
    config : Sizes.

    Attributes
    ----------
    deadlines, instrument : The timers of an instrument, by kind. Steady from `file` on until `ready`.
    file : In this cycle those begin to be looked at, and then what was kept of all instruments. Only while `ready`.
    ready : `first`, `first_instrument` and `first_kind` are right: equal deadlines act by instrument, then kind.
    """

    def __init__(self, config: BookConfig):
        self._instruments = config.instruments
        index = unsigned(ceil_log2(config.instruments))
        super().__init__(
            {
                "deadlines": In(data.ArrayLayout(Deadline, len(Kind))),
                "instrument": In(index),
                "file": In(1),
                "ready": Out(1),
                "first": Out(Deadline),
                "first_instrument": Out(index),
                "first_kind": Out(Kind, init=Kind.SHORT_BUCKET),
            }
        )

    def elaborate(self, platform):
        m = Module()
        kept = data.StructLayout({"time_ns": 64, "kind": Kind})
        m.submodules.rows = rows = Memory(shape=kept, depth=self._instruments, init=[])
        write, read = rows.write_port(), rows.read_port(domain="comb")
        is_set = Signal(self._instruments)

        kind, index = Signal(range(len(Kind))), Signal(range(self._instruments))
        best, best_kind, best_instrument = Signal(Deadline), Signal(Kind, init=Kind.SHORT_BUCKET), Signal.like(index)
        looked_at = self.deadlines[kind]
        m.d.comb += [
            read.addr.eq(index),
            write.addr.eq(self.instrument),
            write.data.eq(Cat(best.time_ns, best_kind)),
        ]
        with m.FSM() as fsm:
            m.d.comb += self.ready.eq(fsm.ongoing("READY"))
            with m.State("READY"):
                m.d.sync += [kind.eq(0), index.eq(0), best.set.eq(0)]
                with m.If(self.file):
                    m.next = "KINDS"
            with m.State("KINDS"):
                m.d.sync += kind.eq(kind + 1)
                with m.If(looked_at.set & (~best.set | (looked_at.time_ns < best.time_ns))):
                    m.d.sync += [best.eq(looked_at), best_kind.eq(kind)]
                with m.If(kind == len(Kind) - 1):
                    m.next = "KEEP"
            with m.State("KEEP"):
                m.d.comb += write.en.eq(1)
                m.d.sync += [is_set.bit_select(self.instrument, 1).eq(best.set), best.set.eq(0)]
                m.next = "INSTRUMENTS"
            with m.State("INSTRUMENTS"):
                m.d.sync += index.eq(index + 1)
                earlier = ~best.set | (read.data.time_ns < best.time_ns)
                with m.If(is_set.bit_select(index, 1) & earlier):
                    m.d.sync += [
                        best.set.eq(1),
                        best.time_ns.eq(read.data.time_ns),
                        best_kind.eq(read.data.kind),
                        best_instrument.eq(index),
                    ]
                with m.If(index == self._instruments - 1):
                    m.next = "SHOW"
            with m.State("SHOW"):
                m.d.sync += [
                    self.first.eq(best),
                    self.first_kind.eq(best_kind),
                    self.first_instrument.eq(best_instrument),
                ]
                m.next = "READY"
        return m
