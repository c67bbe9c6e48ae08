"""What the engine changes: decided in one cycle, carried out in the next.

In that next cycle the pool and the ladder are written, the best prices follow, and the reader takes over what it has
read already. So no decision of the engine has to reach a memory within its own cycle.
"""

from amaranth.hdl import Module, Mux
from amaranth.lib import data

from ..config import BookConfig
from .ladder import change_layout
from .orders import link_layout, write_layout


def posting_layout(config: BookConfig) -> data.StructLayout:
    """All that one cycle of the engine can change.

    `order` is written to the pool, `next` and `previous` are links that change there, `change` is that of a level. An
    `order` that is written with a quantity rests in the level of `change`, which is enabled with it: the reader counts
    on that.
    """
    return data.StructLayout(
        {
            "order": write_layout(config),
            "next": link_layout(config),
            "previous": link_layout(config),
            "change": change_layout(config),
        }
    )


class Posting:
    """Lays out what is posted in a cycle; in each at most one state calls on it.

    All of it depends on registers alone; only whether it is `enabled` on what the state decides. `shown` is a level as
    it is.

    Parameters
    ----------
    m : Where it is posted.
    posting : What is.
    """

    def __init__(self, m: Module, posting: data.View) -> None:
        self._m, self._posting = m, posting

    def order(self, token, order, quantity_lots, enabled) -> None:
        """An order is written, with that open quantity."""
        write = self._posting.order
        self._m.d.comb += [write.whole.eq(1), write.order.eq(order)]
        self.quantity(token, quantity_lots, enabled)

    def quantity(self, token, quantity_lots, enabled) -> None:
        """The open quantity of an order changes."""
        write = self._posting.order
        self._m.d.comb += [
            write.enable.eq(enabled),
            write.token.eq(token),
            write.order.quantity_lots.eq(quantity_lots),
        ]

    def level(self, line, price_ticks, enabled) -> data.View:
        """A level changes: how, is to be said of what is returned."""
        change = self._posting.change
        self._m.d.comb += [change.enable.eq(enabled), change.line.eq(line), change.price_ticks.eq(price_ticks)]
        return change

    def _link(self, first, second, enabled_next, enabled_previous) -> None:
        following, preceding = self._posting.next, self._posting.previous
        self._m.d.comb += [
            following.enable.eq(enabled_next),
            following.token.eq(first),
            following.to.eq(second),
            preceding.enable.eq(enabled_previous),
            preceding.token.eq(second),
            preceding.to.eq(first),
        ]

    def rest(self, order, token, line, shown, enabled) -> None:
        """An order goes to the back of its level."""
        empty = ~shown.any
        change = self.level(line, order.price_ticks, enabled)
        self._m.d.comb += [
            change.level.any.eq(1),
            change.level.head.eq(Mux(empty, token, shown.head)),
            change.level.tail.eq(token),
            change.level.quantity_lots.eq(shown.quantity_lots + order.quantity_lots),
            change.appeared.eq(empty),
        ]
        self._link(shown.tail, token, enabled & ~empty, enabled & ~empty)

    def unlink(self, order, token, after, before, line, shown, enabled) -> None:
        """An order leaves its level; its slot is free."""
        first, last = shown.head == token, shown.tail == token
        change = self.level(line, order.price_ticks, enabled)
        self._m.d.comb += [
            change.level.any.eq(~(first & last)),
            change.level.head.eq(Mux(first, after, shown.head)),
            change.level.tail.eq(Mux(last, before, shown.tail)),
            change.level.quantity_lots.eq(shown.quantity_lots - order.quantity_lots),
            change.vanished.eq(first & last),
        ]
        self._link(before, after, enabled & ~first, enabled & ~last)
        self.quantity(token, 0, enabled)
