"""The order book: price-time priority, self-trade prevention, fill or kill.

The book takes orders that the gate has let through, at their effective prices. Rows 14 to 21 of the rejection table
need to know what rests, so they are decided here.
"""

from bisect import bisect_left, insort
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from .auction import Clearing, clear
from .commands import Cancel, Replace, SelfTradePrevention, Side, TimeInForce
from .reports import (
    Auction,
    LevelChanged,
    OrderReport,
    Reason,
    Report,
    ReportKind,
    TopOfBook,
    Trade,
)


@dataclass(slots=True)
class Order:
    """An order, resting or taking.

    Attributes
    ----------
    instrument, account, side : What it trades, for whom, which way.
    token, generation : Its slot, and which order of that slot it is.
    price_ticks : Its limit after clamping; for a market order its bound.
    open_lots : What is left of it.
    self_trade_prevention : Mode while it takes.
    post_only, reduce_only : Its flags.
    market : It has collected as a market order: what an auction leaves of it is canceled.
    """

    instrument: int
    account: int
    side: Side
    token: int
    generation: int
    price_ticks: int
    open_lots: int
    self_trade_prevention: SelfTradePrevention
    post_only: bool
    reduce_only: bool
    market: bool = False


def beyond(side: Side, limit_ticks: int, price_ticks: int) -> bool:
    """Whether an opposite price is beyond a limit: above that of a buy, below that of a sell."""
    return price_ticks > limit_ticks if side is Side.BUY else price_ticks < limit_ticks


class Level:
    """The orders at one price, first in first out.

    Attributes
    ----------
    queue : The orders by token, the first in the queue first.
    quantity_lots : Sum of their open quantities; it may exceed 32 bits.
    """

    __slots__ = ("quantity_lots", "queue")

    def __init__(self) -> None:
        self.queue: OrderedDict[int, Order] = OrderedDict()
        self.quantity_lots = 0


class Ladder:
    """The resting orders of one side of one instrument."""

    def __init__(self, side: Side) -> None:
        self._best = -1 if side is Side.BUY else 0
        self._prices: list[int] = []  # ascending, those with a level
        self._levels: dict[int, Level] = {}

    def __bool__(self) -> bool:
        return bool(self._prices)

    def add(self, order: Order) -> None:
        """Put an order at the back of its level."""
        level = self._levels.get(order.price_ticks)
        if level is None:
            level = self._levels[order.price_ticks] = Level()
            insort(self._prices, order.price_ticks)
        level.queue[order.token] = order
        level.quantity_lots += order.open_lots

    def reduce(self, order: Order, quantity_lots: int) -> None:
        """Take quantity from an order where it stands; at zero it leaves."""
        level = self._levels[order.price_ticks]
        order.open_lots -= quantity_lots
        level.quantity_lots -= quantity_lots
        if order.open_lots == 0:
            del level.queue[order.token]
            if not level.queue:
                del self._levels[order.price_ticks]
                del self._prices[bisect_left(self._prices, order.price_ticks)]

    def first(self) -> Order | None:
        """The order that trades next: the first at the best price."""
        if not self._prices:
            return None
        return next(iter(self._levels[self._prices[self._best]].queue.values()))

    def best(self) -> tuple[int, int]:
        """Best price and the quantity there; zeros when the side is empty."""
        if not self._prices:
            return 0, 0
        price_ticks = self._prices[self._best]
        return price_ticks, self.quantity_lots(price_ticks)

    def quantity_lots(self, price_ticks: int) -> int:
        """Sum of open quantities at a price."""
        level = self._levels.get(price_ticks)
        return level.quantity_lots if level else 0

    def __iter__(self) -> Iterator[Order]:
        """The orders in matching order: best price first, first in first out."""
        for price_ticks in reversed(self._prices) if self._best else self._prices:
            yield from self._levels[price_ticks].queue.values()


class Book:
    """The books of all instruments over one pool of order slots.

    Attributes
    ----------
    instruments : Number of instruments.
    released : Called with an order and the quantity of it that was canceled: the book's word to the credit keeper.
    """

    def __init__(self, instruments: int, released: Callable[[Order, int], None]) -> None:
        self._ladders = [{side: Ladder(side) for side in Side} for _ in range(instruments)]
        self._resting: dict[int, Order] = {}  # by token
        self._tokens: defaultdict[int, set[int]] = defaultdict(set)  # of each account's resting orders
        self._last_generation: defaultdict[int, int] = defaultdict(int)  # by token, zero after a reset
        self._released = released
        self._told: set[int] = set()  # the instruments whose depth is told
        self._changed: dict[tuple[int, Side, int], None] = {}  # their levels that changed, until they are told

    # What rests

    def resting(self, instrument: int, side: Side) -> list[Order]:
        """The orders of one side in matching order."""
        return list(self._ladders[instrument][side])

    def order(self, token: int) -> Order:
        """The order that rests in a slot.

        Raises
        ------
        KeyError : No order rests there.
        """
        return self._resting[token]

    def holds_orders(self, instrument: int) -> bool:
        """Whether any order of an instrument rests."""
        return any(self._ladders[instrument].values())

    def top(self, instrument: int) -> TopOfBook:
        """Best prices and quantities."""
        bid_price_ticks, bid_quantity_lots = self._ladders[instrument][Side.BUY].best()
        ask_price_ticks, ask_quantity_lots = self._ladders[instrument][Side.SELL].best()
        return TopOfBook(instrument, bid_price_ticks, ask_price_ticks, bid_quantity_lots, ask_quantity_lots)

    def best_ticks(self, instrument: int, side: Side) -> int | None:
        """The best price of one side, None when it is empty."""
        order = self._ladders[instrument][side].first()
        return order.price_ticks if order else None

    def depth(self, instrument: int, side: Side) -> dict[int, int]:
        """Quantity by price of all levels of one side, best price first."""
        ladder = self._ladders[instrument][side]
        return {order.price_ticks: ladder.quantity_lots(order.price_ticks) for order in ladder}

    def tell_depth(self, instrument: int, told: bool) -> None:
        """Tell the levels of an instrument that change from now on, or not."""
        (self._told.add if told else self._told.discard)(instrument)

    def changed_levels(self) -> list[Report]:
        """The levels that have changed and were not told since, in order of their first change, as they are now."""
        changed, self._changed = self._changed, {}
        return [
            LevelChanged(instrument, side, price_ticks, self._ladders[instrument][side].quantity_lots(price_ticks))
            for instrument, side, price_ticks in changed
        ]

    def would_trade(self, instrument: int, side: Side, limit_ticks: int) -> bool:
        """Whether the best opposite price is not beyond a limit."""
        maker = self._ladders[instrument][side.opposite].first()
        return maker is not None and not beyond(side, limit_ticks, maker.price_ticks)

    # Rejections that depend on what rests, in the order of the table

    def refuse_new_order(self, order: Order, *, collects: bool) -> Reason | None:
        """Why a new order is rejected, None when it is not; `collects` says whether it would match at once or not."""
        if order.token in self._resting:  # 14
            return Reason.SLOT_IN_USE
        if order.generation == self._last_generation[order.token]:  # 15
            return Reason.GENERATION_USED
        if order.post_only and not collects and self.would_trade(order.instrument, order.side, order.price_ticks):  # 21
            return Reason.POST_ONLY
        return None

    def refuse_cancel(self, cancel: Cancel) -> Reason | None:
        """Why a cancel is rejected, None when it is not."""
        return None if self._names_resting_order(cancel) else Reason.UNKNOWN_ORDER  # 16

    def refuse_replace(
        self,
        replace: Replace,
        price_ticks: int,
        link: int,
        *,
        halted: bool,
        collects: bool,
        balance_quote: int,
        multiplier_quote: int,
    ) -> Reason | None:
        """Why a replace is rejected, None when it is not.

        `price_ticks` is the effective price; `balance_quote` is the account's, before anything is returned.
        """
        order = self._resting.get(replace.token)
        if order is None or not self._names_resting_order(replace) or replace.side is not order.side:  # 16
            return Reason.UNKNOWN_ORDER
        if order.reduce_only and link != 0:  # 17
            return Reason.NOT_PRIVILEGED
        if replace.expected_quantity_lots not in (0, order.open_lots):  # 18
            return Reason.QUANTITY_MISMATCH
        if self.keeps_place(replace, price_ticks):
            return None
        if halted:  # 19
            return Reason.HALTED
        old_quote = order.open_lots * order.price_ticks * multiplier_quote
        new_quote = replace.quantity_lots * price_ticks * multiplier_quote
        if not order.reduce_only and new_quote > old_quote and balance_quote + old_quote < new_quote:  # 20
            return Reason.CREDIT
        if order.post_only and not collects and self.would_trade(order.instrument, order.side, price_ticks):  # 21
            return Reason.POST_ONLY
        return None

    def keeps_place(self, replace: Replace, price_ticks: int) -> bool:
        """Whether a replace to an effective price keeps its order's place: same price, no larger quantity."""
        order = self._resting[replace.token]
        return price_ticks == order.price_ticks and replace.quantity_lots <= order.open_lots

    def _names_resting_order(self, command: Cancel | Replace) -> bool:
        order = self._resting.get(command.token)
        return (
            order is not None
            and order.generation == command.generation
            and order.account == command.account
            and order.instrument == command.instrument
        )

    # What happens to orders; each method answers with its reports

    def collect(self, order: Order) -> list[Report]:
        """Accept a new order that waits for an auction."""
        self._last_generation[order.token] = order.generation
        self._rest(order)
        return [_order_report(ReportKind.ACCEPTED, order)]

    def reach(self, instrument: int, side: Side, limit_ticks: int, reach_ticks: int | None) -> int:
        """How far an order may trade: to its limit, but no further from the first price it meets than its reach."""
        maker = self._ladders[instrument][side.opposite].first()
        if maker is None or reach_ticks is None or beyond(side, limit_ticks, maker.price_ticks):
            return limit_ticks
        if side is Side.BUY:
            return min(limit_ticks, maker.price_ticks + reach_ticks)
        return max(limit_ticks, maker.price_ticks - reach_ticks)

    def enter(self, order: Order, time_in_force: TimeInForce, limit_ticks: int) -> list[Report]:
        """Accept a new order: it trades as far as `limit_ticks`, and what is left rests or is canceled.

        It does not rest where it was kept from trading as far as its own limit.
        """
        self._last_generation[order.token] = order.generation
        reports: list[Report] = [_order_report(ReportKind.ACCEPTED, order)]
        if time_in_force is TimeInForce.FOK and not self._fillable(order, limit_ticks):
            return [*reports, self._drop_rest(order, Reason.NOT_FILLABLE)]
        reports += self._take(order, limit_ticks)
        if order.open_lots:
            if time_in_force is TimeInForce.GTC:
                reports += self._rest_within(order, limit_ticks)
            else:
                reports.append(self._drop_rest(order, Reason.IMMEDIATE_REST))
        return reports

    def replace(self, replace: Replace, price_ticks: int, limit_ticks: int, *, collects: bool) -> list[Report]:
        """Give a resting order a new open quantity and an effective price; it may trade unless the book `collects`.

        It trades as far as `limit_ticks`, and then rests as a new order does.
        """
        order = self._resting[replace.token]
        if self.keeps_place(replace, price_ticks):
            self._reduce_resting(order, order.open_lots - replace.quantity_lots)
            return [_order_report(ReportKind.REPLACED, order)]
        self._reduce_resting(order, order.open_lots)
        order.price_ticks = price_ticks
        order.open_lots = replace.quantity_lots
        order.market = False
        reports: list[Report] = [_order_report(ReportKind.REPLACED, order)]
        if not collects:
            reports += self._take(order, limit_ticks)
        if order.open_lots:
            reports += self._rest_within(order, limit_ticks)
        return reports

    def cancel(self, token: int, reason: Reason) -> Report:
        """Take a resting order out of the book."""
        return self._reduce_maker(self._resting[token], self._resting[token].open_lots, reason)

    def cancel_account(self, account: int, reason: Reason) -> list[Report]:
        """Cancel every order of an account, in ascending token."""
        return self._cancel_each(sorted(self._tokens[account]), reason)

    def cancel_all(self, reason: Reason) -> list[Report]:
        """Cancel every order, in ascending token."""
        return self._cancel_each(sorted(self._resting), reason)

    def cancel_beyond(self, instrument: int, lower_ticks: int, upper_ticks: int) -> list[Report]:
        """Cancel what a new band would let trade outside: bids above it, then asks below it, best price first."""
        bids = [order for order in self.resting(instrument, Side.BUY) if order.price_ticks > upper_ticks]
        asks = [order for order in self.resting(instrument, Side.SELL) if order.price_ticks < lower_ticks]
        return self._cancel_each([order.token for order in bids + asks], Reason.BAND_MOVED)

    def cancel_outside(self, instrument: int, window: range) -> list[Report]:
        """Cancel what a new window does not hold: bids, then asks, best price first."""
        orders = self.resting(instrument, Side.BUY) + self.resting(instrument, Side.SELL)
        outside = [order.token for order in orders if order.price_ticks not in window]
        return self._cancel_each(outside, Reason.WINDOW_MOVED)

    def cancel_markets(self, instrument: int) -> list[Report]:
        """Cancel what an auction has left of market orders, in ascending token."""
        left = [token for token, order in self._resting.items() if order.market and order.instrument == instrument]
        return self._cancel_each(sorted(left), Reason.IMMEDIATE_REST)

    def clearing(self, instrument: int, reference_ticks: int) -> Clearing | None:
        """What an auction would trade now, None when no bid meets an ask."""
        return clear(self.depth(instrument, Side.BUY), self.depth(instrument, Side.SELL), reference_ticks)

    def uncross(self, instrument: int, clearing: Clearing) -> list[Report]:
        """Trade at the clearing's price until its volume is used up."""
        reports: list[Report] = []
        trades = 0
        volume_lots = clearing.volume_lots
        while volume_lots:
            bid = self._ladders[instrument][Side.BUY].first()
            ask = self._ladders[instrument][Side.SELL].first()
            assert bid is not None and ask is not None
            quantity_lots = min(bid.open_lots, ask.open_lots, volume_lots)
            self._reduce_resting(bid, quantity_lots)
            self._reduce_resting(ask, quantity_lots)
            volume_lots -= quantity_lots
            trades += 1
            reports += [
                Trade(
                    instrument=instrument,
                    side=0,
                    price_ticks=clearing.price_ticks,
                    quantity_lots=quantity_lots,
                    account=bid.account,
                    token=bid.token,
                    generation=bid.generation,
                    remaining_lots=bid.open_lots,
                    maker_account=ask.account,
                    maker_token=ask.token,
                    maker_generation=ask.generation,
                    maker_remaining_lots=ask.open_lots,
                ),
                *self.changed_levels(),
            ]
        return [*reports, auction_report(ReportKind.UNCROSSED, instrument, clearing, trades)]

    def _cancel_each(self, tokens: Iterable[int], reason: Reason) -> list[Report]:
        """Cancel orders; behind each its level is told."""
        reports: list[Report] = []
        for token in tokens:
            reports += [self.cancel(token, reason), *self.changed_levels()]
        return reports

    def _rest_within(self, order: Order, limit_ticks: int) -> list[Report]:
        """What is left of an order rests, unless it was kept from trading as far as its own limit."""
        if order.price_ticks != limit_ticks:
            return [self._drop_rest(order, Reason.BAND_MOVED)]
        self._rest(order)
        return []

    def _take(self, taker: Order, limit_ticks: int) -> list[Report]:
        """Trade with the opposite side in price-time priority while it is not beyond a limit.

        Before it meets the first order of a level, the levels that changed before are told.
        """
        reports: list[Report] = []
        met_ticks = None
        makers = self._ladders[taker.instrument][taker.side.opposite]
        while taker.open_lots and (maker := makers.first()) is not None:
            if beyond(taker.side, limit_ticks, maker.price_ticks):
                break
            if maker.price_ticks != met_ticks:
                met_ticks = maker.price_ticks
                reports += self.changed_levels()
            if maker.account == taker.account and taker.self_trade_prevention is not SelfTradePrevention.OFF:
                reports += self._prevent_self_trade(taker, maker)
            else:
                reports.append(self._trade(taker, maker))
        return reports

    def _trade(self, taker: Order, maker: Order) -> Trade:
        quantity_lots = min(taker.open_lots, maker.open_lots)
        taker.open_lots -= quantity_lots
        self._reduce_resting(maker, quantity_lots)
        return Trade(
            instrument=taker.instrument,
            side=taker.side,
            price_ticks=maker.price_ticks,
            quantity_lots=quantity_lots,
            account=taker.account,
            token=taker.token,
            generation=taker.generation,
            remaining_lots=taker.open_lots,
            maker_account=maker.account,
            maker_token=maker.token,
            maker_generation=maker.generation,
            maker_remaining_lots=maker.open_lots,
        )

    def _prevent_self_trade(self, taker: Order, maker: Order) -> list[Report]:
        reason = Reason.SELF_TRADE
        match taker.self_trade_prevention:
            case SelfTradePrevention.CANCEL_NEWEST:
                return [self._drop_rest(taker, reason)]
            case SelfTradePrevention.CANCEL_OLDEST:
                return [self.cancel(maker.token, reason)]
            case SelfTradePrevention.CANCEL_BOTH:
                return [self.cancel(maker.token, reason), self._drop_rest(taker, reason)]
            case _:  # DECREMENT
                quantity_lots = min(taker.open_lots, maker.open_lots)
                reports = [self._reduce_maker(maker, quantity_lots, reason)]
                taker.open_lots -= quantity_lots
                self._released(taker, quantity_lots)
                return [*reports, _canceled(taker, quantity_lots, reason)]

    def _fillable(self, taker: Order, limit_ticks: int) -> bool:
        """Whether a fill-or-kill order could trade all of its quantity."""
        countable_lots = 0
        for maker in self._ladders[taker.instrument][taker.side.opposite]:
            if beyond(taker.side, limit_ticks, maker.price_ticks):
                break
            if maker.account == taker.account and taker.self_trade_prevention is not SelfTradePrevention.OFF:
                if taker.self_trade_prevention is SelfTradePrevention.CANCEL_OLDEST:
                    continue
                break
            countable_lots += maker.open_lots
            if countable_lots >= taker.open_lots:
                return True
        return False

    def _change_level(self, order: Order) -> None:
        """The level that an order rests in changes."""
        if order.instrument in self._told:
            self._changed[order.instrument, order.side, order.price_ticks] = None

    def _rest(self, order: Order) -> None:
        self._change_level(order)
        self._ladders[order.instrument][order.side].add(order)
        self._resting[order.token] = order
        self._tokens[order.account].add(order.token)

    def _reduce_resting(self, order: Order, quantity_lots: int) -> None:
        self._change_level(order)
        self._ladders[order.instrument][order.side].reduce(order, quantity_lots)
        if order.open_lots == 0:
            del self._resting[order.token]
            self._tokens[order.account].discard(order.token)

    def _reduce_maker(self, order: Order, quantity_lots: int, reason: Reason) -> OrderReport:
        """Cancel quantity of a resting order."""
        self._reduce_resting(order, quantity_lots)
        self._released(order, quantity_lots)
        return _canceled(order, quantity_lots, reason)

    def _drop_rest(self, taker: Order, reason: Reason) -> OrderReport:
        """Cancel what is left of an order that does not rest."""
        quantity_lots = taker.open_lots
        taker.open_lots = 0
        self._released(taker, quantity_lots)
        return _canceled(taker, quantity_lots, reason)


def auction_report(kind: ReportKind, instrument: int, clearing: Clearing | None, trades: int = 0) -> Auction:
    """The report of an auction."""
    if clearing is None:
        return Auction(kind, instrument)
    return Auction(
        kind,
        instrument,
        clearing.surplus_side or 0,
        clearing.price_ticks,
        clearing.volume_lots,
        clearing.surplus_lots,
        trades,
    )


def _order_report(kind: ReportKind, order: Order) -> OrderReport:
    return OrderReport(
        kind=kind,
        reason=0,
        instrument=order.instrument,
        side=order.side,
        price_ticks=order.price_ticks,
        quantity_lots=order.open_lots,
        account=order.account,
        token=order.token,
        generation=order.generation,
        remaining_lots=order.open_lots,
    )


def _canceled(order: Order, quantity_lots: int, reason: Reason) -> OrderReport:
    return OrderReport(
        kind=ReportKind.CANCELED,
        reason=reason,
        instrument=order.instrument,
        side=order.side,
        price_ticks=order.price_ticks,
        quantity_lots=quantity_lots,
        account=order.account,
        token=order.token,
        generation=order.generation,
        remaining_lots=order.open_lots,
    )
