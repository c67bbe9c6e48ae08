"""The appliance: commands in, reports out, as bytes."""

from collections.abc import Callable

from .book import Book, Order, auction_report
from .breaker import Breaker, Timer
from .commands import (
    ALL_INSTRUMENTS,
    COMMAND_BYTES,
    AccountCommand,
    BandPolicy,
    Cancel,
    ExpiryAction,
    GrantCredit,
    Heartbeat,
    MalformedError,
    MoveWindow,
    NewOrder,
    Opcode,
    OrderType,
    PlainCommand,
    ReferenceSource,
    Replace,
    ScheduledState,
    SetBand,
    SetBreaker,
    SetCallEnd,
    SetDynamicBand,
    SetInstrument,
    SetReferenceRule,
    SetSchedule,
    Side,
    StateCommand,
    decode,
    decode_header,
)
from .gate import Gate, instrument_of
from .reports import (
    LAST,
    BandMoved,
    Cause,
    Done,
    OrderReport,
    Reason,
    Rejected,
    Report,
    ReportKind,
    TopOfBook,
    Trade,
    TradingState,
    TradingStateChanged,
    encode,
)

EPOCH_LIMIT = 1 << 16
NS_A_US = 1_000
WATCHDOG = 0
"""Kind of the timer that belongs to no instrument."""


class Appliance:
    """One appliance: a gate before a book.

    Attributes
    ----------
    instruments, orders, ticks, accounts, links : Sizes of the device.
    smallest_window_ticks : The smallest window an instrument may have.
    """

    def __init__(
        self,
        instruments: int,
        orders: int,
        ticks: int,
        accounts: int,
        *,
        links: int = 2,
        smallest_window_ticks: int = 64,
    ) -> None:
        self._instruments = instruments
        self._orders = orders
        self._ticks = ticks
        self._accounts = accounts
        self._smallest_window_ticks = smallest_window_ticks
        self._token_ranges = [range(orders if link == 0 else 0) for link in range(links)]
        self._time_ns = 0
        self._handlers: dict[type, Callable[..., list[Report] | Reason]] = {
            NewOrder: self._new_order,
            Cancel: self._cancel,
            Replace: self._replace,
            AccountCommand: self._account_command,
            SetInstrument: self._set_instrument,
            SetBand: self._set_band,
            PlainCommand: self._plain_command,
            GrantCredit: self._grant_credit,
            Heartbeat: self._heartbeat,
            StateCommand: self._state_command,
            SetBreaker: self._set_breaker,
            SetDynamicBand: self._set_dynamic_band,
            SetReferenceRule: self._set_reference_rule,
            SetCallEnd: self._set_call_end,
            SetSchedule: self._set_schedule,
            MoveWindow: self._move_window,
        }
        self.reset(1)

    # The outside

    def reset(self, epoch: int) -> None:
        """Start a device epoch: book empty, no instrument set, credit zero, nobody killed, watchdog disarmed.

        Raises
        ------
        ValueError : The epoch is not 1 to 65535.
        """
        if not 0 < epoch < EPOCH_LIMIT:
            raise ValueError(f"an epoch is 1 to {EPOCH_LIMIT - 1}, not {epoch}")
        self._epoch = epoch
        self._gate = Gate(
            self._instruments,
            self._orders,
            self._ticks,
            self._accounts,
            smallest_window_ticks=self._smallest_window_ticks,
            epoch=epoch,
            token_ranges=self._token_ranges,
        )
        self._book = Book(self._instruments, released=self._gate.release)
        self._report_number = 0
        self._tops = [self._book.top(instrument) for instrument in range(self._instruments)]

    def set_token_range(self, link: int, first: int, count: int) -> None:
        """Let a link use the order slots from `first` on, `count` of them."""
        self._token_ranges[link] = range(first, first + count)

    def execute(self, time_ns: int, link: int, command: bytes) -> list[bytes]:
        """Carry out what timers are due, then a command stamped `time_ns`; the reports of both.

        Raises
        ------
        ValueError : Time would run backwards, or the command is not 32 bytes.
        """
        if len(command) != COMMAND_BYTES:
            raise ValueError(f"a command is {COMMAND_BYTES} bytes, not {len(command)}")
        reports = self.advance(time_ns)
        cause = Cause(time_ns, link, decode_header(command).number)
        return reports + self._send(cause, self._answer(link, command))

    def advance(self, time_ns: int) -> list[bytes]:
        """Let time reach `time_ns`; the reports of the timers due by then.

        Raises
        ------
        ValueError : Time would run backwards.
        """
        if time_ns < self._time_ns:
            raise ValueError(f"time runs backwards, from {self._time_ns} ns to {time_ns} ns")
        self._time_ns = time_ns
        reports = []
        while (due := self._next_timer()) is not None and due[0] <= time_ns:
            deadline_ns, index, kind = due
            acted = self._expire_watchdog() if kind == WATCHDOG else self._expire(deadline_ns, index, Timer(kind))
            reports += self._send(Cause(deadline_ns, link=0, command_number=0), acted)
        return reports

    def timers(self) -> list[tuple[int, int, int]]:
        """Deadline, instrument and kind of every timer that runs; the watchdog's instrument is -1, its kind zero."""
        timers = [
            (deadline_ns, index, int(kind))
            for index, instrument in enumerate(self._gate.instruments)
            if instrument
            for deadline_ns, kind in instrument.breaker.timers()
        ]
        if self._gate.deadline_ns is not None:
            timers.append((self._gate.deadline_ns, -1, WATCHDOG))
        return timers

    def _next_timer(self) -> tuple[int, int, int] | None:
        """The timer that acts next: by deadline, then the watchdog, then by instrument and kind."""
        return min(self.timers(), default=None)

    @property
    def time_ns(self) -> int:
        """The appliance's time."""
        return self._time_ns

    @property
    def next_deadline_ns(self) -> int | None:
        """When the next timer is due."""
        timer = self._next_timer()
        return timer[0] if timer else None

    @property
    def book(self) -> Book:
        """The book, to read."""
        return self._book

    def breaker(self, instrument: int) -> Breaker | None:
        """The breaker of an instrument, to read; None before it is set."""
        present = self._gate.instruments[instrument]
        return present.breaker if present else None

    def balance_quote(self, account: int) -> int:
        """An account's balance."""
        return self._gate.balances_quote[account]

    def _send(self, cause: Cause, reports: list[Report]) -> list[bytes]:
        """Number the reports of one cause, mark the last, and add what market data is left to tell."""
        sent = []
        for report in reports:
            flags = LAST if report is reports[-1] else 0
            sent.append(encode(report, cause, self._report_number, self._epoch, flags))
            self._report_number += 1
        for told in [*self._book.changed_levels(), *self._changed_tops(), *self._review(cause.time_ns)]:
            sent.append(encode(told, cause, self._report_number, self._epoch, flags=0))
            self._report_number += 1
        return sent

    def _changed_tops(self) -> list[TopOfBook]:
        changed = []
        for index, instrument in enumerate(self._gate.instruments):
            if instrument and instrument.top_of_book:
                top = self._book.top(index)
                if top != self._tops[index]:
                    self._tops[index] = top
                    changed.append(top)
        return changed

    def _review(self, now_ns: int) -> list[TradingStateChanged]:
        """Limit states that begin or end."""
        changed = []
        for index, instrument in enumerate(self._gate.instruments):
            if instrument and instrument.breaker.may_limit:
                bid_ticks, ask_ticks = self._book.best_ticks(index, Side.BUY), self._book.best_ticks(index, Side.SELL)
                if instrument.breaker.review(bid_ticks, ask_ticks, now_ns):
                    changed.append(_state_of(index, instrument.breaker, Reason.LIMIT))
        return changed

    def _trade(self, breaker: Breaker, reports: list[Report], *, bounded: bool) -> list[Report]:
        """An order's reports narrow the band, and trip policy *halt* where a bound has left quantity of it."""
        left = reports[-1]
        if (
            bounded
            and breaker.policy is BandPolicy.HALT
            and isinstance(left, OrderReport)
            and left.reason in (Reason.IMMEDIATE_REST, Reason.BAND_MOVED)
        ):
            breaker.trip(self._time_ns)
        for report in reports:
            if isinstance(report, Trade):
                breaker.trade(report.price_ticks, self._time_ns)
        return reports

    # A command

    def _answer(self, link: int, command: bytes) -> list[Report]:
        try:
            decoded = decode(command)
        except MalformedError:
            decoded = None
        if decoded is None or link >= len(self._token_ranges):
            return [_rejected(Reason.MALFORMED, command)]
        outcome = self._gate.refuse_any(decoded) or self._handlers[type(decoded)](decoded, link)
        return [_rejected(outcome, command)] if isinstance(outcome, Reason) else outcome

    # Each of these carries out one kind of command: its reports, or why it is rejected.

    def _new_order(self, command: NewOrder, link: int) -> list[Report] | Reason:
        if reason := self._gate.refuse_new_order(command, link):
            return reason
        order = Order(
            instrument=command.instrument,
            account=command.account,
            side=command.side,
            token=command.token,
            generation=command.generation,
            price_ticks=self._gate.price_of(command),
            open_lots=command.quantity_lots,
            self_trade_prevention=command.self_trade_prevention,
            post_only=command.post_only,
            reduce_only=command.reduce_only,
        )
        breaker = self._gate.instrument(command.instrument).breaker
        if reason := self._book.refuse_new_order(order, collects=breaker.collects):
            return reason
        self._gate.reserve(order, order.price_ticks, order.open_lots)
        if breaker.collects:
            order.market = command.order_type is OrderType.MARKET
            return self._book.collect(order)
        band = breaker.band_in_force()
        at_bound = band is not None and order.price_ticks == band.bound(order.side)
        limit_ticks = self._book.reach(order.instrument, order.side, order.price_ticks, breaker.reach_ticks())
        reports = self._book.enter(order, command.time_in_force, limit_ticks)
        return self._trade(breaker, reports, bounded=at_bound or limit_ticks != order.price_ticks)

    def _cancel(self, command: Cancel, link: int) -> list[Report] | Reason:
        if reason := self._gate.refuse_cancel(command, link) or self._book.refuse_cancel(command):
            return reason
        return [self._book.cancel(command.token, Reason.REQUESTED)]

    def _replace(self, command: Replace, link: int) -> list[Report] | Reason:
        if reason := self._gate.refuse_replace(command, link):
            return reason
        instrument = self._gate.instrument(command.instrument)
        breaker = instrument.breaker
        price_ticks = instrument.effective_price(command.side, command.price_ticks)
        if reason := self._book.refuse_replace(
            command,
            price_ticks,
            link,
            halted=not (breaker.matches or breaker.collects),
            collects=breaker.collects,
            balance_quote=self.balance_quote(command.account),
            multiplier_quote=instrument.multiplier_quote,
        ):
            return reason
        order = self._book.order(command.token)
        self._gate.release(order, order.open_lots)
        self._gate.reserve(order, price_ticks, command.quantity_lots)
        limit_ticks = price_ticks
        if not breaker.collects and not self._book.keeps_place(command, price_ticks):
            limit_ticks = self._book.reach(command.instrument, command.side, price_ticks, breaker.reach_ticks())
        reports = self._book.replace(command, price_ticks, limit_ticks, collects=breaker.collects)
        return self._trade(breaker, reports, bounded=limit_ticks != price_ticks)

    def _account_command(self, command: AccountCommand, link: int) -> list[Report] | Reason:
        if command.opcode is Opcode.MASS_CANCEL:
            return self._cancel_account(command.account, Reason.MASS_CANCEL)
        if reason := self._gate.refuse_operator(link):
            return reason
        if command.opcode is Opcode.KILL_ACCOUNT:
            self._gate.killed.add(command.account)
            return self._cancel_account(command.account, Reason.ACCOUNT_KILLED)
        self._gate.killed.discard(command.account)
        return [Done(account=command.account)]

    def _cancel_account(self, account: int, reason: Reason) -> list[Report]:
        canceled = self._book.cancel_account(account, reason)
        return [*canceled, Done(count=_count_canceled(canceled), account=account)]

    def _set_instrument(self, command: SetInstrument, link: int) -> list[Report] | Reason:
        holds_orders = self._book.holds_orders(command.instrument)
        if reason := self._gate.refuse_operator(link) or self._gate.refuse_set_instrument(command, holds_orders):
            return reason
        self._gate.instruments[command.instrument] = instrument_of(command)
        self._tops[command.instrument] = self._book.top(command.instrument)
        self._book.tell_depth(command.instrument, command.depth)
        return [Done(command.instrument)]

    def _set_band(self, command: SetBand, link: int) -> list[Report] | Reason:
        if reason := self._gate.refuse_operator(link) or self._gate.refuse_set_band(command):
            return reason
        self._gate.instrument(command.instrument).breaker.set_band(command, self._time_ns)
        return self._carry_band(command.instrument)

    def _carry_band(self, index: int) -> list[Report]:
        """Cancel what the band would let trade outside, and report it."""
        breaker = self._gate.instrument(index).breaker
        band, force = breaker.band, breaker.band_in_force()
        assert band is not None and force is not None
        canceled = self._book.cancel_beyond(index, force.lower_ticks, force.upper_ticks)
        moved = BandMoved(index, band.lower_ticks, band.upper_ticks, breaker.reference_ticks, breaker.policy)
        return [*canceled, moved]

    def _plain_command(self, command: PlainCommand, link: int) -> list[Report] | Reason:
        if reason := self._gate.refuse_operator(link):
            return reason
        if command.opcode is Opcode.READ_CLOCK:
            return [Done()]
        if reason := self._gate.refuse_unknown(command):
            return reason
        if command.instrument != ALL_INSTRUMENTS:
            breaker = self._gate.instrument(command.instrument).breaker
            if breaker.state is TradingState.HALTED and not self._can_resume(command.instrument):  # 25
                return Reason.BOOK_CROSSED
        resumed: list[Report] = []
        for index, breaker in self._named(command.instrument):
            if breaker.state is TradingState.HALTED and self._can_resume(index):
                self._go_on(breaker, self._time_ns)
                resumed.append(_state_of(index, breaker, Reason.OPERATOR))
        return [*resumed, Done(command.instrument, count=len(resumed))]

    def _named(self, instrument: int) -> list[tuple[int, Breaker]]:
        """The set instrument that a command names, or all."""
        return [
            (index, present.breaker)
            for index, present in enumerate(self._gate.instruments)
            if present and instrument in (index, ALL_INSTRUMENTS)
        ]

    def _can_resume(self, index: int) -> bool:
        """Whether the book neither stands crossed nor reaches beyond the band."""
        bid_ticks, ask_ticks = (self._book.best_ticks(index, side) for side in Side)
        band = self._gate.instrument(index).breaker.band_in_force()
        crossed = bid_ticks is not None and ask_ticks is not None and bid_ticks >= ask_ticks
        return not crossed and not (
            band
            and (
                (bid_ticks is not None and bid_ticks > band.upper_ticks)
                or (ask_ticks is not None and ask_ticks < band.lower_ticks)
            )
        )

    def _go_on(self, breaker: Breaker, now_ns: int) -> None:
        """Trading goes on: continuously, or with the next call."""
        if breaker.batch:
            breaker.open_call(now_ns)
        else:
            breaker.enter(TradingState.TRADING)

    def _state_command(self, command: StateCommand, link: int) -> list[Report] | Reason:
        if reason := self._gate.refuse_operator(link) or self._gate.refuse_unknown(command):
            return reason
        if command.opcode is Opcode.HALT:
            until_ns = self._time_ns + command.duration_us * NS_A_US if command.duration_us else None
            changed = self._halt(command.instrument, until_ns, Reason.OPERATOR)
        else:
            changed = []
            for index, breaker in self._named(command.instrument):
                if breaker.state is not TradingState.CLOSED:
                    breaker.open_call(self._time_ns, command.duration_us)
                    changed.append(_state_of(index, breaker, Reason.OPERATOR))
        return [*changed, Done(command.instrument, count=len(changed))]

    def _halt(self, instrument: int, until_ns: int | None, reason: Reason) -> list[Report]:
        """Halt what is not halted so already, nor closed."""
        halted: list[Report] = []
        for index, breaker in self._named(instrument):
            so_already = breaker.state is TradingState.HALTED and breaker.until_ns == until_ns
            if breaker.state is not TradingState.CLOSED and not so_already:
                breaker.enter(TradingState.HALTED, until_ns)
                halted.append(_state_of(index, breaker, reason))
        return halted

    def _set_breaker(self, command: SetBreaker, link: int) -> list[Report] | Reason:
        holds_orders = self._book.holds_orders(command.instrument)
        if reason := self._gate.refuse_operator(link) or self._gate.refuse_set_breaker(command, holds_orders):
            return reason
        self._gate.instrument(command.instrument).breaker.durations = command
        return [Done(command.instrument)]

    def _set_dynamic_band(self, command: SetDynamicBand, link: int) -> list[Report] | Reason:
        if reason := self._gate.refuse_operator(link) or self._gate.refuse_unknown(command):
            return reason
        self._gate.instrument(command.instrument).breaker.set_windows(command)
        return [Done(command.instrument)]

    def _set_reference_rule(self, command: SetReferenceRule, link: int) -> list[Report] | Reason:
        if reason := self._gate.refuse_operator(link) or self._gate.refuse_unknown(command):
            return reason
        self._gate.instrument(command.instrument).breaker.set_rule(command)
        return [Done(command.instrument)]

    def _set_call_end(self, command: SetCallEnd, link: int) -> list[Report] | Reason:
        if reason := self._gate.refuse_operator(link) or self._gate.refuse_unknown(command):
            return reason
        self._gate.instrument(command.instrument).breaker.set_call_end(command.extra_us, self._time_ns)
        return [Done(command.instrument)]

    def _set_schedule(self, command: SetSchedule, link: int) -> list[Report] | Reason:
        if reason := self._gate.refuse_operator(link) or self._gate.refuse_unknown(command):
            return reason
        timetable = self._gate.instrument(command.instrument).breaker.timetable
        timetable.pop(command.state, None)
        if command.at_ns:
            timetable[command.state] = max(command.at_ns, self._time_ns), command.duration_us
        return [Done(command.instrument)]

    def _move_window(self, command: MoveWindow, link: int) -> list[Report] | Reason:
        if reason := self._gate.refuse_operator(link) or self._gate.refuse_move_window(command):
            return reason
        breaker = self._gate.instrument(command.instrument).breaker
        breaker.window_base_ticks = command.window_base_ticks
        window = range(command.window_base_ticks, command.window_base_ticks + breaker.window_ticks)
        canceled = self._book.cancel_outside(command.instrument, window)
        return [*canceled, Done(command.instrument, count=_count_canceled(canceled))]

    def _grant_credit(self, command: GrantCredit, link: int) -> list[Report] | Reason:
        if reason := self._gate.refuse_operator(link) or self._gate.refuse_grant(command):
            return reason
        self._gate.balances_quote[command.account] += command.amount_quote
        return [Done(account=command.account, balance_quote=self.balance_quote(command.account))]

    def _heartbeat(self, command: Heartbeat, link: int) -> list[Report] | Reason:
        if reason := self._gate.refuse_operator(link):
            return reason
        self._gate.deadline_ns = self._time_ns + command.timeout_ns if command.timeout_ns else None
        self._gate.expiry_action = command.action
        return [Done()]

    # Timers

    def _expire_watchdog(self) -> list[Report]:
        self._gate.deadline_ns = None
        for _, breaker in self._named(ALL_INSTRUMENTS):
            breaker.timetable.clear()
        halted = self._halt(ALL_INSTRUMENTS, None, Reason.WATCHDOG)
        canceled: list[Report] = []
        if self._gate.expiry_action is ExpiryAction.HALT_AND_CANCEL:
            canceled = self._book.cancel_all(Reason.WATCHDOG)
        return [*halted, *canceled, Done(count=_count_canceled(canceled), reason=Reason.WATCHDOG)]

    def _expire(self, now_ns: int, index: int, kind: Timer) -> list[Report]:
        """A timer of an instrument acts; `now_ns` is its deadline."""
        breaker = self._gate.instrument(index).breaker
        match kind:
            case Timer.SHORT_BUCKET:
                assert breaker.short
                breaker.short.end_bucket()
                return []
            case Timer.LONG_BUCKET:
                return self._end_long_bucket(now_ns, index, breaker)
            case Timer.SCHEDULE:
                return [self._follow_timetable(now_ns, index, breaker)]
            case Timer.PHASE:
                return self._end_phase(now_ns, index, breaker)
            case Timer.INDICATIVE:
                assert breaker.indicative_ns is not None
                period_ns = breaker.durations.indicative_us * NS_A_US
                breaker.indicative_ns = breaker.indicative_ns + period_ns if period_ns else None
                clearing = self._book.clearing(index, breaker.reference_ticks)
                return [auction_report(ReportKind.INDICATIVE, index, clearing)]

    def _end_long_bucket(self, now_ns: int, index: int, breaker: Breaker) -> list[Report]:
        assert breaker.long
        breaker.long.end_bucket()
        candidate_ticks = None if breaker.state is TradingState.LIMIT else breaker.candidate()
        if candidate_ticks is None or not breaker.moves_reference(candidate_ticks, now_ns):
            return []
        breaker.replace_reference(candidate_ticks, now_ns)
        return self._carry_band(index)

    def _follow_timetable(self, now_ns: int, index: int, breaker: Breaker) -> Report:
        entry = min(breaker.timetable, key=lambda entry: (breaker.timetable[entry][0], entry))
        _, duration_us = breaker.timetable.pop(entry)
        match entry:
            case ScheduledState.PRE_OPEN:
                breaker.enter(TradingState.PRE_OPEN)
            case ScheduledState.CLOSED:
                breaker.enter(TradingState.CLOSED)
            case _:
                breaker.open_call(now_ns, duration_us, closes=entry is ScheduledState.CLOSING_CALL)
        return _state_of(index, breaker, Reason.SCHEDULE)

    def _end_phase(self, now_ns: int, index: int, breaker: Breaker) -> list[Report]:
        """A limit state, a halt or a call is over."""
        match breaker.state:
            case TradingState.CALL:
                return self._end_call(now_ns, index, breaker)
            case TradingState.HALTED:
                breaker.open_call(now_ns)
                return [_state_of(index, breaker, Reason.HALT_OVER)]
            case _:
                halt_ns = breaker.durations.halt_us * NS_A_US
                breaker.enter(TradingState.HALTED, now_ns + halt_ns if halt_ns else None)
                return [_state_of(index, breaker, Reason.LIMIT)]

    def _end_call(self, now_ns: int, index: int, breaker: Breaker) -> list[Report]:
        clearing = self._book.clearing(index, breaker.reference_ticks)
        reports: list[Report] = [auction_report(ReportKind.UNCROSSED, index, None)]
        if clearing:
            band = breaker.auction_band()
            if band and not band.lower_ticks <= clearing.price_ticks <= band.upper_ticks:
                breaker.extend_call()
                return [_state_of(index, breaker, Reason.EXTENDED)]
            reports = self._book.uncross(index, clearing)
            self._follow_auction(breaker, clearing.price_ticks, now_ns)
        reports += self._book.cancel_markets(index)
        if breaker.band:
            reports += self._carry_band(index)
        if breaker.closes:
            breaker.enter(TradingState.CLOSED)
        else:
            self._go_on(breaker, now_ns)
        return [*reports, _state_of(index, breaker, Reason.CALL_OVER)]

    def _follow_auction(self, breaker: Breaker, price_ticks: int, now_ns: int) -> None:
        """An auction has traded: the bands follow its price."""
        replaces = not breaker.batch or (
            breaker.rule.source is ReferenceSource.AUCTION and breaker.moves_reference(price_ticks, now_ns)
        )
        if breaker.band and replaces:
            breaker.replace_reference(price_ticks, now_ns)
        if not breaker.batch:
            breaker.empty_windows()
        breaker.trade(price_ticks, now_ns)  # behind the reference: the band that was may not hold this price


def _state_of(index: int, breaker: Breaker, reason: Reason) -> TradingStateChanged:
    return TradingStateChanged(reason, index, breaker.state, breaker.until_ns or 0)


def _count_canceled(reports: list[Report]) -> int:
    return sum(report.kind is ReportKind.CANCELED for report in reports)


def _rejected(reason: Reason, command: bytes) -> Rejected:
    header = decode_header(command)
    side = command[24] if header.opcode in (Opcode.NEW_ORDER, Opcode.REPLACE) else 0
    return Rejected(reason, header.instrument, side, echo=command[8:24])
