"""The buckets that rolling windows are made of, in block RAM."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from ..bits import COLLISIONS_UNUSED

SLOTS = 64
"""Buckets of a window at most."""


class Bucket(data.Struct):
    """Trades of a stretch of time: how many, the lowest and highest price, and the sum of all prices."""

    trades: unsigned(40)
    low_ticks: unsigned(32)
    high_ticks: unsigned(32)
    sum_ticks: unsigned(72)


def together(some, others) -> Value:
    """The trades of two buckets."""
    low = Mux((some.trades != 0) & (some.low_ticks <= others.low_ticks), some.low_ticks, others.low_ticks)
    high = Mux((some.trades != 0) & (some.high_ticks >= others.high_ticks), some.high_ticks, others.high_ticks)
    both = Cat((some.trades + others.trades)[:40], low, high, (some.sum_ticks + others.sum_ticks)[:72])
    return Mux(others.trades == 0, Value.cast(some), both)


def single(price_ticks: Value) -> data.View:
    """The bucket of one trade; a price has 32 bits."""
    return data.View(Bucket, Cat(Const(1, 40), price_ticks, price_ticks, price_ticks, Const(0, 40)))


class Buckets(wiring.Component):
    """The buckets of several windows. What begins in a cycle is through two cycles later, while the next may begin.

    Parameters
    ----------
    windows : How many.

    Attributes
    ----------
    window, slot : A bucket.
    bucket : That of two cycles before.
    counts : In this cycle a trade begins to be added to it.
    price_ticks : Of the trade, two cycles later.
    fresh : Nothing counts of what the bucket held before.
    clears : In this cycle the bucket begins to be emptied.
    """

    def __init__(self, windows: int):
        self._windows = windows
        super().__init__(
            {
                "window": In(ceil_log2(windows)),
                "slot": In(exact_log2(SLOTS)),
                "bucket": Out(Bucket),
                "counts": In(1),
                "price_ticks": In(32),
                "fresh": In(1),
                "clears": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(
            shape=Bucket, depth=self._windows * SLOTS, init=[], attrs=COLLISIONS_UNUSED
        )
        write, read = memory.write_port(), memory.read_port()
        at = Cat(self.slot, self.window)
        arriving, arrived = (
            Signal(data.StructLayout({"at": len(at), "counts": 1, "fresh": 1, "clears": 1}), name=name)
            for name in ("arriving", "arrived")
        )
        m.d.sync += [
            arriving.eq(Cat(at, self.counts, self.fresh, self.clears)),
            arrived.eq(arriving),
            self.bucket.eq(Mux(arriving.fresh, 0, read.data)),
        ]
        m.d.comb += [
            read.addr.eq(at),
            write.en.eq(arrived.counts | arrived.clears),
            write.addr.eq(arrived.at),
            write.data.eq(Mux(arrived.clears, 0, together(self.bucket, single(self.price_ticks)))),
        ]
        return m
