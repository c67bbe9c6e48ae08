"""The gate before the book: who may send what, window, band, trading state, credit, kill and watchdog.

Rows 1 to 12 and 21 to 23 of the rejection table are decided here, in their order.
"""

from collections import defaultdict
from dataclasses import dataclass

from .book import Order, beyond
from .messages import (
    ALL_INSTRUMENTS,
    AccountCommand,
    BandPolicy,
    Cancel,
    Command,
    ExpiryAction,
    GrantCredit,
    Heartbeat,
    NewOrder,
    Opcode,
    OrderType,
    PlainCommand,
    Reason,
    Replace,
    SetBand,
    SetInstrument,
    Side,
    TimeInForce,
    TradingState,
)

MULTIPLIER_LIMIT_QUOTE = 1 << 16
PRICE_LIMIT_TICKS = 1 << 32
TIMEOUT_LIMIT_NS = 1 << 63
RESERVE_LIMIT_QUOTE = 1 << 46
BALANCE_LIMIT_QUOTE = 1 << 62
PRIVILEGED_LINK = 0


@dataclass(slots=True)
class Band:
    """Where trades may print: from `lower_ticks` to `upper_ticks`, and what happens to prices beyond."""

    lower_ticks: int
    upper_ticks: int
    policy: BandPolicy

    def bound(self, side: Side) -> int:
        """The price a taker of this side cannot go beyond."""
        return self.upper_ticks if side is Side.BUY else self.lower_ticks


@dataclass(slots=True)
class Instrument:
    """An instrument that has been set.

    Attributes
    ----------
    window_base_ticks, window_ticks : The prices that can rest: from the base, so many.
    ladder_offset : First of its ladder rows; it has as many as its window.
    multiplier_quote : Quote units that one lot is worth per tick.
    top_of_book, depth : Which of its market data reports are on.
    state : Halted or trading.
    band : Its band, if it has one.
    """

    window_base_ticks: int
    window_ticks: int
    ladder_offset: int
    multiplier_quote: int
    top_of_book: bool
    depth: bool
    state: TradingState = TradingState.HALTED
    band: Band | None = None

    def in_window(self, price_ticks: int) -> bool:
        """Whether a price can rest."""
        return self.window_base_ticks <= price_ticks < self.window_base_ticks + self.window_ticks

    def shares_rows(self, other: "Instrument") -> bool:
        """Whether another instrument has one of its ladder rows."""
        return (
            self.ladder_offset < other.ladder_offset + other.window_ticks
            and other.ladder_offset < self.ladder_offset + self.window_ticks
        )

    def effective_price(self, side: Side, price_ticks: int) -> int:
        """A limit after clamping to the band, where the policy says so."""
        band = self.band
        if band is None or band.policy is BandPolicy.REJECT or not beyond(side, band.bound(side), price_ticks):
            return price_ticks
        return band.bound(side)


class Gate:
    """What stands in front of the book, in one device epoch.

    Attributes
    ----------
    instruments : What each instrument is set to, None before it is set.
    killed : Accounts whose entries are blocked.
    balances_quote : Balance by account.
    deadline_ns : When the watchdog expires, None when it is disarmed.
    expiry_action : What it does then.
    """

    def __init__(
        self,
        instruments: int,
        orders: int,
        ticks: int,
        accounts: int,
        *,
        smallest_window_ticks: int,
        epoch: int,
        token_ranges: list[range],
    ) -> None:
        self._orders = orders
        self._ticks = ticks
        self._accounts = accounts
        self._smallest_window_ticks = smallest_window_ticks
        self._epoch = epoch
        self._token_ranges = token_ranges
        self.instruments: list[Instrument | None] = [None] * instruments
        self.killed: set[int] = set()
        self.balances_quote: defaultdict[int, int] = defaultdict(int)
        self.deadline_ns: int | None = None
        self.expiry_action = ExpiryAction.HALT

    # Row 1, beyond what the bytes alone tell

    def malformed(self, command: Command) -> bool:
        """Whether a command that its bytes alone allow is malformed nevertheless."""
        return (
            command.number == 0
            or self._malformed_instrument(command)
            or self._malformed_name(command)
            or self._malformed_values(command)
        )

    def _malformed_instrument(self, command: Command) -> bool:
        match command:
            case AccountCommand() | GrantCredit() | Heartbeat() | PlainCommand(opcode=Opcode.READ_CLOCK):
                return command.instrument != 0
            case PlainCommand(instrument=instrument) if instrument == ALL_INSTRUMENTS:
                return False
        return command.instrument >= len(self.instruments)

    def _malformed_name(self, command: Command) -> bool:
        match command:
            case NewOrder() | Cancel() | Replace():
                return command.account >= self._accounts or command.token >= self._orders
            case AccountCommand() | GrantCredit():
                return command.account >= self._accounts
        return False

    def _malformed_values(self, command: Command) -> bool:
        match command:
            case NewOrder():
                market = command.order_type is OrderType.MARKET
                return (
                    command.quantity_lots == 0
                    or (market and (command.price_ticks != 0 or command.time_in_force is not TimeInForce.IOC))
                    or (command.post_only and (market or command.time_in_force is not TimeInForce.GTC))
                )
            case Replace():
                return command.quantity_lots == 0
            case SetInstrument():
                window_ticks = 1 << command.window_log2
                return (
                    not 0 < command.multiplier_quote < MULTIPLIER_LIMIT_QUOTE
                    or not self._smallest_window_ticks <= window_ticks <= self._ticks
                    or command.window_base_ticks + window_ticks > PRICE_LIMIT_TICKS
                )
            case SetBand():
                return not command.lower_ticks <= command.reference_ticks <= command.upper_ticks
            case Heartbeat():
                return command.timeout_ns >= TIMEOUT_LIMIT_NS
        return False

    # Rows 2 to 12, one method for each column of the table

    def refuse_any(self, command: Command) -> Reason | None:
        """Why any command is rejected, None when it is not."""
        if self.malformed(command):  # 1
            return Reason.MALFORMED
        if command.epoch != self._epoch:  # 2
            return Reason.WRONG_EPOCH
        return None

    def refuse_new_order(self, command: NewOrder, link: int) -> Reason | None:
        """Why a new order is rejected, None when the gate lets it through."""
        if command.reduce_only and link != PRIVILEGED_LINK:  # 3
            return Reason.NOT_PRIVILEGED
        if command.token not in self._token_ranges[link]:  # 4
            return Reason.TOKEN_NOT_YOURS
        instrument = self.instruments[command.instrument]
        if instrument is None:  # 5
            return Reason.UNKNOWN_INSTRUMENT
        if command.account in self.killed and not command.reduce_only:  # 6
            return Reason.KILLED
        if instrument.state is TradingState.HALTED:  # 7
            return Reason.HALTED
        if command.order_type is OrderType.MARKET and instrument.band is None:  # 8
            return Reason.NO_BAND
        price_ticks = self.price_of(command)
        if not instrument.in_window(price_ticks):  # 9
            return Reason.OUTSIDE_WINDOW
        if instrument.band and beyond(command.side, instrument.band.bound(command.side), price_ticks):  # 10
            return Reason.OUTSIDE_BAND
        if not command.reduce_only:
            reserve_quote = command.quantity_lots * price_ticks * instrument.multiplier_quote
            if reserve_quote >= RESERVE_LIMIT_QUOTE:  # 11
                return Reason.CREDIT
            if self.balances_quote[command.account] < reserve_quote:  # 12
                return Reason.CREDIT
        return None

    def refuse_cancel(self, command: Cancel, link: int) -> Reason | None:
        """Why a cancel is rejected, None when the gate lets it through."""
        if command.token not in self._token_ranges[link]:  # 4
            return Reason.TOKEN_NOT_YOURS
        if self.instruments[command.instrument] is None:  # 5
            return Reason.UNKNOWN_INSTRUMENT
        return None

    def refuse_replace(self, command: Replace, link: int) -> Reason | None:
        """Why a replace is rejected, None when the gate lets it through."""
        if command.token not in self._token_ranges[link]:  # 4
            return Reason.TOKEN_NOT_YOURS
        instrument = self.instruments[command.instrument]
        if instrument is None:  # 5
            return Reason.UNKNOWN_INSTRUMENT
        if command.account in self.killed:  # 6
            return Reason.KILLED
        price_ticks = instrument.effective_price(command.side, command.price_ticks)
        if not instrument.in_window(price_ticks):  # 9
            return Reason.OUTSIDE_WINDOW
        if instrument.band and beyond(command.side, instrument.band.bound(command.side), price_ticks):  # 10
            return Reason.OUTSIDE_BAND
        if command.quantity_lots * price_ticks * instrument.multiplier_quote >= RESERVE_LIMIT_QUOTE:  # 11
            return Reason.CREDIT
        return None

    def refuse_operator(self, link: int) -> Reason | None:
        """Why an operator command is rejected, None when the link may send it."""
        return None if link == PRIVILEGED_LINK else Reason.NOT_PRIVILEGED  # 3

    def refuse_set_instrument(self, command: SetInstrument, holds_orders: bool) -> Reason | None:
        """Why an instrument cannot be set; `holds_orders` says whether orders of it rest."""
        present = self.instruments[command.instrument]
        if present and (present.state is TradingState.TRADING or holds_orders):  # 21
            return Reason.INSTRUMENT_ACTIVE
        wanted = instrument_of(command)
        others = [other for other in self.instruments if other and other is not present]
        if (
            wanted.ladder_offset % wanted.window_ticks
            or wanted.ladder_offset + wanted.window_ticks > self._ticks
            or any(wanted.shares_rows(other) for other in others)
        ):  # 22
            return Reason.LADDER_CONFLICT
        return None

    def refuse_set_band(self, command: SetBand) -> Reason | None:
        """Why a band cannot be set, None when it can."""
        instrument = self.instruments[command.instrument]
        if instrument is None:  # 5
            return Reason.UNKNOWN_INSTRUMENT
        if not (instrument.in_window(command.lower_ticks) and instrument.in_window(command.upper_ticks)):  # 9
            return Reason.OUTSIDE_WINDOW
        return None

    def refuse_trading_state(self, command: PlainCommand) -> Reason | None:
        """Why a halt or resume is rejected, None when it is not."""
        if command.instrument != ALL_INSTRUMENTS and self.instruments[command.instrument] is None:  # 5
            return Reason.UNKNOWN_INSTRUMENT
        return None

    def refuse_grant(self, command: GrantCredit) -> Reason | None:
        """Why a grant is rejected, None when it is not."""
        if abs(self.balances_quote[command.account] + command.amount_quote) > BALANCE_LIMIT_QUOTE:  # 23
            return Reason.CREDIT
        return None

    # What the gate works out for an order

    def price_of(self, command: NewOrder) -> int:
        """The effective price of a new order: its limit after clamping, or the band's bound of a market order."""
        instrument = self.instrument(command.instrument)
        if command.order_type is OrderType.MARKET:
            assert instrument.band is not None  # row 8
            return instrument.band.bound(command.side)
        return instrument.effective_price(command.side, command.price_ticks)

    def instrument(self, index: int) -> Instrument:
        """An instrument known to be set."""
        instrument = self.instruments[index]
        assert instrument is not None  # row 5
        return instrument

    def reserve(self, order: Order, price_ticks: int, quantity_lots: int) -> None:
        """Take the reserve of a quantity at a price from the order's account."""
        if not order.reduce_only:
            multiplier_quote = self.instrument(order.instrument).multiplier_quote
            self.balances_quote[order.account] -= quantity_lots * price_ticks * multiplier_quote

    def release(self, order: Order, quantity_lots: int) -> None:
        """Return the reserve of a quantity, at the order's price, to its account."""
        self.reserve(order, order.price_ticks, -quantity_lots)


def instrument_of(command: SetInstrument) -> Instrument:
    """The instrument that a command asks for: halted and without a band."""
    return Instrument(
        window_base_ticks=command.window_base_ticks,
        window_ticks=1 << command.window_log2,
        ladder_offset=command.ladder_offset,
        multiplier_quote=command.multiplier_quote,
        top_of_book=command.top_of_book,
        depth=command.depth,
    )
