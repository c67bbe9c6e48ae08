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

from ..bits import COLLISIONS_UNUSED, lowest_set


class Occupancy(wiring.Component):
    """The occupancy bitmap of both sides of the ladder.

    A *line* is a row of one side: `side * ticks + row`.

    Parameters
    ----------
    ticks : Rows a side, a power of two, at least two words.
    word_bits : Width of a word, a power of two, at least two.

    Attributes
    ----------
    update : Stream in. Marks `line` as `occupied` or not. Not ready while memories clear.
    search : Stream in. Asks for the next occupied line after `line` in ascending circular order within the window of
        two to the `window_log2` lines around it, `line` itself not among them. The window holds at least one word.
        Updates that were taken before it count. From the cycle in which it is taken until the answer is there, no line
        may become occupied; one that is freed may still be found. If that one would have been the next, the answer may
        also be none, although others are left.
    drop : The search under way is given up: it is not answered, and what is found goes untaken. Where none is under way
        it does nothing.
    found : Stream out, the answer: `any`, and the `line`. Comes two cycles after the search was taken where the line is
        in the same word, two cycles later for each level above. Where it lies before the line, the search begins anew
        after two cycles and comes down from the level that the window spans; by then at the latest it is answered.
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
                "drop": In(1),
                "found": Out(stream.Signature(data.StructLayout({"line": line, "any": 1}))),
                "ready": Out(1),
            }
        )

    def _place(self, level: int) -> tuple[int, int]:
        """Of a line, the bits that tell the bit within a word of `level`; fewer at the top: a word is one side's."""
        first = level * self._word_log2
        return first, min(first + self._word_log2, self._row_bits)

    def elaborate(self, platform):
        m = Module()
        word_bits = 1 << self._word_log2
        line_shape = self.found.payload.line.shape()

        words = 2 << (self._row_bits - self._word_log2)
        clear = Signal(range(words))
        cleared = Signal()
        with m.If(~cleared):
            m.d.sync += [clear.eq(clear + 1), cleared.eq(clear == words - 1)]
        m.d.comb += [self.ready.eq(cleared), self.update.ready.eq(cleared)]

        # An update reads its words in one cycle and writes them in the next: it goes up while words turn from or to
        # zero. It has memories of its own to read, block RAM where they are large, so that searches may take theirs.
        updates = Signal()
        update = Signal.like(self.update.payload)
        m.d.sync += [updates.eq(self.update.valid & self.update.ready), update.eq(self.update.payload)]

        # A search has its words a cycle after it was taken, and of each the bits among which it looks.
        idle, again = Signal(), Signal()  # again: from the window's first line on
        line, position, origin = Signal(line_shape), Signal(line_shape), Signal(line_shape)
        window_log2, held_window_log2 = Signal(5), Signal(5)
        m.d.comb += [
            line.eq(Mux(idle, self.search.payload.line, position)),
            window_log2.eq(Mux(idle, self.search.payload.window_log2, held_window_log2)),
        ]
        m.d.sync += held_window_log2.eq(window_log2)

        found = []  # at each level: any bit, and which
        descends = Signal(self._levels)  # only that level, all of its word
        goes_up = updates
        for level in range(self._levels):
            first, end = self._place(level)
            depth = 1 << (self._row_bits + 1 - end)
            m.submodules[f"level_{level}"] = searched = Memory(shape=unsigned(word_bits), depth=depth, init=[])
            m.submodules[f"updated_{level}"] = kept = Memory(
                shape=unsigned(word_bits), depth=depth, init=[], attrs=COLLISIONS_UNUSED
            )
            search_read, update_read = searched.read_port(domain="comb"), kept.read_port()
            word, updated = Signal(word_bits, name=f"word_{level}"), Signal(word_bits, name=f"updated_{level}")
            # A word that is written in this cycle is read as it becomes.
            just_written, last_updated = Signal(name=f"just_written_{level}"), Signal.like(updated)
            bit = Const(1) << update.line[first:end]
            m.d.comb += [
                update_read.addr.eq(self.update.payload.line[end:]),
                search_read.addr.eq(line[end:]),
                word.eq(Mux(just_written, last_updated, update_read.data)),
                updated.eq(Mux(update.occupied, word | bit, word & ~bit)),
            ]
            m.d.sync += [
                just_written.eq(goes_up & (update_read.addr == update.line[end:])),
                last_updated.eq(updated),
            ]
            for memory in (searched, kept):
                write = memory.write_port()
                with m.If(cleared):
                    m.d.comb += [write.addr.eq(update.line[end:]), write.data.eq(updated), write.en.eq(goes_up)]
                with m.Else():
                    m.d.comb += [write.addr.eq(clear), write.en.eq(clear < depth)]

            place = line[first:end]
            path = Signal(1 << (end - first), name=f"path_{level}")
            among = Signal.like(path, name=f"among_{level}")
            within = self._within(place, window_log2, level)
            above = (level + 1) * self._word_log2
            last = (window_log2 > first if level else 1) & (window_log2 <= above)
            m.d.sync += [
                path.eq(Mux(goes_up & (search_read.addr == update.line[end:]), updated, search_read.data)),
                among.eq(
                    Mux(
                        descends.any(),
                        descends[level].replicate(len(among)),
                        Mux(again, Mux(last, within, 0), within & self._beyond(place)),
                    )
                ),
            ]
            looked = Signal.like(path, name=f"looked_{level}")
            m.d.comb += looked.eq(path & among)
            found.append(lowest_set(looked))
            # Both of what the word may be are compared, so that neither waits for the choice.
            turns = [
                Mux(update.occupied, maybe == 0, (maybe & ~bit)[:word_bits] == 0)
                for maybe in (update_read.data, last_updated)
            ]
            goes_up = goes_up & Mux(just_written, turns[1], turns[0])

        # The lowest level decides that has a bit beyond the line's own. When none has, the search goes on from the
        # window's first line: there the highest level decides that the window spans. On the way down a word is empty
        # only if its line was freed meanwhile.
        first_look = Signal()

        def give_up():
            with m.If(self.drop):
                m.next = "IDLE"

        m.d.comb += self.found.payload.line.eq(position)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [idle.eq(1), self.search.ready.eq(cleared)]
                m.d.sync += [
                    position.eq(self.search.payload.line),
                    origin.eq(self.search.payload.line),
                    first_look.eq(1),
                ]
                with m.If(self.search.valid & self.search.ready):
                    m.next = "LOOK"
            with m.State("LOOK"):
                m.d.sync += first_look.eq(0)
                with m.If(first_look):
                    m.next = "WRAP"
                with m.Else():
                    m.next = "NONE"
                for level, (any_set, index) in reversed(list(enumerate(found))):
                    first, end = self._place(level)
                    with m.If(any_set):
                        m.d.sync += position.eq(Cat(Const(0, first), index, position[end:]))
                        m.next = f"DESCEND_{level - 1}" if level else "FOUND"
                give_up()
            with m.State("WRAP"):
                m.d.comb += again.eq(1)
                m.next = "LOOK"
                give_up()
            for level in range(self._levels - 1):
                with m.State(f"DESCEND_{level}"):
                    m.d.comb += descends[level].eq(1)
                    m.next = "LOOK"
                    give_up()
            with m.State("FOUND"):
                m.d.comb += [self.found.valid.eq(1), self.found.payload.any.eq(position != origin)]
                with m.If(self.found.ready):
                    m.next = "IDLE"
                give_up()
            with m.State("NONE"):
                m.d.comb += self.found.valid.eq(1)
                with m.If(self.found.ready):
                    m.next = "IDLE"
                give_up()
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
