"""The best prices of the instruments."""

from amaranth.hdl import Cat, Module, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import BookConfig


def best_layout(config: BookConfig) -> data.StructLayout:
    """The best price of one side of one instrument, its line of the ladder, and the first order there."""
    return data.StructLayout(
        {
            "any": 1,
            "price_ticks": unsigned(32),
            "line": unsigned(exact_log2(config.ticks) + 1),
            "head": unsigned(exact_log2(config.orders)),
        }
    )


def pair_layout(config: BookConfig) -> data.ArrayLayout:
    """The best bid and the best ask of an instrument."""
    return data.ArrayLayout(best_layout(config), 2)


class Bests(wiring.Component):
    """Best bid and best ask of each instrument, in LUT RAM: a choice among registers would be several times as large.

    Parameters
    ----------
    config : Sizes.
    readers : How many look at once.

    Attributes
    ----------
    write : In this cycle the `best` of a `side` of `instrument` is told.
    looked_at, bests : For each reader, an instrument and its best prices, in the same cycle. After a reset there is not
        `any`.
    resting : A bit an instrument: it has a best price.
    """

    def __init__(self, config: BookConfig, readers: int):
        self._config, self._readers = config, readers
        instrument = range(config.instruments)
        write = {"enable": 1, "instrument": instrument, "side": 1, "best": best_layout(config)}
        super().__init__(
            {
                "write": In(data.StructLayout(write)),
                "looked_at": In(data.ArrayLayout(instrument, readers)),
                "bests": Out(data.ArrayLayout(pair_layout(config), readers)),
                "resting": Out(config.instruments),
            }
        )

    def elaborate(self, platform):
        m = Module()
        count = self._config.instruments
        write, best = self.write, best_layout(self._config)
        kept = data.StructLayout({name: shape for name, shape in best.members.items() if name != "any"})
        any_of = [Signal(count, name=f"any_{side}") for side in ("bid", "ask")]
        m.d.comb += self.resting.eq(any_of[0] | any_of[1])
        for side, any_best in enumerate(any_of):
            m.submodules[f"rows_{side}"] = rows = Memory(shape=kept, depth=count, init=[])
            port, here = rows.write_port(), write.enable & (write.side == side)
            m.d.comb += [
                port.en.eq(here),
                port.addr.eq(write.instrument),
                port.data.eq(Cat(Value.cast(write.best[name]) for name in kept.members)),
            ]
            with m.If(here):
                m.d.sync += any_best.bit_select(write.instrument, 1).eq(write.best.any)
            for reader in range(self._readers):
                read, shown = rows.read_port(domain="comb"), self.bests[reader][side]
                m.d.comb += [
                    read.addr.eq(self.looked_at[reader]),
                    shown.any.eq(any_best.bit_select(read.addr, 1)),
                    *(shown[name].eq(read.data[name]) for name in kept.members),
                ]
        return m
