"""The command windows: commands as the host writes them, word by word or all at once."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ...guard.guard import LinkCommand
from ...protocol.pcie import WINDOW_BYTES
from .block import LANES
from .completer import LINE_BYTES, Line

LINES_LOG2 = exact_log2(WINDOW_BYTES // LINE_BYTES)
LINK_BITS = 3


class CommandWindows(wiring.Component):
    """Gathers commands and keeps them until the core takes them.

    The dwords of a command come in ascending order, in as many writes as the host's processor makes of them; its first
    dword begins it, whatever went before. A command counts when the write that completes it has ended well: an
    untrusted write is dropped as a whole. The host's writes never wait: a command that finds no room is dropped.

    Parameters
    ----------
    depth : How many commands are kept, a power of two from 2 to 1024.

    Attributes
    ----------
    run : Without it, everything is forgotten.
    lines : Stream in.
    commands : Stream out.
    empty : No command waits.
    disorder : A dword came out of order and is dropped.
    overrun : A command is dropped because there is no room.

    Raises
    ------
    ValueError : `depth` is outside its limits.
    """

    def __init__(self, depth: int):
        if not (2 <= depth <= 1024 and depth & (depth - 1) == 0):
            raise ValueError(f"depth must be a power of two from 2 to 1024, not {depth}")
        self._depth = depth
        super().__init__(
            {
                "run": In(1),
                "lines": In(stream.Signature(Line, always_ready=True)),
                "commands": Out(stream.Signature(LinkCommand)),
                "empty": Out(1),
                "disorder": Out(1),
                "overrun": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        depth = self._depth
        index_bits = exact_log2(depth)
        m.submodules.memory = memory = Memory(shape=LinkCommand, depth=depth, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")

        line = self.lines.payload
        link = line.line[LINES_LOG2 : LINES_LOG2 + LINK_BITS]
        gathered, gathered_link = Signal(8 * LINE_BYTES), Signal(LINK_BITS)
        expected = Signal(range(LANES + 1))  # the next dword of the command that is being gathered

        # A line's dwords are contiguous: in order when they go on where the last line ended, or begin anew.
        goes_on, any_dword = Signal(), Signal()
        lowest, count = Signal(range(LANES)), Signal(range(LANES + 1))
        m.d.comb += [any_dword.eq(line.dwords.any()), count.eq(sum(line.dwords))]
        for lane in reversed(range(LANES)):
            with m.If(line.dwords[lane]):
                m.d.comb += lowest.eq(lane)
        m.d.comb += goes_on.eq((lowest == 0) | ((lowest == expected) & (link == gathered_link)))
        takes, completes = Signal(), Signal()
        merged = Cat(
            Mux(line.dwords[lane], line.data.word_select(lane, 32), gathered.word_select(lane, 32))
            for lane in range(LANES)
        )
        m.d.comb += [
            takes.eq(self.lines.valid & any_dword & goes_on & ~line.partial),
            completes.eq(takes & line.dwords[-1]),
            self.disorder.eq(self.lines.valid & (line.partial | (any_dword & ~goes_on))),
        ]
        with m.If(takes):
            m.d.sync += [
                gathered.eq(merged),
                gathered_link.eq(link),
                expected.eq(lowest + count),
            ]
        with m.Elif(self.disorder):
            m.d.sync += expected.eq(0)
        with m.If(self.lines.valid & line.last & line.corrupt):
            m.d.sync += expected.eq(0)

        # What a write completes is kept behind `written`, and counts once the write has ended.
        taken, committed, written = Signal(index_bits + 1), Signal(index_bits + 1), Signal(index_bits + 1)
        begin, end = Signal(index_bits + 1), Signal(index_bits + 1)
        room = Signal()
        m.d.comb += [
            begin.eq(Mux(line.first, committed, written)),
            room.eq(begin - taken != depth),
            end.eq(begin + (completes & room)),
            write.addr.eq(begin[:index_bits]),
            write.data.command.eq(merged),
            write.data.link.eq(link),
            write.en.eq(completes & room),
            self.overrun.eq(completes & ~room),
        ]
        with m.If(self.lines.valid):
            m.d.sync += written.eq(end)
            with m.If(line.last & ~line.corrupt):
                m.d.sync += committed.eq(end)

        m.d.comb += [
            self.empty.eq(taken == committed),
            self.commands.valid.eq(~self.empty),
            self.commands.payload.eq(read.data),
            read.addr.eq(taken[:index_bits]),
        ]
        with m.If(self.commands.valid & self.commands.ready):
            m.d.sync += taken.eq(taken + 1)
        with m.If(~self.run):
            m.d.comb += [self.commands.valid.eq(0), write.en.eq(0), self.overrun.eq(0), self.disorder.eq(0)]
            m.d.sync += [taken.eq(0), committed.eq(0), written.eq(0), expected.eq(0)]
        return m
