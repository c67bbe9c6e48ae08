"""Proof of `hdl.book.depth`."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data
from harness import Harness, anything, before, opened, register, some, take
from proof import Proof

from bandgap.hdl.book.depth import Depth
from bandgap.hdl.config import PRESETS

CONFIG = PRESETS["formal"]


class Waiting(Harness):
    """Every level that changes is told, as it was changed last, in the order in which levels changed first.

    The engine sees to it that no third level changes before one is told, and of two that wait only the newest again.
    """

    def describe(self, m: Module) -> None:
        dut = Depth(CONFIG)
        m.submodules.dut = inner = opened(dut)
        change, follow, told, first = dut.change, dut.follow, dut.told, dut.first
        for port in (follow, dut.coming, dut.coming_instrument, change, told):
            anything(m, port)
        followed = Signal(CONFIG.instruments)
        with m.If(follow.enable):
            m.d.sync += followed.bit_select(follow.instrument, 1).eq(follow.told)
        changes = take(m, "changes", change.enable & followed.bit_select(change.instrument, 1))

        # How many wait, and the one that has changed last.
        count, newest_line = Signal(2), Signal.like(change.line)
        another = changes & ((count == 0) | (change.line != newest_line))
        m.d.sync += count.eq(count + another - told)
        with m.If(changes):
            m.d.sync += newest_line.eq(change.line)

        # What the engine promises.
        self.assume(m, ~told | (dut.telling & ~change.enable))
        self.assume(m, change.enable == before(m, dut.coming))
        self.assume(m, ~change.enable | (change.instrument == before(m, dut.coming_instrument)))
        self.assume(m, ~follow.enable | ((count == 0) & ~changes))
        self.assume(m, ~(change.enable & before(m, follow.enable)))
        self.assume(m, ~another | (count <= 1))

        # Any two levels, what has become of them last, and whether they wait.
        line, other = some(m, change.line.shape(), "line"), some(m, change.line.shape(), "other")
        self.assume(m, line != other)
        waits, other_waits, line_first = Signal(), Signal(), Signal()
        last = Signal.like(change)
        own, others = changes & (change.line == line), changes & (change.line == other)
        with m.If(own):
            m.d.sync += [waits.eq(1), last.eq(change), line_first.eq(Mux(waits, line_first, ~other_waits))]
        with m.If(others):
            m.d.sync += [other_waits.eq(1), line_first.eq(Mux(other_waits, line_first, waits))]
        with m.If(told & (first.line == line)):
            m.d.sync += waits.eq(0)
        with m.If(told & (first.line == other)):
            m.d.sync += other_waits.eq(0)

        both = waits & other_waits
        self.claim(m, "none_is_dropped", ~waits | dut.telling)
        self.claim(m, "all_are_told", dut.telling == (count != 0))
        self.claim(m, "told_once", ~(dut.telling & (first.line == line)) | waits)
        self.claim(m, "as_it_is_now", ~(dut.telling & (first.line == line)) | (first == last))
        self.claim(m, "in_order", ~both | (first.line == Mux(line_first, line, other)))
        self.claim(m, "due", dut.due == (dut.telling | changes))

        # For the induction: what waits behind the first.
        newest, older = (data.View(change.shape(), register(inner, name)) for name in ("newest", "older"))
        two = register(inner, "two")
        self.claim(m, "two", (two == (count == 2)) & (count <= 2))
        self.claim(m, "newest", (count == 0) | (newest.line == newest_line))
        self.claim(m, "older", ~two | (older.line != newest.line))
        is_newest = (count != 0) & (newest.line == line)
        for name, level, waiting in (("line", line, waits), ("other", other, other_waits)):
            kept = ((count != 0) & (newest.line == level)) | (two & (older.line == level))
            self.claim(m, f"{name}_waits", waiting == kept)
        self.claim(m, "newest_kept", ~is_newest | (newest == last))
        self.reach(m, "two_wait", both & told & (first.line == other))
        self.reach(m, "told_together", dut.telling & before(m, own & waits))
        self.reach(m, "changes_behind_another", both & own & ~line_first)


PROOFS = (Proof("depth", Waiting, steps=4, terms=(14,), reach=8),)
