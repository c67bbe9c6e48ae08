"""Proof of `hdl.book.occupancy`."""

from functools import partial

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.utils import exact_log2
from harness import Harness, anything, before, keeps_contract, opened, rows, take
from proof import Proof

from bandgap.hdl.book.occupancy import Occupancy


def window_of(line: Value, window_log2: Value, lines: int) -> Value:
    """The lines of the window around `line`, a bit each."""
    return Cat(((line ^ other) >> window_log2) == 0 for other in range(lines))


def next_line(occupied: Value, line: Value, window_log2: Value) -> tuple[Value, Value]:
    """Whether any other line of the window is occupied, and the next one after `line`, circularly."""
    lines = len(occupied)
    candidates = occupied & window_of(line, window_log2, lines)
    first: Value = Const(0, exact_log2(lines))
    behind: Value = Const(0, exact_log2(lines) + 1)
    for other in reversed(range(lines)):
        first = Mux(candidates.bit_select(other, 1), other, first)
        behind = Mux(candidates.bit_select(other, 1) & (other > line), other | lines, behind)
    found = Mux(behind >= lines, behind, first)[: exact_log2(lines)]
    return (candidates != 0) & (found != line), found


def between(line: Value, other: Value, lines: int) -> Value:
    """The lines that come after `line` and before `other`, circularly, a bit each."""
    return Cat(
        Mux(line < other, (index > line) & (index < other), (index > line) | (index < other)) for index in range(lines)
    )


class Bitmap(Harness):
    """Every word at every level is what the updates say, and every search finds the next occupied line, in time.

    `lines` is what the updates say, a bit a line; words are a cycle behind. What is found was occupied when the search
    was taken, and no line that has stayed occupied comes before it. The next one is found if it has stayed.
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
        for port in (update.valid, update.payload, search.valid, search.payload, dut.drop, found.ready):
            anything(m, port)
        word_log2, row_bits = exact_log2(word_bits), exact_log2(ticks)
        window_log2 = search.payload.window_log2
        self.assume(m, ~search.valid | ((window_log2 >= word_log2) & (window_log2 <= row_bits)))

        lines, updated = Signal(2 * ticks), Signal(2 * ticks)
        bit = take(m, "bit", (Const(1, 1) << update.payload.line)[: 2 * ticks])
        updates, asks = update.valid & update.ready, search.valid & search.ready
        m.d.comb += updated.eq(Mux(updates, Mux(update.payload.occupied, lines | bit, lines & ~bit), lines))
        m.d.sync += lines.eq(updated)
        asked = Signal()  # a search is under way, or answered and not taken
        self.assume(m, ~(asks | (asked & ~found.valid)) | ((updated & ~lines) == 0))

        # Level 0 has the lines; above, a bit says that a word below is not zero. A word at the top is one side's.
        levels = -(-row_bits // word_log2)
        truth, swept, age = before(m, lines), Const(1), Signal(range(2 * ticks))
        for level in range(levels):
            width = min(1 << word_log2, len(truth) // 2)
            expected = [truth[at : at + width] for at in range(0, len(truth), width)]
            for name in (f"level_{level}", f"updated_{level}"):
                words = rows(m, inner, name)
                same = Cat(word == value for word, value in zip(words, expected, strict=True)).all()
                self.claim(m, name, ~dut.ready | same)
                swept = swept & Cat((word == 0) | (age <= index) for index, word in enumerate(words)).all()
            truth = Cat(value.any() for value in expected)
        sweep = 2 * ticks // word_bits
        m.d.sync += age.eq(Mux(age == sweep, sweep, age + 1))
        self.claim(m, "cleared_in_time", Cat(dut.ready, update.ready) == (age == sweep).replicate(2))
        self.claim(m, "swept", dut.ready | (swept & (lines == 0)))

        # What was there when the search was taken; `stays` is without what was freed since.
        was, stays = Signal(2 * ticks), Signal(2 * ticks)
        asked_line, asked_log2 = Signal.like(search.payload.line), Signal.like(window_log2)
        waited = Signal(range(2 * levels + 3))  # cycles since the search was taken
        with m.If(asks):
            m.d.sync += [
                asked.eq(1),
                was.eq(lines),
                stays.eq(updated),
                asked_line.eq(search.payload.line),
                asked_log2.eq(window_log2),
                waited.eq(1),
            ]
        with m.Elif(asked):
            m.d.sync += [
                stays.eq(stays & updated),
                asked.eq(~(found.ready & found.valid | dut.drop)),
                waited.eq(Mux(found.valid, waited, waited + 1)),
            ]
        answer = found.payload
        any_next, next_one = next_line(was, asked_line, asked_log2)
        stayed = stays.bit_select(next_one, 1)
        window = window_of(asked_line, asked_log2, 2 * ticks)
        passed_over = stays & window & between(asked_line, answer.line, 2 * ticks)
        self.claim(m, "contract", keeps_contract(m, found) | before(m, dut.drop))
        self.claim(m, "one_answer_each", ~found.valid | asked)
        self.claim(m, "answer", ~found.valid | ~any_next | ~stayed | (answer.any & (answer.line == next_one)))
        self.claim(
            m,
            "answer_was_there",
            ~found.valid
            | ~answer.any
            | ((was & window).bit_select(answer.line, 1) & (answer.line != asked_line) & (passed_over == 0)),
        )
        # Two cycles for each level from the word that it has in common with the line, or from that of the window, down.
        wraps = next_one < asked_line
        apart = sum(((asked_line ^ next_one) >> (level * word_log2)) != 0 for level in range(1, levels))
        spans = sum(asked_log2 > level * word_log2 for level in range(1, levels))
        on_time = waited == Mux(wraps, 4 + 2 * spans, 2 + 2 * apart)
        self.claim(m, "on_time", ~found.valid | ~any_next | ~stayed | on_time)
        self.claim(m, "in_time", ~asked | (waited <= 4 + 2 * spans))
        self.claim(m, "ready_when_idle", search.ready == (dut.ready & ~asked))
        self.reach(m, "wraps", found.valid & answer.any & (answer.line < asked_line))
        self.reach(m, "none", found.valid & ~answer.any & (lines != 0))
        self.reach(m, "update_with_search", asks & updates)
        self.reach(m, "freed_is_found", found.valid & answer.any & ~stays.bit_select(answer.line, 1))
        self.reach(m, "freed_ends_it", found.valid & ~answer.any & ((stays & window) != 0) & (asked_line != 0))
        self.reach(m, "dropped", asks & before(m, asked & dut.drop & ~found.valid))


PROOFS = (
    Proof("occupancy", partial(Bitmap, 8, 4), steps=9, terms=(5, 8, 9), reach=12),
    Proof("occupancy-deep", partial(Bitmap, 8, 2), steps=11, terms=(5, 8, 9), reach=20, quick=False),
)
