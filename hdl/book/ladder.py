"""The price levels of both sides, indexed by tick, and which of them is best for each instrument.

The rows of the bid side run backwards (row = complement of the price), so that on both sides a worse price is the next
row up, in circular order within the instrument's window.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import BookConfig
from ..deep_memory import add_memory
from .bests import Bests, best_layout, pair_layout
from .occupancy import Occupancy
from .window import PriceWindow

SLICE_BITS = 9
"""A block RAM of this width has 2,048 rows: eight stand behind each other for 16,384 levels."""


def level_layout(config: BookConfig) -> data.StructLayout:
    """A price level: whether any order rests there, the first and the last one, and the sum of open quantities.

    The sum is zero when the level is empty, and has room for every slot of the pool at the largest quantity.
    """
    token = unsigned(exact_log2(config.orders))
    quantity_lots = unsigned(32 + exact_log2(config.orders))
    return data.StructLayout({"any": 1, "head": token, "tail": token, "quantity_lots": quantity_lots})


def change_layout(config: BookConfig) -> data.StructLayout:
    """A level that changes, while `enable`: that at `line` of `instrument`, with price `price_ticks`, becomes `level`.

    It `appeared` if it was empty before, and `vanished` if it is empty now.
    """
    return data.StructLayout(
        {
            "enable": 1,
            "instrument": range(config.instruments),
            "line": unsigned(exact_log2(config.ticks) + 1),
            "price_ticks": unsigned(32),
            "level": level_layout(config),
            "appeared": 1,
            "vanished": 1,
        }
    )


def found_layout(config: BookConfig) -> data.StructLayout:
    """What a search finds: whether there is `any` level, its line of the ladder and its price."""
    return data.StructLayout({"line": unsigned(exact_log2(config.ticks) + 1), "price_ticks": unsigned(32), "any": 1})


def line_of(window, sell, price_ticks, row_bits: int):
    """The line of the ladder (`Occupancy`) that holds `price_ticks`, a price inside the window."""
    mask = ((Const(1, row_bits + 1) << window.log2) - 1)[:row_bits]
    return Cat((Mux(sell, price_ticks[:row_bits], ~price_ticks[:row_bits]) & mask) | window.offset[:row_bits], sell)


def price_at(window, line, row_bits: int):
    """The price that rests at `line`: the inverse of `line_of`."""
    mask = ((Const(1, row_bits + 1) << window.log2) - 1)[:row_bits]
    low = Mux(line[-1], line[:row_bits], ~line[:row_bits])
    return (window.base_ticks + ((low - window.base_ticks[:row_bits]) & mask)[:row_bits])[:32]


class Ladder(wiring.Component):
    """The price levels, their occupancy and the best prices.

    Parameters
    ----------
    config : Sizes.
    readers : How many look at best prices at once.

    Attributes
    ----------
    looked_at, bests : For each reader, an instrument and its best bid and best ask.
    resting : A bit an instrument: it has a best price.
    read_line : Line to read while `read_enable`; `level` holds that level from the next cycle on, until the next read.
        A level changed in the same cycle is read as it was before. While unsettled or `ahead` the port is the ladder's
        own, and `level` is no longer what was read.
    change : The level that changes: only while settled, not `settling`, and settled in the cycle before, with no search
        of the engine under way. When the best level vanished, and the one behind it is not known, that is sought; the
        ladder is unsettled from the next cycle on until it is found, which may be in that next cycle.
    coming_instrument, coming_side, coming_window : Where the next cycle's change is, if there is one. A window becomes
        another only while its instrument has no order, or gets another base with every order inside both; and while
        nothing changes nor is sought, nor is in the next cycle.
    search : Stream in, while nothing changes nor is `ahead`, nor was in the cycle before: asks for the level behind
        `line` of `instrument` in order of price, circularly, itself not among them. `line` lies in that instrument's
        window. The payload's instrument and its `search_window` are there a cycle before, as they are for `ahead`.
    found : Stream out: the answer: whether there is `any`, its `line` and `price_ticks`.
    ahead : A taker trades with the best level of a side: the level behind it is sought, to be at hand when it vanishes.
        Begins while settled and not `settling`, in a cycle in which nothing changes, with the payload of `search` at
        that level; the payload's instrument stays. While it lasts, and in the cycle behind it, in which what was posted
        last is carried out, nothing changes but the best level of that side: what it holds, its head, or it vanishes;
        when it has, and another has followed, that is the one. If none has followed nothing changes. No instrument's
        window is set meanwhile.
    behind : That level, in the cycle in which it `follows`. Its `line`, `price_ticks` and `level` are true if there is
        `any`.
    follows : In this cycle `behind` becomes the best level.
    moved, moved_instrument, moved_side : The best of that side becomes another in this cycle, or begins to be sought.
    improved : It is the better price of a level that appeared.
    moved_best : What it becomes, unless it begins to be sought.
    settled : All `bests` are true, but for a head while `settling`.
    settling : The head of the best that was sought comes in this cycle.
    ready : High once the memories are cleared after a reset.
    """

    def __init__(self, config: BookConfig, readers: int):
        self._config, self._readers = config, readers
        self._row_bits = exact_log2(config.ticks)
        self._level = level_layout(config)
        self._best = best_layout(config)
        line = unsigned(self._row_bits + 1)
        instrument = range(config.instruments)
        super().__init__(
            {
                "looked_at": In(data.ArrayLayout(instrument, readers)),
                "bests": Out(data.ArrayLayout(pair_layout(config), readers)),
                "resting": Out(config.instruments),
                "read_line": In(line),
                "read_enable": In(1),
                "level": Out(self._level),
                "change": In(change_layout(config)),
                "coming_instrument": In(instrument),
                "coming_side": In(1),
                "coming_window": In(PriceWindow),
                "search": In(stream.Signature(data.StructLayout({"instrument": instrument, "line": line}))),
                "search_window": In(PriceWindow),
                "found": Out(stream.Signature(found_layout(config))),
                "ahead": In(1),
                "behind": Out(
                    data.StructLayout({"any": 1, "line": line, "price_ticks": unsigned(32), "level": self._level})
                ),
                "follows": Out(1),
                "moved": Out(1),
                "moved_instrument": Out(instrument),
                "moved_side": Out(1),
                "improved": Out(1),
                "moved_best": Out(self._best),
                "settled": Out(1, init=1),
                "settling": Out(1),
                "ready": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.bests = bests = Bests(config, self._readers + 1)
        m.submodules.occupancy = occupancy = Occupancy(config.ticks, config.word_bits)
        levels = add_memory(m, "levels", shape=self._level, depth=2 * config.ticks, slice_bits=SLICE_BITS)
        read, write = levels.read_port(), levels.write_port()

        change = self.change
        clear = Signal(range(2 * config.ticks))
        cleared = Signal()
        m.d.comb += [
            self.ready.eq(cleared & occupancy.ready),
            occupancy.update.valid.eq(change.enable & (change.appeared | change.vanished)),
            occupancy.update.payload.line.eq(change.line),
            occupancy.update.payload.occupied.eq(change.appeared),
            read.addr.eq(self.read_line),
            read.en.eq(self.read_enable),
            self.level.eq(read.data),
        ]
        with m.If(~cleared):
            m.d.sync += [clear.eq(clear + 1), cleared.eq(clear == 2 * config.ticks - 1)]
            m.d.comb += [write.addr.eq(clear), write.en.eq(1)]
        with m.Else():
            m.d.comb += [write.addr.eq(change.line), write.data.eq(change.level), write.en.eq(change.enable)]

        # Best prices follow every change; where the best level vanished, the one behind it follows, once it is found
        # and its level read.
        side = change.line[-1]
        best = Signal(self._best)  # of the side that changes
        better = Mux(side, change.price_ticks < best.price_ticks, change.price_ticks > best.price_ticks)
        is_best = best.any & (change.line == best.line)
        vanishes = Signal()
        behind, behind_level = self.behind, Signal(self._level)
        known, shown = Signal(), Signal()  # `behind` is found and read; in this cycle its level comes
        vacant = Signal()  # the best is sought: that of
        sought_instrument, sought_side = Signal.like(change.instrument), Signal()
        refilled = Signal()  # it has price and line from the next cycle on
        refill_any, refill_price_ticks, refill_line = (
            Signal(),
            Signal.like(best.price_ticks),
            Signal.like(best.line),
        )
        moved = Signal()  # `moved_best` is true
        same_side = (self.coming_instrument == self.moved_instrument) & (self.coming_side == self.moved_side)
        m.d.comb += [
            vanishes.eq(change.enable & change.vanished),
            behind.level.eq(Mux(shown, read.data, behind_level)),
            self.follows.eq((known | shown) & (vacant | vanishes)),
            self.settling.eq(shown & vacant),
            self.improved.eq(change.enable & change.appeared & (~best.any | better)),
            self.moved.eq(
                self.improved
                | (change.enable & is_best & (change.vanished | (change.level.head != best.head)))
                | self.settling
            ),
            self.moved_instrument.eq(Mux(vacant, sought_instrument, change.instrument)),
            self.moved_side.eq(Mux(vacant, sought_side, side)),
            moved.eq(self.improved | (change.enable & is_best) | self.settling),
        ]
        with m.If(self.follows):
            m.d.comb += [
                self.moved_best.any.eq(behind.any),
                self.moved_best.price_ticks.eq(behind.price_ticks),
                self.moved_best.line.eq(behind.line),
                self.moved_best.head.eq(behind.level.head),
            ]
        with m.Else():
            m.d.comb += [
                self.moved_best.any.eq(1),
                self.moved_best.price_ticks.eq(change.price_ticks),
                self.moved_best.line.eq(change.line),
                self.moved_best.head.eq(change.level.head),
            ]
        *looked_at, coming = bests.looked_at
        *shown_bests, coming_bests = bests.bests
        m.d.comb += [
            *(inner.eq(outer) for inner, outer in zip(looked_at, self.looked_at, strict=True)),
            *(outer.eq(inner) for inner, outer in zip(shown_bests, self.bests, strict=True)),
            coming.eq(self.coming_instrument),
            self.resting.eq(bests.resting),
            # What is sought and found while a taker trades is that of the level which vanishes in this very cycle.
            bests.write.enable.eq(moved | refilled),
            bests.write.instrument.eq(Mux(refilled, sought_instrument, self.moved_instrument)),
            bests.write.side.eq(Mux(refilled, sought_side, self.moved_side)),
            bests.write.best.eq(self.moved_best),
        ]
        with m.If(refilled):
            m.d.comb += [
                bests.write.best.any.eq(refill_any),
                bests.write.best.price_ticks.eq(refill_price_ticks),
                bests.write.best.line.eq(refill_line),
            ]
        with m.If(moved & same_side):
            m.d.sync += best.eq(self.moved_best)
        with m.Else():
            m.d.sync += best.eq(coming_bests[self.coming_side])

        # One search at a time, for the best, for the taker or for the engine. It may still find what has vanished in
        # the cycle in which it began, where nothing else is there. Nothing else is freed while it is under way but the
        # line that it started from.
        search, found = occupancy.search, occupancy.found
        # Where a change is, and whose search it is, stands a cycle before.
        instrument = Signal.like(change.instrument)
        change_window, search_window = Signal(PriceWindow), Signal(PriceWindow)
        starting, window = Signal(PriceWindow), Signal(PriceWindow)
        m.d.sync += [
            change_window.eq(self.coming_window),
            search_window.eq(self.search_window),
        ]
        vanished, vanished_line = Signal(), Signal.like(change.line)
        m.d.comb += [
            instrument.eq(Mux(change.enable, change.instrument, self.search.payload.instrument)),
            search.payload.line.eq(
                Mux(
                    known | shown,
                    behind.line,
                    Mux(change.enable & change.vanished, change.line, self.search.payload.line),
                )
            ),
            starting.eq(Mux(change.enable, change_window, search_window)),
            search.payload.window_log2.eq(starting.log2),
            refill_any.eq(found.payload.any & ~(vanished & (found.payload.line == vanished_line))),
            refill_price_ticks.eq(price_at(window, found.payload.line, self._row_bits)),
            refill_line.eq(found.payload.line),
            self.found.payload.any.eq(refill_any),
            self.found.payload.price_ticks.eq(refill_price_ticks),
            self.found.payload.line.eq(refill_line),
        ]
        with m.If(search.valid & search.ready):
            m.d.sync += [
                window.eq(starting),
                sought_instrument.eq(instrument),
                sought_side.eq(search.payload.line[-1]),
                vanished.eq(vanishes),
                vanished_line.eq(change.line),
            ]
        with m.FSM():
            with m.State("REST"):
                unknown = vanishes & is_best & ~known
                m.d.sync += [known.eq(known & self.ahead & ~vanishes), vacant.eq(unknown), self.settled.eq(~unknown)]
                with m.If(unknown | (self.ahead & (~known | vanishes))):
                    m.d.comb += search.valid.eq(1)
                    m.next = "SEARCH"
                with m.Else():
                    m.d.comb += [
                        search.valid.eq(self.search.valid),
                        self.search.ready.eq(search.ready),
                        self.found.valid.eq(found.valid),
                        found.ready.eq(self.found.ready),
                    ]
            with m.State("SEARCH"):
                m.d.comb += found.ready.eq(vacant | self.ahead)
                with m.If(vanishes):
                    m.d.sync += [vacant.eq(1), self.settled.eq(0)]
                with m.Elif(~vacant & ~self.ahead):
                    m.d.comb += occupancy.drop.eq(1)
                    m.next = "REST"
                with m.If(found.valid & found.ready):
                    m.d.sync += [
                        behind.any.eq(refill_any),
                        behind.price_ticks.eq(refill_price_ticks),
                        behind.line.eq(refill_line),
                        self.settled.eq(1),
                    ]
                    m.d.comb += [
                        refilled.eq(vacant | vanishes),
                        read.addr.eq(refill_line),
                        read.en.eq(1),
                    ]
                    m.next = "LEVEL"
            with m.State("LEVEL"):
                m.d.comb += shown.eq(1)
                m.d.sync += [
                    behind_level.eq(read.data),
                    known.eq(self.ahead & ~self.follows),
                    vacant.eq(0),
                ]
                m.next = "REST"
                with m.If(self.ahead & self.follows):
                    m.d.comb += search.valid.eq(1)
                    m.next = "SEARCH"
        return m
