"""An order is replaced: in its place, or by one that loses it, and may take."""

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data
from amaranth.utils import exact_log2

from ..beats import RESERVE_BITS
from ..config import BookConfig
from ..protocol.commands import NewOrder, Replace
from ..protocol.reports import Reason, ReportKind
from .desk import Desk
from .drafting import sides
from .ladder import line_of
from .report_slot import Follow

STATES = ("REPLACE", "WEIGH_LOTS", "WEIGH_QUOTE", "WEIGH")
"""States behind which a replace may trade."""


_COMPARED = data.StructLayout(
    dict.fromkeys(
        ("unknown", "barred", "mismatched", "owes", "crosses", "same_price", "at_best", "in_place"), unsigned(1)
    )
)
"""What is known of a replace a cycle after it came.

`unknown`, `barred`, `mismatched`, `crosses`: why it may be rejected; `owes`: credit hangs on what the old order has
reserved; `same_price`, `at_best`: where the old one rests; `in_place`: it keeps its place.
"""


class Replacing:
    """The states of a replace: what stands in EXECUTE, then REPLACE.

    Where credit hangs on what the old order has reserved that is worked out first: WEIGH_LOTS, WEIGH_QUOTE, WEIGH, and
    REPLACE again.

    Parameters
    ----------
    m : Of the engine.
    config : Sizes.
    desk : What is worked with.

    Attributes
    ----------
    multipliers : For each instrument, what it is worth a tick and lot.
    """

    def __init__(self, m: Module, config: BookConfig, desk: Desk) -> None:
        self._m, self._desk, self._row_bits = m, desk, exact_log2(config.ticks)
        self.multipliers = Signal(data.ArrayLayout(unsigned(16), config.instruments))
        self._compared = Signal(_COMPARED, name="compared")
        self._weighed = Signal(name="weighed")
        self._outweighed = Signal(name="outweighed")  # what is set free does not cover the new order, nor what is owed

    def look(self) -> None:
        """Compare the old order with the new one, which may take.

        What is posted for its slot has been waited for (`Reader.hold`), so registers have all there is to know.
        """
        m, desk, command, compared = self._m, self._desk, self._desk.command, self._compared
        entry, amendment = data.View(NewOrder, command.body), data.View(Replace, command.body)
        reader, taker = desk.reader, desk.taker
        found = reader.found
        order = found.order
        expected = amendment.expected_quantity_lots
        keeps_place = (order.price_ticks == command.price_ticks) & (entry.quantity_lots <= order.quantity_lots)
        owing = (command.deficit_quote != 0) & ~order.reduce_only
        m.d.sync += [
            compared.unknown.eq(~found.verdict.named | (Value.cast(entry.side) != sides(order.sell))),
            compared.barred.eq(order.reduce_only & (command.cause.link != 0)),
            compared.crosses.eq(order.post_only & found.takes),
            compared.mismatched.eq((expected != 0) & (expected != order.quantity_lots)),
            compared.same_price.eq(order.price_ticks == command.price_ticks),
            compared.at_best.eq(reader.at_best),
            compared.in_place.eq(keeps_place),
            compared.owes.eq(owing),
            taker.eq(order),
            taker.quantity_lots.eq(entry.quantity_lots),
            taker.price_ticks.eq(command.price_ticks),
            desk.taker_token.eq(desk.token),
            desk.taker_line.eq(line_of(desk.window, order.sell, command.price_ticks, self._row_bits)),
            desk.immediate.eq(0),
            desk.cancel_reason.eq(Reason.BAND_MOVED),
        ]
        with m.If(desk.drafts.able):
            desk.leave("REPLACE", ends=keeps_place & ~owing)

    def add_states(self) -> None:
        """Add the states to the engine's."""
        m, desk = self._m, self._desk
        with m.State("REPLACE"):
            self._replace()
        old = desk.reader.found.order
        product, multiplier_quote, old_quote = Signal(RESERVE_BITS), Signal(16), Signal(RESERVE_BITS)
        with m.State("WEIGH_LOTS"):
            m.d.sync += [
                product.eq(old.quantity_lots * old.price_ticks),
                multiplier_quote.eq(self.multipliers[desk.instrument]),
            ]
            m.next = "WEIGH_QUOTE"
        with m.State("WEIGH_QUOTE"):
            m.d.sync += old_quote.eq(product * multiplier_quote)
            m.next = "WEIGH"
        with m.State("WEIGH"):
            command = desk.command
            m.d.sync += [
                self._outweighed.eq((old_quote < command.reserve_quote) & (old_quote < command.deficit_quote)),
                self._weighed.eq(1),
                desk.ends.eq(self._compared.in_place),
            ]
            m.next = "REPLACE"

    def _replace(self) -> None:
        m, desk, command, compared = self._m, self._desk, self._desk.command, self._compared
        entry, found, drafts, posts = data.View(NewOrder, command.body), desk.reader.found, desk.drafts, desk.posts
        order, replaced = found.order, desk.taker
        accepted, weighs = Signal(), Signal()
        reason = Signal(Reason, init=Reason.UNKNOWN_ORDER)
        with m.If(compared.unknown):
            m.d.comb += reason.eq(Reason.UNKNOWN_ORDER)
        with m.Elif(compared.barred):
            m.d.comb += reason.eq(Reason.NOT_PRIVILEGED)
        with m.Elif(compared.mismatched):
            m.d.comb += reason.eq(Reason.QUANTITY_MISMATCH)
        with m.Elif(command.halted & ~compared.in_place):
            m.d.comb += reason.eq(Reason.HALTED)
        with m.Elif(compared.owes & ~self._weighed):
            m.d.comb += weighs.eq(1)
        with m.Elif(compared.owes & self._outweighed):
            m.d.comb += reason.eq(Reason.CREDIT)
        with m.Elif(compared.crosses & ~compared.in_place):  # a halted book may stand crossed
            m.d.comb += reason.eq(Reason.POST_ONLY)
        with m.Else():
            m.d.comb += accepted.eq(1)
        with m.If(~accepted & ~weighs):
            drafts.rejected(reason, 1)
        with m.If(accepted):
            drafts.kind(ReportKind.REPLACED)
            drafts.order(replaced, desk.token, entry.quantity_lots, entry.quantity_lots)
            # A reduce-only order holds no reserve: what the guard has set aside for the new one returns.
            returned = Signal.like(order)
            m.d.comb += returned.eq(Mux(order.reduce_only, replaced, order))
            drafts.return_reserve(returned, returned.quantity_lots)
            m.d.comb += [
                drafts.releasing.eq(1),
                drafts.follow.eq(Mux(~compared.in_place & found.takes, Follow.MORE, Follow.LAST)),
            ]
        enabled = accepted & drafts.done
        with m.If(compared.in_place):
            changed = posts.level(found.line, order.price_ticks, enabled)
            m.d.comb += [
                changed.level.eq(found.level),
                changed.level.quantity_lots.eq(found.level.quantity_lots - order.quantity_lots + entry.quantity_lots),
            ]
            posts.quantity(desk.token, entry.quantity_lots, enabled)
        with m.Else():
            m.d.sync += replaced.market.eq(0)
            desk.read_level(desk.taker_line)
            posts.unlink(order, desk.token, found.next, found.previous, found.line, found.level, enabled)
        with m.If(weighs):
            m.next = "WEIGH_LOTS"
        with m.Elif(drafts.done):
            m.d.sync += self._weighed.eq(0)
            with m.If(desk.ends):
                desk.come_back()
            with m.Elif(~accepted):
                desk.finish("RETIRE")
            with m.Elif(found.takes):
                m.next = "MATCH_SETTLE"
            with m.Elif(compared.same_price | (compared.at_best & (found.level.head == found.level.tail))):
                m.next = "REST_SETTLE"  # its level, or the ladder, is not ready to be read at once
            with m.Elif(desk.ladder.settled):
                m.next = "REST_READ"
            with m.Else():
                m.next = "REST_LEVEL"
