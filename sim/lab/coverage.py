"""What a verification run has seen: counts of the coverage points, none of which may stay empty."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.table import Table

from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.reports import ReportKind as WireKind
from bandgap.host.wire import REPORT_DTYPES
from bandgap.sim.model import Appliance, messages
from bandgap.sim.model.breaker import Breaker, Timer
from bandgap.sim.model.messages import (
    ALL_INSTRUMENTS,
    AccountCommand,
    BandPolicy,
    Cancel,
    Command,
    GrantCredit,
    Heartbeat,
    MalformedError,
    MoveWindow,
    NewOrder,
    Opcode,
    OrderType,
    PlainCommand,
    Reason,
    Replace,
    ReportKind,
    SelfTradePrevention,
    SetBand,
    SetBreaker,
    SetInstrument,
    SetReferenceRule,
    SetSchedule,
    Side,
    StateCommand,
    TradingMode,
    TradingState,
)
from bandgap.sim.model.rolling import RollingWindow

from .coverage_points import IMPOSSIBLE, POINTS, Point, change_of, words
from .malformed import broken_rules


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
_until = _field(WireKind.TRADING_STATE, "until_ns")
_time = _field(WireKind.TRADING_STATE, "time_ns")
_lower = _field(WireKind.BAND_MOVED, "lower_ticks")
_upper = _field(WireKind.BAND_MOVED, "upper_ticks")
_reference = _field(WireKind.BAND_MOVED, "reference_ticks")
_policy = _field(WireKind.BAND_MOVED, "policy")
_auction_price = _field(WireKind.UNCROSSED, "price_ticks")
_auction_trades = _field(WireKind.UNCROSSED, "trades")
_auction_volume = _field(WireKind.UNCROSSED, "volume_lots")
_level_price = _field(WireKind.LEVEL, "price_ticks")
_level_quantity = _field(WireKind.LEVEL, "quantity_lots")
_bid_quantity = _field(WireKind.TOP_OF_BOOK, "bid_quantity_lots")
_ask_quantity = _field(WireKind.TOP_OF_BOOK, "ask_quantity_lots")


@dataclass(slots=True)
class _Resting:
    """What must be remembered of an order to name what happens to it later."""

    instrument: int
    side: Side
    price_ticks: int
    open_lots: int
    mode: SelfTradePrevention
    reduce_only: bool
    market: bool


@dataclass(slots=True)
class _Band:
    """The static band of an instrument."""

    lower_ticks: int
    upper_ticks: int
    reference_ticks: int
    policy: int


@dataclass(slots=True)
class _Phase:
    """What must be remembered of an instrument's state to name how it ends."""

    tripped: bool = False
    closes: bool = False
    extensions: int = 0


@dataclass(slots=True)
class _Seen:
    """How a rolling window was when it was looked at last."""

    window: RollingWindow | None = None
    deadline_ns: int | None = None
    bounds_ticks: tuple[int, int] | None = None


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
        self._states: dict[int, TradingState] = {}
        self._windows: dict[int, SetInstrument] = {}
        self._bands: dict[int, _Band] = {}
        self._phases: defaultdict[int, _Phase] = defaultdict(_Phase)
        self._durations: dict[int, SetBreaker] = {}
        self._rules: dict[int, SetReferenceRule] = {}
        self._seen: defaultdict[tuple[int, str], _Seen] = defaultdict(_Seen)
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
        answer, behind = _answer(reports)
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
                self._see(f"cancel, {self._state_of(decoded.instrument)}", "canceled")
            case _:
                self._add_operator(decoded, answer)
        self._follow(answer)
        self._follow(behind)
        removes = isinstance(decoded, AccountCommand | SetBand | MoveWindow)
        self._add_levels(reports, removes=removes, uncrosses=False)
        self._add_tops(reports)

    def add_deadline(self, timers: list[tuple[int, int, int]]) -> None:
        """Count which timers are due next: deadline, instrument (-1: the watchdog) and kind of all that run."""
        deadline_ns = min(timers)[0]
        due = [(instrument, kind) for at_ns, instrument, kind in timers if at_ns == deadline_ns]
        for instrument, kind in due:
            self._see("timer", "watchdog" if instrument < 0 else words(Timer(kind)))
        instruments = {instrument for instrument, _ in due}
        if len(instruments) < len(due):
            self._see("timer", "same deadline: two of an instrument")
        if len(instruments - {-1}) > 1:
            self._see("timer", "same deadline: two instruments")
        if -1 in instruments and len(due) > 1:
            self._see("timer", "same deadline: with the watchdog")

    def add_timers(self, reports: list[bytes]) -> None:
        """Count what the reports of some timers show."""
        for timer in _split(reports):
            self._add_timer(timer)

    def _add_timer(self, reports: list[bytes]) -> None:
        answer, behind = _answer(reports)
        if answer:
            if answer[-1][0] == ReportKind.DONE:
                halts = any(report[0] == ReportKind.TRADING_STATE for report in answer)
                self._see("watchdog", "expires: halts" if halts else "expires: nothing trades")
                if _count(answer[-1]):
                    self._see("watchdog", "expires: cancels")
            self._add_auction(answer)
            self._follow(answer)
            for group, kind in (("top of book", ReportKind.TOP_OF_BOOK), ("depth", ReportKind.LEVEL)):
                if any(report[0] == kind for report in reports):
                    self._see(group, "after a timer")
            self._add_levels(reports, removes=True, uncrosses=True)
            self._add_tops(reports)
        for report in behind:
            state = TradingState(_state(report))
            self._see("limit state", "begins by a timer" if state is TradingState.LIMIT else "ends by a timer")
        self._follow(behind)

    def _state_of(self, instrument: int) -> str:
        """One of `STATES`."""
        state = self._states.get(instrument)
        if state is None:
            return "not set"
        durations = self._durations.get(instrument)
        if state is TradingState.HALTED and durations and durations.collects:
            return "halted collecting"
        return words(state)

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
                    order.market &= _price(report) == order.price_ticks and _quantity(report) <= order.open_lots
                    order.price_ticks, order.open_lots = _price(report), _quantity(report)
                case ReportKind.BAND_MOVED:
                    band = _Band(_lower(report), _upper(report), _reference(report), _policy(report))
                    self._bands[_instrument(report)] = band
                case ReportKind.TRADING_STATE:
                    self._change_state(report)

    def _reduce(self, token: int, remaining_lots: int) -> None:
        if remaining_lots:
            self._orders[token].open_lots = remaining_lots
        else:
            del self._orders[token]

    # Rejections

    def _add_rejection(self, command: Command, raw: bytes, reason: Reason) -> None:
        self._see("rejection", f"{words(Opcode(raw[0]))}: {words(reason)}")
        if reason is Reason.MALFORMED:
            for name in broken_rules(command, self._config):
                self._see("malformed", name)
            return
        state = self._state_of(command.instrument)
        match command:
            case NewOrder():
                band = self._bands.get(command.instrument)
                if (
                    reason is Reason.OUTSIDE_BAND
                    and band
                    and band.lower_ticks <= command.price_ticks <= band.upper_ticks
                ):
                    self._see("dynamic band", "rejects what the static band lets through")
                self._see(f"order, {state}", f"{_order_name(command)}: rejected")
            case Replace():
                self._see(f"replace, {state}", "rejected")
            case Cancel():
                self._see(f"cancel, {state}", "rejected")

    def _add_undecodable(self, command: bytes, error: str) -> None:
        if command[0] in _OPCODES:
            self._see("rejection", f"{words(Opcode(command[0]))}: malformed")
        for name in ("opcode", "flag", "reserved byte"):
            if name in error:
                self._see("malformed", name)
                return
        self._see("malformed", "enum")

    # Orders

    def _add_order(self, command: NewOrder, link: int, answer: list[bytes]) -> None:
        price_ticks = _price(answer[0])
        state, name = self._state_of(command.instrument), _order_name(command)
        self._orders[command.token] = _Resting(
            command.instrument,
            command.side,
            price_ticks,
            command.quantity_lots,
            command.self_trade_prevention,
            command.reduce_only,
            market=name == "market",
        )
        self._see(f"order, {state}", f"{name}: {_outcome(command.token, command.quantity_lots, answer)}")
        self._add_trip(command, price_ticks, answer)
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
        self._see(f"replace, {self._state_of(command.instrument)}", outcome)
        if price_ticks != command.price_ticks:
            self._see("price", f"replace {words(command.side)} clamped")
        if order.reduce_only:
            self._see("reduce-only", "replaced")

    def _add_price(self, command: NewOrder, price_ticks: int, rests: bool, name: str) -> None:
        side, window, band = (
            words(command.side),
            self._windows[command.instrument],
            self._bands.get(command.instrument),
        )
        if name == "market":
            self._see("price", f"market {side} at its bound")
            return
        if price_ticks != command.price_ticks:
            self._see("price", f"new {side} clamped")
            if band and price_ticks != (band.upper_ticks if command.side is Side.BUY else band.lower_ticks):
                self._see("dynamic band", "clamps to another bound")
        if not rests or name in ("IOC", "FOK"):
            return
        if band and command.side is Side.BUY and price_ticks < band.lower_ticks:
            self._see("price", "bid rests below the band")
        if band and command.side is Side.SELL and price_ticks > band.upper_ticks:
            self._see("price", "ask rests above the band")
        if band and command.side is Side.BUY and price_ticks > band.upper_ticks:
            self._see("price", "bid collects above the band")
        if band and command.side is Side.SELL and price_ticks < band.lower_ticks:
            self._see("price", "ask collects below the band")
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
                    self._see("self-trade", f"{taker}, {words(mode)}: {when}")
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
                self._states[command.instrument] = TradingState.HALTED
                self._windows[command.instrument] = command
                for known in (self._bands, self._phases, self._durations, self._rules):
                    known.pop(command.instrument, None)
            case SetBand():
                self._see("reference", "host")
                side = {0: "no order outside", Side.BUY: "bids", Side.SELL: "asks"}[_side(answer[0])]
                self._see("band", f"{self._state_of(command.instrument)}: {side}")
            case GrantCredit():
                balance_quote = _balance(answer[0])
                sign = "zero" if balance_quote == 0 else "above zero" if balance_quote > 0 else "below zero"
                self._see("credit", f"balance {sign}")
            case Heartbeat():
                armed = f"armed to {words(command.action)}" if command.timeout_ns else "disarmed"
                self._see("watchdog", armed)
            case PlainCommand(opcode=Opcode.READ_CLOCK):
                self._see("clock", "read")
            case SetBreaker():
                self._durations[command.instrument] = command
            case SetReferenceRule():
                self._rules[command.instrument] = command
            case SetSchedule():
                if not command.at_ns:
                    self._see("timetable", "taken out")
                elif command.at_ns < _time(answer[0]):
                    self._see("timetable", "passed")
                if command.duration_us:
                    self._see("timetable", "with its own duration")
            case MoveWindow():
                self._add_move(command, answer)
            case PlainCommand() | StateCommand():
                whom = "all" if command.instrument == ALL_INSTRUMENTS else "one"
                changed = ("none", "one", "several")[min(count, 2)]
                self._see("trading state", f"{words(command.opcode)} {whom}: {changed} changed")

    # The circuit breaker

    def _change_state(self, report: bytes) -> None:
        """An instrument changes its state."""
        instrument, reason = _instrument(report), Reason(report[1])
        before, after = self._states[instrument], TradingState(_state(report))
        self.counts[change_of(before, after, reason)] += 1
        self._states[instrument] = after
        phase, band = self._phases[instrument], self._bands.get(instrument)
        if reason is Reason.LIMIT:
            if after is TradingState.LIMIT and band and band.policy == BandPolicy.HALT and not phase.tripped:
                self._see("limit state", "trips: best price")
                phase.tripped = True
            elif after is TradingState.HALTED and phase.tripped:
                where = "in" if before is TradingState.LIMIT else "behind"
                self._see("limit state", f"tripped: halts {where} it")
            elif after is TradingState.HALTED:
                self._see("limit state", f"over: halts {'for a time' if _until(report) else 'until told'}")
            if after is not TradingState.HALTED:
                return
        if reason is Reason.EXTENDED:
            self._see("call", "extended again" if phase.extensions else "extended")
            if not _until(report):
                self._see("call", "extended until told")
            phase.extensions += 1
            return
        if reason is Reason.CALL_OVER:
            batch = after is TradingState.CALL
            self._see("call", "closing" if after is TradingState.CLOSED else "batch" if batch else "continuous")
        self._phases[instrument] = _Phase()

    def _add_trip(self, command: NewOrder, price_ticks: int, answer: list[bytes]) -> None:
        """Policy *halt* trips when something is left of an immediate order at the bound."""
        band = self._bands.get(command.instrument)
        stranded = answer[-1][0] == ReportKind.CANCELED and answer[-1][1] == Reason.IMMEDIATE_REST
        at_bound = command.order_type is OrderType.MARKET or price_ticks != command.price_ticks
        if stranded and at_bound and band and band.policy == BandPolicy.HALT:
            self._see("limit state", "trips: left of an immediate order")
            self._phases[command.instrument].tripped = True

    def _add_move(self, command: MoveWindow, answer: list[bytes]) -> None:
        """A window moves."""
        window = self._windows[command.instrument]
        moved_ticks = command.window_base_ticks - window.window_base_ticks
        window.window_base_ticks = command.window_base_ticks
        if abs(moved_ticks) >= 1 << window.window_log2:
            way = "disjoint"
        else:
            way = "up" if moved_ticks > 0 else "down" if moved_ticks else "stays"
        match sorted({_side(report) for report in answer[:-1]}):
            case [Side.BUY]:
                what = "bids alone"
            case [Side.SELL]:
                what = "asks alone"
            case [_, _]:
                what = "bids and asks"
            case _:
                what = "no order outside"
        self._see("window", f"{way}: {what}")

    def _add_auction(self, answer: list[bytes]) -> None:
        """What a timer does to a call or a reference."""
        (*_, last), instrument = answer, _instrument(answer[-1])
        kinds = [report[0] for report in answer]
        batch = instrument in self._durations and self._durations[instrument].mode is TradingMode.BATCH
        if last[0] == ReportKind.INDICATIVE:
            self._see("call", f"indicative: {'trades' if _auction_volume(last) else 'nothing trades'}")
        elif last[0] == ReportKind.BAND_MOVED:
            self._see("reference", words(self._rules[instrument].source))
            if ReportKind.CANCELED in kinds:
                self._see("reference", "cancels orders")
        elif ReportKind.UNCROSSED in kinds:
            self._add_uncross(instrument, answer)
            moved = [_reference(report) for report in answer if report[0] == ReportKind.BAND_MOVED]
            band = self._bands.get(instrument)
            if moved and band and (moved[0] != band.reference_ticks):
                self._see("reference", f"auction: {'batch' if batch else 'continuous'}")

    def _add_uncross(self, instrument: int, answer: list[bytes]) -> None:
        """An auction, before its reports are followed."""
        orders = [order for order in self._orders.values() if order.instrument == instrument]
        band = self._bands.get(instrument)
        for shape in _shapes(orders, band.reference_ticks if band else 0):
            self._see("auction", shape)
        uncrossed = next(report for report in answer if report[0] == ReportKind.UNCROSSED)
        for side, name in ((Side.BUY, "cancels bids"), (Side.SELL, "cancels asks")):
            if any(
                report[:2] == bytes((ReportKind.CANCELED, Reason.BAND_MOVED)) and _side(report) == side
                for report in answer
            ):
                self._see("auction", name)
        if any(report[:2] == bytes((ReportKind.CANCELED, Reason.IMMEDIATE_REST)) for report in answer):
            self._see("auction", "market order is left")
        if not _auction_volume(uncrossed):
            return
        self._see(
            "auction", {0: "no surplus", Side.BUY: "surplus of bids", Side.SELL: "surplus of asks"}[_side(uncrossed)]
        )
        self._see("auction", "one trade" if _auction_trades(uncrossed) == 1 else "several trades")
        if band is None:
            self._see("auction", "without a band")
        elif not band.lower_ticks <= _auction_price(uncrossed) <= band.upper_ticks:
            self._see("auction", "outside the static band")
        trades = [report for report in answer if report[0] == ReportKind.TRADE]
        if any(_account(trade) == _maker_account(trade) for trade in trades):
            self._see("auction", "an account with itself")
        if any(self._orders[token(trade)].market for trade in trades for token in (_token, _maker_token)):
            self._see("auction", "market order trades")

    def look(self, model: Appliance) -> None:
        """Look at the rolling windows of all instruments, which no report tells of."""
        for index in range(self._config.instruments):
            if breaker := model.breaker(index):
                self._look_at(index, breaker, model.time_ns)

    def _look_at(self, index: int, breaker: Breaker, now_ns: int) -> None:
        band = breaker.band
        narrow = []
        changed = False
        for name, window in (("short", breaker.short), ("long", breaker.long)):
            seen = self._seen[index, name]
            if window is not seen.window:
                self._seen[index, name] = seen = _Seen(window)
            if window is None:
                continue
            was_ns, is_ns = seen.deadline_ns, window.deadline_ns
            was_ticks, bounds_ticks = seen.bounds_ticks, window.bounds()
            seen.deadline_ns, seen.bounds_ticks = is_ns, bounds_ticks
            if band and bounds_ticks and (bounds_ticks[0] > band.lower_ticks or bounds_ticks[1] < band.upper_ticks):
                narrow.append(name)
            if was_ns == is_ns and was_ticks == bounds_ticks:
                continue
            changed = True
            if was_ns is None:
                self._see("dynamic band", f"{name}: first trade")
            elif is_ns is None:
                self._see("dynamic band", f"{name}: emptied {'by time' if now_ns == was_ns else 'otherwise'}")
                if band and was_ticks and (was_ticks[0] > band.upper_ticks or was_ticks[1] < band.lower_ticks):
                    self._see("dynamic band", "parted from the static band")
            elif was_ns != is_ns and was_ticks != bounds_ticks:
                self._see("dynamic band", f"{name}: bucket leaves")
        if changed:
            for name in narrow:
                self._see("dynamic band", f"{name}: narrows the band")
            if len(narrow) > 1:
                self._see("dynamic band", "both narrow")

    def _add_levels(self, reports: list[bytes], *, removes: bool, uncrosses: bool) -> None:
        last = next(place for place, report in enumerate(reports) if _flags(report) & messages.LAST)
        if behind := sum(report[0] == ReportKind.LEVEL for report in reports[last:]):
            self._see("depth", ("one at the end", "two at the end")[behind - 1])
        for place, report in enumerate(reports):
            if report[0] != ReportKind.LEVEL:
                continue
            if place < last:
                cause = next(report[0] for report in reversed(reports[:place]) if report[0] != ReportKind.LEVEL)
                if uncrosses and cause == ReportKind.TRADE:
                    where = "behind an auction's trade"
                elif removes:
                    where = "behind a removed order"
                else:
                    where = "behind a replace" if cause == ReportKind.REPLACED else "before a taker's next level"
                self._see("depth", where)
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


def _answer(reports: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """An answer up to its last report without market data, and the limit states that begin or end behind it."""
    last = max((place for place, report in enumerate(reports) if _flags(report) & messages.LAST), default=-1)
    answer = [report for report in reports[: last + 1] if report[0] not in _MARKET_DATA]
    return answer, [report for report in reports[last + 1 :] if report[0] not in _MARKET_DATA]


def _split(reports: list[bytes]) -> Iterator[list[bytes]]:
    """The reports of several timers, timer by timer; what a silent one leads to goes with the timer before it."""
    group: list[bytes] = []
    over = False
    for report in reports:
        follows = report[0] in _MARKET_DATA or (report[0] == ReportKind.TRADING_STATE and report[1] == Reason.LIMIT)
        if over and not (follows and not _flags(report) & messages.LAST):
            yield group
            group, over = [], False
        group.append(report)
        over |= bool(_flags(report) & messages.LAST)
    if group:
        yield group


def _shapes(orders: list[_Resting], reference_ticks: int) -> Iterator[str]:
    """What decides the price of an auction."""
    bids = [order for order in orders if order.side is Side.BUY]
    asks = [order for order in orders if order.side is Side.SELL]
    if not (bids and asks):
        yield "bids alone" if bids else "asks alone" if asks else "no order"
        return
    lowest, highest = min(ask.price_ticks for ask in asks), max(bid.price_ticks for bid in bids)
    if lowest > highest:
        yield "not crossed"
        return
    surpluses: dict[int, int] = {}
    volumes: dict[int, int] = {}
    for price_ticks in range(lowest, highest + 1):
        demand = sum(bid.open_lots for bid in bids if bid.price_ticks >= price_ticks)
        supply = sum(ask.open_lots for ask in asks if ask.price_ticks <= price_ticks)
        surpluses[price_ticks], volumes[price_ticks] = demand - supply, min(demand, supply)
    most = max(volumes.values())
    left = [price_ticks for price_ticks, volume in volumes.items() if volume == most]
    if len(left) == 1:
        yield "one tick left by volume"
        return
    least = min(abs(surpluses[price_ticks]) for price_ticks in left)
    left = [price_ticks for price_ticks in left if abs(surpluses[price_ticks]) == least]
    signs = {(surpluses[price_ticks] > 0) - (surpluses[price_ticks] < 0) for price_ticks in left}
    if len(left) == 1:
        yield "one tick left by surplus"
    elif signs == {1}:
        yield "highest of a surplus of bids"
    elif signs == {-1}:
        yield "lowest of a surplus of asks"
    elif signs == {0}:
        among = "among them" if left[0] <= reference_ticks <= left[-1] else ""
        yield f"balanced: reference {among or ('below' if reference_ticks < left[0] else 'above')}"
    else:
        lower = max(price_ticks for price_ticks in left if surpluses[price_ticks] > 0)
        yield f"middle ticks: the {'lower' if reference_ticks <= lower else 'upper'}"


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
