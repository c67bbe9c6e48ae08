"""A board's time: the host's word, and a clock of the board's own for when the host falls silent."""

from fractions import Fraction

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..protocol.registers import BY_NAME

LAG_NS = 1 << 30
"""1.07 s: longer than a host that is alive pauses (`host/service.py`), and than a slow disk takes to keep a batch
before its commands are sent; shorter than the watchdog of a venue."""


class BoardClock(wiring.Component):
    """The core's time, in nanoseconds.

    What the host says is the time: so a command's stamp is the one that the host has journaled, to the nanosecond. It
    stands while what came with that word is carried out, however long the line takes for all commands and reports. A
    host that falls silent cannot stop it, or its silence would never trip the watchdog: when `LAG_NS` long there was no
    word, no command and no report, the time runs on by itself, and stays so much behind, so that a host that returns is
    not found to be late. From then on only a word holds it: what its own timers report does not. Within an epoch time
    never runs backwards: an earlier word is ignored.

    Parameters
    ----------
    clock_hz : Frequency of the clock. What a cycle takes need not be a whole number: after any `clock_hz` cycles that
        run by themselves exactly a second has passed.

    Attributes
    ----------
    said_ns : The time that the host said last; zero in a new session.
    passing : A command comes in, or a report goes out.
    restart : An epoch begins: the time is what the host has said in this session.
    time_ns : The time.
    """

    said_ns: In(64)
    passing: In(1)
    restart: In(1)
    time_ns: Out(64)

    def __init__(self, clock_hz: int | Fraction):
        self._cycle_ns = Fraction(1_000_000_000) / clock_hz
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        lag_cycles = round(LAG_NS / self._cycle_ns)
        whole_ns, part = divmod(self._cycle_ns.numerator, self._cycle_ns.denominator)
        heard_ns = Signal(64)
        passed = Signal()
        silent = Signal(range(lag_cycles + 1))
        runs = Signal()
        # Parts of a nanosecond are gathered until they make a whole one.
        parts = Signal(range(self._cycle_ns.denominator))
        carries = parts >= self._cycle_ns.denominator - part
        m.d.comb += runs.eq(silent == lag_cycles)
        m.d.sync += [heard_ns.eq(self.said_ns), passed.eq(self.passing)]
        with m.If(runs):
            m.d.sync += self.time_ns.eq(self.time_ns + whole_ns + carries)
            m.d.sync += parts.eq(parts + part - carries * self._cycle_ns.denominator)
        with m.Else():
            m.d.sync += silent.eq(Mux(passed, 0, silent + 1))
        with m.If(heard_ns != self.said_ns):
            m.d.sync += silent.eq(0)
            with m.If(self.said_ns > self.time_ns):
                m.d.sync += self.time_ns.eq(self.said_ns)
        with m.If(self.restart):
            m.d.sync += [self.time_ns.eq(self.said_ns), silent.eq(0)]
        return m


def keep_time(m: Module, link, core, clock_hz: int | Fraction | None) -> None:
    """Give a core its time: by a `BoardClock`, or, for None, as the host says it through the link."""
    if clock_hz is None:
        m.d.comb += core.time_ns.eq(link.time_ns)
        return
    m.submodules.clock = clock = BoardClock(clock_hz)
    bus, commands, reports = link.registers, core.commands, core.reports
    m.d.comb += [
        clock.said_ns.eq(link.time_ns),
        clock.passing.eq((commands.valid & commands.ready) | (reports.valid & reports.ready)),
        # A cycle before the core's: what that makes of an earlier time then, it forgets.
        clock.restart.eq(bus.write_enable & (bus.address[2:] == BY_NAME["epoch"].at() // 4)),
        core.time_ns.eq(clock.time_ns),
    ]
