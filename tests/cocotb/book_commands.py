"""Random commands for the book alone, as the guard hands them over, and what the model's book makes of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from struct import pack
from typing import Any

from amaranth.hdl import Const
from amaranth.lib import data

from bandgap.hdl.beats import Action, GuardedCommand, Preview, Single
from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol import commands as wire
from bandgap.hdl.protocol.reports import Reason as WireReason
from bandgap.hdl.protocol.reports import ReportKind as WireKind
from bandgap.hdl.protocol.reports import TradingState as WireState
from bandgap.sim.model import book as model
from bandgap.sim.model.commands import BandPolicy, OrderType, SelfTradePrevention, Side, TimeInForce, decode
from bandgap.sim.model.reports import (
    LAST,
    Auction,
    BandMoved,
    Cause,
    Done,
    Reason,
    Rejected,
    Report,
    ReportKind,
    Trade,
    TradingState,
    TradingStateChanged,
    encode,
)


class Book(model.Book):
    """The model's book, which notes whose levels change in `touched`."""

    def __init__(self, instruments: int, released: Any) -> None:
        self.touched: set[int] = set()
        super().__init__(instruments, released)

    def _change_level(self, order: model.Order) -> None:
        self.touched.add(order.instrument)
        super()._change_level(order)


def verdict_on(review: dict[str, int]) -> dict[str, int]:
    """What the breaker answers here: a change now and then."""
    time_ns = review["time_ns"] + review["instrument"]
    state = WireState.LIMIT if time_ns & 4 else WireState.TRADING
    return {"changed": int(time_ns % 3 == 0), "state": state.value, "until_ns": time_ns * 5}


class Expectation:
    """The model's book, fed with what the gate would have let through, and what it says of it.

    Attributes
    ----------
    reports : 64 bytes each, number and epoch zero.
    releases : (account, instrument, price, quantity) each.
    traded : (instrument, auction, price, time) each.
    reviews : The fields of each.
    collecting, watched, dynamic : A bit an instrument.
    reach_ticks : For each instrument; zero: an order trades to its limit.
    """

    def __init__(self, config: BookConfig) -> None:
        self.reports: list[bytes] = []
        self.releases: list[tuple[int, int, int, int]] = []
        self.traded: list[tuple[int, int, int, int]] = []
        self.reviews: list[dict[str, int]] = []
        self.collecting = self.watched = self.dynamic = 0
        self.reach_ticks = [0] * config.instruments
        self.book = Book(config.instruments, self._released)
        self._tops = [self.book.top(index) for index in range(config.instruments)]

    def _released(self, order: model.Order, quantity_lots: int) -> None:
        if not order.reduce_only and quantity_lots:
            self.releases.append((order.account, order.instrument, order.price_ticks, quantity_lots))

    def limit(self, instrument: int, side: Side, price_ticks: int) -> int:
        """How far an order may trade."""
        return self.book.reach(instrument, side, price_ticks, self.reach_ticks[instrument] or None)

    def send(
        self,
        cause: Cause,
        reports: list[Report],
        *,
        at_bound: bool = False,
        immediate: bool = False,
        stopped: bool = False,
    ) -> None:
        """The reports of a command, then the levels and tops of book that it changed, then what the breaker finds.

        `immediate`: it never rests. `stopped`: its reach kept it from trading as far as its limit.
        """
        stranded = set()
        moved = 0  # a bit an instrument whose bounds have moved
        for report in reports:
            last = LAST if report is reports[-1] else 0
            self.reports.append(encode(report, cause, 0, 0, last))
            if isinstance(report, Trade) and report.side:
                self.traded.append((report.instrument, 0, report.price_ticks, cause.time_ns))
                moved |= self.dynamic & 1 << report.instrument
            if isinstance(report, Auction) and report.kind is ReportKind.UNCROSSED and report.trades:
                self.traded.append((report.instrument, 1, report.price_ticks, cause.time_ns))
        left = reports[-1].reason
        if (at_bound and left == Reason.IMMEDIATE_REST) or (
            stopped and left in (Reason.IMMEDIATE_REST, Reason.BAND_MOVED)
        ):
            stranded.add(reports[-1].instrument)
        for told in self.book.changed_levels():
            self.reports.append(encode(told, cause, 0, 0, 0))
        for index, before in enumerate(self._tops):
            top = self.book.top(index)
            if top != before:
                self._tops[index] = top
                self.reports.append(encode(top, cause, 0, 0, 0))
        due = self.watched | moved
        may_rest = at_bound and not immediate
        asked = {index for index in self.book.touched if may_rest or due >> index & 1} | stranded
        self.book.touched.clear()
        for index in sorted(asked):
            self._review(cause, index, stranded=index in stranded)

    def _review(self, cause: Cause, instrument: int, *, stranded: bool) -> None:
        top = self.book.top(instrument)
        sides = [self.book.resting(instrument, side) for side in (Side.BUY, Side.SELL)]
        review = {
            "instrument": instrument,
            "bid_any": int(bool(sides[0])),
            "bid_ticks": top.bid_price_ticks if sides[0] else 0,
            "ask_any": int(bool(sides[1])),
            "ask_ticks": top.ask_price_ticks if sides[1] else 0,
            "stranded": int(stranded),
            "time_ns": cause.time_ns,
        }
        self.reviews.append(review)
        verdict = verdict_on(review)
        if verdict["changed"]:
            state = TradingState(verdict["state"])
            changed = TradingStateChanged(Reason.LIMIT, instrument, state, verdict["until_ns"])
            self.reports.append(encode(changed, cause, 0, 0, 0))


def bits(layout: type, fields: dict[str, object]) -> int:
    """A struct's value as it stands on the pins."""
    return int(Const.cast(data.Layout.cast(layout).const(fields)).value)


@dataclass(frozen=True)
class Walker:
    """A command on its way to the book: what the guard shows of it at intake, in its second register, at the end.

    `alone`: nothing enters behind it before it is carried out. `repriced`: `price_ticks` is not the one it has at the
    end. `traded`: how many trades have been told by then.
    """

    preview: int
    price_ticks: int
    beat: int
    alone: bool
    repriced: bool = False
    traded: int | None = None


@dataclass(frozen=True)
class Switch:
    """What changes while nothing is on its way; and how the last auction must have gone by then."""

    collecting: int
    watched: int
    dynamic: int
    reach_ticks: tuple[int, ...]
    uncrossed: dict[str, int] | None = None


class Sender:
    """Draws commands that the gate could hand over, and tells the model of each."""

    def __init__(self, config: BookConfig, rng: Random) -> None:
        self._config, self._rng = config, rng
        self.expected = Expectation(config)
        self._number = 0
        self._generations = [0] * config.orders
        self._window_ticks = config.ticks // 2
        self._bases = [rng.choice((0, 1000, (1 << 32) - self._window_ticks)) for _ in range(config.instruments)]
        self.reserve_quote = 0

    def _cause(self, instrument: int) -> Cause:
        self._number += 1
        self._instrument = instrument
        return Cause(
            time_ns=self._rng.getrandbits(40), link=self._rng.choice((0, 0, 0, 1)), command_number=self._number
        )

    def _walker(self, action: Action, cause: Cause, body: bytes, **fields: object) -> Walker:
        cause_fields = {
            "link": cause.link,
            "number": cause.command_number,
            "time_ns": cause.time_ns,
            "instrument": self._instrument,
        }
        if_apt = action is Action.CANCEL or (action is Action.NEW and not fields.get("immediate"))
        single = Single.ALWAYS if action is Action.ANSWER else Single.IF_APT if if_apt else Single.NEVER
        body_bits = int.from_bytes(body, "little")
        beat = {"cause": cause_fields, "action": action, "single": single, "body": body_bits, **fields}
        preview = {
            "token": int.from_bytes(body[20:22], "little"),
            "instrument": self._instrument,
            "new": action is Action.NEW,
            "cancels": action is Action.CANCEL,
            "sell": body[24] == wire.Side.SELL.value,
            "generation": int.from_bytes(body[22:24], "little"),
            "account": int.from_bytes(body[16:20], "little"),
        }
        flow = (Action.NEW, Action.CANCEL, Action.REPLACE)
        whole_book = bool(fields.get("everyone") or fields.get("markets"))
        alone = action not in (*flow, Action.SWEEP) or whole_book
        price_ticks = int(fields.get("price_ticks", 0))
        repriced = action in (Action.NEW, Action.REPLACE) and self._rng.random() < 0.1
        if repriced:
            price_ticks = self._bases[self._instrument] + self._rng.randrange(self._window_ticks)
        return Walker(bits(Preview, preview), price_ticks, bits(GuardedCommand, beat), alone, repriced)

    def set_instrument(self, instrument: int) -> Walker:
        cause = self._cause(instrument)
        depth = wire.InstrumentFlags.DEPTH.value if self._rng.random() < 0.5 else 0
        self.expected.book.tell_depth(instrument, bool(depth))
        body = pack(
            "<8xIIIBB10x",
            self._bases[instrument],
            instrument * self._window_ticks,
            3,
            self._window_ticks.bit_length() - 1,
            wire.InstrumentFlags.TOP_OF_BOOK.value + depth,
        )
        self.expected.send(cause, [Done(instrument)])
        return self._walker(Action.SET_INSTRUMENT, cause, body)

    def _collects(self, instrument: int) -> bool:
        return bool(self.expected.collecting >> instrument & 1)

    def _order_body(self, price: int, quantity: int, account: int, token: int, generation: int, tail: bytes) -> bytes:
        return (pack("<8xIIIHH", price, quantity, account, token, generation) + tail).ljust(32, b"\0")

    def new_order(self) -> list[Walker]:
        rng, book = self._rng, self.expected.book
        cause = self._cause(rng.randrange(self._config.instruments))
        collects = self._collects(self._instrument)
        side = rng.choice(list(Side))
        market = rng.random() < 0.2
        force = rng.choice(list(TimeInForce))
        if collects:
            force = TimeInForce.GTC
        if market:
            force = TimeInForce.IOC
        mode = rng.choice(list(SelfTradePrevention))
        post_only = force is TimeInForce.GTC and not collects and rng.random() < 0.2
        reduce_only = cause.link == 0 and rng.random() < 0.2
        token = rng.randrange(self._config.orders)
        self._generations[token] = rng.choice((self._generations[token], *[rng.randrange(1, 1 << 16)] * 4))
        order = model.Order(
            self._instrument,
            rng.randrange(2),
            side,
            token,
            self._generations[token],
            self._bases[self._instrument] + rng.randrange(self._window_ticks),
            rng.choice((1, 2, 3, 5, (1 << 32) - 1)),
            mode,
            post_only,
            reduce_only,
        )
        flags = post_only * wire.OrderFlags.POST_ONLY.value + reduce_only * wire.OrderFlags.REDUCE_ONLY.value
        sent_price = rng.choice((order.price_ticks, 0))  # what was sent may differ from the effective price
        order_type = OrderType.MARKET if market else OrderType.LIMIT
        tail = pack("<BBBBB", side, order_type, force, mode, flags)
        body = self._order_body(sent_price, order.open_lots, order.account, token, order.generation, tail)
        at_bound = rng.random() < 0.3
        immediate = force is not TimeInForce.GTC and not collects
        beat = self._walker(
            Action.NEW,
            cause,
            body,
            price_ticks=order.price_ticks,
            immediate=int(immediate),
            at_bound=int(at_bound),
        )
        reason = book.refuse_new_order(order, collects=collects)
        if reason is not None:
            if not reduce_only:
                self.expected.releases.append((order.account, self._instrument, order.price_ticks, order.open_lots))
            self.expected.send(cause, [Rejected(reason, self._instrument, side, body[8:24])])
        elif collects:
            order.market = market
            self.expected.send(cause, book.collect(order), at_bound=at_bound)
        else:
            limit_ticks = self.expected.limit(self._instrument, side, order.price_ticks)
            stopped = limit_ticks != order.price_ticks
            reports = book.enter(order, force, limit_ticks)
            self.expected.send(cause, reports, at_bound=at_bound, immediate=immediate, stopped=stopped)
        return [beat]

    def _named(self) -> tuple[int, int, int, model.Order | None]:
        """Instrument, account and token of an order to cancel or replace, mostly one that rests."""
        rng, book = self._rng, self.expected.book
        token = rng.randrange(self._config.orders)
        sides = [book.resting(index, side) for index in range(self._config.instruments) for side in Side]
        resting = [order.token for orders in sides for order in orders]
        if resting and rng.random() < 0.7:
            token = rng.choice(resting)
        try:
            order = book.order(token)
        except KeyError:
            return rng.randrange(self._config.instruments), rng.randrange(2), token, None
        if rng.random() < 0.1:
            return rng.randrange(self._config.instruments), rng.randrange(2), token, order
        return order.instrument, order.account, token, order

    def cancel(self) -> list[Walker]:
        instrument, account, token, _ = self._named()
        cause = self._cause(instrument)
        generation = self._generations[token]
        body = pack("<16xIHH8x", account, token, generation)
        command = decode(pack("<BBHI", wire.Opcode.CANCEL.value, instrument, 1, 1) + body[8:])
        book = self.expected.book
        reason = book.refuse_cancel(command)
        if reason is None:
            self.expected.send(cause, [book.cancel(token, Reason.REQUESTED)])
        else:
            self.expected.send(cause, [Rejected(reason, instrument, 0, body[8:24])])
        return [self._walker(Action.CANCEL, cause, body)]

    def replace(self) -> list[Walker]:
        rng, book = self._rng, self.expected.book
        instrument, account, token, order = self._named()
        cause = self._cause(instrument)
        side = order.side if order and rng.random() < 0.9 else rng.choice(list(Side))
        price = self._bases[instrument] + rng.randrange(self._window_ticks)
        if order and order.instrument == instrument and rng.random() < 0.5:
            price = order.price_ticks
        quantity = rng.choice((1, 2, 3, 5, (1 << 32) - 1))
        expected = rng.choice((0, 0, 0, order.open_lots if order else 1, 7))
        body = self._order_body(price, quantity, account, token, self._generations[token], bytes([side]))
        body = body[:28] + pack("<I", expected)
        command = decode(pack("<BBHI", wire.Opcode.REPLACE.value, instrument, 1, 1) + body[8:])
        collects, halted, at_bound = self._collects(instrument), rng.random() < 0.2, rng.random() < 0.3
        # The gate lets reserves below 2**46 through; beyond, credit shall not matter here.
        reserve = price * quantity * 3
        balance = rng.choice((1 << 62, 0, -(1 << 61), reserve // 2)) if reserve < 1 << 46 else reserve
        deficit = max(reserve - balance, 0)
        beat = self._walker(
            Action.REPLACE,
            cause,
            body,
            price_ticks=price,
            halted=int(halted),
            at_bound=int(at_bound),
            reserve_quote=reserve & ((1 << 46) - 1),
            deficit_quote=deficit,
        )
        reason = book.refuse_replace(
            command,
            price,
            cause.link,
            halted=halted,
            collects=collects,
            balance_quote=balance,
            multiplier_quote=3,
        )
        if reason is None:
            assert order is not None
            returned = (order.price_ticks, order.open_lots)
            if order.reduce_only:
                returned = (price, quantity)
            self.expected.releases.append((account, instrument, *returned))
            limit_ticks = price
            if not collects and not book.keeps_place(command, price):
                limit_ticks = self.expected.limit(instrument, side, price)
            reports = book.replace(command, price, limit_ticks, collects=collects)
            self.expected.send(cause, reports, at_bound=at_bound, stopped=limit_ticks != price)
        else:
            self.expected.releases.append((account, instrument, price, quantity))
            self.expected.send(cause, [Rejected(reason, instrument, side, body[8:24])])
        return [beat]

    def sweep(self) -> list[Walker]:
        cause = self._cause(0)
        account = self._rng.randrange(2)
        body = pack("<16xI12x", account)
        book = self.expected.book
        if self._rng.random() < 0.5:
            reports = book.cancel_all(Reason.WATCHDOG)
            done = Done(count=count_canceled(reports), reason=Reason.WATCHDOG)
            beat = self._walker(Action.SWEEP, cause, body, everyone=1, reason=WireReason.WATCHDOG)
        else:
            reports = book.cancel_account(account, Reason.MASS_CANCEL)
            done = Done(count=count_canceled(reports), account=account)
            beat = self._walker(Action.SWEEP, cause, body, reason=WireReason.MASS_CANCEL)
        self.expected.send(cause, [*reports, done])
        return [beat]

    def _state(self, cause: Cause) -> tuple[Walker, Report]:
        """The report that ends what a timer does."""
        state = TradingState.CALL
        reported = TradingStateChanged(Reason.CALL_OVER, self._instrument, state, 7)
        beat = self._walker(
            Action.ANSWER, cause, reported.body(), kind=WireKind.TRADING_STATE, reason=WireReason.CALL_OVER, last=1
        )
        return beat, reported

    def _move_band(self, cause: Cause, last: int) -> tuple[Walker, list[Report]]:
        base = self._bases[self._instrument]
        lower, upper, force_lower, force_upper = sorted(
            base + self._rng.randrange(self._window_ticks) for _ in range(4)
        )
        if self._rng.random() < 0.5:
            lower, upper, force_lower, force_upper = force_lower, force_upper, lower, upper
        body = pack("<8xIIIB3xII", lower, upper, lower, wire.BandPolicy.CLAMP.value, force_lower, force_upper)
        moved = BandMoved(self._instrument, lower, upper, lower, BandPolicy.CLAMP)
        reports = self.expected.book.cancel_beyond(self._instrument, force_lower, force_upper)
        return self._walker(Action.MOVE_BAND, cause, body, reason=WireReason.BAND_MOVED, last=last), [*reports, moved]

    def move_band(self) -> list[Walker]:
        cause = self._cause(self._rng.randrange(self._config.instruments))
        beat, reports = self._move_band(cause, 1)
        self.expected.send(cause, reports)
        return [beat]

    def move_window(self) -> list[Walker]:
        rng = self._rng
        instrument = rng.randrange(self._config.instruments)
        cause = self._cause(instrument)
        base = self._bases[instrument] + rng.randint(-self._window_ticks * 5 // 4, self._window_ticks * 5 // 4)
        base = self._bases[instrument] = min(max(base, 0), (1 << 32) - self._window_ticks)
        reports = self.expected.book.cancel_outside(instrument, range(base, base + self._window_ticks))
        self.expected.send(cause, [*reports, Done(instrument, count=count_canceled(reports))])
        return [self._walker(Action.MOVE_WINDOW, cause, pack("<8xI20x", base), reason=WireReason.WINDOW_MOVED)]

    def switch(self) -> list[Walker | Switch]:
        """An instrument begins to collect, or ends where its book allows it; the rest is drawn anew for each."""
        rng = self._rng
        expected = self.expected
        index = rng.randrange(self._config.instruments)
        top = expected.book.top(index)
        crossed = expected.book.would_trade(index, Side.BUY, top.bid_price_ticks) and top.bid_quantity_lots
        if not self._collects(index) or not crossed:
            expected.collecting ^= 1 << index
        instruments = self._config.instruments
        expected.watched = rng.getrandbits(instruments) & rng.getrandbits(instruments)
        expected.dynamic = rng.getrandbits(instruments) & rng.getrandbits(instruments)
        expected.reach_ticks = [rng.choice((0, 0, 1, 3, self._window_ticks // 4)) for _ in range(instruments)]
        return [self._switched()]

    def _switched(self, uncrossed: dict[str, int] | None = None) -> Switch:
        expected = self.expected
        return Switch(expected.collecting, expected.watched, expected.dynamic, tuple(expected.reach_ticks), uncrossed)

    def _call_end(self) -> tuple[bytes, int, int, range | None]:
        """What an auction is told: its bytes, instrument, reference and bounds."""
        rng = self._rng
        base = self._bases[self._instrument]
        lower, reference, upper = sorted(base + rng.randrange(self._window_ticks) for _ in range(3))
        bounded = rng.random() < 0.5
        if rng.random() < 0.2:
            reference = 0
        body = pack("<IIII16x", bounded, lower, upper, reference)
        return body, self._instrument, reference, range(lower, upper + 1) if bounded else None

    def indicate(self) -> list[Walker]:
        cause = self._cause(self._rng.randrange(self._config.instruments))
        body, instrument, reference, _ = self._call_end()
        clearing = self.expected.book.clearing(instrument, reference)
        self.expected.send(cause, [model.auction_report(ReportKind.INDICATIVE, instrument, clearing)])
        return [self._walker(Action.INDICATE, cause, body)]

    def auction(self) -> list[Walker | Switch]:
        """An instrument that collects is auctioned, and collects on or not; else it is only asked what it would do."""
        rng, expected = self._rng, self.expected
        collecting = [index for index in range(self._config.instruments) if self._collects(index)]
        if not collecting:
            return list(self.indicate())
        cause = self._cause(rng.choice(collecting))
        body, instrument, reference, bounds = self._call_end()
        clearing = expected.book.clearing(instrument, reference)
        walkers: list[Walker | Switch] = [self._walker(Action.UNCROSS, cause, body)]
        reports: list[Report] = []
        price_ticks = clearing.price_ticks if clearing else 0
        within = clearing is None or bounds is None or price_ticks in bounds
        if within:
            reports += (
                expected.book.uncross(instrument, clearing)
                if clearing
                else [model.auction_report(ReportKind.UNCROSSED, instrument, None)]
            )
            reports += expected.book.cancel_markets(instrument)
            walkers.append(self._walker(Action.SWEEP, cause, bytes(32), markets=1, reason=WireReason.IMMEDIATE_REST))
            if rng.random() < 0.5:
                beat, moved = self._move_band(cause, 0)
                walkers.append(beat)
                reports += moved
            if rng.random() < 0.7:
                expected.collecting &= ~(1 << instrument)
        beat, reported = self._state(cause)
        expected.send(cause, [*reports, reported])
        uncrossed = {"within": int(within), "any": int(clearing is not None), "price_ticks": price_ticks}
        return [*walkers, beat, self._switched(uncrossed)]

    def any_command(self) -> list[Walker | Switch]:
        draws: tuple[Callable[[], Sequence[Walker | Switch]], ...] = (
            self.new_order,
            self.cancel,
            self.replace,
            self.sweep,
            self.move_band,
            self.move_window,
            self.switch,
            self.auction,
        )
        walkers = list(self._rng.choices(draws, (60, 10, 20, 0.4, 1, 1, 3, 3))[0]())
        for place in reversed(range(len(walkers))):
            walker = walkers[place]
            if isinstance(walker, Walker):
                walkers[place] = replace(walker, traded=len(self.expected.traded))
                break
        return walkers


def count_canceled(reports: list[Report]) -> int:
    return sum(report.kind is ReportKind.CANCELED for report in reports)
