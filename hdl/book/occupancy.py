"""Which price levels are populated: a hierarchical bitmap with a circular search.

Level 0 has one bit a ladder row, in words of `word_bits`; a bit of level k + 1 says that a word of level k is not
zero; the top level is one word. So a search looks at one word a level on the way up and one on the way down, whatever the distance.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from ..bits import lowest_set


class Occupancy(wiring.Component):
    """The occupancy bitmap of both sides of the ladder.

    A *line* is a row of one side: `side * ticks + row`.

    Parameters
    ----------
    ticks : Rows a side, a power of two, at least two words.
    word_bits : Width of a word, a power of two.

    Attributes
    ----------
    update : Stream in. Marks `line` as `occupied` or not. Taken in one cycle when ready; not ready while memories clear or a search runs.
    search : Stream in. Asks for the next occupied line after `line` in ascending circular order within the window of
        two to the `window_log2` lines around it, `line` itself last. The window holds at least one word.
    found : Stream out, the answer to each search, in order: `any`, and the `line`. Comes at most four cycles a level after
        the search was taken; stays until taken.
    ready : High once the memories are cleared after a reset.
    """

    def __init__(self, ticks: int, word_bits: int):
        if ticks < 2 * word_bits:
            raise ValueError(f"ticks must be at least two words of {word_bits}, not {ticks}")
        self._word_log2 = exact_log2(word_bits)
        self._row_bits = exact_log2(ticks)
        self._lines_log2 = self._row_bits + 1
        self._levels = -(-self._row_bits // self._word_log2)
        line = unsigned(self._lines_log2)
        super().__init__(
            {
                "update": In(stream.Signature(data.StructLayout({"line": line, "occupied": 1}))),
                "search": In(stream.Signature(data.StructLayout({"line": line, "window_log2": 5}))),
                "found": Out(stream.Signature(data.StructLayout({"line": line, "any": 1}))),
                "ready": Out(1),
            }
        )

    def _window_mask(self, level: int, position: Value, window_log2: Value) -> Value:
        """The bits of `position`'s word at `level` that belong to the window around it."""
        width = self._word_log2
        bits = []
        # How many low bits of a position within the word vary inside the window: window_log2 less the level's own bits.
        varying = Signal(range(width + 1), name=f"varying_{level}")
        base = level * width
        self._m.d.comb += varying.eq(
            Mux(window_log2 <= base, 0, Mux(window_log2 >= base + width, width, window_log2 - base))
        )
        fixed = Signal(width, name=f"fixed_{level}")
        self._m.d.comb += fixed.eq((Const((1 << width) - 1, width) << varying)[:width])
        for bit in range(1 << width):
            bits.append(((Const(bit, width) ^ position[:width]) & fixed) == 0)
        return Cat(bits)

    def elaborate(self, platform):
        m = self._m = Module()
        width = self._word_log2
        word_bits = 1 << width

        position = Signal(self._lines_log2)  # a bit's place at the level the search is at
        window_log2 = Signal(5)
        first = Signal(self._lines_log2)  # the window's first line, where the search goes on after its end
        inclusive = Signal()
        wrapped = Signal()

        clear = Signal(range(max(2 << (self._row_bits - width), 2)))
        cleared = Signal()
        with m.If(~cleared):
            m.d.sync += [clear.eq(clear + 1), cleared.eq(clear == (2 << (self._row_bits - width)) - 1)]
        m.d.comb += self.ready.eq(cleared)

        updating = Signal()
        m.d.comb += updating.eq(self.update.valid & self.update.ready)

        # One memory a level, both sides in it. Word address at level k: line >> (k + 1) * width.
        words = []
        child_was_empty = child_is_empty = None
        for level in range(self._levels):
            side_words = max((1 << self._row_bits) >> ((level + 1) * width), 1)
            depth = 2 * side_words
            memory = Memory(shape=unsigned(word_bits), depth=depth, init=[])
            m.submodules[f"level_{level}"] = memory
            read = memory.read_port(domain="comb")
            write = memory.write_port()
            side = self.update.payload.line[-1]
            if side_words > 1:
                line_address = self.update.payload.line[(level + 1) * width :]
                bit = self.update.payload.line[level * width : (level + 1) * width]
            else:
                line_address = side
                bit = self.update.payload.line[level * width : self._row_bits]
            search_address = (
                position[width:] if level < self._levels - 1 else position[self._row_bits - level * width :]
            )
            # While descending, `position` is the word itself: see DESCEND.
            descend_address = position
            words.append((read, search_address, descend_address))
            updated = Signal(word_bits, name=f"updated_{level}")
            mask = Signal(word_bits, name=f"mask_{level}")
            m.d.comb += mask.eq(Const(1) << bit)
            with m.If(self.update.payload.occupied):
                m.d.comb += updated.eq(read.data | mask)
            with m.Else():
                m.d.comb += updated.eq(read.data & ~mask)
            enable = (
                updating
                if level == 0
                else updating & Mux(self.update.payload.occupied, child_was_empty, child_is_empty)
            )
            with m.If(cleared):
                m.d.comb += [write.addr.eq(line_address), write.data.eq(updated), write.en.eq(enable)]
            with m.Else():
                m.d.comb += [write.addr.eq(clear), write.data.eq(0), write.en.eq(clear < depth)]
            with m.If(updating):
                m.d.comb += read.addr.eq(line_address)
            child_was_empty = (read.data == 0) if level == 0 else child_was_empty & (read.data == 0)
            child_is_empty = (updated == 0) if level == 0 else child_is_empty & (updated == 0)

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [
                    self.update.ready.eq(cleared),
                    self.search.ready.eq(cleared & ~self.update.valid),
                ]
                query = self.search.payload
                with m.If(self.search.valid & self.search.ready):
                    span = Signal(self._lines_log2)
                    m.d.comb += span.eq(
                        (Const((1 << self._lines_log2) - 1, self._lines_log2) << query.window_log2)[: self._lines_log2]
                    )
                    m.d.sync += [
                        position.eq(query.line),
                        window_log2.eq(query.window_log2),
                        first.eq(query.line & span),
                        inclusive.eq(0),
                        wrapped.eq(0),
                    ]
                    m.next = "ASCEND_0"

            for level in range(self._levels):
                read, search_address, _ = words[level]
                with m.State(f"ASCEND_{level}"):
                    bit = position[:width]
                    beyond = Cat(
                        (Const(index, width) > bit) | (inclusive & (Const(index, width) == bit))
                        for index in range(word_bits)
                    )
                    # The top word holds one side only, and less than a word when the levels do not divide evenly.
                    within = self._window_mask(level, position, window_log2)
                    if level == self._levels - 1:
                        top_bits = self._row_bits - level * width
                        bit = position[:top_bits]
                        beyond = Cat(
                            ((Const(index) > bit) | (inclusive & (Const(index) == bit)))
                            if index < 1 << top_bits
                            else Const(0, 1)
                            for index in range(word_bits)
                        )
                        within = self._window_mask(
                            level, Cat(position[:top_bits], Const(0, width - top_bits)), window_log2
                        )
                    candidates = Signal(word_bits, name=f"candidates_{level}")
                    m.d.comb += [read.addr.eq(search_address), candidates.eq(read.data & beyond & within)]
                    any_found, index = lowest_set(candidates)
                    last_level = level == self._levels - 1
                    with m.If(any_found):
                        if last_level:
                            m.d.sync += position.eq(Cat(index[: self._row_bits - level * width], search_address))
                        else:
                            m.d.sync += position.eq(Cat(index, search_address))
                        m.next = "FOUND" if level == 0 else f"DESCEND_{level - 1}"
                    with m.Elif((window_log2 > (level + 1) * width) if not last_level else Const(0)):
                        if not last_level:
                            m.d.sync += [position.eq(position >> width), inclusive.eq(0)]
                            m.next = f"ASCEND_{level + 1}"
                    with m.Elif(~wrapped):
                        m.d.sync += [wrapped.eq(1), position.eq(first), inclusive.eq(1)]
                        m.next = "ASCEND_0"
                    with m.Else():
                        m.next = "NONE"

            for level in range(self._levels - 1):
                read, _, descend_address = words[level]
                with m.State(f"DESCEND_{level}"):
                    m.d.comb += read.addr.eq(descend_address)
                    _, index = lowest_set(read.data)
                    m.d.sync += position.eq(Cat(index, descend_address))
                    m.next = "FOUND" if level == 0 else f"DESCEND_{level - 1}"

            with m.State("FOUND"):
                m.d.comb += [self.found.valid.eq(1), self.found.payload.any.eq(1), self.found.payload.line.eq(position)]
                with m.If(self.found.ready):
                    m.next = "IDLE"
            with m.State("NONE"):
                m.d.comb += self.found.valid.eq(1)
                with m.If(self.found.ready):
                    m.next = "IDLE"
        return m
