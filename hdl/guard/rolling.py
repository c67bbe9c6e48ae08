"""The trades of an instrument: two rolling windows, the last few trades, and the band in force.

A row an instrument is in LUT RAM, so that it is read in the cycle in which a trade comes, and written in the next. Only
the bucket that is being filled and the sum of all are in it; a bucket that has ended goes to a memory of its own,
and those that remain are read again for what they have in common.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..beats import Traded
from ..bits import COLLISIONS_UNUSED
from ..config import BookConfig
from ..protocol.commands import SetDynamicBand

SLOTS = 64
"""Buckets of a window at most, and trades for the mean of the last."""

SHORT, LONG = 0, 1


class Bucket(data.Struct):
    """Trades of a stretch of time: how many, the lowest and highest price, and the sum of all prices."""

    trades: unsigned(40)
    low_ticks: unsigned(32)
    high_ticks: unsigned(32)
    sum_ticks: unsigned(72)


class Window(data.Struct):
    """A rolling window.

    Attributes
    ----------
    on : It has been set.
    holds : It holds a trade.
    width_ticks, bucket_ns, buckets : As they were set.
    slot : Where the bucket goes that is being filled.
    ended : How many buckets before it still count.
    deadline_ns : When it ends, while the window holds a trade.
    all, filling : All trades of the window, and those of the bucket that is being filled.
    """

    on: 1
    holds: 1
    width_ticks: unsigned(32)
    bucket_ns: unsigned(42)
    buckets: unsigned(7)
    slot: unsigned(6)
    ended: unsigned(6)
    deadline_ns: unsigned(64)
    all: Bucket
    filling: Bucket


class Row(data.Struct):
    """What is known of the trades of an instrument.

    Attributes
    ----------
    windows : The short and the long one.
    banded, lower_ticks, upper_ticks : Its static band.
    last_log2 : Two to this many trades are the last ones.
    last_trades, last_sum_ticks : How many of them there are, and their sum.
    last_slot : Where the next one goes.
    """

    windows: data.ArrayLayout(Window, 2)
    banded: 1
    lower_ticks: unsigned(32)
    upper_ticks: unsigned(32)
    last_log2: unsigned(3)
    last_trades: unsigned(7)
    last_sum_ticks: unsigned(38)
    last_slot: unsigned(6)


def together(some, others) -> Value:
    """The trades of two buckets."""
    low = Mux((some.trades != 0) & (some.low_ticks <= others.low_ticks), some.low_ticks, others.low_ticks)
    high = Mux((some.trades != 0) & (some.high_ticks >= others.high_ticks), some.high_ticks, others.high_ticks)
    both = Cat((some.trades + others.trades)[:40], low, high, (some.sum_ticks + others.sum_ticks)[:72])
    return Mux(others.trades == 0, Value.cast(some), both)


def windows_of(row) -> list:
    """The short and the long one."""
    return [row.windows[SHORT], row.windows[LONG]]


def emptied(row) -> list:
    """Statements that empty both windows."""
    return [field.eq(0) for each in windows_of(row) for field in (each.holds, each.ended, each.all, each.filling)]


class Ask(enum.Enum, shape=4):
    """What the breaker asks for.

    LOAD: nothing, but to see the row. RESET: nothing is known. BAND: another static band. WINDOWS: others, empty.
    LAST: the last trades count anew. EMPTY: the windows are. TRADE: an auction's. END: a bucket is over.
    """

    LOAD = 1
    RESET = 2
    BAND = 3
    WINDOWS = 4
    LAST = 5
    EMPTY = 6
    TRADE = 7
    END = 8


class Rolling(wiring.Component):
    """See the module. Rules: `docs/circuit-breaker.md`.

    Parameters
    ----------
    config : Sizes.

    Attributes
    ----------
    traded : Stream in: trades. One in two cycles, of an instrument with dynamic bands one in six. Those of auctions
        are passed over: the breaker asks for them.
    ask : Stream in: what the breaker asks for (`what`, of `instrument`). `lower_ticks`, `upper_ticks`: the static
        band. `command`: the windows. `last_log2`. `price_ticks`, `time_ns`: of the trade. `long`: which bucket is over.
    done : In this cycle what was asked for is through.
    row, lower_ticks, upper_ticks : The row and band in force of the instrument of the last ask, until the next trade.
    force : In this cycle the band in force of an instrument is found.
    retimed : For each instrument, whether a trade has started or stopped its windows.
    retiming : Takes those out of `retimed`.
    settled : No trade is at work.
    """

    def __init__(self, config: BookConfig):
        self._config = config
        self._index = unsigned(ceil_log2(config.instruments))
        ask = data.StructLayout(
            {
                "what": Ask,
                "instrument": 8,
                "lower_ticks": 32,
                "upper_ticks": 32,
                "command": SetDynamicBand,
                "last_log2": 3,
                "price_ticks": 32,
                "time_ns": 64,
                "long": 1,
            }
        )
        force = data.StructLayout({"enable": 1, "instrument": self._index, "lower_ticks": 32, "upper_ticks": 32})
        super().__init__(
            {
                "traded": In(stream.Signature(Traded)),
                "ask": In(stream.Signature(ask)),
                "done": Out(1),
                "row": Out(Row),
                "lower_ticks": Out(32),
                "upper_ticks": Out(32),
                "force": Out(force),
                "retimed": Out(config.instruments),
                "retiming": In(config.instruments),
                "settled": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.rows = rows = Memory(shape=Row, depth=config.instruments, init=[])
        m.submodules.buckets = buckets = Memory(
            shape=Bucket, depth=config.instruments * 2 * SLOTS, init=[], attrs=COLLISIONS_UNUSED
        )
        m.submodules.last = last = Memory(
            shape=unsigned(32), depth=config.instruments * SLOTS, init=[], attrs=COLLISIONS_UNUSED
        )
        write_row, read_row = rows.write_port(), rows.read_port(domain="comb")
        write_bucket, read_bucket = buckets.write_port(), buckets.read_port()
        write_last, read_last = last.write_port(), last.read_port()

        row = self.row
        index = Signal(self._index)
        asked = Signal()  # the breaker waits
        price_ticks, time_ns = Signal(32), Signal(64)
        ask, trade = self.ask.payload, self.traded.payload
        long = ask.long
        window = row.windows[long]
        dynamic = row.banded & Cat(each.on & (each.width_ticks != 0) for each in windows_of(row)).any()

        # Where the trade was noted that is not among the last ones any more.
        gone = (read_row.data.last_slot - (1 << read_row.data.last_log2))[:6]
        leaves = row.last_trades == (1 << row.last_log2)
        one, counted = Signal(Bucket), Signal(Row)  # this trade; the row with it
        starts = Cat(each.on & ~each.holds for each in windows_of(row)).any()
        m.d.comb += [
            read_row.addr.eq(Mux(self.ask.valid, ask.instrument, trade.instrument)),
            read_last.addr.eq(Cat(gone, read_row.addr)),
            write_row.addr.eq(index),
            write_row.data.eq(row),
            write_last.addr.eq(Cat(row.last_slot, index)),
            write_last.data.eq(price_ticks),
            write_bucket.addr.eq(Cat(window.slot, long, index)),
            write_bucket.data.eq(window.filling),
            one.trades.eq(1),
            one.low_ticks.eq(price_ticks),
            one.high_ticks.eq(price_ticks),
            one.sum_ticks.eq(price_ticks),
            counted.eq(row),
            counted.last_slot.eq(row.last_slot + 1),
            counted.last_trades.eq(Mux(leaves, row.last_trades, row.last_trades + 1)),
            counted.last_sum_ticks.eq(row.last_sum_ticks + price_ticks - Mux(leaves, read_last.data, 0)),
        ]
        for each, was in zip(windows_of(counted), windows_of(row), strict=True):
            with m.If(was.on):
                m.d.comb += [
                    each.holds.eq(1),
                    each.all.eq(together(was.all, one)),
                    each.filling.eq(together(was.filling, one)),
                ]
                with m.If(~was.holds):
                    m.d.comb += each.deadline_ns.eq(time_ns + was.bucket_ns)

        # A bucket ends: those that remain.
        slot, ahead, behind = Signal(6), Signal(6), Signal()
        remaining = Signal(Bucket)
        m.d.comb += read_bucket.addr.eq(Cat(slot, long, index))

        lows, highs = [Signal(33, name=f"low_{n}") for n in "sl"], [Signal(33, name=f"high_{n}") for n in "sl"]
        for each, low, high in zip(windows_of(row), lows, highs, strict=True):
            bounds = each.on & each.holds & (each.width_ticks != 0)
            floor = Mux(each.all.high_ticks > each.width_ticks, each.all.high_ticks - each.width_ticks, 0)
            m.d.sync += [low.eq(Mux(bounds, floor, 0)), high.eq(Mux(bounds, each.all.low_ticks + each.width_ticks, ~0))]

        m.d.sync += self.retimed.eq(self.retimed & ~self.retiming)
        with m.FSM() as fsm:
            m.d.comb += self.settled.eq(fsm.ongoing("READY"))
            with m.State("READY"):
                m.d.sync += [asked.eq(0), behind.eq(0), remaining.eq(0)]
                with m.If(self.ask.valid):
                    m.d.sync += [row.eq(read_row.data), index.eq(ask.instrument), asked.eq(1)]
                    m.next = "ASKED"
                with m.Elif(self.traded.valid):
                    m.d.comb += self.traded.ready.eq(1)
                    with m.If(~trade.auction):
                        m.d.sync += [
                            row.eq(read_row.data),
                            index.eq(trade.instrument),
                            price_ticks.eq(trade.price_ticks),
                            time_ns.eq(trade.time_ns),
                        ]
                        m.next = "TRADE"
            with m.State("TRADE"):
                m.d.sync += row.eq(counted)
                m.d.comb += [write_last.en.eq(1), write_row.data.eq(counted), write_row.en.eq(1)]
                with m.If(starts & ~asked):
                    m.d.sync += self.retimed.bit_select(index, 1).eq(1)
                m.next = "READY"
                with m.If(asked | dynamic):
                    m.next = "BOUND"
            with m.State("ASKED"):
                m.next = "BOUND"
                with m.Switch(ask.what):
                    with m.Case(Ask.RESET):
                        m.d.sync += row.eq(0)
                    with m.Case(Ask.BAND):
                        m.d.sync += [
                            row.banded.eq(1),
                            row.lower_ticks.eq(ask.lower_ticks),
                            row.upper_ticks.eq(ask.upper_ticks),
                        ]
                    with m.Case(Ask.WINDOWS):
                        for each, name in zip(windows_of(row), ("short", "long"), strict=True):
                            width, us, number = (
                                ask.command[f"{name}_{field}"] for field in ("width_ticks", "bucket_us", "buckets")
                            )
                            m.d.sync += [
                                each.eq(0),
                                each.on.eq(number != 0),
                                each.width_ticks.eq(width),
                                each.bucket_ns.eq(us * 1000),
                                each.buckets.eq(number),
                            ]
                    with m.Case(Ask.LAST):
                        m.d.sync += [
                            row.last_log2.eq(ask.last_log2),
                            row.last_trades.eq(0),
                            row.last_sum_ticks.eq(0),
                        ]
                    with m.Case(Ask.EMPTY):
                        m.d.sync += emptied(row)
                    with m.Case(Ask.TRADE):
                        m.d.sync += [price_ticks.eq(ask.price_ticks), time_ns.eq(ask.time_ns)]
                        m.d.comb += read_last.addr.eq(Cat((row.last_slot - (1 << row.last_log2))[:6], index))
                        m.next = "TRADE"
                    with m.Case(Ask.END):
                        counts = Mux(window.ended + 1 < window.buckets, window.ended + 1, window.ended)
                        m.d.comb += write_bucket.en.eq(1)
                        m.d.sync += [
                            slot.eq(window.slot),
                            window.slot.eq(window.slot + 1),
                            window.ended.eq(counts),
                            ahead.eq(counts),
                            window.filling.eq(0),
                            window.deadline_ns.eq(window.deadline_ns + window.bucket_ns),
                        ]
                        m.next = "REMAIN_READ"
            with m.State("REMAIN_READ"):
                m.d.sync += [slot.eq(slot - 1), behind.eq(ahead != 0), ahead.eq(Mux(ahead == 0, 0, ahead - 1))]
                with m.If(behind):
                    m.d.sync += remaining.eq(together(remaining, read_bucket.data))
                with m.If(~behind & (ahead == 0)):
                    m.d.sync += window.all.eq(remaining)
                    with m.If(remaining.trades == 0):
                        m.d.sync += [window.holds.eq(0), window.ended.eq(0)]
                    m.next = "BOUND"
            with m.State("BOUND"):
                m.d.sync += [self.lower_ticks.eq(row.lower_ticks), self.upper_ticks.eq(row.upper_ticks)]
                m.next = "FORCE_SHORT"
            for low, high, state, then in (
                (lows[SHORT], highs[SHORT], "FORCE_SHORT", "FORCE_LONG"),
                (lows[LONG], highs[LONG], "FORCE_LONG", "PART"),
            ):
                with m.State(state):
                    with m.If(low > self.lower_ticks):
                        m.d.sync += self.lower_ticks.eq(low)
                    with m.If(high < self.upper_ticks):
                        m.d.sync += self.upper_ticks.eq(high)
                    m.next = then
            with m.State("PART"):
                # Windows that leave no band in force are emptied.
                parts = row.banded & (self.lower_ticks > self.upper_ticks)
                m.d.comb += write_row.en.eq(1)
                with m.If(parts):
                    m.d.comb += emptied(write_row.data)
                    m.d.sync += emptied(row)
                    m.d.sync += [self.lower_ticks.eq(row.lower_ticks), self.upper_ticks.eq(row.upper_ticks)]
                    with m.If(~asked):
                        m.d.sync += self.retimed.bit_select(index, 1).eq(1)
                m.d.comb += [
                    self.force.enable.eq(row.banded),
                    self.force.instrument.eq(index),
                    self.force.lower_ticks.eq(Mux(parts, row.lower_ticks, self.lower_ticks)),
                    self.force.upper_ticks.eq(Mux(parts, row.upper_ticks, self.upper_ticks)),
                    self.done.eq(asked),
                    self.ask.ready.eq(asked),
                ]
                m.next = "READY"
        return m
