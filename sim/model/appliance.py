"""The appliance: commands in, reports out, as bytes."""

from collections.abc import Callable

from .book import Book, Order
from .gate import Band, Gate, instrument_of
from .messages import (
    ALL_INSTRUMENTS,
    COMMAND_BYTES,
    LAST,
    AccountCommand,
    BandMoved,
    Cancel,
    Cause,
    Done,
    ExpiryAction,
    GrantCredit,
    Heartbeat,
    MalformedError,
    NewOrder,
    Opcode,
    PlainCommand,
    Reason,
    Rejected,
    Replace,
    Report,
    ReportKind,
    SetBand,
    SetInstrument,
    TopOfBook,
    TradingState,
    TradingStateChanged,
    decode,
    decode_header,
    encode,
)

EPOCH_LIMIT = 1 << 16


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
        return reports + self._send(Cause(time_ns, link, decode_header(command).number), self._answer(link, command))

    def advance(self, time_ns: int) -> list[bytes]:
        """Let time reach `time_ns`; the reports of the timers due by then.

        Raises
        ------
        ValueError : Time would run backwards.
        """
        if time_ns < self._time_ns:
            raise ValueError(f"time runs backwards, from {self._time_ns} ns to {time_ns} ns")
        self._time_ns = time_ns
        deadline_ns = self._gate.deadline_ns
        if deadline_ns is None or deadline_ns > time_ns:
            return []
        return self._send(Cause(deadline_ns, link=0, command_number=0), self._expire_watchdog())

    @property
    def time_ns(self) -> int:
        """The appliance's time."""
        return self._time_ns

    @property
    def next_deadline_ns(self) -> int | None:
        """When the next timer is due."""
        return self._gate.deadline_ns

    @property
    def book(self) -> Book:
        """The book, to read."""
        return self._book

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
        for told in [*self._book.changed_levels(), *self._changed_tops()]:
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

    # A command

    def _answer(self, link: int, command: bytes) -> list[Report]:
        try:
            decoded = decode(command)
        except MalformedError:
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
        if reason := self._book.refuse_new_order(order):
            return reason
        self._gate.reserve(order, order.price_ticks, order.open_lots)
        return self._book.enter(order, command.time_in_force)

    def _cancel(self, command: Cancel, link: int) -> list[Report] | Reason:
        if reason := self._gate.refuse_cancel(command, link) or self._book.refuse_cancel(command):
            return reason
        return [self._book.cancel(command.token, Reason.REQUESTED)]

    def _replace(self, command: Replace, link: int) -> list[Report] | Reason:
        if reason := self._gate.refuse_replace(command, link):
            return reason
        instrument = self._gate.instrument(command.instrument)
        price_ticks = instrument.effective_price(command.side, command.price_ticks)
        if reason := self._book.refuse_replace(
            command,
            price_ticks,
            link,
            trading=instrument.state is TradingState.TRADING,
            balance_quote=self.balance_quote(command.account),
            multiplier_quote=instrument.multiplier_quote,
        ):
            return reason
        order = self._book.order(command.token)
        self._gate.release(order, order.open_lots)
        self._gate.reserve(order, price_ticks, command.quantity_lots)
        return self._book.replace(command, price_ticks)

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
        band = Band(command.lower_ticks, command.upper_ticks, command.policy)
        self._gate.instrument(command.instrument).band = band
        canceled = self._book.cancel_outside(command.instrument, band.lower_ticks, band.upper_ticks)
        moved = BandMoved(
            command.instrument, command.lower_ticks, command.upper_ticks, command.reference_ticks, command.policy
        )
        return [*canceled, moved]

    def _plain_command(self, command: PlainCommand, link: int) -> list[Report] | Reason:
        if reason := self._gate.refuse_operator(link):
            return reason
        if command.opcode is Opcode.READ_CLOCK:
            return [Done()]
        if reason := self._gate.refuse_trading_state(command):
            return reason
        state = TradingState.HALTED if command.opcode is Opcode.HALT else TradingState.TRADING
        everyone = command.instrument == ALL_INSTRUMENTS
        indices = range(self._instruments) if everyone else [command.instrument]
        changed = self._change_state(indices, state, Reason.OPERATOR)
        return [*changed, Done(command.instrument, count=len(changed))]

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

    # A timer

    def _expire_watchdog(self) -> list[Report]:
        self._gate.deadline_ns = None
        halted = self._change_state(range(self._instruments), TradingState.HALTED, Reason.WATCHDOG)
        canceled: list[Report] = []
        if self._gate.expiry_action is ExpiryAction.HALT_AND_CANCEL:
            canceled = self._book.cancel_all(Reason.WATCHDOG)
        return [*halted, *canceled, Done(count=_count_canceled(canceled), reason=Reason.WATCHDOG)]

    def _change_state(self, indices: range | list[int], state: TradingState, reason: Reason) -> list[Report]:
        """Halt or resume those of some instruments that are set and not so already."""
        changed: list[Report] = []
        for index in indices:
            instrument = self._gate.instruments[index]
            if instrument and instrument.state is not state:
                instrument.state = state
                changed.append(TradingStateChanged(reason, index, state))
        return changed


def _count_canceled(reports: list[Report]) -> int:
    return sum(report.kind is ReportKind.CANCELED for report in reports)


def _rejected(reason: Reason, command: bytes) -> Rejected:
    header = decode_header(command)
    side = command[24] if header.opcode in (Opcode.NEW_ORDER, Opcode.REPLACE) else 0
    return Rejected(reason, header.instrument, side, echo=command[8:24])
