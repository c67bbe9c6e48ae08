"""What a verification run has seen: counts of the coverage points, none of which may stay empty."""

from collections import Counter, defaultdict
from dataclasses import dataclass

from rich.table import Table

from bandgap.hdl.config import BookConfig
from bandgap.sim.model import Appliance
from bandgap.sim.model.breaker import Timer
from bandgap.sim.model.commands import (
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
    Replace,
    SelfTradePrevention,
    SetBand,
    SetBreaker,
    SetInstrument,
    SetReferenceRule,
    SetSchedule,
    Side,
    StateCommand,
    TradingMode,
    decode,
)
from bandgap.sim.model.reports import Reason, ReportKind, TradingState

from ..malformed import broken_rules
from . import fields
from .answers import by_timer, final_lots, kind_of, outcome_of, parted
from .auctions import shapes
from .market_data import MarketData
from .points import IMPOSSIBLE, POINTS, Point, change_of, words
from .windows import Windows

_KNOWN = frozenset(POINTS)
_OPCODES = frozenset(Opcode)


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
    extensions: int = 0


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
        self._killed: set[int] = set()
        self._orders: dict[int, _Resting] = {}
        self._market_data = MarketData(self._see)
        self._rolling = Windows(self._config.instruments, self._see)

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
        answer, behind = parted(reports)
        try:
            decoded = decode(command)
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
        self._market_data.add(reports, removes=removes, uncrosses=False)

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
        for timer in by_timer(reports):
            self._add_timer(timer)

    def look(self, model: Appliance) -> None:
        """Look at the rolling windows of all instruments, which no report tells of."""
        self._rolling.look(model)

    def _add_timer(self, reports: list[bytes]) -> None:
        answer, behind = parted(reports)
        if answer:
            if answer[-1][0] == ReportKind.DONE:
                halts = any(report[0] == ReportKind.TRADING_STATE for report in answer)
                self._see("watchdog", "expires: halts" if halts else "expires: nothing trades")
                if fields.count(answer[-1]):
                    self._see("watchdog", "expires: cancels")
            self._add_auction(answer)
            self._follow(answer)
            for group, kind in (("top of book", ReportKind.TOP_OF_BOOK), ("depth", ReportKind.LEVEL)):
                if any(report[0] == kind for report in reports):
                    self._see(group, "after a timer")
            self._market_data.add(reports, removes=True, uncrosses=True)
        for report in behind:
            state = TradingState(fields.state(report))
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
                    self._reduce(fields.token(report), fields.remaining(report))
                    self._reduce(fields.maker_token(report), fields.maker_remaining(report))
                case ReportKind.CANCELED:
                    self._reduce(fields.token(report), fields.remaining(report))
                case ReportKind.REPLACED:
                    order = self._orders[fields.token(report)]
                    order.market &= (
                        fields.price(report) == order.price_ticks and fields.quantity(report) <= order.open_lots
                    )
                    order.price_ticks, order.open_lots = fields.price(report), fields.quantity(report)
                case ReportKind.BAND_MOVED:
                    band = _Band(
                        fields.lower(report), fields.upper(report), fields.reference(report), fields.policy(report)
                    )
                    self._bands[fields.instrument(report)] = band
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
                self._see(f"order, {state}", f"{kind_of(command)}: rejected")
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
        price_ticks = fields.price(answer[0])
        state, name = self._state_of(command.instrument), kind_of(command)
        self._orders[command.token] = _Resting(
            command.instrument,
            command.side,
            price_ticks,
            command.quantity_lots,
            command.self_trade_prevention,
            command.reduce_only,
            market=name == "market",
        )
        self._see(f"order, {state}", f"{name}: {outcome_of(command.token, command.quantity_lots, answer)}")
        self._add_trip(command, price_ticks, answer)
        self._add_taking("GTC" if name == "post-only" else name, command.token, command.account, answer)
        self._add_price(command, price_ticks, final_lots(command.token, command.quantity_lots, answer) > 0, name)
        if link:
            self._see("link", "another than link 0 trades")
        if command.reduce_only:
            self._see("reduce-only", "accepted though killed" if command.account in self._killed else "accepted")

    def _add_replace(self, command: Replace, answer: list[bytes]) -> None:
        order = self._orders[command.token]
        price_ticks = fields.price(answer[0])
        if price_ticks == order.price_ticks and command.quantity_lots <= order.open_lots:
            outcome = "keeps its place, smaller" if command.quantity_lots < order.open_lots else "keeps its place"
        else:
            outcome = f"moves: {outcome_of(command.token, command.quantity_lots, answer)}"
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
                if any(fields.maker_account(trade) == account for trade in trades):
                    self._see("self-trade", f"{taker}, off: trades with its own maker")
            case SelfTradePrevention.CANCEL_NEWEST | SelfTradePrevention.CANCEL_BOTH:
                if prevented:
                    when = "after a trade" if trades else "before any trade"
                    self._see("self-trade", f"{taker}, {words(mode)}: {when}")
            case SelfTradePrevention.CANCEL_OLDEST:
                if prevented:
                    filled = answer[-1][0] == ReportKind.TRADE and not fields.remaining(answer[-1])
                    self._see("self-trade", f"{taker}, cancel oldest: then {'filled' if filled else 'not filled'}")
            case SelfTradePrevention.DECREMENT:
                for maker, own in zip(prevented[::2], prevented[1::2], strict=True):
                    if fields.remaining(maker):
                        event = "the maker stays"
                    else:
                        event = "the taker goes on" if fields.remaining(own) else "both are gone"
                    self._see("self-trade", f"{taker}, decrement: {event}")

    def _add_trades(self, token: int, trades: list[bytes]) -> None:
        for trade in trades:
            if fields.maker_remaining(trade):
                self._see("trade", "the maker stays")
            else:
                self._see("trade", "the taker goes on" if fields.remaining(trade) else "both are gone")
        prices = [fields.price(trade) for trade in trades]
        if len(set(prices)) > 1:
            self._see("trade", "several prices")
        if len(set(prices)) < len(prices):
            self._see("trade", "several makers at a price")
        if prices[0] != self._orders[token].price_ticks:
            self._see("trade", "at a better price than the limit")

    # Operator commands and market data

    def _add_operator(self, command: Command, answer: list[bytes]) -> None:
        count = fields.count(answer[-1])
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
                side = {0: "no order outside", Side.BUY: "bids", Side.SELL: "asks"}[fields.side(answer[0])]
                self._see("band", f"{self._state_of(command.instrument)}: {side}")
            case GrantCredit():
                balance_quote = fields.balance(answer[0])
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
                elif command.at_ns < fields.time(answer[0]):
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
        instrument, reason = fields.instrument(report), Reason(report[1])
        before, after = self._states[instrument], TradingState(fields.state(report))
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
                self._see("limit state", f"over: halts {'for a time' if fields.until(report) else 'until told'}")
            if after is not TradingState.HALTED:
                return
        if reason is Reason.EXTENDED:
            self._see("call", "extended again" if phase.extensions else "extended")
            if not fields.until(report):
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
        match sorted({fields.side(report) for report in answer[:-1]}):
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
        (*_, last), instrument = answer, fields.instrument(answer[-1])
        kinds = [report[0] for report in answer]
        batch = instrument in self._durations and self._durations[instrument].mode is TradingMode.BATCH
        if last[0] == ReportKind.INDICATIVE:
            self._see("call", f"indicative: {'trades' if fields.auction_volume(last) else 'nothing trades'}")
        elif last[0] == ReportKind.BAND_MOVED:
            self._see("reference", words(self._rules[instrument].source))
            if ReportKind.CANCELED in kinds:
                self._see("reference", "cancels orders")
        elif ReportKind.UNCROSSED in kinds:
            self._add_uncross(instrument, answer)
            moved = [fields.reference(report) for report in answer if report[0] == ReportKind.BAND_MOVED]
            band = self._bands.get(instrument)
            if moved and band and (moved[0] != band.reference_ticks):
                self._see("reference", f"auction: {'batch' if batch else 'continuous'}")

    def _add_uncross(self, instrument: int, answer: list[bytes]) -> None:
        """An auction, before its reports are followed."""
        bids, asks = (
            [
                (order.price_ticks, order.open_lots)
                for order in self._orders.values()
                if order.instrument == instrument and order.side is side
            ]
            for side in (Side.BUY, Side.SELL)
        )
        band = self._bands.get(instrument)
        for shape in shapes(bids, asks, band.reference_ticks if band else 0):
            self._see("auction", shape)
        uncrossed = next(report for report in answer if report[0] == ReportKind.UNCROSSED)
        for side, name in ((Side.BUY, "cancels bids"), (Side.SELL, "cancels asks")):
            if any(
                report[:2] == bytes((ReportKind.CANCELED, Reason.BAND_MOVED)) and fields.side(report) == side
                for report in answer
            ):
                self._see("auction", name)
        if any(report[:2] == bytes((ReportKind.CANCELED, Reason.IMMEDIATE_REST)) for report in answer):
            self._see("auction", "market order is left")
        if not fields.auction_volume(uncrossed):
            return
        self._see(
            "auction",
            {0: "no surplus", Side.BUY: "surplus of bids", Side.SELL: "surplus of asks"}[fields.side(uncrossed)],
        )
        self._see("auction", "one trade" if fields.auction_trades(uncrossed) == 1 else "several trades")
        if band is None:
            self._see("auction", "without a band")
        elif not band.lower_ticks <= fields.auction_price(uncrossed) <= band.upper_ticks:
            self._see("auction", "outside the static band")
        trades = [report for report in answer if report[0] == ReportKind.TRADE]
        if any(fields.account(trade) == fields.maker_account(trade) for trade in trades):
            self._see("auction", "an account with itself")
        if any(self._orders[token(trade)].market for trade in trades for token in (fields.token, fields.maker_token)):
            self._see("auction", "market order trades")
