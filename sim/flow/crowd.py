"""The people of an invented market: who sends what, and why."""

from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.protocol.commands import Opcode, OrderFlags, OrderType, SelfTradePrevention, Side, TimeInForce

from .row import Request, request

INDEX_STEP_S = 0.1
"""How often an instrument's worth is known to the crowd."""

CRASH_S = 240
DIP_S = 25
SELLING_S = 40
"""When the crash starts, how long the index falls, and how long the seller sells."""

SELLER_SHARE = 0.04
"""Of requests while the seller sells."""

SELLER_DISCOUNT = 0.03
"""How far below the worth the seller still sells, as a part of it."""

DEPTH_EXPONENT = 0.6
"""Of the distance at which limit orders are placed (Bouchaud, Mezard and Potters, 2002)."""


@dataclass(frozen=True)
class Population:
    """Accounts by what their owners do; each range is a range of account numbers.

    Attributes
    ----------
    makers : Quote both sides, pull their quotes often.
    investors : Buy and sell for reasons of their own.
    speculators : Buy with little margin before the crash.
    seller : The account that sells at any price.
    """

    makers: range
    investors: range
    speculators: range
    seller: int

    @classmethod
    def of(cls, accounts: int) -> "Population":
        """Share `accounts` (at least 8) out: a tenth makers, a third speculators, one seller, the rest investors."""
        if accounts < 8:
            raise ValueError(f"a market needs at least 8 accounts, not {accounts}")
        makers, speculators = max(2, accounts // 10), accounts // 3
        return cls(
            range(makers),
            range(makers, accounts - speculators - 1),
            range(accounts - speculators - 1, accounts - 1),
            accounts - 1,
        )


@dataclass(frozen=True)
class Habits:
    """What the crowd is up to.

    Attributes
    ----------
    cancel_share : Of requests, the part that cancels when the book is as full as they like it.
    replace_share : The same of replaces, of what cancels leave.
    taker_share : The same of orders that want to trade now, of what cancels and replaces leave.
    taker_reach_ticks : How far beyond the worth the least eager taker goes; where it is negative, most miss.
    crash_s : When the crash starts, infinity for never.
    """

    cancel_share: float = 0.46
    replace_share: float = 0.08
    taker_share: float = 0.03
    taker_reach_ticks: int = 3
    crash_s: float = CRASH_S


class Crowd:
    """Everybody who trades. They remember their resting orders as far as they know: an order that was filled
    meanwhile is canceled in vain, as happens.

    Arguments
    ---------
    random : Source of randomness.
    index : (instruments, steps) What each instrument is worth in ticks, every `INDEX_STEP_S`.
    population : Who they are.
    resting : About how many orders they like to have in the book.
    habits : What they do.
    """

    def __init__(
        self,
        random: np.random.Generator,
        index: NDArray[np.float64],
        population: Population,
        resting: int,
        habits: Habits | None = None,
    ) -> None:
        self._random = random
        self._index = index
        self._population = population
        self._habits = habits or Habits()
        self._resting_target = resting / len(index)
        self._live: list[list[_Resting]] = [[] for _ in index]
        self._offers: list[list[_Resting]] = [[] for _ in index]
        self._last_id = 0
        self._uniform: list[float] = []

    def act(self, time_s: float, instrument: int) -> Request:
        """Somebody's next request in this instrument."""
        now = self._look(time_s, instrument)
        live = self._live[instrument]
        if 0 < now.since_crash_s < SELLING_S and self._chance(SELLER_SHARE):
            return self._sell_at_any_price(now)
        if now.since_crash_s >= SELLING_S and self._offers[instrument]:
            return self._withdraw(now)
        fullness = min(len(live) / self._resting_target, 1.05)
        if live and self._chance(self._habits.cancel_share * fullness * (1 + 0.1 * now.panic)):
            return self._cancel(now)
        if live and self._chance(self._habits.replace_share):
            return self._replace(now)
        if self._chance(self._habits.taker_share):
            return self._take(now)
        return self._quote(now)

    def build_up(self, instrument: int, orders: int, in_one_level: int) -> list[Request]:
        """Passive orders at the start, so many of them buys at one price, just below the worth."""
        now = self._look(0.0, instrument)
        quotes = [self._quote(now) for _ in range(orders - in_one_level)]
        return quotes + [self._rest(now, self._pick(self._population.makers), Side.BUY, 1) for _ in range(in_one_level)]

    def _look(self, time_s: float, instrument: int) -> "_Moment":
        return _Moment(
            arrival_ns=int(time_s * 1e9),
            instrument=instrument,
            worth_ticks=float(self._index[instrument, int(time_s / INDEX_STEP_S)]),
            since_crash_s=time_s - self._habits.crash_s,
        )

    def _quote(self, now: "_Moment") -> Request:
        """A passive order; near the touch when all is calm, farther from it in panic."""
        account = self._pick(self._population.makers if self._chance(0.7) else self._population.investors)
        side = Side.BUY if self._chance(0.5) else Side.SELL
        away = self._power_law(DEPTH_EXPONENT, 400) + int(now.panic * 25 * self._draw())
        return self._rest(now, account, side, away)

    def _rest(self, now: "_Moment", account: int, side: Side, away_ticks: int) -> Request:
        order = _Resting(self._identify(), account, side, now.price(side, -away_ticks), self._power_law(1.2, 200))
        self._live[now.instrument].append(order)
        flags = OrderFlags.POST_ONLY if self._chance(0.5) else OrderFlags(0)
        return self._new(now, order, OrderType.LIMIT, TimeInForce.GTC, flags)

    def _take(self, now: "_Moment") -> Request:
        """An order that wants to trade now: mostly IOC, some FOK, some at the market."""
        calm, falling = now.since_crash_s < 0, 0 <= now.since_crash_s < DIP_S
        if self._chance(0.5):
            account, buys = self._pick(self._population.speculators), self._chance(0.8 if calm else 0.35)
        else:
            account, buys = self._pick(self._population.investors), self._chance(0.3 if falling else 0.5)
        side = Side.BUY if buys else Side.SELL
        price = now.price(side, self._habits.taker_reach_ticks - 1 + self._power_law(0.9, 30))
        order = _Resting(self._identify(), account, side, price, self._power_law(1.1, 300))
        if self._chance(0.15):
            return self._market(now, order)
        time_in_force = TimeInForce.FOK if self._chance(0.12) else TimeInForce.IOC
        return self._new(now, order, OrderType.LIMIT, time_in_force, OrderFlags(0))

    def _sell_at_any_price(self, now: "_Moment") -> Request:
        """Far below the worth: what finds no buyer stays on offer, at the bound of a band that says so."""
        quantity = 50 + int(self._resting_target * self._draw())
        price = round(now.worth_ticks * (1 - SELLER_DISCOUNT))
        order = _Resting(self._identify(), self._population.seller, Side.SELL, price, quantity)
        self._offers[now.instrument].append(order)
        return self._new(now, order, OrderType.LIMIT, TimeInForce.GTC, OrderFlags(0))

    def _withdraw(self, now: "_Moment") -> Request:
        """The seller has sold enough: what is still on offer goes."""
        return self._pull(now, self._offers[now.instrument].pop())

    def _cancel(self, now: "_Moment") -> Request:
        """Of a few orders, most of them recent, the one most exposed to the market is pulled. What was surely filled
        nobody tries to cancel."""
        live = self._live[now.instrument]
        while True:
            places = {
                self._recent_place(live) if self._chance(0.6) else int(self._draw() * len(live)) for _ in range(5)
            }
            place = max(sorted(places), key=lambda one: now.exposure(live[one]))
            live[place], live[-1] = live[-1], live[place]
            order = live.pop()
            if not live or now.exposure(order) < 3:
                break
        return self._pull(now, order)

    @staticmethod
    def _pull(now: "_Moment", order: "_Resting") -> Request:
        return request(
            kind=Opcode.CANCEL,
            arrival_ns=now.arrival_ns,
            instrument=now.instrument,
            account=order.account,
            client_order_id=order.client_order_id,
        )

    def _replace(self, now: "_Moment") -> Request:
        """Half reduce and keep their place, half move and lose it."""
        live = self._live[now.instrument]
        place = self._recent_place(live)
        old = live[place]
        price, quantity = old.price_ticks, old.quantity_lots
        if self._chance(0.5):
            quantity = max(1, quantity // 2)
        else:
            price = now.price(old.side, -self._power_law(1.0, 50))
        live[place] = _Resting(old.client_order_id, old.account, old.side, price, quantity)
        return request(
            kind=Opcode.REPLACE,
            arrival_ns=now.arrival_ns,
            instrument=now.instrument,
            account=old.account,
            client_order_id=old.client_order_id,
            side=old.side,
            price_ticks=price,
            quantity_lots=quantity,
        )

    def _market(self, now: "_Moment", order: "_Resting") -> Request:
        unpriced = _Resting(order.client_order_id, order.account, order.side, 0, order.quantity_lots)
        return self._new(now, unpriced, OrderType.MARKET, TimeInForce.IOC, OrderFlags(0))

    @staticmethod
    def _new(
        now: "_Moment", order: "_Resting", order_type: OrderType, time_in_force: TimeInForce, flags: OrderFlags
    ) -> Request:
        return request(
            kind=Opcode.NEW_ORDER,
            arrival_ns=now.arrival_ns,
            instrument=now.instrument,
            account=order.account,
            client_order_id=order.client_order_id,
            side=order.side,
            price_ticks=order.price_ticks,
            quantity_lots=order.quantity_lots,
            order_type=order_type,
            time_in_force=time_in_force,
            self_trade_prevention=SelfTradePrevention.CANCEL_NEWEST,
            flags=flags,
        )

    def _recent_place(self, live: "list[_Resting]") -> int:
        return len(live) - self._power_law(0.5, len(live))

    def _identify(self) -> int:
        self._last_id += 1
        return self._last_id

    def _pick(self, accounts: range) -> int:
        return accounts[int(self._draw() * len(accounts))]

    def _chance(self, probability: float) -> bool:
        return self._draw() < probability

    def _draw(self) -> float:
        """Uniform in [0, 1), drawn in bulk."""
        if not self._uniform:
            self._uniform = self._random.random(65_536).tolist()
        return self._uniform.pop()

    def _power_law(self, exponent: float, most: int) -> int:
        """A whole number from 1 to `most`; P(x or more) falls as x ** -exponent."""
        return min(most, int((1 - self._draw()) ** (-1 / exponent)))


@dataclass(frozen=True, slots=True)
class _Resting:
    """An order as its owner remembers it."""

    client_order_id: int
    account: int
    side: Side
    price_ticks: int
    quantity_lots: int


@dataclass(frozen=True, slots=True)
class _Moment:
    """What the crowd sees when somebody acts."""

    arrival_ns: int
    instrument: int
    worth_ticks: float
    since_crash_s: float

    @property
    def panic(self) -> float:
        """One when the crash starts, fading within a minute or two; zero before."""
        return exp(-self.since_crash_s / 30) if self.since_crash_s > 0 else 0.0

    def exposure(self, order: _Resting) -> float:
        """How many ticks an order is better than the worth for who trades with it; negative when it is not."""
        beyond = order.price_ticks - self.worth_ticks
        return beyond if order.side is Side.BUY else -beyond

    def price(self, side: Side, reach_ticks: int) -> int:
        """A price `reach_ticks` beyond the worth for who wants to trade, short of it when negative."""
        return round(self.worth_ticks) + (reach_ticks if side is Side.BUY else -reach_ticks)
