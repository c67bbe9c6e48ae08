"""Whether a fill-or-kill order can trade all of its quantity: walks the makers as a taker would, changing nothing.

    levels   START, READ, LEVEL*, (BEHIND*, FOUND*, WORSE, READ, LEVEL)
    makers   of a level, one a cycle, where one may be the taker's own: FIRST, MAKER*

Where self-trade prevention is off, whole levels count at once.
"""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import BookConfig
from ..protocol.commands import SelfTradePrevention
from .ladder import found_layout, level_layout
from .orders import order_layout


class Fillable(wiring.Component):
    """See the module.

    Parameters
    ----------
    config : Sizes.

    Attributes
    ----------
    go : Count. It stays until there is `enough` or it `falls_short`; while it does, pool and ladder are read for the
        count alone. All bests are true, and nothing changes.
    taker : The order.
    line, price_ticks : The level that it meets first, which its limit reaches; in the first cycle of `go`.
    limit_ticks : How far it may trade; from the second cycle on.
    read, order, next : The pool's read port.
    read_line, level : The ladder's.
    search, search_line, search_taken, found_valid, found : The ladder's search; `search_line` is steady from the cycle
        before on.
    enough : It can trade all of its quantity.
    falls_short : It cannot.
    """

    def __init__(self, config: BookConfig):
        self._config = config
        order = order_layout(config)
        token = unsigned(exact_log2(config.orders))
        line = unsigned(exact_log2(config.ticks) + 1)
        super().__init__(
            {
                "go": In(1),
                "taker": In(order),
                "line": In(line),
                "price_ticks": In(32),
                "limit_ticks": In(32),
                "read": Out(token),
                "order": In(order),
                "next": In(token),
                "read_line": Out(line),
                "level": In(level_layout(config)),
                "search": Out(1),
                "search_line": Out(line),
                "search_taken": In(1),
                "found_valid": In(1),
                "found": In(found_layout(config)),
                "enough": Out(1),
                "falls_short": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        taker = self.taker
        mode = taker.self_trade_prevention
        wanted_lots = Signal(32)  # what no maker has been counted for
        line, price_ticks = Signal.like(self.line), Signal(32)  # of the level that is looked at
        level, found = Signal.like(self.level), Signal.like(self.found)
        shown = Signal.like(self.read)  # the order that the pool shows
        maker, maker_token = Signal(order_layout(self._config)), Signal.like(self.read)  # that is looked at
        m.d.comb += [self.read.eq(self.next), self.read_line.eq(found.line), self.search_line.eq(line)]

        def look_on():
            """The order that the pool shows is looked at next, and the one behind it is read."""
            m.d.sync += [maker.eq(self.order), maker_token.eq(shown), shown.eq(self.next)]

        with m.FSM():
            with m.State("START"):
                m.d.comb += self.read_line.eq(self.line)
                m.d.sync += [wanted_lots.eq(taker.quantity_lots), line.eq(self.line), price_ticks.eq(self.price_ticks)]
                with m.If(self.go):
                    m.next = "READ"
            with m.State("READ"):
                m.d.sync += level.eq(self.level)
                m.next = "LEVEL"
            with m.State("LEVEL"):
                m.d.comb += self.read.eq(level.head)
                m.d.sync += shown.eq(level.head)
                with m.If(mode != SelfTradePrevention.OFF):
                    m.next = "FIRST"
                with m.Elif(level.quantity_lots >= wanted_lots):
                    m.d.comb += self.enough.eq(1)
                    m.next = "START"
                with m.Else():
                    m.d.sync += wanted_lots.eq(wanted_lots - level.quantity_lots)
                    m.next = "BEHIND"
            with m.State("FIRST"):
                look_on()
                m.next = "MAKER"
            with m.State("MAKER"):
                look_on()
                own = maker.account == taker.account
                with m.If(~own):
                    m.d.sync += wanted_lots.eq(wanted_lots - maker.quantity_lots)
                with m.If(own & (mode != SelfTradePrevention.CANCEL_OLDEST)):
                    m.d.comb += self.falls_short.eq(1)
                    m.next = "START"
                with m.Elif(~own & (maker.quantity_lots >= wanted_lots)):
                    m.d.comb += self.enough.eq(1)
                    m.next = "START"
                with m.Elif(maker_token == level.tail):
                    m.next = "BEHIND"

            with m.State("BEHIND"):
                m.d.comb += self.search.eq(1)
                with m.If(self.search_taken):
                    m.next = "FOUND"
            with m.State("FOUND"):
                with m.If(self.found_valid):
                    m.d.sync += found.eq(self.found)
                    m.next = "WORSE"
            with m.State("WORSE"):
                # The search is circular: a price that is not worse than the last one ends it.
                worse = Mux(
                    taker.sell,
                    (found.price_ticks < price_ticks) & (found.price_ticks >= self.limit_ticks),
                    (found.price_ticks > price_ticks) & (found.price_ticks <= self.limit_ticks),
                )
                m.d.sync += [line.eq(found.line), price_ticks.eq(found.price_ticks)]
                with m.If(found.any & worse):
                    m.next = "READ"
                with m.Else():
                    m.d.comb += self.falls_short.eq(1)
                    m.next = "START"
        return m
