"""What a verification run has seen: coverage points with names, none of which may stay empty.

A point is a group and a name. What the rules exclude is listed in `IMPOSSIBLE` with the reason, and it is an error when
it happens all the same.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import product
from typing import NamedTuple

from rich.table import Table

from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.reports import ReportKind as WireKind
from bandgap.host.wire import REPORT_DTYPES
from bandgap.sim.model import messages
from bandgap.sim.model.messages import (
    ALL_INSTRUMENTS,
    AccountCommand,
    Cancel,
    Command,
    GrantCredit,
    Heartbeat,
    MalformedError,
    NewOrder,
    Opcode,
    OrderType,
    PlainCommand,
    Reason,
    Replace,
    ReportKind,
    SelfTradePrevention,
    SetBand,
    SetInstrument,
    Side,
    TimeInForce,
)


class Point(NamedTuple):
    """One thing that should be seen."""

    group: str
    name: str


def _words(member: Enum) -> str:
    return member.name.lower().replace("_", " ")


# The points

STATES = ("not set", "halted", "trading")
ORDERS = ("GTC", "post-only", "IOC", "FOK", "market")
OUTCOMES = (
    "rejected",
    "rests",
    "trades and rests",
    "filled",
    "canceled",
    "trades and is canceled",
    "not fillable",
    "ended by self-trade prevention",
)
MOVES = ("rests", "trades and rests", "filled", "ended by self-trade prevention")
REPLACES = ("rejected", "keeps its place", "keeps its place, smaller", *(f"moves: {outcome}" for outcome in MOVES))
TAKERS = ("GTC", "IOC", "FOK", "market", "replace")
SELF_TRADES = (
    "off: trades with its own maker",
    "cancel newest: before any trade",
    "cancel newest: after a trade",
    "cancel oldest: then filled",
    "cancel oldest: then not filled",
    "cancel both: before any trade",
    "cancel both: after a trade",
    "decrement: the maker stays",
    "decrement: the taker goes on",
    "decrement: both are gone",
)
OPERATOR_COMMANDS = [opcode for opcode in Opcode if opcode >= Opcode.SET_INSTRUMENT]
REJECTIONS = {
    Reason.MALFORMED: list(Opcode),
    Reason.WRONG_EPOCH: list(Opcode),
    Reason.NOT_PRIVILEGED: [Opcode.NEW_ORDER, Opcode.REPLACE, *OPERATOR_COMMANDS],
    Reason.TOKEN_NOT_YOURS: [Opcode.NEW_ORDER, Opcode.CANCEL, Opcode.REPLACE],
    Reason.UNKNOWN_INSTRUMENT: [
        *(Opcode.NEW_ORDER, Opcode.CANCEL, Opcode.REPLACE),
        *(Opcode.SET_BAND, Opcode.HALT, Opcode.RESUME),
    ],
    Reason.KILLED: [Opcode.NEW_ORDER, Opcode.REPLACE],
    Reason.HALTED: [Opcode.NEW_ORDER, Opcode.REPLACE],
    Reason.NO_BAND: [Opcode.NEW_ORDER],
    Reason.OUTSIDE_WINDOW: [Opcode.NEW_ORDER, Opcode.REPLACE, Opcode.SET_BAND],
    Reason.OUTSIDE_BAND: [Opcode.NEW_ORDER, Opcode.REPLACE],
    Reason.CREDIT: [Opcode.NEW_ORDER, Opcode.REPLACE, Opcode.GRANT_CREDIT],
    Reason.SLOT_IN_USE: [Opcode.NEW_ORDER],
    Reason.GENERATION_USED: [Opcode.NEW_ORDER],
    Reason.UNKNOWN_ORDER: [Opcode.CANCEL, Opcode.REPLACE],
    Reason.QUANTITY_MISMATCH: [Opcode.REPLACE],
    Reason.POST_ONLY: [Opcode.NEW_ORDER, Opcode.REPLACE],
    Reason.INSTRUMENT_ACTIVE: [Opcode.SET_INSTRUMENT],
    Reason.LADDER_CONFLICT: [Opcode.SET_INSTRUMENT],
}
"""The table of rejections: reason by reason, the commands that can be rejected for it."""

OTHERS = {
    "account": ("mass cancel: no order", "mass cancel: orders", "kill: no order", "kill: orders", "restore"),
    "credit": ("balance above zero", "balance zero", "balance below zero"),
    "instrument": ("set", "set again"),
    "band": tuple(
        f"{state}: {what}" for state in ("halted", "trading") for what in ("no order outside", "bids", "asks")
    ),
    "trading state": tuple(
        f"{command} {whom}: {count} changed"
        for command in ("halt", "resume")
        for whom, counts in (("one", ("none", "one")), ("all", ("none", "one", "several")))
        for count in counts
    ),
    "watchdog": (
        "disarmed",
        "armed to halt",
        "armed to halt and cancel",
        "expires: nothing trades",
        "expires: halts",
        "expires: cancels",
    ),
    "clock": ("read",),
    "link": ("another than link 0 trades",),
    "trade": (
        "the maker stays",
        "the taker goes on",
        "both are gone",
        "several makers at a price",
        "several prices",
        "at a better price than the limit",
    ),
    "price": (
        *(f"{what} {side} clamped" for what in ("new", "replace") for side in ("buy", "sell")),
        *(f"market {side} at its bound" for side in ("buy", "sell")),
        *("bid rests below the band", "ask rests above the band"),
        *("first of the window", "last of the window", "row before the base's"),
    ),
    "reduce-only": ("accepted", "accepted though killed", "replaced"),
    "top of book": (
        *(f"{side} {what}" for side in ("bid", "ask") for what in ("appears or moves", "goes")),
        "quantity above 32 bits",
        "after a timer",
    ),
    "depth": (
        *(f"{side} {what}" for side in ("bid", "ask") for what in ("appears", "changes", "goes")),
        *("stays as it was", "quantity above 32 bits", "after a timer"),
        *("behind a removed order", "behind a replace", "before a taker's next level"),
        *("one at the end", "two at the end"),
    ),
    "malformed": (
        *("opcode", "enum", "flag", "reserved byte", "number zero", "instrument", "instrument where none belongs"),
        *("account", "token", "new order of zero", "replace to zero", "market order with a price"),
        *("market order not IOC", "post-only not GTC", "post-only market order"),
        *("multiplier zero", "multiplier too large", "window too small", "window too large"),
        *("window beyond 32 bits", "bounds out of order", "timeout too long"),
    ),
}


def _points() -> Iterator[Point]:
    for state in STATES:
        yield from (Point(f"order, {state}", f"{order}: {outcome}") for order, outcome in product(ORDERS, OUTCOMES))
        yield from (Point(f"replace, {state}", outcome) for outcome in REPLACES)
        yield from (Point(f"cancel, {state}", outcome) for outcome in ("rejected", "canceled"))
    yield from (Point("self-trade", f"{taker}, {event}") for taker, event in product(TAKERS, SELF_TRADES))
    for opcode, reason in product(Opcode, REJECTIONS):
        yield Point("rejection", f"{_words(opcode)}: {_words(reason)}")
    yield from (Point(group, name) for group, names in OTHERS.items() for name in names)


def _impossible() -> Iterator[tuple[Point, str]]:
    for state, order, outcome in product(STATES[:2], ORDERS, OUTCOMES[1:]):
        yield Point(f"order, {state}", f"{order}: {outcome}"), "only while trading does an order enter"
    for outcome in REPLACES[1:]:
        yield Point("replace, not set", outcome), "nothing rests"
    for outcome in MOVES:
        yield Point("replace, halted", f"moves: {outcome}"), "a halt lets no order move"
    yield Point("cancel, not set", "canceled"), "nothing rests"
    for order, outcomes, reason in (
        ("GTC", ("canceled", "trades and is canceled", "not fillable"), "what is left of it rests"),
        ("post-only", OUTCOMES[2:], "it never takes"),
        ("IOC", ("rests", "trades and rests", "not fillable"), "what is left of it is canceled"),
        ("FOK", ("rests", "trades and rests"), "what is left of it is canceled"),
        ("FOK", ("canceled", "trades and is canceled", OUTCOMES[7]), "it trades all or nothing"),
        ("market", ("rests", "trades and rests", "not fillable"), "what is left of it is canceled"),
    ):
        for outcome in outcomes:
            yield Point("order, trading", f"{order}: {outcome}"), reason
    for event in SELF_TRADES[1:]:
        if event != "cancel oldest: then filled":
            yield Point("self-trade", f"FOK, {event}"), "its count ends there, or it is filled"
    for opcode, (rejection, opcodes) in product(Opcode, REJECTIONS.items()):
        if opcode not in opcodes:
            yield Point("rejection", f"{_words(opcode)}: {_words(rejection)}"), "not checked for this command"


POINTS = tuple(_points())
IMPOSSIBLE = dict(_impossible())


# Reading reports


def _field(kind: WireKind, name: str) -> Callable[[bytes], int]:
    """Reads one field of a report's bytes; `name` may be one of its header."""
    layout = REPORT_DTYPES[kind]
    owner = layout if name in (layout.names or ()) else layout["header"]
    assert owner.fields is not None
    dtype, start = owner.fields[name][:2]
    end, signed = start + dtype.itemsize, dtype.kind == "i"
    return lambda report: int.from_bytes(report[start:end], "little", signed=signed)


_price = _field(WireKind.ACCEPTED, "price_ticks")
_quantity = _field(WireKind.ACCEPTED, "quantity_lots")
_account = _field(WireKind.ACCEPTED, "account")
_token = _field(WireKind.ACCEPTED, "token")
_remaining = _field(WireKind.ACCEPTED, "remaining_lots")
_maker_account = _field(WireKind.TRADE, "maker_account")
_maker_token = _field(WireKind.TRADE, "maker_token")
_maker_remaining = _field(WireKind.TRADE, "maker_remaining_lots")
_flags = _field(WireKind.TRADE, "flags")
_side = _field(WireKind.TRADE, "side")
_instrument = _field(WireKind.TRADE, "instrument")
_count = _field(WireKind.DONE, "count")
_balance = _field(WireKind.DONE, "balance_quote")
_state = _field(WireKind.TRADING_STATE, "state")
_level_price = _field(WireKind.LEVEL, "price_ticks")
_level_quantity = _field(WireKind.LEVEL, "quantity_lots")
_bid_quantity = _field(WireKind.TOP_OF_BOOK, "bid_quantity_lots")
_ask_quantity = _field(WireKind.TOP_OF_BOOK, "ask_quantity_lots")


@dataclass(slots=True)
class _Resting:
    """What must be remembered of an order to name what happens to it later."""

    price_ticks: int
    open_lots: int
    mode: SelfTradePrevention
    reduce_only: bool


class Coverage:
    """Counts of every point, over any number of epochs.

    Attributes
    ----------
    config : Sizes of the device.
    counts : How often each point was seen.
    """

    def __init__(self, config: BookConfig) -> None:
        self._config = config
        self.counts: Counter[Point] = Counter()
        self.start_epoch()

    def start_epoch(self) -> None:
        """Forget the state of the device, not the counts."""
        self._states: dict[int, str] = {}
        self._windows: dict[int, SetInstrument] = {}
        self._bands: dict[int, SetBand] = {}
        self._killed: set[int] = set()
        self._orders: dict[int, _Resting] = {}
        self._bids: set[int] = set()
        self._asks: set[int] = set()
        self._levels: dict[tuple[int, str, int], int] = {}  # quantity by instrument, side and price

    def missing(self) -> list[Point]:
        """The possible points that were not seen."""
        return [point for point in POINTS if point not in IMPOSSIBLE and not self.counts[point]]

    def excluded(self) -> list[Point]:
        """The points that were seen although the rules exclude them, or nobody named them."""
        return [point for point in self.counts if point in IMPOSSIBLE or point not in _KNOWN]

    def table(self) -> Table:
        """A table of the groups: points, how many were seen, the rarest and how often, and those missing."""
        table = Table("group", "points", "seen", "impossible", "rarest", "times", title="Coverage")
        for group in dict.fromkeys(point.group for point in POINTS):
            points = [point for point in POINTS if point.group == group]
            possible = [point for point in points if point not in IMPOSSIBLE]
            seen = sum(self.counts[point] > 0 for point in possible)
            rarest = min(possible, key=lambda point: self.counts[point])
            numbers = f"{len(possible)}", f"{seen}", f"{len(points) - len(possible)}"
            table.add_row(group, *numbers, rarest.name, f"{self.counts[rarest]:,}")
        return table

    def _see(self, group: str, name: str) -> None:
        self.counts[Point(group, name)] += 1

    # What happened

    def add(self, command: bytes, link: int, reports: list[bytes]) -> None:
        """Count what a command and all its reports show."""
        answer = _without_market_data(reports)
        try:
            decoded = messages.decode(command)
        except MalformedError as error:
            self._add_undecodable(command, str(error))
            return
        if answer[0][0] == ReportKind.REJECTED:
            self._add_rejection(decoded, command, Reason(answer[0][1]))
            return
        match decoded:
            case NewOrder():
                self._add_order(decoded, link, answer)
            case Replace():
                self._add_replace(decoded, answer)
            case Cancel():
                self._see(f"cancel, {self._states[decoded.instrument]}", "canceled")
            case _:
                self._add_operator(decoded, answer)
        self._follow(answer)
        self._add_levels(reports, removes=isinstance(decoded, AccountCommand | SetBand))
        self._add_tops(reports)

    def add_timer(self, reports: list[bytes]) -> None:
        """Count what a timer's reports show."""
        if not reports:
            return
        answer = _without_market_data(reports)
        halts = any(report[0] == ReportKind.TRADING_STATE for report in answer)
        self._see("watchdog", "expires: halts" if halts else "expires: nothing trades")
        if _count(answer[-1]):
            self._see("watchdog", "expires: cancels")
        self._follow(answer)
        for group, kind in (("top of book", ReportKind.TOP_OF_BOOK), ("depth", ReportKind.LEVEL)):
            if any(report[0] == kind for report in reports):
                self._see(group, "after a timer")
        self._add_levels(reports, removes=True)
        self._add_tops(reports)

    def _follow(self, answer: list[bytes]) -> None:
        """Keep up with what rests and trades."""
        for report in answer:
            match report[0]:
                case ReportKind.TRADE:
                    self._reduce(_token(report), _remaining(report))
                    self._reduce(_maker_token(report), _maker_remaining(report))
                case ReportKind.CANCELED:
                    self._reduce(_token(report), _remaining(report))
                case ReportKind.REPLACED:
                    order = self._orders[_token(report)]
                    order.price_ticks, order.open_lots = _price(report), _quantity(report)
                case ReportKind.TRADING_STATE:
                    self._states[report[2]] = STATES[_state(report)]

    def _reduce(self, token: int, remaining_lots: int) -> None:
        if remaining_lots:
            self._orders[token].open_lots = remaining_lots
        else:
            del self._orders[token]

    # Rejections

    def _add_rejection(self, command: Command, raw: bytes, reason: Reason) -> None:
        self._see("rejection", f"{_words(Opcode(raw[0]))}: {_words(reason)}")
        if reason is Reason.MALFORMED:
            for name in self._faults(command):
                self._see("malformed", name)
            return
        state = self._states.get(command.instrument, STATES[0])
        match command:
            case NewOrder():
                self._see(f"order, {state}", f"{_order_name(command)}: rejected")
            case Replace():
                self._see(f"replace, {state}", "rejected")
            case Cancel():
                self._see(f"cancel, {state}", "rejected")

    def _add_undecodable(self, command: bytes, error: str) -> None:
        if command[0] in _OPCODES:
            self._see("rejection", f"{_words(Opcode(command[0]))}: malformed")
        for name in ("opcode", "flag", "reserved byte"):
            if name in error:
                self._see("malformed", name)
                return
        self._see("malformed", "enum")

    def _faults(self, command: Command) -> Iterator[str]:
        """Which rules a command breaks that its bytes alone allow."""
        if command.number == 0:
            yield "number zero"
        yield from self._wrong_names(command)
        match command:
            case NewOrder():
                market = command.order_type is OrderType.MARKET
                if command.quantity_lots == 0:
                    yield "new order of zero"
                if market and command.price_ticks:
                    yield "market order with a price"
                if market and command.time_in_force is not TimeInForce.IOC:
                    yield "market order not IOC"
                if command.post_only and command.time_in_force is not TimeInForce.GTC:
                    yield "post-only not GTC"
                if command.post_only and market:
                    yield "post-only market order"
            case Replace() if command.quantity_lots == 0:
                yield "replace to zero"
            case SetInstrument():
                window_ticks = 1 << command.window_log2
                if command.multiplier_quote == 0:
                    yield "multiplier zero"
                if command.multiplier_quote >= 1 << 16:
                    yield "multiplier too large"
                if window_ticks < self._config.word_bits:
                    yield "window too small"
                if window_ticks > self._config.ticks:
                    yield "window too large"
                elif command.window_base_ticks + window_ticks > 1 << 32:
                    yield "window beyond 32 bits"
            case SetBand() if not command.lower_ticks <= command.reference_ticks <= command.upper_ticks:
                yield "bounds out of order"
            case Heartbeat() if command.timeout_ns >= 1 << 63:
                yield "timeout too long"

    def _wrong_names(self, command: Command) -> Iterator[str]:
        """Which names in a command the device has not."""
        match command:
            case AccountCommand() | GrantCredit() | Heartbeat() | PlainCommand(opcode=Opcode.READ_CLOCK):
                if command.instrument:
                    yield "instrument where none belongs"
            case PlainCommand() if command.instrument == ALL_INSTRUMENTS:
                pass
            case _ if command.instrument >= self._config.instruments:
                yield "instrument"
        match command:
            case NewOrder() | Cancel() | Replace() | AccountCommand() | GrantCredit():
                if command.account >= self._config.accounts:
                    yield "account"
        match command:
            case NewOrder() | Cancel() | Replace() if command.token >= self._config.orders:
                yield "token"

    # Orders

    def _add_order(self, command: NewOrder, link: int, answer: list[bytes]) -> None:
        price_ticks = _price(answer[0])
        order = _Resting(price_ticks, command.quantity_lots, command.self_trade_prevention, command.reduce_only)
        self._orders[command.token] = order
        name = _order_name(command)
        self._see("order, trading", f"{name}: {_outcome(command.token, command.quantity_lots, answer)}")
        self._add_taking("GTC" if name == "post-only" else name, command.token, command.account, answer)
        self._add_price(command, price_ticks, _final_lots(command.token, command.quantity_lots, answer) > 0, name)
        if link:
            self._see("link", "another than link 0 trades")
        if command.reduce_only:
            self._see("reduce-only", "accepted though killed" if command.account in self._killed else "accepted")

    def _add_replace(self, command: Replace, answer: list[bytes]) -> None:
        order = self._orders[command.token]
        price_ticks = _price(answer[0])
        if price_ticks == order.price_ticks and command.quantity_lots <= order.open_lots:
            outcome = "keeps its place, smaller" if command.quantity_lots < order.open_lots else "keeps its place"
        else:
            outcome = f"moves: {_outcome(command.token, command.quantity_lots, answer)}"
            self._add_taking("replace", command.token, command.account, answer)
        self._see(f"replace, {self._states[command.instrument]}", outcome)
        if price_ticks != command.price_ticks:
            self._see("price", f"replace {_words(command.side)} clamped")
        if order.reduce_only:
            self._see("reduce-only", "replaced")

    def _add_price(self, command: NewOrder, price_ticks: int, rests: bool, name: str) -> None:
        side, window, band = (
            _words(command.side),
            self._windows[command.instrument],
            self._bands.get(command.instrument),
        )
        if name == "market":
            self._see("price", f"market {side} at its bound")
            return
        if price_ticks != command.price_ticks:
            self._see("price", f"new {side} clamped")
        if not rests or name in ("IOC", "FOK"):
            return
        if band and command.side is Side.BUY and price_ticks < band.lower_ticks:
            self._see("price", "bid rests below the band")
        if band and command.side is Side.SELL and price_ticks > band.upper_ticks:
            self._see("price", "ask rests above the band")
        window = self._windows[command.instrument]
        window_ticks = 1 << window.window_log2
        if price_ticks == window.window_base_ticks:
            self._see("price", "first of the window")
        if price_ticks == window.window_base_ticks + window_ticks - 1:
            self._see("price", "last of the window")
        if price_ticks % window_ticks < window.window_base_ticks % window_ticks:
            self._see("price", "row before the base's")

    def _add_taking(self, taker: str, token: int, account: int, answer: list[bytes]) -> None:
        """Count trades and self-trade prevention of one taker."""
        trades = [report for report in answer if report[0] == ReportKind.TRADE]
        prevented = [report for report in answer if report[0] == ReportKind.CANCELED and report[1] == Reason.SELF_TRADE]
        if trades:
            self._add_trades(token, trades)
        mode = self._orders[token].mode
        match mode:
            case SelfTradePrevention.OFF:
                if any(_maker_account(trade) == account for trade in trades):
                    self._see("self-trade", f"{taker}, off: trades with its own maker")
            case SelfTradePrevention.CANCEL_NEWEST | SelfTradePrevention.CANCEL_BOTH:
                if prevented:
                    when = "after a trade" if trades else "before any trade"
                    self._see("self-trade", f"{taker}, {_words(mode)}: {when}")
            case SelfTradePrevention.CANCEL_OLDEST:
                if prevented:
                    filled = answer[-1][0] == ReportKind.TRADE and not _remaining(answer[-1])
                    self._see("self-trade", f"{taker}, cancel oldest: then {'filled' if filled else 'not filled'}")
            case SelfTradePrevention.DECREMENT:
                for maker, own in zip(prevented[::2], prevented[1::2], strict=True):
                    if _remaining(maker):
                        event = "the maker stays"
                    else:
                        event = "the taker goes on" if _remaining(own) else "both are gone"
                    self._see("self-trade", f"{taker}, decrement: {event}")

    def _add_trades(self, token: int, trades: list[bytes]) -> None:
        for trade in trades:
            if _maker_remaining(trade):
                self._see("trade", "the maker stays")
            else:
                self._see("trade", "the taker goes on" if _remaining(trade) else "both are gone")
        prices = [_price(trade) for trade in trades]
        if len(set(prices)) > 1:
            self._see("trade", "several prices")
        if len(set(prices)) < len(prices):
            self._see("trade", "several makers at a price")
        if prices[0] != self._orders[token].price_ticks:
            self._see("trade", "at a better price than the limit")

    # Operator commands and market data

    def _add_operator(self, command: Command, answer: list[bytes]) -> None:
        count = _count(answer[-1])
        match command:
            case AccountCommand(opcode=Opcode.RESTORE_ACCOUNT):
                self._killed.discard(command.account)
                self._see("account", "restore")
            case AccountCommand():
                kill = command.opcode is Opcode.KILL_ACCOUNT
                if kill:
                    self._killed.add(command.account)
                self._see("account", f"{'kill' if kill else 'mass cancel'}: {'orders' if count else 'no order'}")
            case SetInstrument():
                self._see("instrument", "set again" if command.instrument in self._states else "set")
                self._states[command.instrument] = "halted"
                self._windows[command.instrument] = command
                self._bands.pop(command.instrument, None)
            case SetBand():
                self._bands[command.instrument] = command
                side = {0: "no order outside", Side.BUY: "bids", Side.SELL: "asks"}[_side(answer[0])]
                self._see("band", f"{self._states[command.instrument]}: {side}")
            case GrantCredit():
                balance_quote = _balance(answer[0])
                sign = "zero" if balance_quote == 0 else "above zero" if balance_quote > 0 else "below zero"
                self._see("credit", f"balance {sign}")
            case Heartbeat():
                armed = f"armed to {_words(command.action)}" if command.timeout_ns else "disarmed"
                self._see("watchdog", armed)
            case PlainCommand(opcode=Opcode.READ_CLOCK):
                self._see("clock", "read")
            case PlainCommand():
                whom = "all" if command.instrument == ALL_INSTRUMENTS else "one"
                changed = ("none", "one", "several")[min(count, 2)]
                self._see("trading state", f"{_words(command.opcode)} {whom}: {changed} changed")

    def _add_levels(self, reports: list[bytes], *, removes: bool) -> None:
        last = next(place for place, report in enumerate(reports) if _flags(report) & messages.LAST)
        if behind := sum(report[0] == ReportKind.LEVEL for report in reports[last:]):
            self._see("depth", ("one at the end", "two at the end")[behind - 1])
        for place, report in enumerate(reports):
            if report[0] != ReportKind.LEVEL:
                continue
            if place < last:
                leaves = reports[place - 1][0] == ReportKind.REPLACED
                within = "before a taker's next level"
                self._see("depth", "behind a removed order" if removes else "behind a replace" if leaves else within)
            side = "bid" if _side(report) == Side.BUY else "ask"
            level, quantity_lots = (_instrument(report), side, _level_price(report)), _level_quantity(report)
            known_lots = self._levels.pop(level, 0)
            if quantity_lots:
                self._levels[level] = quantity_lots
            if quantity_lots == known_lots:
                self._see("depth", "stays as it was")
            else:
                what = "goes" if not quantity_lots else "changes" if known_lots else "appears"
                self._see("depth", f"{side} {what}")
            if quantity_lots >= 1 << 32:
                self._see("depth", "quantity above 32 bits")

    def _add_tops(self, reports: list[bytes]) -> None:
        for report in reports:
            if report[0] != ReportKind.TOP_OF_BOOK:
                continue
            instrument = _instrument(report)
            for side, quantity_lots, known in (
                ("bid", _bid_quantity(report), self._bids),
                ("ask", _ask_quantity(report), self._asks),
            ):
                if quantity_lots:
                    known.add(instrument)
                    self._see("top of book", f"{side} appears or moves")
                elif instrument in known:
                    known.discard(instrument)
                    self._see("top of book", f"{side} goes")
                if quantity_lots >= 1 << 32:
                    self._see("top of book", "quantity above 32 bits")


_KNOWN = frozenset(POINTS)
_MARKET_DATA = (ReportKind.TOP_OF_BOOK, ReportKind.LEVEL)
_OPCODES = frozenset(Opcode)


def _without_market_data(reports: list[bytes]) -> list[bytes]:
    return [report for report in reports if report[0] not in _MARKET_DATA]


def _order_name(command: NewOrder) -> str:
    if command.order_type is OrderType.MARKET:
        return "market"
    return "post-only" if command.post_only else command.time_in_force.name


def _final_lots(token: int, quantity_lots: int, answer: list[bytes]) -> int:
    """What is left of an order after all reports of its command."""
    for report in answer:
        if report[0] in (ReportKind.TRADE, ReportKind.CANCELED) and _token(report) == token:
            quantity_lots = _remaining(report)
    return quantity_lots


def _outcome(token: int, quantity_lots: int, answer: list[bytes]) -> str:
    """How it ends for an order that was accepted or moved."""
    traded = any(report[0] == ReportKind.TRADE for report in answer)
    if _final_lots(token, quantity_lots, answer):
        return "trades and rests" if traded else "rests"
    match answer[-1][1]:
        case Reason.IMMEDIATE_REST:
            return "trades and is canceled" if traded else "canceled"
        case Reason.NOT_FILLABLE:
            return "not fillable"
        case Reason.SELF_TRADE:
            return "ended by self-trade prevention"
    return "filled"
