"""A taker meets makers: the best level's first order, the one behind it, the next level's."""

from collections.abc import Callable

from amaranth.hdl import Module, Mux, Signal, Value

from ..config import BookConfig
from ..protocol.commands import SelfTradePrevention
from ..protocol.reports import Reason, ReportKind
from .desk import Desk
from .fillable import Fillable
from .report_slot import Follow

AHEAD = ("MATCH_MAKER", "MATCH_FETCH", "MATCH_NEXT", "MATCH_TELL", "SELF_TAKER")
"""States in which the level behind the best is sought (`hdl.book.ladder`)."""

STATES = ("LOOK", "MATCH_SETTLE", "MATCH", "MATCH_LEVEL", *AHEAD)
"""States in which a taker may still trade."""

BEHIND_MAKER = ("RETIRE", "SELF_TAKER", "MATCH_NEXT", "MATCH_FETCH")
"""Where a taker goes from MATCH_MAKER."""


class Matching:
    """The states of an order that takes, up to the end of it or to its rest.

    LOOK counts what a fill-or-kill could take. MATCH_MAKER trades, or prevents a self-trade, of which SELF_TAKER is the
    second half; MATCH_FETCH waits for the next maker, MATCH_NEXT for the next level, MATCH_TELL until there is room to
    tell of it. Where the first level has not been read, MATCH_SETTLE, MATCH and MATCH_LEVEL come before. In the end it
    is CANCEL_TAKER or REST; before that REST_SETTLE, REST_LEVEL and REST_READ, where the level has not been read.

    Parameters
    ----------
    m : Of the engine.
    config : Sizes.
    desk : What is worked with.
    reach_ticks : For each instrument, how far from the first price it meets an order may trade; zero: to its limit.
    trade_waits : A trade has not been told yet; the next one waits for it.
    """

    def __init__(self, m: Module, config: BookConfig, desk: Desk, reach_ticks, trade_waits: Value) -> None:
        self._m, self._desk, self._trade_waits = m, desk, trade_waits
        m.submodules.fillable = self._fillable = fillable = Fillable(config)
        self._facing = Signal.like(desk.ladder.bests[0][0], name="facing")  # the best price that the taker meets
        # How far it may trade: to its limit, or no further than its reach; then it never rests.
        self._reach_ticks, self._limit_ticks = Signal(32, name="reach_ticks"), Signal(32, name="limit_ticks")
        self._bounded, self._stopped = Signal(name="bounded"), Signal(name="stopped")
        # By the trade, or what prevents it, that came last: the level is empty; so much was taken from both.
        self._level_vanished, self._decremented = Signal(name="level_vanished"), Signal(32, name="decremented")
        # The next level has come; its price is within the taker's limit.
        self._followed, self._reaches_next = Signal(name="followed"), Signal(name="reaches_next")
        # In MATCH_MAKER: a register beside the state, as `Desk.executing` is; and which state comes behind it.
        self._meets = Signal(name="meets")
        self._leaves = {state: Signal(name=f"meets_to_{state.lower()}") for state in BEHIND_MAKER}
        taker, ladder = desk.taker, desk.ladder
        self._maker = Signal.like(taker, name="order_of_maker")  # the maker, and what its level tells of it
        m.d.comb += [
            *(self._maker[name].eq(desk.maker[name]) for name in desk.maker.shape().members),
            self._maker.price_ticks.eq(desk.level_price_ticks),
            self._maker.sell.eq(~taker.sell),
        ]
        m.d.sync += [
            self._facing.eq(ladder.bests[0][~taker.sell]),
            self._reach_ticks.eq(reach_ticks[desk.instrument]),
        ]
        desk.admit(fillable)
        m.d.comb += [
            fillable.taker.eq(taker),
            fillable.line.eq(desk.level_line),
            fillable.price_ticks.eq(desk.level_price_ticks),
            fillable.limit_ticks.eq(self._limit_ticks),
            fillable.order.eq(desk.pool.order),
            fillable.next.eq(desk.pool.next),
        ]
        # The level behind an emptied one follows while that is carried out, or later; self-trade prevention may still
        # be at the emptied one then.
        behind = ladder.behind
        self._reaches_behind = behind.any & Mux(
            taker.sell, behind.price_ticks >= self._limit_ticks, behind.price_ticks <= self._limit_ticks
        )
        with m.If(ladder.ahead & ladder.follows):
            m.d.sync += [
                self._followed.eq(1),
                self._reaches_next.eq(self._reaches_behind),
                desk.level.eq(behind.level),
                desk.level_line.eq(behind.line),
                desk.level_price_ticks.eq(behind.price_ticks),
            ]

    def forget(self) -> None:
        """The next taker has met nobody yet."""
        self._m.d.sync += [self._followed.eq(0), self._bounded.eq(0), self._stopped.eq(0)]

    def begin(self) -> None:
        """From EXECUTE on to MATCH_MAKER."""
        self._desk.leave("MATCH_MAKER")
        self._m.d.sync += self._meets.eq(1)

    def add_states(self) -> None:
        """Add the states to the engine's; what is done in MATCH_MAKER, `meet` adds."""
        self._add_way_to_makers()
        with self._m.State("MATCH_MAKER"):
            for state, leaves in self._leaves.items():
                with self._m.If(leaves):
                    self._m.next = state
        self._add_self_taker()
        self._add_ends()

    def _bound(self) -> None:
        """The first maker that the taker meets bounds how far it may trade."""
        taker, maker, reach_ticks = self._desk.taker, self._maker, self._reach_ticks
        near_ticks = Mux(taker.sell, taker.price_ticks, maker.price_ticks) + reach_ticks
        stops = (reach_ticks != 0) & (near_ticks < Mux(taker.sell, maker.price_ticks, taker.price_ticks))
        with self._m.If(~self._bounded):
            self._m.d.sync += [
                self._bounded.eq(1),
                self._stopped.eq(stops),
                self._limit_ticks.eq(taker.price_ticks),
            ]
            with self._m.If(stops):
                self._m.d.sync += [
                    self._limit_ticks.eq(Mux(taker.sell, maker.price_ticks - reach_ticks, near_ticks)),
                    self._desk.immediate.eq(1),
                ]

    def _add_way_to_makers(self) -> None:
        m, desk = self._m, self._desk
        ladder, depth = desk.ladder, desk.news.depth
        with m.State("LOOK"):
            self._bound()
            desk.walk(self._fillable)
            with m.If(self._fillable.enough):
                m.next = "MATCH"
            with m.Elif(self._fillable.falls_short):
                desk.finish("CANCEL_TAKER")
        with m.State("MATCH_SETTLE"):
            m.next = "MATCH"
        with m.State("MATCH"):
            m.d.sync += [
                desk.level_line.eq(self._facing.line),
                desk.level_price_ticks.eq(self._facing.price_ticks),
            ]
            desk.read_level(self._facing.line)
            desk.read_maker(self._facing.head)
            with m.If(ladder.settled):
                m.next = "MATCH_LEVEL"
        with m.State("MATCH_LEVEL"):
            m.d.sync += desk.level.eq(ladder.level)
            self._take_maker()
            with m.If(depth.due):
                m.next = "MATCH_TELL"
            with m.Else():
                self._go_to_maker()
        with m.State("MATCH_TELL"):
            desk.news.tell_level()
            desk.read_maker(desk.level.head)
            with m.If(~depth.due):
                m.next = "MATCH_FETCH"
        with m.State("MATCH_FETCH"):
            self._take_maker()
            self._go_to_maker()
        with m.State("MATCH_NEXT"):
            desk.read_maker(desk.level.head)
            m.d.comb += desk.reads_behind.eq(~self._followed)
            with m.If(self._followed | ladder.follows):
                m.d.sync += self._followed.eq(0)
                with m.If(Mux(self._followed, self._reaches_next, self._reaches_behind)):
                    m.next = "MATCH_FETCH"
                    with m.If(depth.due):
                        m.next = "MATCH_TELL"
                with m.Elif(desk.immediate):
                    desk.finish("CANCEL_TAKER")
                with m.Else():
                    m.next = "REST_LEVEL"

    def _take_maker(self) -> None:
        desk, maker = self._desk, self._desk.pool.maker
        self._m.d.sync += [
            desk.maker.eq(maker),
            desk.maker_next.eq(desk.pool.maker_next),
            desk.own.eq(maker.account == desk.taker.account),
        ]

    def _go_to_maker(self) -> None:
        self._m.next = "MATCH_MAKER"
        self._m.d.sync += self._meets.eq(1)

    def _go(self, state: str) -> None:
        self._m.next = state

    def _leave(self, state: str) -> None:
        """On to one of `BEHIND_MAKER` from MATCH_MAKER."""
        self._m.d.comb += self._leaves[state].eq(1)
        self._m.d.sync += self._meets.eq(0)

    def _go_on(self, spent, vanished, go: Callable[[str], None]) -> None:
        """Where a taker goes that is done with a maker."""
        with self._m.If(spent):
            go("RETIRE")
            self._m.d.sync += self._desk.ends.eq(1)
        with self._m.Elif(vanished):
            go("MATCH_NEXT")
        with self._m.Else():
            go("MATCH_FETCH")

    def _follow_of(self, spent, vanished) -> Value:
        return Mux(spent, Follow.LAST, Mux(self._desk.immediate | ~vanished, Follow.MORE, Follow.UNKNOWN))

    def meet(self) -> None:
        """What is done in MATCH_MAKER, behind all states: it is chosen by a register, and last."""
        m, desk = self._m, self._desk
        taker, maker, level, drafts, posts = desk.taker, self._maker, desk.level, desk.drafts, desk.posts
        mode = taker.self_trade_prevention
        with m.If(self._meets):
            self._bound()
            self_trade = desk.own & (mode != SelfTradePrevention.OFF)
            newest = self_trade & (mode == SelfTradePrevention.CANCEL_NEWEST)
            both = self_trade & (mode == SelfTradePrevention.CANCEL_BOTH)
            decrements = self_trade & (mode == SelfTradePrevention.DECREMENT)
            meets = ~self_trade | decrements  # the smaller quantity is taken from both
            m.d.comb += drafts.able.eq(~self._trade_waits)
            desk.tell_trade(maker.price_ticks, drafts.done & ~self_trade)
            # Each of these is a comparison or a difference of registers: none waits for another.
            desk.read_maker(desk.maker_next)
            maker_larger = maker.quantity_lots > taker.quantity_lots
            taker_larger = taker.quantity_lots > maker.quantity_lots
            taken = Signal(32)
            maker_left = Signal(32)
            taker_left = Signal(32)
            gone = ~meets | ~maker_larger
            spent = meets & ~taker_larger
            vanished = Signal()
            m.d.comb += [
                taken.eq(Mux(gone, maker.quantity_lots, taker.quantity_lots)),
                maker_left.eq(Mux(gone, 0, maker.quantity_lots - taker.quantity_lots)),
                taker_left.eq(
                    Mux(meets, Mux(taker_larger, taker.quantity_lots - maker.quantity_lots, 0), taker.quantity_lots)
                ),
                vanished.eq(gone & (level.head == level.tail)),
            ]
            with m.If(newest):
                drafts.canceled(taker, desk.taker_token, taker.quantity_lots, 0, Reason.SELF_TRADE)
                with m.If(drafts.done):
                    self._leave("RETIRE")
                    m.d.sync += desk.ends.eq(1)
            with m.Else():
                with m.If(self_trade):
                    drafts.canceled(maker, level.head, taken, maker_left, Reason.SELF_TRADE)
                with m.Else():
                    drafts.kind(ReportKind.TRADE)
                    drafts.order(taker, desk.taker_token, taken, taker_left)
                    drafts.maker(maker, level.head, maker_left)
                    m.d.comb += drafts.report.price_ticks.eq(maker.price_ticks)
                m.d.comb += drafts.follow.eq(Mux(both | decrements, Follow.MORE, self._follow_of(spent, vanished)))
                left = Signal.like(level)
                changed = posts.level(desk.level_line, maker.price_ticks, drafts.done)
                m.d.comb += [
                    left.any.eq(~vanished),
                    left.head.eq(Mux(gone, desk.maker_next, level.head)),
                    left.tail.eq(level.tail),
                    left.quantity_lots.eq(level.quantity_lots - taken),
                    changed.level.eq(left),
                    changed.vanished.eq(vanished),
                ]
                posts.quantity(level.head, maker_left, drafts.done)
                with m.If(drafts.done):
                    m.d.sync += [
                        level.eq(left),
                        self._level_vanished.eq(vanished),
                        taker.quantity_lots.eq(taker_left),
                        self._decremented.eq(taken),
                    ]
                    m.d.comb += desk.news.reviews.traded.eq(~self_trade)
                    with m.If(both | decrements):
                        self._leave("SELF_TAKER")
                    with m.Else():
                        self._go_on(spent, vanished, self._leave)

    def _add_self_taker(self) -> None:
        m, desk = self._m, self._desk
        taker, level, drafts, level_vanished = desk.taker, desk.level, desk.drafts, self._level_vanished
        with m.State("SELF_TAKER"):
            both = taker.self_trade_prevention == SelfTradePrevention.CANCEL_BOTH
            quantity = Mux(both, taker.quantity_lots, self._decremented)
            left = Mux(both, 0, taker.quantity_lots)
            spent = both | (taker.quantity_lots == 0)
            drafts.canceled(taker, desk.taker_token, quantity, left, Reason.SELF_TRADE)
            m.d.comb += drafts.follow.eq(self._follow_of(spent, level_vanished))
            desk.read_maker(level.head)
            with m.If(drafts.done):
                self._go_on(spent, level_vanished, self._go)

    def _add_ends(self) -> None:
        m, desk = self._m, self._desk
        taker, drafts, reason = desk.taker, desk.drafts, desk.cancel_reason
        with m.State("CANCEL_TAKER"):
            drafts.canceled(taker, desk.taker_token, taker.quantity_lots, 0, reason)
            m.d.comb += desk.news.reviews.stranded.eq(
                drafts.done
                & (
                    (reason == Reason.BAND_MOVED)
                    | ((reason == Reason.IMMEDIATE_REST) & (desk.command.at_bound | self._stopped))
                )
            )
            with m.If(drafts.done):
                desk.come_back()
        with m.State("REST_SETTLE"):
            m.next = "REST_LEVEL"
        with m.State("REST_LEVEL"):
            desk.read_level(desk.taker_line)
            with m.If(desk.ladder.settled):
                m.next = "REST_READ"
        with m.State("REST_READ"):
            m.d.sync += desk.level.eq(desk.ladder.level)
            m.next = "REST"
        with m.State("REST"):
            desk.posts.rest(taker, desk.taker_token, desk.taker_line, desk.level, 1)
            desk.posts.order(desk.taker_token, taker, taker.quantity_lots, 1)
            m.d.comb += desk.slot.end.eq(1)
            desk.finish("RETIRE")
