"""Proof of `hdl.book.ladder`, with the occupancy replaced by what `occupancy.py` proves of it."""

from unittest.mock import patch

from amaranth.asserts import AnySeq
from amaranth.hdl import Array, Assume, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from harness import Harness, anything, before, opened, register, rows, some, take
from occupancy import between, next_line, window_of
from proof import Proof

from bandgap.hdl.book import ladder
from bandgap.hdl.book.ladder import level_layout
from bandgap.hdl.book.occupancy import Occupancy
from bandgap.hdl.book.window import PriceWindow
from bandgap.hdl.config import PRESETS

CONFIG = PRESETS["formal"]
LINES = 2 * CONFIG.ticks
SLOWEST = 3
"""Cycles that a search takes here at most; it may take fewer."""


class Promised(wiring.Component):
    """An occupancy as its docstring promises it, in as many cycles as it likes; `lines` has a bit a line.

    A line that is freed while it searches may be found, or passed over; or nothing is found, if it would have been the
    next. What `line` is where there is not `any` is not promised.
    """

    def __init__(self, ticks: int, word_bits: int):
        self.lines = Signal(2 * ticks)
        self.searching = Signal()
        self.keeps_off = Signal()  # no line becomes occupied while it must not
        real = Occupancy(ticks, word_bits)
        real._MustUse__silence = True
        super().__init__(real.signature)
        self.query = Signal.like(self.search.payload)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        updated, was, stays = (Signal.like(self.lines) for _ in range(3))
        query, answer = self.query, self.found.payload
        waited = Signal(range(SLOWEST + 1))
        answers = Signal()
        bit = (Const(1, 1) << self.update.payload.line)[: len(self.lines)]
        asks = self.search.valid & self.search.ready
        m.d.sync += [self.ready.eq(self.ready | AnySeq(1)), self.lines.eq(updated)]
        m.d.comb += [
            self.update.ready.eq(self.ready),
            self.search.ready.eq(self.ready & ~self.searching),
            updated.eq(self.lines),
            answers.eq(self.searching & (AnySeq(1) | (waited == SLOWEST))),
            self.keeps_off.eq(~(asks | (self.searching & ~self.found.valid)) | ((updated & ~self.lines) == 0)),
        ]
        with m.If(self.update.valid & self.update.ready):
            m.d.comb += updated.eq(Mux(self.update.payload.occupied, self.lines | bit, self.lines & ~bit))
        m.d.sync += stays.eq(stays & updated)
        with m.If(asks):
            m.d.sync += [self.searching.eq(1), waited.eq(0), query.eq(self.search.payload)]
            m.d.sync += [was.eq(self.lines), stays.eq(updated)]
        with m.If(self.searching & ~self.found.valid):
            m.d.sync += [waited.eq(waited + 1), self.found.valid.eq(answers)]
            m.d.sync += [answer.any.eq(AnySeq(1)), answer.line.eq(AnySeq(len(answer.line)))]
        with m.If(self.searching & ((self.found.valid & self.found.ready) | self.drop)):
            m.d.sync += [self.searching.eq(0), self.found.valid.eq(0)]

        lines = len(self.lines)
        any_next, next_one = next_line(was, query.line, query.window_log2)
        window = window_of(query.line, query.window_log2, lines)
        there = (was & window).bit_select(answer.line, 1) & (answer.line != query.line)
        passed_over = stays & window & between(query.line, answer.line, lines)
        is_next = any_next & stays.bit_select(next_one, 1)
        m.d.comb += Assume(
            ~self.found.valid
            | Mux(is_next, answer.any & (answer.line == next_one), ~answer.any | (there & (passed_over == 0)))
        )
        return m


class Levels(Harness):
    """Each line is marked occupied exactly while its level holds quantity, and every best is the best marked price.

    That is, whenever the ladder is settled; and it is settled again in time. What is found behind the best while a
    taker trades with it is the level that follows. The engine sees to it that levels change only inside their
    instrument's window and are said to appear and vanish when they do, that only the best level changes while a taker
    trades with it, and that windows are set empty, or moved where they hold nothing that is not in both.
    """

    def describe(self, m: Module) -> None:
        dut = ladder.Ladder(CONFIG, readers=3)
        with patch.object(ladder, "Occupancy", Promised):
            m.submodules.dut = inner = opened(dut)
        occupancy = inner.submodules.occupancy
        lines = occupancy.lines
        change, search, found = dut.change, dut.search, dut.found
        windows = Array(Signal(PriceWindow, name=f"window_{index}") for index in range(CONFIG.instruments))
        setting = Signal(
            data.StructLayout({"enable": 1, "instrument": range(CONFIG.instruments), "window": PriceWindow})
        )
        with m.If(setting.enable):
            m.d.sync += windows[setting.instrument].eq(setting.window)
        m.d.comb += [
            dut.coming_window.eq(windows[dut.coming_instrument]),
            dut.search_window.eq(windows[search.payload.instrument]),
        ]
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
            dut.ahead,
        ):
            anything(m, port)
        levels = [data.View(level_layout(CONFIG), row) for row in rows(m, inner, "levels")]

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
            ~known[index] | (setting.instrument == index) | ((rows_of(windows[index]) & rows_of(window)) == 0)
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

        old_window = windows[setting.instrument]
        old_rows = rows_of(old_window)
        was_known = known.bit_select(setting.instrument, 1)
        empty = ~was_known | ((old_rows & lines) == 0)

        def price_of(window, line):
            """The price that rests at a line of a window."""
            low = line % CONFIG.ticks if line >= CONFIG.ticks else ~line % CONFIG.ticks
            return (window.base_ticks + ((low - window.base_ticks[:3])[:3] & (size_of(window) - 1)))[:32]

        # A window moves: its rows stay, and all that rests is inside both.
        stay = Cat(
            ~(lines & old_rows)[line] | inside(window, price_of(old_window, line)) for line in range(LINES)
        ).all()
        moves = was_known & (window.log2 == old_window.log2) & (window.offset == old_window.offset) & stay
        whole = dut.settled & ~dut.settling
        open_search = Signal()  # the engine's is under way
        ahead, was_ahead = dut.ahead, before(m, dut.ahead)
        quiet = dut.ready & whole & ~open_search
        at_rest = quiet & ~change.enable & ~search.valid & ~ahead & ~was_ahead
        self.assume(m, ~setting.enable | (at_rest & legal(window) & apart & (empty | moves)))
        with m.If(setting.enable):
            m.d.sync += known.bit_select(setting.instrument, 1).eq(1)

        # Changes, as the engine has to tell them.
        line_window = windows[change.instrument]
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
                & (change.level.any == holds)
                & (Cat(change.instrument, change.line[-1]) == before(m, Cat(*coming)))
            ),
        )
        self.assume(m, ~search.valid | (dut.ready & whole & ~change.enable & ~ahead & ~was_ahead))
        steady = search.payload.instrument == before(m, search.payload.instrument)
        self.assume(m, ~(search.valid | (ahead & ~was_ahead)) | steady)
        self.assume(m, ~before(m, setting.enable) | ~(change.enable | search.valid | ahead))
        asked = Signal.like(search.payload)
        asks = search.valid & search.ready
        with m.If(asks):
            m.d.sync += [asked.eq(search.payload), open_search.eq(1)]
        with m.If(found.valid & found.ready):
            m.d.sync += open_search.eq(0)
        asked_rows = rows_of(windows[search.payload.instrument]).bit_select(search.payload.line, 1)
        self.assume(m, ~asks | (known.bit_select(search.payload.instrument, 1) & asked_rows))

        # A taker trades with the best level of a side, and with the next one when that has vanished. What it posts last
        # is carried out a cycle behind.
        begins = ahead & ~was_ahead
        with_instrument, with_sell = Signal.like(change.instrument), Signal()
        held_instrument, held_sell = before(m, with_instrument), before(m, with_sell)
        m.d.comb += [
            with_instrument.eq(Mux(begins, search.payload.instrument, held_instrument)),
            with_sell.eq(Mux(begins, search.payload.line[-1], held_sell)),
        ]
        m.d.comb += [dut.looked_at[1].eq(with_instrument), dut.looked_at[2].eq(held_instrument)]
        met, held_met = dut.bests[1][with_sell], dut.bests[2][held_sell]
        met_known = known.bit_select(with_instrument, 1)
        self.assume(m, ~begins | (quiet & met_known & met.any & (met.line == search.payload.line) & ~change.enable))
        self.assume(m, ~ahead | (search.payload.instrument == with_instrument))
        self.assume(
            m,
            ~((ahead | was_ahead) & change.enable)
            | (
                met.any
                & (Cat(change.instrument, change.line) == Cat(with_instrument, met.line))
                & (change.line[-1] == with_sell)
                & (change.price_ticks == met.price_ticks)
                & ~change.appeared
            ),
        )

        # What is carried out behind a search was decided when it had ended.
        self.assume(m, ~(change.enable & before(m, ~dut.settled)))

        # Bitmap and levels.
        marked = Cat(level.quantity_lots != 0 for level in levels)
        in_windows: Value = Const(0, LINES)
        for index in range(CONFIG.instruments):
            in_windows = in_windows | Mux(known[index], rows_of(windows[index]), 0)
            self.claim(m, f"window_{index}", ~known[index] | legal(windows[index]))
        overlap = (rows_of(windows[0]) & rows_of(windows[1])) != 0
        age = Signal(range(LINES + 1))
        with m.If(age != LINES):
            m.d.sync += age.eq(age + 1)
        self.claim(m, "windows_apart", ~known.all() | ~overlap)
        self.claim(m, "marked_inside_windows", (lines & ~in_windows) == 0)
        self.claim(m, "bitmap_equals_levels", ~dut.ready | (lines == marked))
        say_so = Cat(level.any for level in levels)
        self.claim(m, "levels_say_so", ~dut.ready | (say_so == marked))
        self.claim(m, "cleared_in_time", dut.ready == ((age == LINES) & occupancy.ready))
        self.claim(m, "sweep", Cat(register(inner, "clear"), register(inner, "cleared")) == age)
        for name, instrument in (("change_window", coming[0]), ("search_window", search.payload.instrument)):
            held = register(inner, name) == Value.cast(windows[before(m, instrument)])
            self.claim(m, name, before(m, setting.enable) | held)
        self.claim(m, "swept", dut.ready | (lines == 0))
        self.claim(
            m, "clearing", (age == LINES) | (((marked | say_so) & ((Const(1, LINES + 1) << age) - 1)[:LINES]) == 0)
        )
        self.claim(m, "cleared", (age != LINES) | dut.ready | ((marked | say_so) == 0))

        # Any side of any instrument, and any price.
        instrument, sell, price_ticks = some(m, 1, "instrument"), some(m, 1, "sell"), some(m, 32, "price_ticks")
        m.d.comb += dut.looked_at[0].eq(instrument)
        best, own_window = dut.bests[0][sell], windows[instrument]
        own_rows = rows_of(own_window) & Mux(sell, ((1 << CONFIG.ticks) - 1) << CONFIG.ticks, (1 << CONFIG.ticks) - 1)
        set_up = known.bit_select(instrument, 1)
        best_line = take(m, "best_line", line_of(own_window, sell, best.price_ticks))
        head = Signal(3)
        with m.Switch(best_line):
            for index, level in enumerate(levels):
                with m.Case(index):
                    m.d.comb += head.eq(level.head)
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

        # The same, said of all lines at once: how far each is from the one that holds the best price of all.
        base = own_window.base_ticks[:3]
        start = Mux(sell, base, ~base + 1)[:3]

        def rank(line):
            return (line[:3] - own_window.offset[:3] - start)[:3] & (size_of(own_window) - 1)[:3]

        def none_nearer(line, but=None):
            """Of the own lines that are marked, none comes before `line`; nor is `but` looked at."""
            marked = lines & own_rows & ~(0 if but is None else (Const(1, 1) << but)[:LINES])
            return Cat(~marked[index] | (rank(Const(index, 4)) >= rank(line)) for index in range(LINES)).all()

        best_rank = take(m, "best_rank", rank(best_line))
        self.claim(m, "none_before", ~steady | ~best.any | none_nearer(best_line))
        unsettled = Signal(range(SLOWEST + 6))
        m.d.sync += unsettled.eq(Mux(dut.settled, 0, unsettled + 1))
        self.claim(m, "settles", unsettled <= SLOWEST + 2)

        # What the reader is told of it.
        mine = dut.moved & (dut.moved_instrument == instrument) & (dut.moved_side == sell)
        was_best = data.View(best.shape(), before(m, best))
        changed = (best.any | was_best.any) & (Value.cast(best) != Value.cast(was_best))  # what is not any says nothing
        told = before(m, mine)
        self.claim(m, "moves_are_told", ~changed | told | before(m, ~dut.settled))
        begins_search = dut.moved & change.enable & change.vanished & ~dut.follows
        moved_best = before(m, dut.moved_best)
        self.claim(m, "told_truly", ~told | before(m, begins_search) | (Value.cast(best) == moved_best))
        self.claim(m, "told_while_settled", ~dut.moved | dut.settled)

        # The level behind the best.
        behind = dut.behind
        fsm = inner._generated["fsm"]
        searches, reads = fsm.ongoing("SEARCH"), fsm.ongoing("LEVEL")
        vacant, at_hand = register(inner, "vacant"), register(inner, "known")
        shown = at_hand | reads
        theirs = shown & (with_instrument == instrument) & (with_sell == sell)
        behind_line = take(m, "behind_line", line_of(own_window, sell, behind.price_ticks))
        behind_row = Signal(len(Value.cast(behind.level)))
        with m.Switch(behind_line):
            for index, level in enumerate(levels):
                with m.Case(index):
                    m.d.comb += behind_row.eq(Value.cast(level))
        placed = (
            inside(own_window, behind.price_ticks) & (behind.line == behind_line) & lines.bit_select(behind_line[:4], 1)
        )
        is_worse = Mux(sell, behind.price_ticks > best.price_ticks, behind.price_ticks < best.price_ticks)
        missed = rests & (price_ticks != best.price_ticks)
        nearer = Mux(sell, price_ticks < behind.price_ticks, price_ticks > behind.price_ticks)
        second = theirs & best.any & ~vacant
        none_between = none_nearer(behind_line, best_line) & (rank(behind_line) > best_rank)
        self.claim(m, "none_between", ~second | ~behind.any | none_between)
        others = lines & own_rows & ~(Const(1, 1) << best_line)[:LINES]
        self.claim(m, "behind_if_any", ~second | (behind.any == (others != 0)))
        self.claim(m, "behind_is_marked", ~second | ~behind.any | (placed & is_worse))
        self.claim(m, "nothing_nearer", ~second | ~missed | (behind.any & ~nearer))
        self.claim(m, "behind_level", ~second | ~behind.any | (Value.cast(behind.level) == behind_row))
        told_behind = Cat(behind.any, behind.price_ticks, behind.line, behind.level.head)
        self.claim(m, "follows", ~dut.follows | (dut.moved & (Value.cast(dut.moved_best) == told_behind)))
        emptied = change.enable & change.vanished & (ahead | was_ahead)
        self.claim(m, "follows_if_known", ~(emptied & shown) | dut.follows)
        self.claim(m, "follows_the_vanished", ~dut.follows | vacant | emptied)
        self.claim(m, "settles_by_it", ~dut.settling | dut.follows)

        # Which search is under way.
        self.claim(m, "states", fsm.ongoing("REST") | searches | reads)
        self.claim(m, "one_search", Cat(searches, open_search).any() == occupancy.searching)
        self.claim(m, "engines_search", ~open_search | ~(searches | reads | vacant | ahead | was_ahead))
        self.claim(m, "vacant_sought", ~vacant | searches | reads)
        self.claim(m, "at_hand_while_ahead", ~at_hand | (was_ahead & ~searches & ~reads & ~vacant))
        self.claim(m, "sought_while_ahead", ~(searches | reads) | vacant | was_ahead)
        sought_sell, query = register(inner, "sought_side"), occupancy.query
        sought = Cat(register(inner, "sought_instrument"), sought_sell)
        of_taker = was_ahead & (searches | shown) & (vacant | held_met.any)
        right_side = at_hand | (sought == Cat(held_instrument, held_sell))
        self.claim(m, "sought_of_taker", ~of_taker | right_side)
        self.claim(m, "found_of_taker", ~(of_taker & shown) | ~behind.any | (behind.line[-1] == held_sell))
        legal_query = (query.window_log2 >= legal_sizes[0]) & (query.window_log2 <= legal_sizes[1])
        self.claim(m, "search_of_side", ~searches | (legal_query & (query.line[-1] == sought_sell)))
        asked_log2 = occupancy.search.payload.window_log2
        legal_search = (asked_log2 >= legal_sizes[0]) & (asked_log2 <= legal_sizes[1])
        self.claim(m, "legal_search", ~(occupancy.search.valid & occupancy.search.ready) | legal_search)
        self.claim(m, "nothing_appears_while_searching", occupancy.keeps_off)

        # The port to read levels.
        row = Signal(len(Value.cast(dut.level)))
        with m.Switch(dut.read_line):
            for index, level in enumerate(levels):
                with m.Case(index):
                    m.d.comb += row.eq(level)
        read, read_row = Signal(), Signal.like(row)
        free = dut.settled & ~ahead
        m.d.sync += read.eq(free & (dut.read_enable | read))
        with m.If(dut.read_enable):
            m.d.sync += read_row.eq(row)
        self.claim(m, "read", ~read | (Value.cast(dut.level) == read_row))

        # What the engine asks for.
        answer = found.payload
        asked_window = windows[asked.instrument]
        any_next, next_one = next_line(lines, asked.line, asked_window.log2)
        asked_row = rows_of(asked_window).bit_select(asked.line, 1)
        self.claim(m, "asked_in_window", ~open_search | (known.bit_select(asked.instrument, 1) & asked_row))
        self.claim(m, "found_while_searching", ~occupancy.found.valid | occupancy.searching)
        self.claim(m, "found", ~found.valid | ((answer.any == any_next) & (~any_next | (answer.line == next_one))))
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
        moved = before(m, setting.enable & ~empty & (window.base_ticks != old_window.base_ticks))
        self.reach(m, "window_moves", moved & best.any)
        self.reach(m, "two_windows", known.all() & (lines[:4] != 0) & (lines[4:8] != 0))
        self.reach(m, "found", found.valid & answer.any)
        follows_at_once = dut.follows & ~vacant & behind.any
        self.reach(m, "follows_at_once", follows_at_once)
        self.reach(m, "follows_late", dut.follows & vacant & behind.any & ahead)
        self.reach(m, "follows_none", dut.follows & ~vacant & ~behind.any)
        has_followed = Signal()
        m.d.sync += has_followed.eq(ahead & (has_followed | dut.follows))
        self.reach(m, "two_follow", follows_at_once & has_followed)
        self.reach(m, "dropped", occupancy.drop & occupancy.found.valid)


PROOFS = (Proof("ladder", Levels, steps=10, terms=(5, 6, 9), reach=28, skip=17, faults=0, quick=False),)
