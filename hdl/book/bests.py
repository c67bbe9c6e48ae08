"""The best prices of the instruments."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import BookConfig
from ..table import Table


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
    """Best bid and best ask of each instrument.

    Parameters
    ----------
    config : Sizes.
    readers : How many look at once.

    Attributes
    ----------
    write : While `enable` the best of `side` (0: bid, 1: ask) of `instrument` becomes `best`, to be seen from the next
        cycle on.
    looked_at, bests : For each reader, an instrument and its best prices, in the same cycle. After a reset there is not
        `any`; the other fields are anything until they are written.
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
        # A reset leaves a table as it is: whether there is any stands in registers.
        any_of = [Signal(count, name=f"any_{side}") for side in ("bid", "ask")]
        m.d.comb += self.resting.eq(any_of[0] | any_of[1])
        for side, any_best in enumerate(any_of):
            m.submodules[f"rows_{side}"] = rows = Table(kept, count, self._readers)
            here = write.enable & (write.side == side)
            m.d.comb += [
                rows.looked_at.eq(self.looked_at),
                rows.write.enable.eq(here),
                rows.write.address.eq(write.instrument),
                *(rows.write.row[name].eq(write.best[name]) for name in kept.members),
            ]
            with m.If(here):
                m.d.sync += any_best.bit_select(write.instrument, 1).eq(write.best.any)
            for looked_at, row, shown in zip(self.looked_at, rows.rows, self.bests, strict=True):
                m.d.comb += [
                    shown[side].any.eq(any_best.bit_select(looked_at, 1)),
                    *(shown[side][name].eq(row[name]) for name in kept.members),
                ]
        return m
