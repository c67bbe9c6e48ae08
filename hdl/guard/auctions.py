"""The end of a call, and what an auction would do meanwhile."""

from amaranth.hdl import Mux, Signal
from amaranth.lib import data

from ..beats import Action, CallEnd
from ..protocol.commands import ReferenceSource
from ..protocol.reports import Reason, TradingState
from .rolling import Ask
from .timers import Kind
from .work import Work


def add_auctions(work: Work) -> None:
    """Add the state AUCTION, and what follows. From the reference's states it goes on with SWEEP and TOLD_BAND."""
    m, row, rules, breaker = work.m, work.row, work.rules, work.breaker
    rolling, price_ticks = work.rolling, work.price_ticks
    lower_ticks, upper_ticks, uncrossed = work.lower_ticks, work.upper_ticks, breaker.uncrossed
    indicates = work.timers.first_kind == Kind.INDICATIVE
    drained = breaker.drained

    # The auction band.
    work.calculates("AUCTION", "AUCTION_BAND", row.auction_width_ticks, row.widenings)
    with m.State("AUCTION_BAND"):
        width = work.ratio.quotient[:52]
        m.d.sync += [
            lower_ticks.eq(work.in_window(Mux(rules.batch, rolling.lower_ticks, rolling.row.lower_ticks) - width)),
            upper_ticks.eq(work.in_window(Mux(rules.batch, rolling.upper_ticks, rolling.row.upper_ticks) + width)),
            work.auction.eq(1),
        ]
        m.next = "UNCROSS"
    with m.State("UNCROSS"):
        end = data.View(CallEnd, Signal(CallEnd.as_shape().size, name="call_end"))
        m.d.comb += [
            end.bounded.eq(rules.banded),
            end.lower_ticks.eq(Mux(rules.banded, lower_ticks, 0)),
            end.upper_ticks.eq(Mux(rules.banded, upper_ticks, 0)),
            end.reference_ticks.eq(row.reference_ticks),
            breaker.beat.action.eq(Mux(indicates, Action.INDICATE, Action.UNCROSS)),
            breaker.beat.body.eq(end.as_value()),
            breaker.push.eq(1),
        ]
        m.d.sync += work.span_us.eq(Mux(indicates, row.indicative_us, row.extension_us))
        with m.If(breaker.free):
            m.next = "UNCROSSING"
    with m.State("UNCROSSING"):
        with m.If(drained):
            m.next = "UNCROSSED"
            with m.If(indicates):
                m.next = "INDICATED"
    with m.State("INDICATED"):
        m.d.sync += [
            row.indicative.set.eq(row.indicative_us != 0),
            row.indicative.time_ns.eq(row.indicative.time_ns + work.span_ns),
        ]
        m.next = "STORE"
    with m.State("UNCROSSED"):
        m.d.sync += price_ticks.eq(uncrossed.price_ticks)
        with m.If(~uncrossed.within):
            m.d.sync += [
                row.widenings.eq(row.widenings + 1),
                row.phase.set.eq(row.extension_us != 0),
                row.phase.time_ns.eq(row.phase.time_ns + work.span_ns),
                work.reason.eq(Reason.EXTENDED),
                work.tells.eq(1),
            ]
            m.next = "STORE"
        with m.Elif(~uncrossed.any):
            m.next = "SWEEP"
        with m.Elif(rules.batch):
            m.next = "AUCTION_TRADE"
        with m.Else():
            m.next = "AUCTION_EMPTY"

    # It has traded.
    work.asks("AUCTION_EMPTY", Ask.EMPTY, "AUCTION_TRADE")
    work.asks("AUCTION_TRADE", Ask.TRADE, "AUCTION_PRICE")
    with m.State("AUCTION_PRICE"):
        m.d.sync += work.span_us.eq(row.hold_us)
        m.next = "AUCTION_HOLD"
    with m.State("AUCTION_HOLD"):
        m.next = "SWEEP"
        with m.If(rules.banded & ~rules.batch):
            m.next = "REPLACE"
        with m.Elif(rules.banded & (row.source == ReferenceSource.AUCTION)):
            m.next = "HOLD"

    # What is left of market orders, what the band would let trade outside, and the next state.
    def sweeps(beat):
        m.d.comb += [beat.action.eq(Action.SWEEP), beat.reason.eq(Reason.IMMEDIATE_REST), beat.markets.eq(1)]

    work.sends("SWEEP", "SWEPT", sweeps)
    with m.State("SWEPT"):
        with m.If(drained):
            m.next = "CALL_OVER"
            with m.If(rules.banded):
                m.next = "TELL_BAND"
    work.waits("TOLD_BAND", "CALL_OVER", drained)
    with m.State("CALL_OVER"):
        m.d.sync += work.reason.eq(Reason.CALL_OVER)
        m.next = "GO_ON"
        with m.If(row.closes):
            work.enters(TradingState.CLOSED)
