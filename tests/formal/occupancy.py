"""Proof of `hdl.book.occupancy`."""

from functools import partial

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.utils import exact_log2
from harness import Harness, anything, keeps_contract, opened, rows, take
from proof import Proof

from bandgap.hdl.book.occupancy import Occupancy


def window_of(line: Value, window_log2: Value, lines: int) -> Value:
    """The lines of the window around `line`, a bit each."""
    return Cat(((line ^ other) >> window_log2) == 0 for other in range(lines))


def next_line(occupied: Value, line: Value, window_log2: Value) -> tuple[Value, Value]:
    """Whether any line of the window is occupied, and the next one after `line`, circularly, `line` itself last."""
    lines = len(occupied)
    candidates = occupied & window_of(line, window_log2, lines)
    found: Value = Const(0, exact_log2(lines))
    for other in reversed(range(lines)):
        found = Mux(candidates.bit_select(other, 1), other, found)
    behind: Value = Const(0, exact_log2(lines) + 1)
    for other in reversed(range(lines)):
        behind = Mux(candidates.bit_select(other, 1) & (other > line), other | lines, behind)
    return candidates != 0, Mux(behind >= lines, behind, found)[: exact_log2(lines)]


class Bitmap(Harness):
    """Every word at every level is what the updates say, and every search finds the next occupied line, in time.

    `lines` is what the updates say, a bit a line.
    """

    def __init__(self, ticks: int, word_bits: int, faulty: bool = False):
        self._ticks = ticks
        self._word_bits = word_bits
        super().__init__(faulty)

    def describe(self, m: Module) -> None:
        ticks, word_bits = self._ticks, self._word_bits
        dut = Occupancy(ticks, word_bits)
        m.submodules.dut = inner = opened(dut)
        update, search, found = dut.update, dut.search, dut.found
        for port in (update.valid, update.payload, search.valid, search.payload, found.ready):
            anything(m, port)
        word_log2, row_bits = exact_log2(word_bits), exact_log2(ticks)
        window_log2 = search.payload.window_log2
        self.assume(m, ~search.valid | ((window_log2 >= word_log2) & (window_log2 <= row_bits)))
        both = update.valid & search.valid
        self.assume(m, ~both | (update.payload.line == search.payload.line))

        lines, updated = Signal(2 * ticks), Signal(2 * ticks)
        bit = take(m, "bit", (Const(1, 1) << update.payload.line)[: 2 * ticks])
        updates, asks = update.valid & update.ready, search.valid & search.ready
        m.d.comb += updated.eq(Mux(updates, Mux(update.payload.occupied, lines | bit, lines & ~bit), lines))
        m.d.sync += lines.eq(updated)

        # Level 0 has the lines; above, a bit says that a word below is not zero. A word at the top is one side's.
        levels = -(-row_bits // word_log2)
        truth, swept, age = lines, Const(1), Signal(range(2 * ticks))
        for level in range(levels):
            width = min(1 << word_log2, len(truth) // 2)
            expected = [truth[at : at + width] for at in range(0, len(truth), width)]
            words = rows(m, inner, f"level_{level}")
            same = Cat(word == value for word, value in zip(words, expected, strict=True)).all()
            self.claim(m, f"level_{level}", ~dut.ready | same)
            swept = swept & Cat((word == 0) | (age <= index) for index, word in enumerate(words)).all()
            truth = Cat(value.any() for value in expected)
        sweep = 2 * ticks // word_bits
        m.d.sync += age.eq(Mux(age == sweep, sweep, age + 1))
        self.claim(m, "cleared_in_time", dut.ready == (age == sweep))
        self.claim(m, "swept", dut.ready | (swept & (lines == 0)))

        # The answer is fixed when the search is taken.
        any_found, line = next_line(updated, search.payload.line, window_log2)
        asked, expected_any, expected_line = Signal(), Signal(), Signal.like(found.payload.line)
        asked_line = Signal.like(found.payload.line)
        waited = Signal(range(levels + 2))
        with m.If(asks):
            m.d.sync += [asked.eq(1), expected_any.eq(any_found), expected_line.eq(line), waited.eq(0)]
            m.d.sync += asked_line.eq(search.payload.line)
        with m.Elif(found.valid):
            m.d.sync += asked.eq(~found.ready)
        with m.Elif(asked):
            m.d.sync += waited.eq(waited + 1)
        answer = found.payload
        self.claim(m, "contract", keeps_contract(m, found))
        self.claim(m, "one_answer_each", (~found.valid | asked) & ~(asks & asked))
        self.claim(
            m,
            "answer",
            ~found.valid | ((answer.any == expected_any) & (~expected_any | (answer.line == expected_line))),
        )
        self.claim(m, "in_time", ~asked | (waited <= levels))
        self.claim(m, "ready_when_idle", ~dut.ready | asked | (update.ready & search.ready))
        self.claim(m, "closed_while_searching", ~(asked | ~dut.ready) | ~(update.ready | search.ready))
        self.reach(m, "wraps", found.valid & answer.any & (answer.line < asked_line))
        self.reach(m, "none", found.valid & ~answer.any & (lines != 0))
        self.reach(m, "update_with_search", asks & updates)


PROOFS = (
    Proof("occupancy", partial(Bitmap, 8, 4), steps=14, terms=(5, 8, 9), reach=14),
    Proof("occupancy-deep", partial(Bitmap, 8, 2), steps=18, terms=(5, 8, 9), reach=20, quick=False),
)
