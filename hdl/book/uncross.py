"""The auction of one instrument: finds its price, and trades at it.

    levels   best bid, best ask and those behind them, as price discovery wants them: WALK*, (SEARCH*, FOUND*, WALK,)
             READ_LEVEL, LEVEL
    trades   the first orders of both best levels trade: PAIR*, READ, READ_ASK, PAIRED, TRADE*, BID_SETTLES, TRADE_ASK*,
             ASK_SETTLES; then the levels are told: TELL*

Both sides are in the ladder as they collected, crossed. While they trade, both best levels change, one behind the
other; the auction is over when the sides cross no more. That is when the volume is used up: it is what the levels that
cross can trade, and the orders in them add up to the levels.
"""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..beats import CallEnd
from ..config import BookConfig
from .auction import Discovery, discovered_layout
from .bests import best_layout
from .ladder import found_layout, level_layout
from .orders import maker_layout, order_layout
from .posting import Posting, posting_layout


def party_layout(config: BookConfig, order: data.Layout) -> data.StructLayout:
    """An order in a trade: its slot, and what is known of it."""
    return data.StructLayout({"token": unsigned(exact_log2(config.orders)), "order": order})


class Uncross(wiring.Component):
    """See the module.

    Parameters
    ----------
    config : Sizes.

    Attributes
    ----------
    go : Hold the auction of the instrument at work. It stays until the auction has `ended` and what it came to has been
        taken over, then falls for a cycle at least. While it does, pool and ladder are read, and the book is changed,
        for the auction alone.
    indicates : Find the price alone.
    call : What is to be known of the instrument.
    bests : Of the instrument.
    settled : All bests are true, their heads as well.
    read, bid, bid_next : The pool's read port, for buyers; the address is a register, as those of the others.
    read_maker, ask, ask_next : The one for makers, for sellers.
    read_line, level : The ladder's.
    search, search_line, search_taken, found_valid, found : The ladder's search; `search_line` is steady from the cycle
        before on.
    trading, buyer, seller, quantity_lots, buyer_left_lots, seller_left_lots : A trade has to be reported, while
        `trading`: who trades, how much, and what they have left.
    drafted : It is, in this cycle.
    posting : What changes; its instrument is not set.
    telling : Levels that have changed are to be told, while any wait.
    waiting : Any do.
    ended : It is over. `discovered` is what it came to, and true until then: in `within` bounds, or with no trade.
    """

    def __init__(self, config: BookConfig):
        self._config = config
        order, maker = order_layout(config), maker_layout(config)
        level, best = level_layout(config), best_layout(config)
        token = unsigned(exact_log2(config.orders))
        line = unsigned(exact_log2(config.ticks) + 1)
        super().__init__(
            {
                "go": In(1),
                "indicates": In(1),
                "call": In(CallEnd),
                "bests": In(data.ArrayLayout(best, 2)),
                "settled": In(1),
                "read": Out(token),
                "bid": In(order),
                "bid_next": In(token),
                "read_maker": Out(token),
                "ask": In(maker),
                "ask_next": In(token),
                "read_line": Out(line),
                "level": In(level),
                "search": Out(1),
                "search_line": Out(line),
                "search_taken": In(1),
                "found_valid": In(1),
                "found": In(found_layout(config)),
                "trading": Out(1),
                "buyer": Out(party_layout(config, order)),
                "seller": Out(party_layout(config, maker)),
                "quantity_lots": Out(32),
                "buyer_left_lots": Out(32),
                "seller_left_lots": Out(32),
                "drafted": In(1),
                "posting": Out(posting_layout(config)),
                "telling": Out(1),
                "waiting": In(1),
                "ended": Out(1),
                "discovered": Out(discovered_layout(config)),
                "within": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.discovery = discovery = Discovery(config)
        found, call = discovery.discovered, self.call
        bests = Signal.like(self.bests)  # as they were when they were looked at last
        line = Signal.like(self.read_line)
        crossed = bests[0].any & bests[1].any & (bests[0].price_ticks >= bests[1].price_ticks)

        # The walk along the levels: where it is on each side, and whether that one has been given away.
        cursors, given = Signal(data.ArrayLayout(found_layout(config), 2)), Signal(2)
        sell = discovery.wanted_sell
        cursor = cursors[sell]
        m.d.comb += [
            discovery.reference_ticks.eq(call.reference_ticks),
            discovery.levels.payload.any.eq(cursor.any),
            discovery.levels.payload.price_ticks.eq(cursor.price_ticks),
            discovery.levels.payload.quantity_lots.eq(self.level.quantity_lots),
            self.search_line.eq(cursor.line),
            self.discovered.eq(found),
            self.read.eq(bests[0].head),
            self.read_maker.eq(bests[1].head),
            self.read_line.eq(line),
        ]

        # The pair that trades.
        bid, ask = self.buyer, self.seller
        bid_next, ask_next = Signal.like(self.bid_next), Signal.like(self.ask_next)
        bid_level, ask_level = Signal.like(self.level), Signal.like(self.level)
        taken, bid_left, ask_left = self.quantity_lots, self.buyer_left_lots, self.seller_left_lots
        bid_larger = bid.order.quantity_lots > ask.order.quantity_lots
        ask_larger = ask.order.quantity_lots > bid.order.quantity_lots
        m.d.comb += [
            taken.eq(Mux(bid_larger, ask.order.quantity_lots, bid.order.quantity_lots)),
            bid_left.eq(Mux(bid_larger, bid.order.quantity_lots - ask.order.quantity_lots, 0)),
            ask_left.eq(Mux(ask_larger, ask.order.quantity_lots - bid.order.quantity_lots, 0)),
        ]

        posts = Posting(m, self.posting)

        def change(best, party, behind, level, left_lots, enabled):
            """The first order of a best level has traded."""
            gone = left_lots == 0
            changed = posts.level(best.line, best.price_ticks, enabled)
            vanished = gone & (level.head == level.tail)
            m.d.comb += [
                changed.level.any.eq(~vanished),
                changed.level.head.eq(Mux(gone, behind, level.head)),
                changed.level.tail.eq(level.tail),
                changed.level.quantity_lots.eq(level.quantity_lots - taken),
                changed.vanished.eq(vanished),
            ]
            posts.quantity(party.token, left_lots, enabled)

        with m.FSM():
            with m.State("REST"):
                m.d.sync += bests.eq(self.bests)
                with m.If(self.go & self.settled):
                    m.d.comb += discovery.start.eq(1)
                    m.next = "START"
            with m.State("START"):
                for best, from_best in zip(bests, cursors, strict=True):
                    m.d.sync += [
                        from_best.any.eq(best.any),
                        from_best.price_ticks.eq(best.price_ticks),
                        from_best.line.eq(best.line),
                    ]
                m.d.sync += given.eq(0)
                m.next = "WALK"
            with m.State("WALK"):
                m.d.sync += line.eq(cursor.line)
                with m.If(discovery.done):
                    outside = (found.price_ticks < call.lower_ticks) | (found.price_ticks > call.upper_ticks)
                    m.d.sync += self.within.eq(~(found.any & (call.bounded != 0) & outside))
                    m.next = "PRICE"
                with m.Elif(discovery.levels.ready):
                    with m.If(given.bit_select(sell, 1)):
                        m.next = "SEARCH"
                    with m.Else():
                        m.next = "READ_LEVEL"
            with m.State("READ_LEVEL"):
                m.next = "LEVEL"
            with m.State("SEARCH"):
                m.d.comb += self.search.eq(1)
                with m.If(self.search_taken):
                    m.next = "FOUND"
            with m.State("FOUND"):
                # The search is circular: a price that is not worse than the last one ends it.
                worse = Mux(
                    sell,
                    self.found.price_ticks > cursor.price_ticks,
                    self.found.price_ticks < cursor.price_ticks,
                )
                with m.If(self.found_valid):
                    m.d.sync += [
                        cursor.eq(self.found),
                        cursor.any.eq(self.found.any & worse),
                        given.bit_select(sell, 1).eq(0),
                    ]
                    m.next = "WALK"
            with m.State("LEVEL"):
                m.d.comb += discovery.levels.valid.eq(1)
                m.d.sync += given.bit_select(sell, 1).eq(1)
                m.next = "WALK"
            with m.State("PRICE"):
                m.next = "END"
                with m.If(~self.indicates & found.any & self.within):
                    m.next = "PAIR"

            with m.State("PAIR"):
                m.d.sync += [bests.eq(self.bests), line.eq(self.bests[0].line)]
                with m.If(self.settled):
                    m.next = "READ"
            with m.State("READ"):
                m.d.sync += [
                    bid.token.eq(bests[0].head),
                    ask.token.eq(bests[1].head),
                    line.eq(bests[1].line),
                ]
                m.next = "END"
                with m.If(crossed):
                    m.next = "READ_ASK"
            with m.State("READ_ASK"):
                m.d.sync += [
                    bid.order.eq(self.bid),
                    bid_next.eq(self.bid_next),
                    bid_level.eq(self.level),
                    ask.order.eq(self.ask),
                    ask_next.eq(self.ask_next),
                ]
                m.next = "PAIRED"
            with m.State("PAIRED"):
                m.d.sync += ask_level.eq(self.level)
                m.next = "TRADE"
            with m.State("TRADE"):
                m.d.comb += self.trading.eq(1)
                change(bests[0], bid, bid_next, bid_level, bid_left, self.drafted)
                with m.If(self.drafted):
                    m.next = "BID_SETTLES"
            with m.State("BID_SETTLES"):
                m.next = "TRADE_ASK"
            with m.State("TRADE_ASK"):
                change(bests[1], ask, ask_next, ask_level, ask_left, self.settled)
                with m.If(self.settled):
                    m.next = "ASK_SETTLES"
            with m.State("ASK_SETTLES"):
                m.next = "TELL"
            with m.State("TELL"):
                m.d.comb += self.telling.eq(1)
                with m.If(~self.waiting):
                    m.next = "PAIR"
            with m.State("END"):
                m.d.comb += self.ended.eq(1)
                with m.If(~self.go):
                    m.next = "REST"
        return m
