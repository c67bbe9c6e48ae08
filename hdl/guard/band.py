"""The price band and the trading state: what the guard knows of each instrument."""

from amaranth.hdl import Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..protocol.reports import Reason, TradingState


class Instrument(data.Struct):
    """What the guard's fast path knows of an instrument; `hdl.guard.breaker` knows the rest.

    Attributes
    ----------
    known : It has been set.
    state : Its trading state.
    batch : It trades by auctions alone.
    enters : New orders enter; else they are rejected.
    collects : Orders collect for an auction.
    free_price : Its window alone bounds limit orders.
    banded : It has a band; the one in force goes from `lower_ticks` to `upper_ticks`.
    clamps : A price beyond its bound is clamped to it, not rejected.
    dynamic : Its trades may move the band in force.
    reach_ticks : The lesser width of its rolling windows, zero where they have none.
    timed : Orders and trades may start timers of it.
    window_base_ticks, window_log2 : Its window of prices.
    ladder_offset : Its first ladder row.
    multiplier_quote : Quote units of a lot a tick.
    """

    known: 1
    state: TradingState
    batch: 1
    enters: 1
    collects: 1
    free_price: 1
    banded: 1
    clamps: 1
    dynamic: 1
    reach_ticks: unsigned(32)
    timed: 1
    lower_ticks: unsigned(32)
    upper_ticks: unsigned(32)
    window_base_ticks: unsigned(32)
    window_log2: unsigned(5)
    ladder_offset: unsigned(16)
    multiplier_quote: unsigned(16)


def in_window(instrument, price_ticks) -> Value:
    """Whether `price_ticks` can rest."""
    distance = price_ticks - instrument.window_base_ticks
    outside = (Const((1 << 32) - 1, 32) << instrument.window_log2)[:32]
    return (price_ticks >= instrument.window_base_ticks) & ((distance[:32] & outside) == 0)


class Refusal(data.Struct):
    """What speaks against an order's price, if anything does.

    Attributes
    ----------
    no_band : A market order has no bound to trade at.
    outside_window : The price cannot rest.
    outside_band : The price is beyond its bound, and not clamped to it.
    """

    no_band: 1
    outside_window: 1
    outside_band: 1


def reason_of(refusal) -> Value:
    """The reason that is told of a refusal: the first of its fields."""
    window_or_band = Mux(refusal.outside_window, Reason.OUTSIDE_WINDOW, Reason.OUTSIDE_BAND)
    return Mux(refusal.no_band, Reason.NO_BAND, window_or_band)


class PriceCheck(wiring.Component):
    """The effective price of an order, and whether window and band allow it; purely combinational.

    Attributes
    ----------
    instrument : Its instrument. Its window ends at 2**32 at the latest, and the bounds of its band lie inside.
    sell, market, price_ticks : The order's side, type and limit.
    effective_ticks : Its limit: a market order's is its bound, one beyond its bound may be clamped to it.
    at_bound : That is its bound.
    refusal : Why it may not enter, if it may not.
    """

    instrument: In(Instrument)
    sell: In(1)
    market: In(1)
    price_ticks: In(32)
    effective_ticks: Out(32)
    at_bound: Out(1)
    refusal: Out(Refusal)

    def elaborate(self, platform):
        m = Module()
        instrument = self.instrument
        bound_ticks = Mux(self.sell, instrument.lower_ticks, instrument.upper_ticks)
        beyond, bounded = Signal(), Signal()
        m.d.comb += [
            beyond.eq(
                instrument.banded
                & ~instrument.free_price
                & Mux(self.sell, self.price_ticks < instrument.lower_ticks, self.price_ticks > instrument.upper_ticks)
            ),
            bounded.eq(self.market | (beyond & instrument.clamps)),
            self.effective_ticks.eq(Mux(bounded, bound_ticks, self.price_ticks)),
            self.at_bound.eq(instrument.banded & (bounded | (self.price_ticks == bound_ticks))),
            self.refusal.no_band.eq(self.market & ~instrument.banded),
            self.refusal.outside_window.eq(~bounded & ~in_window(instrument, self.price_ticks)),  # bounds lie in it
            self.refusal.outside_band.eq(beyond & ~instrument.clamps & ~self.market),
        ]
        return m
