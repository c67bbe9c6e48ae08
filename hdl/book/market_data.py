"""Market data: tells an instrument's best prices after a command that changed them or their quantities."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from ..bits import lowest_set
from ..config import BookConfig
from .bests import pair_layout
from .ladder import level_layout


class Top(data.Struct):
    """Prices and quantities as in `hdl.protocol.reports.TopOfBook`."""

    bid_price_ticks: unsigned(32)
    ask_price_ticks: unsigned(32)
    bid_quantity_lots: unsigned(64)
    ask_quantity_lots: unsigned(64)


def follow_layout(config: BookConfig) -> data.StructLayout:
    """A switch of market data: that of `instrument` is `told` from now on, or not, while `enable`."""
    return data.StructLayout({"enable": 1, "instrument": range(config.instruments), "told": 1})


class MarketData(wiring.Component):
    """Tells the top of book, one instrument after the other, lowest first, between two commands.

    Parameters
    ----------
    config : Sizes.

    Attributes
    ----------
    follow : `instrument` is told from now on, or not, while `enable`; nothing of it has been told yet.
    changed, changed_instrument : A level of that instrument changes.
    due : Something may have to be told: no command may be carried out.
    free : Between two commands: the ladder's read port is free, and all bests are true.
    bests : Of `instrument`.
    level : From the ladder.
    read_line, read_enable : Its read port, while free.
    telling, top, instrument : `top` of `instrument` has to be told, while `telling`.
    told : It is taken.
    """

    def __init__(self, config: BookConfig):
        self._config = config
        instrument = range(config.instruments)
        super().__init__(
            {
                "follow": In(follow_layout(config)),
                "changed": In(1),
                "changed_instrument": In(instrument),
                "due": Out(1),
                "free": In(1),
                "bests": In(pair_layout(config)),
                "level": In(level_layout(config)),
                "read_line": Out(exact_log2(config.ticks) + 1),
                "read_enable": Out(1),
                "telling": Out(1),
                "top": Out(Top),
                "instrument": Out(instrument),
                "told": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        count = self._config.instruments
        followed, dirty = Signal(count), Signal(count)
        instrument, top = self.instrument, self.top
        bid, ask = self.bests

        # What was told last.
        m.submodules.last_told = last_told = Memory(shape=Top, depth=count, init=[])
        read, write = last_told.read_port(domain="comb"), last_told.write_port()
        last, same = Signal(Top), Signal()
        cleaned = Signal(count)
        m.d.comb += [
            read.addr.eq(instrument),
            write.addr.eq(instrument),
            write.data.eq(top),
        ]
        with m.FSM():
            with m.State("REST"):
                _, first_dirty = lowest_set(Cat(dirty, *[0] * ((1 << ceil_log2(count)) - count)))
                m.d.sync += instrument.eq(first_dirty)
                with m.If(self.free & self.due):
                    m.next = "BID"
            with m.State("BID"):
                m.d.comb += [self.read_line.eq(bid.line), self.read_enable.eq(1)]
                m.d.sync += [
                    last.eq(read.data),
                    top.bid_price_ticks.eq(Mux(bid.any, bid.price_ticks, 0)),
                    top.ask_price_ticks.eq(Mux(ask.any, ask.price_ticks, 0)),
                ]
                with m.If(self.free):
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += [self.read_line.eq(ask.line), self.read_enable.eq(1)]
                m.d.sync += top.bid_quantity_lots.eq(Mux(bid.any, self.level.quantity_lots, 0))
                m.next = "BOTH"
            with m.State("BOTH"):
                m.d.sync += top.ask_quantity_lots.eq(Mux(ask.any, self.level.quantity_lots, 0))
                m.next = "COMPARE"
            with m.State("COMPARE"):
                m.d.sync += same.eq(top == last)
                m.next = "TELL"
            with m.State("TELL"):
                m.d.comb += self.telling.eq(~same)
                with m.If(same | self.told):
                    m.d.comb += [write.en.eq(1), cleaned.eq(1 << instrument)]
                    m.next = "REST"
        stays = dirty & ~cleaned
        m.d.sync += [
            dirty.eq(stays | (Mux(self.changed, 1 << self.changed_instrument, 0) & followed)),
            self.due.eq(stays.any() | (self.changed & followed.bit_select(self.changed_instrument, 1))),
        ]
        with m.If(self.follow.enable):
            m.d.sync += followed.bit_select(self.follow.instrument, 1).eq(self.follow.told)
            m.d.comb += [write.addr.eq(self.follow.instrument), write.data.eq(0), write.en.eq(1)]
        return m
