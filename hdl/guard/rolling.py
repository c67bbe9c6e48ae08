"""The trades of an instrument: two rolling windows, the last few trades, and the band in force.

A row an instrument and one a window are in LUT RAM. Whatever happens, a trade or what the breaker asks for, the
instrument's row is changed, then its short window and its long one, one at a time:

    READY -> CHANGE -> (REMAIN ->) STORE -> CHANGE -> (REMAIN ->) STORE -> NARROW -> PART

Buckets are in block RAM, the one that is being filled among them; when one is over, those that remain are read again
for what they have in common.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..beats import Traded
from ..bits import COLLISIONS_UNUSED
from ..config import BookConfig
from ..protocol.commands import SetDynamicBand
from .buckets import Bucket, Buckets, single, together
from .timers import Deadline

LAST_TRADES = 64
"""Trades for the mean of the last, at most."""

SHORT, LONG = 0, 1


class RollingWindow(data.Struct):
    """A rolling window.

    Attributes
    ----------
    on : It has been set.
    holds : It holds a trade.
    width_ticks, bucket_ns, buckets : As they were set.
    slot : Where the bucket is that is being filled.
    ended : How many buckets before it still count.
    deadline_ns : When it ends, while the window holds a trade.
    all : All trades of the window.
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


class Row(data.Struct):
    """What is known of the trades of an instrument beside its windows.

    Attributes
    ----------
    banded, lower_ticks, upper_ticks : Its static band.
    last_log2 : Two to this many trades are the last ones.
    last_trades, last_sum_ticks : How many of them there are, and their sum.
    last_slot : Where the next one goes.
    rolls, narrows : One of its windows is on; and has a width.
    """

    banded: 1
    lower_ticks: unsigned(32)
    upper_ticks: unsigned(32)
    last_log2: unsigned(3)
    last_trades: unsigned(7)
    last_sum_ticks: unsigned(38)
    last_slot: unsigned(6)
    rolls: 1
    narrows: 1


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
    traded : Stream in: trades. One in two cycles, one in five of an instrument with rolling windows, in seven if they
        have widths. Those of auctions are passed over: the breaker asks for them.
    ask : Stream in: what the breaker asks for (`what`, of `instrument`). `lower_ticks`, `upper_ticks`: the static
        band. `command`: the windows. `last_log2`. `price_ticks`, `time_ns`: of the trade. `long`: which bucket is over.
    done : In this cycle what was asked for is through.
    row, mean, lower_ticks, upper_ticks : The row, the long window's trades and the band in force of the instrument of
        the last ask, until the next trade.
    deadlines : When the buckets of its short and its long window end that are being filled; until the next ask.
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
                "mean": Out(data.StructLayout({"trades": 40, "sum_ticks": 72})),
                "lower_ticks": Out(32),
                "upper_ticks": Out(32),
                "deadlines": Out(data.ArrayLayout(Deadline, 2)),
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
        m.submodules.windows = windows = Memory(shape=RollingWindow, depth=config.instruments * 2, init=[])
        m.submodules.last = last = Memory(
            shape=unsigned(32), depth=config.instruments * LAST_TRADES, init=[], attrs=COLLISIONS_UNUSED
        )
        write_row, read_row = rows.write_port(), rows.read_port(domain="comb")
        write_window, read_window = windows.write_port(), windows.read_port(domain="comb")
        write_last, read_last = last.write_port(), last.read_port()

        row = self.row
        index = Signal(self._index)
        asked = Signal()  # the breaker waits
        what = Signal(Ask, init=Ask.LOAD)
        price_ticks, time_ns = Signal(32), Signal(64)
        ask, trade = self.ask.payload, self.traded.payload
        long = Signal()  # the window that is at work
        window = Signal(RollingWindow)

        # Where the trade was noted that is not among the last ones any more.
        gone = (read_row.data.last_slot - (1 << read_row.data.last_log2))[:6]
        leaves = row.last_trades == (1 << row.last_log2)
        changed = Signal(Row)
        m.d.comb += [
            read_row.addr.eq(Mux(self.ask.valid, ask.instrument, trade.instrument)),
            read_last.addr.eq(Cat(gone, read_row.addr)),
            write_row.addr.eq(index),
            write_row.data.eq(changed),
            write_last.addr.eq(Cat(row.last_slot, index)),
            write_last.data.eq(price_ticks),
            read_window.addr.eq(Cat(1, index)),
            write_window.addr.eq(Cat(long, index)),
            write_window.data.eq(window),
            self.mean.trades.eq(window.all.trades),
            self.mean.sum_ticks.eq(window.all.sum_ticks),
            changed.eq(row),
        ]
        command = ask.command
        buckets_set = [command.short_buckets != 0, command.long_buckets != 0]
        widths_set = [command.short_width_ticks != 0, command.long_width_ticks != 0]
        with m.Switch(what):
            with m.Case(Ask.RESET):
                m.d.comb += changed.eq(0)
            with m.Case(Ask.BAND):
                m.d.comb += [
                    changed.banded.eq(1),
                    changed.lower_ticks.eq(ask.lower_ticks),
                    changed.upper_ticks.eq(ask.upper_ticks),
                ]
            with m.Case(Ask.WINDOWS):
                m.d.comb += [
                    changed.rolls.eq(Cat(buckets_set).any()),
                    changed.narrows.eq((Cat(buckets_set) & Cat(widths_set)).any()),
                ]
            with m.Case(Ask.LAST):
                m.d.comb += [
                    changed.last_log2.eq(ask.last_log2),
                    changed.last_trades.eq(0),
                    changed.last_sum_ticks.eq(0),
                ]
            with m.Case(Ask.TRADE):
                m.d.comb += [
                    changed.last_slot.eq(row.last_slot + 1),
                    changed.last_trades.eq(Mux(leaves, row.last_trades, row.last_trades + 1)),
                    changed.last_sum_ticks.eq(row.last_sum_ticks + price_ticks - Mux(leaves, read_last.data, 0)),
                ]

        m.submodules.buckets = buckets = Buckets(config.instruments * 2)
        m.d.comb += [
            buckets.window.eq(Cat(long, index)),
            buckets.slot.eq(window.slot),
            buckets.price_ticks.eq(price_ticks),
            buckets.fresh.eq(~window.holds),
        ]
        # What the window holds with this trade; or, when a bucket is over, with another one that remains.
        remains = Signal()
        more = Signal(Bucket)
        m.d.comb += more.eq(Mux(remains, buckets.bucket, single(price_ticks)))
        with_more = together(window.all, more)
        place, left = Signal(6), Signal(6)  # the bucket that is read next, and how many are to be read
        coming = Signal(2)  # whether one arrives: this cycle, the next
        next_deadline_ns = Mux(what == Ask.END, window.deadline_ns, time_ns) + window.bucket_ns

        # How far trades may be from the lowest and the highest.
        bounds = window.holds & (window.width_ticks != 0)
        floor_ticks, ceiling_ticks = Signal(32), Signal(33)
        below = window.all.high_ticks - window.width_ticks
        m.d.sync += [
            floor_ticks.eq(Mux(bounds & ~below[-1], below, 0)),
            ceiling_ticks.eq(Mux(bounds, window.all.low_ticks + window.width_ticks, ~0)),
        ]

        def narrow():
            with m.If(floor_ticks > self.lower_ticks):
                m.d.sync += self.lower_ticks.eq(floor_ticks)
            with m.If(ceiling_ticks < self.upper_ticks):
                m.d.sync += self.upper_ticks.eq(ceiling_ticks)

        m.d.sync += self.retimed.eq(self.retimed & ~self.retiming)
        with m.FSM() as fsm:
            m.d.comb += self.settled.eq(fsm.ongoing("READY"))
            with m.State("READY"):
                m.d.comb += read_window.addr.eq(Cat(0, read_row.addr))
                with m.If(self.ask.valid):
                    m.d.sync += [what.eq(ask.what), price_ticks.eq(ask.price_ticks), time_ns.eq(ask.time_ns)]
                    m.next = "CHANGE"
                with m.Elif(self.traded.valid):
                    m.d.comb += self.traded.ready.eq(1)
                    m.d.sync += [what.eq(Ask.TRADE), price_ticks.eq(trade.price_ticks), time_ns.eq(trade.time_ns)]
                    with m.If(~trade.auction):
                        m.next = "CHANGE"
                with m.If(self.ask.valid | (self.traded.valid & ~trade.auction)):
                    m.d.sync += [
                        row.eq(read_row.data),
                        window.eq(read_window.data),
                        index.eq(read_row.addr),
                        asked.eq(self.ask.valid),
                        long.eq(0),
                    ]
            with m.State("CHANGE"):
                m.next = "STORE"
                with m.If(long):
                    narrow()
                with m.Else():
                    m.d.comb += [write_row.en.eq(1), write_last.en.eq(what == Ask.TRADE)]
                    m.d.sync += [
                        row.eq(changed),
                        self.lower_ticks.eq(changed.lower_ticks),
                        self.upper_ticks.eq(changed.upper_ticks),
                    ]
                with m.Switch(what):
                    with m.Case(Ask.RESET):
                        m.d.sync += window.eq(0)
                    with m.Case(Ask.WINDOWS):
                        width_ticks, bucket_us, number = (
                            Mux(long, command[f"long_{field}"], command[f"short_{field}"])
                            for field in ("width_ticks", "bucket_us", "buckets")
                        )
                        m.d.sync += [
                            window.eq(0),
                            window.on.eq(number != 0),
                            window.width_ticks.eq(width_ticks),
                            window.bucket_ns.eq(bucket_us * 1000),
                            window.buckets.eq(number),
                        ]
                    with m.Case(Ask.EMPTY):
                        m.d.sync += [window.holds.eq(0), window.ended.eq(0), window.all.eq(0)]
                    with m.Case(Ask.TRADE):
                        with m.If(window.on):
                            m.d.comb += buckets.counts.eq(1)
                            m.d.sync += [window.holds.eq(1), window.all.eq(with_more)]
                            with m.If(~window.holds):
                                m.d.sync += window.deadline_ns.eq(next_deadline_ns)
                                with m.If(~asked):
                                    m.d.sync += self.retimed.bit_select(index, 1).eq(1)
                        with m.If(~asked & ~row.rolls):
                            m.next = "READY"
                    with m.Case(Ask.END):
                        with m.If(ask.long == long):
                            counting = Mux(window.ended + 1 < window.buckets, window.ended + 1, window.ended)
                            m.d.comb += [buckets.slot.eq(window.slot + 1), buckets.clears.eq(1)]
                            m.d.sync += [
                                place.eq(window.slot),
                                left.eq(counting),
                                window.slot.eq(window.slot + 1),
                                window.ended.eq(counting),
                                window.deadline_ns.eq(next_deadline_ns),
                                window.all.eq(0),
                            ]
                            m.next = "REMAIN"
            with m.State("REMAIN"):
                m.d.comb += [remains.eq(1), buckets.slot.eq(place), buckets.fresh.eq(0)]
                m.d.sync += [
                    place.eq(place - 1),
                    left.eq(Mux(left == 0, 0, left - 1)),
                    coming.eq(Cat(coming[1], left != 0)),
                ]
                with m.If(coming[0]):
                    m.d.sync += window.all.eq(with_more)
                with m.If((left == 0) & (coming == 0)):
                    with m.If(window.all.trades == 0):
                        m.d.sync += [window.holds.eq(0), window.ended.eq(0)]
                    m.next = "STORE"
            with m.State("STORE"):
                # Behind it come the other window, or this one's bounds.
                m.d.comb += write_window.en.eq(1)
                m.d.sync += long.eq(1)
                with m.If(asked):
                    m.d.sync += [
                        self.deadlines[long].set.eq(window.holds),
                        self.deadlines[long].time_ns.eq(window.deadline_ns),
                    ]
                with m.If(~long):
                    m.d.sync += window.eq(read_window.data)
                    m.next = "CHANGE"
                with m.Elif(asked | (row.banded & row.narrows)):
                    m.next = "NARROW"
                with m.Else():
                    m.next = "READY"
            with m.State("NARROW"):
                narrow()
                m.next = "PART"
            with m.State("PART"):
                m.d.comb += [
                    read_window.addr.eq(Cat(0, index)),
                    self.force.instrument.eq(index),
                    self.force.lower_ticks.eq(self.lower_ticks),
                    self.force.upper_ticks.eq(self.upper_ticks),
                ]
                # Windows that leave no band in force are emptied. (An unknown instrument's row may be anything.)
                with m.If(row.banded & (self.lower_ticks > self.upper_ticks) & (what != Ask.EMPTY)):
                    m.d.sync += [what.eq(Ask.EMPTY), long.eq(0), window.eq(read_window.data)]
                    with m.If(~asked):
                        m.d.sync += self.retimed.bit_select(index, 1).eq(1)
                    m.next = "CHANGE"
                with m.Else():
                    m.d.comb += [
                        self.force.enable.eq(row.banded),
                        self.done.eq(asked),
                        self.ask.ready.eq(asked),
                    ]
                    m.next = "READY"
        return m
