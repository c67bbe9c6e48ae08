"""The price levels of both sides, indexed by tick, and which of them is best for each instrument.

The rows of the bid side run backwards (row = complement of the price), so that on both sides a worse price is the next
row up, in circular order within the instrument's window.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import BookConfig
from .occupancy import Occupancy


class Window(data.Struct):
    """Where an instrument's prices lie: `base_ticks` and two to the `log2` ticks, in ladder rows from `offset` on."""

    base_ticks: unsigned(32)
    offset: unsigned(16)
    log2: unsigned(5)


class Best(data.Struct):
    """The best price of one side of one instrument."""

    any: 1
    price_ticks: unsigned(32)


def level_layout(config: BookConfig) -> data.StructLayout:
    """A price level: first and last order, and the sum of open quantities, zero when the level is empty.

    The sum has room for every slot of the pool at the largest quantity.
    """
    token = unsigned(exact_log2(config.orders))
    return data.StructLayout({"head": token, "tail": token, "quantity_lots": unsigned(32 + exact_log2(config.orders))})


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

    Attributes
    ----------
    set_window : `window` becomes that of `instrument` while `enable`; it must hold no order.
    instrument : Whose `window` and `best` are shown, and whose levels `change` and `search` mean.
    window : Its window.
    best : Its best bid and best ask.
    resting : For each instrument, whether any order rests.
    read_line : Line to read while `read_enable`; `level` holds that level from the next cycle on, until the next read.
        A level changed in the same cycle is read as it was before.
    change : Stream in: the level at `line`, with price `price_ticks`, becomes `level`; it `appeared` if it was empty
        before, and `vanished` if it is empty now. When the best level vanished, the ladder is unsettled until it has
        found the next one.
    search : Stream in: asks for the level behind `line` in order of price, circularly.
    found : Stream out: the answer: whether there is `any`, its `line` and `price_ticks`.
    settled : `best` and `resting` are up to date, and `change` is ready unless a search is under way.
    ready : High once the memories are cleared after a reset.
    """

    def __init__(self, config: BookConfig):
        self._config = config
        self._row_bits = exact_log2(config.ticks)
        self._level = level_layout(config)
        line = unsigned(self._row_bits + 1)
        instrument = range(config.instruments)
        super().__init__(
            {
                "set_window": In(data.StructLayout({"enable": 1, "instrument": instrument, "window": Window})),
                "instrument": In(instrument),
                "window": Out(Window),
                "best": Out(data.ArrayLayout(Best, 2)),
                "resting": Out(config.instruments),
                "read_line": In(line),
                "read_enable": In(1),
                "level": Out(self._level),
                "change": In(
                    stream.Signature(
                        data.StructLayout(
                            {
                                "line": line,
                                "price_ticks": unsigned(32),
                                "level": self._level,
                                "appeared": 1,
                                "vanished": 1,
                            }
                        )
                    )
                ),
                "search": In(stream.Signature(line)),
                "found": Out(
                    stream.Signature(data.StructLayout({"line": line, "price_ticks": unsigned(32), "any": 1}))
                ),
                "settled": Out(1),
                "ready": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.occupancy = occupancy = Occupancy(config.ticks, config.word_bits)
        m.submodules.levels = levels = Memory(shape=self._level, depth=2 * config.ticks, init=[])
        read, write = levels.read_port(), levels.write_port()

        windows = Signal(data.ArrayLayout(Window, config.instruments))
        bests = Signal(data.ArrayLayout(data.ArrayLayout(Best, 2), config.instruments))
        m.d.comb += [
            self.window.eq(windows[self.instrument]),
            self.best.eq(bests[self.instrument]),
            self.resting.eq(Cat(bests[index][0].any | bests[index][1].any for index in range(config.instruments))),
        ]
        with m.If(self.set_window.enable):
            m.d.sync += windows[self.set_window.instrument].eq(self.set_window.window)

        change = self.change.payload
        side = change.line[-1]
        price_ticks = change.price_ticks
        best = bests[self.instrument][side]
        refilling = Signal()  # the best level vanished: the next one is being looked for
        refill_side = Signal()
        refill_instrument = Signal.like(self.instrument)
        changing = Signal()

        clear = Signal(range(2 * config.ticks))
        cleared = Signal()
        m.d.comb += [
            self.ready.eq(cleared & occupancy.ready),
            self.settled.eq(~refilling),
            self.change.ready.eq(self.ready & ~refilling & occupancy.update.ready),
            changing.eq(self.change.valid & self.change.ready),
            read.addr.eq(self.read_line),
            read.en.eq(self.read_enable),
            self.level.eq(read.data),
        ]
        with m.If(~cleared):
            m.d.sync += [clear.eq(clear + 1), cleared.eq(clear == 2 * config.ticks - 1)]
            m.d.comb += [write.addr.eq(clear), write.en.eq(1)]
        with m.Else():
            m.d.comb += [write.addr.eq(change.line), write.data.eq(change.level), write.en.eq(changing)]

        m.d.comb += [
            occupancy.update.valid.eq(
                self.change.valid & self.ready & ~refilling & (change.appeared | change.vanished)
            ),
            occupancy.update.payload.line.eq(change.line),
            occupancy.update.payload.occupied.eq(change.appeared),
        ]
        with m.If(changing):
            with m.If(change.appeared):
                better = Mux(side, price_ticks < best.price_ticks, price_ticks > best.price_ticks)
                with m.If(~best.any | better):
                    m.d.sync += [best.any.eq(1), best.price_ticks.eq(price_ticks)]
            with m.Elif(change.vanished & (price_ticks == best.price_ticks)):
                m.d.sync += [refilling.eq(1), refill_side.eq(side), refill_instrument.eq(self.instrument)]

        # One search engine: the ladder's own search for the next best goes first.
        searching = Signal()
        window = Signal(Window)
        found_price_ticks = price_at(window, occupancy.found.payload.line, self._row_bits)
        refill_line = Signal(self._row_bits + 1)
        m.d.comb += [
            window.eq(windows[Mux(refilling, refill_instrument, self.instrument)]),
            refill_line.eq(
                line_of(window, refill_side, bests[refill_instrument][refill_side].price_ticks, self._row_bits)
            ),
            occupancy.search.payload.window_log2.eq(window.log2),
            occupancy.search.payload.line.eq(Mux(refilling, refill_line, self.search.payload)),
            occupancy.search.valid.eq(Mux(refilling, ~searching, self.search.valid)),
            self.search.ready.eq(~refilling & occupancy.search.ready),
            self.found.payload.line.eq(occupancy.found.payload.line),
            self.found.payload.price_ticks.eq(found_price_ticks),
            self.found.payload.any.eq(occupancy.found.payload.any),
            self.found.valid.eq(occupancy.found.valid & ~refilling),
            occupancy.found.ready.eq(refilling | self.found.ready),
        ]
        with m.If(refilling):
            with m.If(occupancy.search.ready & ~searching):
                m.d.sync += searching.eq(1)
            with m.If(occupancy.found.valid):
                refilled = bests[refill_instrument][refill_side]
                m.d.sync += [
                    refilled.any.eq(occupancy.found.payload.any),
                    refilled.price_ticks.eq(found_price_ticks),
                    searching.eq(0),
                    refilling.eq(0),
                ]
        return m
