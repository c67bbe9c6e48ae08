"""What is told between two commands: levels, best prices, and the states that the breaker makes of them."""

from collections.abc import Callable

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring

from ..beats import Action, Cause
from ..config import BookConfig
from ..protocol.reports import LevelChanged, Reason, ReportKind, TopOfBook, TradingStateChanged
from .depth import Depth
from .drafting import Drafting, sides
from .market_data import MarketData
from .report_slot import Follow
from .reviews import Reviews


class News:
    """Collects what the engine's states change, and drafts what has to be told of it.

    News come up right behind the command that they are of, before the next one is carried out. Where others of the same
    cause follow, all but levels wait for the last of them.

    Parameters
    ----------
    m : Of the engine.
    config : Sizes.
    command : The command at work.
    posting, posted : What this cycle of the engine changes (`hdl.book.posting`), and what the last one did.
    ladder : The engine's; its first, second and last reader of best prices are not for news.
    drafts : What is drafted here.

    Attributes
    ----------
    market_data, depth, reviews : Who knows what has to be told. Left to be said by the engine: `reviews.traded` and
        `reviews.stranded`, and who `follow`s market data.
    due : Something may have to be told before the next command.
    cause : Of the command that was carried out last.
    """

    def __init__(
        self,
        m: Module,
        config: BookConfig,
        command: data.View,
        posting: data.View,
        posted: data.View,
        ladder: wiring.Component,
        drafts: Drafting,
    ) -> None:
        self._m, self._ladder, self._drafts = m, ladder, drafts
        m.submodules.market_data = self.market_data = MarketData(config)
        m.submodules.depth = self.depth = Depth(config)
        m.submodules.reviews = self.reviews = Reviews(config)
        self.due = Signal(name="news")
        self.cause = Signal(Cause, name="last_cause")
        self._closed = Signal(init=1, name="closed")  # that was the last of its cause
        _, _, told_bests, reviewed_bests, _ = ladder.bests
        m.d.comb += [
            self.market_data.changed.eq(posting.change.enable),
            self.market_data.changed_instrument.eq(posting.change.instrument),
            self.market_data.level.eq(ladder.level),
            self.market_data.bests.eq(told_bests),
            self.depth.coming.eq(posting.change.enable),
            self.depth.coming_instrument.eq(posting.change.instrument),
            self.depth.change.eq(posted.change),
            self.reviews.changed.eq(posting.change.enable),
            self.reviews.changed_instrument.eq(posting.change.instrument),
            self.reviews.at_bound.eq(command.at_bound & ~command.immediate),
            self.reviews.stranded_instrument.eq(command.cause.instrument),
            self.reviews.bests.eq(reviewed_bests),
            self.reviews.time_ns.eq(self.cause.time_ns),
            self.due.eq(self.depth.due | ((self.market_data.due | self.reviews.due) & self._closed)),
        ]

    def follow(self, command: data.View) -> None:
        """In this cycle that command is carried out."""
        self._m.d.sync += [self.cause.eq(command.cause), self._closed.eq(1)]
        with self._m.Switch(command.action):
            with self._m.Case(Action.ANSWER, Action.MOVE_BAND):
                self._m.d.sync += self._closed.eq(command.last)
            with self._m.Case(Action.SWEEP):
                self._m.d.sync += self._closed.eq(~command.markets)
            with self._m.Case(Action.UNCROSS):
                self._m.d.sync += self._closed.eq(0)

    def tell(self, read_level: Callable[[Signal, Signal], None]) -> None:
        """Draft what is due.

        Arguments
        ---------
        read_level : Has the ladder read a level for it (`hdl.book.desk.Desk`).
        """
        header = self._drafts.header
        self._m.d.comb += [
            header.link.eq(self.cause.link),
            header.command_number.eq(self.cause.number),
            header.time_ns.eq(self.cause.time_ns),
            header.entry_cycle.eq(self.cause.entry_cycle),
        ]
        with self._m.If(self.depth.due):
            self.tell_level()
        with self._m.Elif(self.market_data.due):
            self._tell_top(read_level)
        with self._m.Elif(self.reviews.due):
            self._tell_state()

    def tell_level(self) -> None:
        """Draft the level that waits longest, if any does."""
        drafts, depth = self._drafts, self.depth
        told = data.View(LevelChanged, drafts.report)
        self._m.d.comb += [
            drafts.active.eq(depth.telling),
            depth.told.eq(depth.telling & drafts.done),
            drafts.follow.eq(Follow.MORE),
            drafts.header.kind.eq(ReportKind.LEVEL),
            drafts.header.instrument.eq(depth.first.instrument),
            drafts.header.side.eq(sides(depth.first.line[-1])),
            told.price_ticks.eq(depth.first.price_ticks),
            told.quantity_lots.eq(depth.first.level.quantity_lots),
        ]

    def _tell_top(self, read_level: Callable[[Signal, Signal], None]) -> None:
        """Give market data what it needs, and draft what it has to tell."""
        drafts, market_data = self._drafts, self.market_data
        top = data.View(TopOfBook, drafts.report)
        read_level(market_data.read_line, market_data.read_enable)
        self._m.d.comb += [
            market_data.free.eq(self._ladder.settled),
            drafts.active.eq(market_data.telling),
            market_data.told.eq(drafts.done),
            drafts.follow.eq(Follow.MORE),
            drafts.header.kind.eq(ReportKind.TOP_OF_BOOK),
            drafts.header.instrument.eq(market_data.instrument),
            top.bid_price_ticks.eq(market_data.top.bid_price_ticks),
            top.ask_price_ticks.eq(market_data.top.ask_price_ticks),
            top.bid_quantity_lots.eq(market_data.top.bid_quantity_lots),
            top.ask_quantity_lots.eq(market_data.top.ask_quantity_lots),
        ]

    def _tell_state(self) -> None:
        """Give the breaker what it needs, and draft the state that it has led to."""
        drafts, reviews = self._drafts, self.reviews
        changed, verdict = data.View(TradingStateChanged, drafts.report), reviews.verdict.payload
        self._m.d.comb += [
            reviews.free.eq(self._ladder.settled),
            drafts.active.eq(reviews.telling),
            reviews.told.eq(reviews.telling & drafts.done),
            drafts.follow.eq(Follow.MORE),
            drafts.header.kind.eq(ReportKind.TRADING_STATE),
            drafts.header.reason.eq(Reason.LIMIT),
            drafts.header.instrument.eq(reviews.instrument),
            changed.until_ns.eq(verdict.until_ns),
            changed.state.eq(verdict.state),
        ]
