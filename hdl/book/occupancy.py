"""Which price levels are populated: a hierarchical bitmap with a circular search.

Level 0 has one bit a ladder row, in words of `word_bits`; a bit of level k + 1 says that a word of level k is not zero;
the top level is one word a side. So a search looks at one word a level on the way up, all of them at once, and at one a
level on the way down, whatever the distance.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..bits import lowest_set


class Occupancy(wiring.Component):
    """The occupancy bitmap of both sides of the ladder.

    A *line* is a row of one side: `side * ticks + row`.

    Parameters
    ----------
    ticks : Rows a side, a power of two, at least two words.
    word_bits : Width of a word, a power of two, at least two.

    Attributes
    ----------
    update : Stream in. Marks `line` as `occupied` or not, in the cycle in which it is taken. Not ready while memories
        clear or a search runs.
    search : Stream in. Asks for the next occupied line after `line` in ascending circular order within the window of
        two to the `window_log2` lines around it, `line` itself last. The window holds at least one word. Taken with an
        update in the same cycle, it is for that line, and counts the update.
    found : Stream out, the answer to each search, in order: `any`, and the `line`. Comes two cycles after the search
        was taken where the line is in the same word, and a cycle later for each level above.
    ready : High once the memories are cleared after a reset.
    """

    def __init__(self, ticks: int, word_bits: int):
        if ticks < 2 * word_bits:
            raise ValueError(f"ticks must be at least two words of {word_bits}, not {ticks}")
        self._word_log2 = exact_log2(word_bits)
        self._row_bits = exact_log2(ticks)
        self._levels = -(-self._row_bits // self._word_log2)
        line = unsigned(self._row_bits + 1)
        super().__init__(
            {
                "update": In(stream.Signature(data.StructLayout({"line": line, "occupied": 1}))),
                "search": In(stream.Signature(data.StructLayout({"line": line, "window_log2": 5}))),
                "found": Out(stream.Signature(data.StructLayout({"line": line, "any": 1}))),
                "ready": Out(1),
            }
        )

    def _bit_width(self, level: int) -> int:
        """How many bits of a line tell the bit within a word of `level`; fewer at the top: a word is one side's."""
        return min(self._word_log2, self._row_bits - level * self._word_log2)

    def elaborate(self, platform):
        m = Module()
        top = self._levels - 1
        word_bits = 1 << self._word_log2

        # The place of a bit of level 0; while a search descends, the place of a word there.
        position = Signal(self._row_bits + 1)
        window_log2 = Signal(5)

        words = 2 << (self._row_bits - self._word_log2)
        clear = Signal(range(words))
        cleared = Signal()
        with m.If(~cleared):
            m.d.sync += [clear.eq(clear + 1), cleared.eq(clear == words - 1)]
        updating = Signal()
        m.d.comb += [self.ready.eq(cleared), updating.eq(self.update.valid & self.update.ready)]

        # One memory a level, both sides in it. An update goes up while words turn from or to zero.
        line = Signal.like(self.update.payload.line)
        occupied = self.update.payload.occupied
        m.d.comb += line.eq(Mux(self.update.valid, self.update.payload.line, self.search.payload.line))
        reads = []  # for the way down
        path = []  # the words that a search passes on the way up
        goes_up = updating
        for level in range(self._levels):
            shift, width = level * self._word_log2, self._bit_width(level)
            depth = 1 << (self._row_bits + 1 - shift - width)
            m.submodules[f"level_{level}"] = memory = Memory(shape=unsigned(word_bits), depth=depth, init=[])
            if level < top:
                reads.append(memory.read_port(domain="comb"))
            read, write = memory.read_port(domain="comb"), memory.write_port()
            bit = Const(1) << line[shift : shift + width]
            updated = Signal(word_bits, name=f"updated_{level}")
            m.d.comb += [
                read.addr.eq(line[shift + width :]),
                updated.eq(Mux(occupied, read.data | bit, read.data & ~bit)),
            ]
            path.append(Signal(1 << width, name=f"path_{level}"))
            with m.If(self.update.ready):
                m.d.sync += path[level].eq(Mux(goes_up, updated, read.data))
            with m.If(cleared):
                m.d.comb += [write.addr.eq(line[shift + width :]), write.data.eq(updated), write.en.eq(goes_up)]
            with m.Else():
                m.d.comb += [write.addr.eq(clear), write.en.eq(clear < depth)]
            goes_up = goes_up & Mux(occupied, read.data == 0, updated == 0)

        # On the way up, the lowest level with a bit beyond the line's own decides. When none has, the search goes on
        # from the window's first line: there the highest level decides that the window spans.
        chosen = Signal(self._row_bits + 1)
        start = Signal(range(self._levels))
        any_found = Signal()
        for level in range(self._levels):
            shift, width = level * self._word_log2, self._bit_width(level)
            within = Signal(1 << width, name=f"within_{level}")
            m.d.comb += within.eq(path[level] & self._within(position[shift : shift + width], window_log2, level))
            wraps, index = lowest_set(within)
            with m.If((window_log2 > shift) | (level == 0)):
                m.d.comb += [
                    any_found.eq(wraps),
                    start.eq(level),
                    chosen.eq(Cat(index, position[shift + width :])),
                ]
        for level in reversed(range(self._levels)):
            shift, width = level * self._word_log2, self._bit_width(level)
            place = position[shift : shift + width]
            beyond = Signal(1 << width, name=f"beyond_{level}")
            m.d.comb += beyond.eq(path[level] & self._beyond(place) & self._within(place, window_log2, level))
            any_beyond, index = lowest_set(beyond)
            with m.If(any_beyond):
                m.d.comb += [any_found.eq(1), start.eq(level), chosen.eq(Cat(index, position[shift + width :]))]

        with m.FSM():
            with m.State("IDLE"):
                query = self.search.payload
                m.d.comb += [self.update.ready.eq(cleared), self.search.ready.eq(cleared)]
                m.d.sync += [position.eq(query.line), window_log2.eq(query.window_log2)]
                with m.If(self.search.valid & self.search.ready):
                    m.next = "ASCEND"
            with m.State("ASCEND"):
                m.d.sync += position.eq(chosen)
                with m.If(~any_found):
                    m.next = "NONE"
                with m.Else():
                    with m.Switch(start):
                        for level in range(self._levels):
                            with m.Case(level):
                                m.next = f"DESCEND_{level - 1}" if level else "FOUND"
            for level, read in enumerate(reads):
                with m.State(f"DESCEND_{level}"):
                    _, index = lowest_set(read.data)
                    m.d.comb += read.addr.eq(position)
                    m.d.sync += position.eq(Cat(index, position))
                    m.next = f"DESCEND_{level - 1}" if level else "FOUND"

            with m.State("FOUND"):
                m.d.comb += [self.found.valid.eq(1), self.found.payload.any.eq(1), self.found.payload.line.eq(position)]
                with m.If(self.found.ready):
                    m.next = "IDLE"
            with m.State("NONE"):
                m.d.comb += self.found.valid.eq(1)
                with m.If(self.found.ready):
                    m.next = "IDLE"
        return m

    def _beyond(self, bit: Value) -> Value:
        """The bits of a word that come after `bit`."""
        return Cat(index > bit for index in range(1 << len(bit)))

    def _within(self, bit: Value, window_log2: Value, level: int) -> Value:
        """The bits of a word at `level` in the window around `bit`: they differ from it below its size only."""
        below = level * self._word_log2  # a bit's place at this level is its line without this many low bits
        size_log2 = Mux(window_log2 > below, window_log2 - below, 0)[:5]
        outside = (Const((1 << len(bit)) - 1, len(bit)) << size_log2)[: len(bit)]
        return Cat(((index ^ bit) & outside) == 0 for index in range(1 << len(bit)))
