"""Price discovery: the price at which an auction trades, found from the levels at which the two sides cross.

The levels of both sides are matched from the best on, while they cross: their volume is the most that can trade at one
price, and it trades at every price from the last ask level that was touched to the last bid level that was. Among those
the rules of `docs/circuit-breaker.md` decide:

- Quantity is left at the last bid level: at any lower price no less bids are left over, so the highest wins, which is
  that level. For asks alike.
- Nothing is left at either: between the next bid level and the next ask level nothing at all is left over, and the
  reference decides among those ticks.
- There is no tick between the two: at the bid level its own quantity is left over and at the ask level its own, and no
  less at any other tick. The one with less quantity wins, and where they are equal the one nearer to the reference.

So no tick is looked at where no order rests, and few levels behind those that trade.
"""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import BookConfig


def sum_shape(config: BookConfig):
    """A sum of open quantities: every slot of the pool at the largest quantity."""
    return unsigned(32 + exact_log2(config.orders))


def quote_layout(config: BookConfig) -> data.StructLayout:
    """A price level, if there is `any`: its price, and the sum of open quantities there, not zero."""
    return data.StructLayout({"any": 1, "price_ticks": unsigned(32), "quantity_lots": sum_shape(config)})


def discovered_layout(config: BookConfig) -> data.StructLayout:
    """What an auction does: whether `any` quantity trades, and if so at which price how much.

    `surplus_lots` would trade at that price but has no counterpart; it is of bids or of asks, or zero. All is zero
    where nothing trades.
    """
    return data.StructLayout(
        {
            "any": 1,
            "price_ticks": unsigned(32),
            "volume_lots": sum_shape(config),
            "surplus_lots": sum_shape(config),
            "bids_left": 1,
            "asks_left": 1,
        }
    )


class Discovery(wiring.Component):
    """Finds an auction's price.

    Parameters
    ----------
    config : Sizes.

    Attributes
    ----------
    start : It begins, anew if it has ended.
    reference_ticks : Nearest to which the price is where nothing else decides; steady meanwhile.
    wanted_sell : Side of the level that is wanted next: the best ask or bid first, then each next worse one.
    levels : Stream in: that level, without `any` when there is none; none behind it is asked for. Ready, by registers
        alone, while one is wanted.
    done, discovered : It has ended, and what was found; until it begins anew.
    """

    def __init__(self, config: BookConfig):
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "reference_ticks": In(32),
                "wanted_sell": Out(1),
                "levels": In(stream.Signature(quote_layout(config))),
                "done": Out(1),
                "discovered": Out(discovered_layout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        quote = quote_layout(self._config)
        # The levels that were touched last, and what is left of them; and those behind them.
        bid, ask = Signal(quote), Signal(quote)
        bid_left, ask_left = Signal(), Signal()  # whether anything is
        next_bid, next_ask = Signal(quote), Signal(quote)
        found = self.discovered
        taken = Signal(sum_shape(self._config))
        lowest, highest = Signal(32), Signal(32)  # the reference decides among these

        def want(sell, level, then):
            """The next level of a side goes there, before the next state."""
            m.d.comb += [self.wanted_sell.eq(sell), self.levels.ready.eq(1)]
            with m.If(self.levels.valid):
                m.d.sync += level.eq(self.levels.payload)
                m.next = then

        with m.FSM():
            with m.State("REST"):
                with m.If(self.start):
                    m.d.sync += [self.done.eq(0), bid.eq(0), ask.eq(0), bid_left.eq(0), ask_left.eq(0), found.eq(0)]
                    m.next = "BID"
            with m.State("BID"):
                m.d.sync += [found.volume_lots.eq(found.volume_lots + taken), taken.eq(0)]
                with m.If(bid_left):
                    m.next = "ASK"
                with m.Else():
                    want(0, next_bid, "ASK")
            with m.State("ASK"):
                with m.If(ask_left):
                    m.next = "MEET"
                with m.Else():
                    want(1, next_ask, "MEET")
            with m.State("MEET"):
                met_bid = data.View(quote, Mux(bid_left, bid, next_bid))
                met_ask = data.View(quote, Mux(ask_left, ask, next_ask))
                with m.If(met_bid.any & met_ask.any & (met_bid.price_ticks >= met_ask.price_ticks)):
                    m.d.sync += [bid.eq(met_bid), ask.eq(met_ask), found.any.eq(1)]
                    m.next = "MATCH"
                with m.Else():
                    m.next = "LEFT"
            with m.State("MATCH"):
                larger = bid.quantity_lots > ask.quantity_lots
                m.d.sync += [
                    bid_left.eq(larger),
                    ask_left.eq(bid.quantity_lots < ask.quantity_lots),
                    taken.eq(Mux(larger, ask.quantity_lots, bid.quantity_lots)),
                    bid.quantity_lots.eq(Mux(larger, bid.quantity_lots - ask.quantity_lots, 0)),
                    ask.quantity_lots.eq(Mux(larger, 0, ask.quantity_lots - bid.quantity_lots)),
                ]
                m.next = "BID"

            adjacent = next_bid.any & next_ask.any & (next_bid.price_ticks + 1 == next_ask.price_ticks)
            with m.State("LEFT"):
                m.next = "DONE"
                with m.If(~found.any):
                    pass
                with m.Elif(bid_left):
                    m.d.sync += [
                        found.price_ticks.eq(bid.price_ticks),
                        found.surplus_lots.eq(bid.quantity_lots),
                        found.bids_left.eq(1),
                    ]
                with m.Elif(ask_left):
                    m.d.sync += [
                        found.price_ticks.eq(ask.price_ticks),
                        found.surplus_lots.eq(ask.quantity_lots),
                        found.asks_left.eq(1),
                    ]
                with m.Elif(adjacent):
                    m.next = "ADJACENT"
                with m.Else():
                    m.next = "RANGE"
            with m.State("ADJACENT"):
                fewer_bids = next_bid.quantity_lots < next_ask.quantity_lots
                fewer_asks = next_ask.quantity_lots < next_bid.quantity_lots
                nearer_bid = self.reference_ticks <= next_bid.price_ticks
                at_bid = fewer_bids | (~fewer_asks & nearer_bid)
                m.d.sync += [
                    found.price_ticks.eq(Mux(at_bid, next_bid.price_ticks, next_ask.price_ticks)),
                    found.surplus_lots.eq(Mux(at_bid, next_bid.quantity_lots, next_ask.quantity_lots)),
                    found.bids_left.eq(at_bid),
                    found.asks_left.eq(~at_bid),
                ]
                m.next = "DONE"
            with m.State("RANGE"):
                from_bid, from_ask = Signal(32), Signal(32)
                m.d.comb += [from_bid.eq(next_bid.price_ticks + 1), from_ask.eq(next_ask.price_ticks - 1)]
                m.d.sync += [
                    lowest.eq(Mux(next_bid.any & (from_bid > ask.price_ticks), from_bid, ask.price_ticks)),
                    highest.eq(Mux(next_ask.any & (from_ask < bid.price_ticks), from_ask, bid.price_ticks)),
                ]
                m.next = "NEAREST"
            with m.State("NEAREST"):
                nearest = Signal(32)
                m.d.comb += nearest.eq(
                    Mux(
                        self.reference_ticks < lowest,
                        lowest,
                        Mux(self.reference_ticks > highest, highest, self.reference_ticks),
                    )
                )
                m.d.sync += found.price_ticks.eq(nearest)
                m.next = "DONE"
            with m.State("DONE"):
                m.d.sync += self.done.eq(1)
                m.next = "REST"
        return m
