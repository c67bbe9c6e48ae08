"""The reference price that the device finds, and the static band that moves with it."""

from amaranth.hdl import Mux, Signal
from amaranth.lib import data

from ..beats import Action, BandMove
from ..protocol.commands import ReferenceSource
from ..protocol.reports import Reason, TradingState
from .admission import PPM
from .rolling import Ask
from .work import Work


def add_reference(work: Work) -> None:
    """Add the states END_SHORT and END_LONG (a bucket is over), HOLD and REPLACE, MOVE_BAND and TELL_BAND.

    HOLD asks whether `price_ticks` replaces the reference, and leads to REPLACE if it does; that leads to MOVE_BAND,
    which gives the instrument another static band, and TELL_BAND, which tells the book. Behind an auction
    AUCTION_TRADED comes between the two, and TOLD_BAND behind; else STORE.
    """
    m, row, rules, price_ticks = work.m, work.row, work.rules, work.price_ticks
    trades = work.rolling.row
    mean = work.rolling.mean

    def skips():
        m.next = "STORE"
        with m.If(work.auction):
            m.next = "AUCTION_TRADED"

    work.asks("END_SHORT", Ask.END, "STORE")
    with m.State("END_LONG"):
        m.d.comb += [
            work.rolling.ask.valid.eq(1),
            work.rolling.ask.payload.what.eq(Ask.END),
            work.rolling.ask.payload.long.eq(1),
        ]
        m.d.sync += [work.auction.eq(0), work.span_us.eq(row.hold_us)]
        with m.If(work.rolling.ask.ready):
            m.next = "CANDIDATE"
    with m.State("CANDIDATE"):
        m.next = "STORE"
        with m.If(rules.state != TradingState.LIMIT):
            with m.If(row.source == ReferenceSource.LAST_TRADES):
                m.d.sync += price_ticks.eq(trades.last_sum_ticks >> trades.last_log2)
                with m.If(trades.last_trades == 1 << trades.last_log2):
                    m.next = "HOLD"
            with m.If((row.source == ReferenceSource.WINDOW_MEAN) & (mean.trades != 0)):
                m.next = "MEAN"
    work.calculates("MEAN", "MEAN_FOUND", mean.sum_ticks, 1, mean.trades)
    with m.State("MEAN_FOUND"):
        m.d.sync += price_ticks.eq(work.ratio.quotient)
        m.next = "HOLD"

    # Does it move by enough, and has the present one stood for long enough?
    moved_ticks, least = Signal(32), Signal(64)
    higher = price_ticks > row.reference_ticks
    with m.State("HOLD"):
        m.d.sync += moved_ticks.eq(Mux(higher, price_ticks - row.reference_ticks, row.reference_ticks - price_ticks))
        m.next = "LEAST"
        with m.If(~rules.banded | (work.now_ns - row.since_ns < work.span_ns)):
            skips()
    work.calculates("LEAST", "LEAST_FOUND", row.reference_ticks, row.move_ppm)
    with m.State("LEAST_FOUND"):
        m.d.sync += least.eq(work.ratio.quotient)
        m.next = "MOVED"
    work.calculates("MOVED", "MOVED_FOUND", moved_ticks, PPM)
    with m.State("MOVED_FOUND"):
        m.next = "REPLACE"
        with m.If((moved_ticks == 0) | (work.ratio.quotient < least)):
            skips()

    # The band around it.
    work.calculates("REPLACE", "WIDTH", price_ticks, row.width_ppm, PPM)
    below_ticks, above_ticks = Signal(32), Signal(32)
    with m.State("WIDTH"):
        share = work.ratio.quotient[:32]
        by_ticks, by_share = row.width_ticks != 0, row.width_ppm != 0
        width = Mux(by_ticks & (~by_share | (row.width_ticks < share)), row.width_ticks, share)
        m.d.sync += [
            below_ticks.eq(Mux(by_ticks | by_share, width, row.below_ticks)),
            above_ticks.eq(Mux(by_ticks | by_share, width, row.above_ticks)),
            row.reference_ticks.eq(price_ticks),
            row.since_ns.eq(work.now_ns),
        ]
        m.next = "AROUND"
    with m.State("AROUND"):
        m.d.sync += [
            work.lower_ticks.eq(work.in_window(price_ticks - below_ticks)),
            work.upper_ticks.eq(work.in_window(price_ticks + above_ticks)),
        ]
        m.next = "MOVE_BAND"
    work.asks("MOVE_BAND", Ask.BAND, "MOVED_BAND")
    with m.State("MOVED_BAND"):
        m.next = "TELL_BAND"
        with m.If(work.auction):
            m.next = "AUCTION_TRADED"

    def tells_band(beat):
        moved = data.View(BandMove, Signal(BandMove.as_shape().size, name="band_move"))
        m.d.comb += [
            moved.lower_ticks.eq(trades.lower_ticks),
            moved.upper_ticks.eq(trades.upper_ticks),
            moved.reference_ticks.eq(row.reference_ticks),
            moved.policy.eq(row.policy),
            moved.force_lower_ticks.eq(work.rolling.lower_ticks),
            moved.force_upper_ticks.eq(work.rolling.upper_ticks),
            beat.action.eq(Action.MOVE_BAND),
            beat.reason.eq(Reason.BAND_MOVED),
            beat.last.eq(~work.auction),
            beat.body.eq(moved.as_value()),
        ]

    with m.State("TELL_BAND"):
        tells_band(work.breaker.beat)
        m.d.comb += work.breaker.push.eq(1)
        with m.If(work.breaker.free):
            m.next = "STORE"
            with m.If(work.auction):
                m.next = "TOLD_BAND"
