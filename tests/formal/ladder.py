"""Proof of `hdl.book.ladder`, with the occupancy replaced by what `occupancy.py` proves of it."""

from unittest.mock import patch

from amaranth.asserts import AnySeq
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from harness import Harness, anything, before, opened, register, rows, some, take
from occupancy import next_line, window_of
from proof import Proof

from bandgap.hdl.book import ladder
from bandgap.hdl.book.occupancy import Occupancy
from bandgap.hdl.config import PRESETS

CONFIG = PRESETS["formal"]
LINES = 2 * CONFIG.ticks
SLOWEST = 3
"""Cycles that a search takes here at most; it may take fewer."""


class Promised(wiring.Component):
    """An occupancy as its docstring promises it, in as many cycles as it likes; `lines` has a bit a line."""

    def __init__(self, ticks: int, word_bits: int):
        self.lines = Signal(2 * ticks)
        self.searching = Signal()
        real = Occupancy(ticks, word_bits)
        real._MustUse__silence = True
        super().__init__(real.signature)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        updated = Signal.like(self.lines)
        waited = Signal(range(SLOWEST + 1))
        answers = Signal()
        bit = (Const(1, 1) << self.update.payload.line)[: len(self.lines)]
        idle = self.ready & ~self.searching
        query, answer = self.search.payload, self.found.payload
        any_found, line = next_line(updated, query.line, query.window_log2)
        m.d.sync += [self.ready.eq(self.ready | AnySeq(1)), self.lines.eq(updated)]
        m.d.comb += [
            self.update.ready.eq(idle),
            self.search.ready.eq(idle),
            updated.eq(self.lines),
            answers.eq(self.searching & (AnySeq(1) | (waited == SLOWEST))),
        ]
        with m.If(self.update.valid & idle):
            m.d.comb += updated.eq(Mux(self.update.payload.occupied, self.lines | bit, self.lines & ~bit))
        with m.If(self.search.valid & idle):
            m.d.sync += [self.searching.eq(1), waited.eq(0), answer.any.eq(any_found), answer.line.eq(line)]
        with m.If(self.searching & ~self.found.valid):
            m.d.sync += [waited.eq(waited + 1), self.found.valid.eq(answers)]
        with m.If(self.found.valid & self.found.ready):
            m.d.sync += [self.searching.eq(0), self.found.valid.eq(0)]
        return m


class Levels(Harness):
    """Each line is marked occupied exactly while its level holds quantity, and every best is the best marked price.

    That is, whenever the ladder is settled; and it is settled again in time. The engine sees to it that levels change
    only inside their instrument's window and are said to appear and vanish when they do, and windows are set empty.
    """

    def describe(self, m: Module) -> None:
        dut = ladder.Ladder(CONFIG)
        with patch.object(ladder, "Occupancy", Promised):
            m.submodules.dut = inner = opened(dut)
        occupancy = inner.submodules.occupancy
        lines = occupancy.lines
        change, setting, search, found = dut.change, dut.set_window, dut.search, dut.found
        coming = (dut.coming_instrument, dut.coming_side)
        for port in (
            *coming,
            change,
            setting,
            search.valid,
            search.payload,
            found.ready,
            dut.read_line,
            dut.read_enable,
        ):
            anything(m, port)
        levels = rows(m, inner, "levels")

        def size_of(window):
            return (1 << window.log2)[: CONFIG.ticks.bit_length()]

        def line_of(window, sell, price_ticks):
            """Where a price rests, worked out in another way than the ladder does."""
            size = size_of(window)
            low = price_ticks[:8] & (size - 1)[:8]
            row = window.offset[:8] + Mux(sell, low, size - 1 - low)
            return (row + Mux(sell, CONFIG.ticks, 0))[:8]

        def inside(window, price_ticks):
            return (price_ticks >= window.base_ticks) & (price_ticks - window.base_ticks < size_of(window))

        def rows_of(window):
            """The window's rows on both sides, a bit a line."""
            one_side = window_of(window.offset[:8], window.log2, CONFIG.ticks)
            return Cat(one_side, one_side)

        # Windows: where they may lie, and which are set.
        known = Signal(CONFIG.instruments)
        window = setting.window
        apart = Cat(
            ~known[index] | (setting.instrument == index) | ((rows_of(dut.windows[index]) & rows_of(window)) == 0)
            for index in range(CONFIG.instruments)
        ).all()
        legal_sizes = (2, 3)  # an occupancy word, or the whole ladder

        def legal(window):
            return (
                ((window.log2 == legal_sizes[0]) | (window.log2 == legal_sizes[1]))
                & (window.offset < CONFIG.ticks)
                & ((window.offset & (size_of(window) - 1)) == 0)
                & (window.base_ticks + size_of(window) <= 1 << 32)
            )

        old_rows = rows_of(dut.windows[setting.instrument])
        empty = ~known.bit_select(setting.instrument, 1) | ((old_rows & lines) == 0)
        whole = dut.settled & ~dut.settling
        quiet = dut.ready & whole & ~occupancy.searching
        self.assume(m, ~setting.enable | (quiet & ~change.enable & ~search.valid & legal(window) & apart & empty))
        with m.If(setting.enable):
            m.d.sync += known.bit_select(setting.instrument, 1).eq(1)

        # Changes, as the engine has to tell them.
        line_window = dut.windows[change.instrument]
        was = lines.bit_select(change.line, 1)
        holds = change.level.quantity_lots != 0
        self.assume(
            m,
            ~change.enable
            | (
                quiet
                & known.bit_select(change.instrument, 1)
                & inside(line_window, change.price_ticks)
                & (change.line == line_of(line_window, change.line[-1], change.price_ticks))
                & (change.appeared == (~was & holds))
                & (change.vanished == (was & ~holds))
                & (was | holds)
                & (Cat(change.instrument, change.line[-1]) == before(m, Cat(*coming)))
            ),
        )
        self.assume(m, ~search.valid | (dut.ready & whole & ~change.enable))
        asked = Signal.like(search.payload)
        asks = search.valid & search.ready
        with m.If(asks):
            m.d.sync += asked.eq(search.payload)
        asked_rows = rows_of(dut.windows[search.payload.instrument]).bit_select(search.payload.line, 1)
        self.assume(m, ~asks | (known.bit_select(search.payload.instrument, 1) & asked_rows))
        self.assume(m, ~(occupancy.searching & dut.settled) | (search.payload == asked))

        # What is carried out behind a search was decided when it had ended.
        self.assume(m, ~(change.enable & before(m, ~dut.settled)))

        # Bitmap and levels.
        marked = Cat(level[2 * 3 :] != 0 for level in levels)
        in_windows: Value = Const(0, LINES)
        for index in range(CONFIG.instruments):
            in_windows = in_windows | Mux(known[index], rows_of(dut.windows[index]), 0)
            self.claim(m, f"window_{index}", ~known[index] | legal(dut.windows[index]))
        overlap = (rows_of(dut.windows[0]) & rows_of(dut.windows[1])) != 0
        age = Signal(range(LINES + 1))
        with m.If(age != LINES):
            m.d.sync += age.eq(age + 1)
        self.claim(m, "windows_apart", ~known.all() | ~overlap)
        self.claim(m, "marked_inside_windows", (lines & ~in_windows) == 0)
        self.claim(m, "bitmap_equals_levels", ~dut.ready | (lines == marked))
        self.claim(m, "cleared_in_time", dut.ready == ((age == LINES) & occupancy.ready))
        self.claim(m, "sweep", Cat(register(inner, "clear"), register(inner, "cleared")) == age)
        self.claim(m, "swept", dut.ready | (lines == 0))
        self.claim(m, "clearing", (age == LINES) | ((marked & ((Const(1, LINES + 1) << age) - 1)[:LINES]) == 0))
        self.claim(m, "cleared", (age != LINES) | dut.ready | (marked == 0))

        # Any side of any instrument, and any price.
        instrument, sell, price_ticks = some(m, 1, "instrument"), some(m, 1, "sell"), some(m, 32, "price_ticks")
        best, own_window = dut.bests[instrument][sell], dut.windows[instrument]
        own_rows = rows_of(own_window) & Mux(sell, ((1 << CONFIG.ticks) - 1) << CONFIG.ticks, (1 << CONFIG.ticks) - 1)
        set_up = known.bit_select(instrument, 1)
        best_line = take(m, "best_line", line_of(own_window, sell, best.price_ticks))
        head = Signal(3)
        with m.Switch(best_line):
            for index, level in enumerate(levels):
                with m.Case(index):
                    m.d.comb += head.eq(level[:3])
        steady = dut.settled
        rests = (
            set_up & inside(own_window, price_ticks) & lines.bit_select(line_of(own_window, sell, price_ticks)[:4], 1)
        )
        worse = Mux(sell, price_ticks < best.price_ticks, price_ticks > best.price_ticks)
        self.claim(m, "best_if_any", ~steady | (best.any == (set_up & ((lines & own_rows) != 0))))
        self.claim(
            m,
            "best_is_marked",
            ~steady | ~best.any | (inside(own_window, best.price_ticks) & lines.bit_select(best_line[:4], 1)),
        )
        self.claim(m, "best_line", ~steady | ~best.any | (best.line == best_line))
        self.claim(m, "nothing_better", ~steady | ~rests | (best.any & ~worse))
        self.claim(m, "head", ~whole | ~best.any | (best.head == head))
        unsettled = Signal(range(SLOWEST + 6))
        m.d.sync += unsettled.eq(Mux(dut.settled, 0, unsettled + 1))
        self.claim(m, "settles", unsettled <= SLOWEST + 3)

        # What the reader is told of it.
        mine = dut.moved & (dut.moved_instrument == instrument) & (dut.moved_side == sell)
        changed = Value.cast(best) != before(m, best)
        told = before(m, mine)
        self.claim(m, "moves_are_told", ~changed | told | before(m, ~dut.settled))
        self.claim(
            m,
            "told_truly",
            ~told | ~before(m, dut.settled) | ~dut.settled | (Value.cast(best) == before(m, dut.moved_best)),
        )
        answer = found.payload
        asked_window = dut.windows[asked.instrument]
        found_row = rows_of(asked_window).bit_select(occupancy.found.payload.line, 1)
        sought = known.bit_select(asked.instrument, 1) & (~occupancy.found.payload.any | found_row)
        self.claim(m, "found_in_window", ~(occupancy.searching & dut.settled) | sought)
        self.claim(m, "found_while_searching", ~occupancy.found.valid | occupancy.searching)
        self.claim(
            m,
            "found_price",
            ~found.valid
            | ~answer.any
            | (
                inside(asked_window, answer.price_ticks)
                & (answer.line == line_of(asked_window, answer.line[-1], answer.price_ticks))
            ),
        )
        self.reach(m, "next_best", before(m, ~dut.settled) & dut.settled & best.any)
        self.reach(m, "two_windows", known.all() & (lines[:4] != 0) & (lines[4:8] != 0))
        self.reach(m, "found", found.valid & answer.any)


PROOFS = (Proof("ladder", Levels, steps=10, terms=(5, 6, 9), reach=28, skip=17, faults=0, quick=False),)
