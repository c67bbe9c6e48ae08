"""The gate before the book: who may send what, window, band, trading state, credit, kill and watchdog.

Rows 1 to 13 and 22 to 24 of the rejection table are decided here, in their order.
"""

from collections import defaultdict
from dataclasses import dataclass

from .book import Order, beyond
from .breaker import Breaker
from .commands import (
    ALL_INSTRUMENTS,
    AccountCommand,
    BandPolicy,
    Cancel,
    Command,
    ExpiryAction,
    GrantCredit,
    Heartbeat,
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
    SetDynamicBand,
    SetInstrument,
    SetReferenceRule,
    SetSchedule,
    Side,
    StateCommand,
    TimeInForce,
)
from .reports import Reason, TradingState

MULTIPLIER_LIMIT_QUOTE = 1 << 16
PRICE_LIMIT_TICKS = 1 << 32
TIMEOUT_LIMIT_NS = 1 << 63
RESERVE_LIMIT_QUOTE = 1 << 46
BALANCE_LIMIT_QUOTE = 1 << 62
PRIVILEGED_LINK = 0
SHORTEST_US = 1_000
PPM = 1_000_000
MOST_BUCKETS = 64
MOST_TRADES_LOG2 = 6


@dataclass(slots=True)
class Instrument:
    """An instrument that has been set.

    Attributes
    ----------
    ladder_offset : First of its ladder rows; it has as many as its window.
    multiplier_quote : Quote units that one lot is worth per tick.
    top_of_book, depth : Which of its market data reports are on.
    breaker : Its window, state and bands.
    """

    ladder_offset: int
    multiplier_quote: int
    top_of_book: bool
    depth: bool
    breaker: Breaker

    def shares_rows(self, other: "Instrument") -> bool:
        """Whether another instrument has one of its ladder rows."""
        return (
            self.ladder_offset < other.ladder_offset + other.breaker.window_ticks
            and other.ladder_offset < self.ladder_offset + self.breaker.window_ticks
        )

    def effective_price(self, side: Side, price_ticks: int) -> int:
        """A limit after clamping to the band, where the policy says so."""
        band = self.breaker.price_band()
        if band is None or self.breaker.policy is BandPolicy.REJECT:
            return price_ticks
        return band.bound(side) if beyond(side, band.bound(side), price_ticks) else price_ticks

    def outside_band(self, side: Side, price_ticks: int) -> bool:
        """Whether the band forbids an effective price."""
        band = self.breaker.price_band()
        return band is not None and beyond(side, band.bound(side), price_ticks)


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
            case PlainCommand() | StateCommand() if command.instrument == ALL_INSTRUMENTS:
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
            case StateCommand():
                return _too_short(command.duration_us)
            case SetBreaker():
                optional = (command.limit_us, command.halt_us, command.indicative_us)
                return any(map(_too_short, optional)) or min(command.call_us, command.extension_us) < SHORTEST_US
            case SetDynamicBand():
                return _malformed_window(
                    command.short_width_ticks, command.short_bucket_us, command.short_buckets
                ) or _malformed_window(command.long_width_ticks, command.long_bucket_us, command.long_buckets)
            case SetReferenceRule():
                last_trades = command.source is ReferenceSource.LAST_TRADES
                return max(command.width_ppm, command.move_ppm) > PPM or command.trades_log2 > (
                    MOST_TRADES_LOG2 if last_trades else 0
                )
            case SetSchedule():
                call = command.state in (ScheduledState.OPENING_CALL, ScheduledState.CLOSING_CALL)
                return _too_short(command.duration_us) if call else command.duration_us != 0
        return False

    # The rejection table, one method for each of its columns

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
        breaker = instrument.breaker
        if not (breaker.matches or breaker.collects):  # 7
            return Reason.HALTED
        market = command.order_type is OrderType.MARKET
        immediate = command.time_in_force is not TimeInForce.GTC and not market
        if breaker.collects and (immediate or command.post_only):  # 8
            return Reason.AUCTION_CALL
        if market and breaker.band is None:  # 9
            return Reason.NO_BAND
        price_ticks = self.price_of(command)
        if not breaker.in_window(price_ticks):  # 10
            return Reason.OUTSIDE_WINDOW
        if not market and instrument.outside_band(command.side, price_ticks):  # 11
            return Reason.OUTSIDE_BAND
        if not command.reduce_only:
            reserve_quote = command.quantity_lots * price_ticks * instrument.multiplier_quote
            if reserve_quote >= RESERVE_LIMIT_QUOTE:  # 12
                return Reason.CREDIT
            if self.balances_quote[command.account] < reserve_quote:  # 13
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
        if not instrument.breaker.in_window(price_ticks):  # 10
            return Reason.OUTSIDE_WINDOW
        if instrument.outside_band(command.side, price_ticks):  # 11
            return Reason.OUTSIDE_BAND
        if command.quantity_lots * price_ticks * instrument.multiplier_quote >= RESERVE_LIMIT_QUOTE:  # 12
            return Reason.CREDIT
        return None

    def refuse_operator(self, link: int) -> Reason | None:
        """Why an operator command is rejected, None when the link may send it."""
        return None if link == PRIVILEGED_LINK else Reason.NOT_PRIVILEGED  # 3

    def refuse_set_instrument(self, command: SetInstrument, holds_orders: bool) -> Reason | None:
        """Why an instrument cannot be set; `holds_orders` says whether orders of it rest."""
        present = self.instruments[command.instrument]
        if present and (_trades(present) or holds_orders):  # 22
            return Reason.INSTRUMENT_ACTIVE
        wanted = instrument_of(command)
        others = [other for other in self.instruments if other and other is not present]
        if (
            wanted.ladder_offset % wanted.breaker.window_ticks
            or wanted.ladder_offset + wanted.breaker.window_ticks > self._ticks
            or any(wanted.shares_rows(other) for other in others)
        ):  # 23
            return Reason.LADDER_CONFLICT
        return None

    def refuse_set_band(self, command: SetBand) -> Reason | None:
        """Why a band cannot be set, None when it can."""
        instrument = self.instruments[command.instrument]
        if instrument is None:  # 5
            return Reason.UNKNOWN_INSTRUMENT
        breaker = instrument.breaker
        if not (breaker.in_window(command.lower_ticks) and breaker.in_window(command.upper_ticks)):  # 10
            return Reason.OUTSIDE_WINDOW
        return None

    def refuse_set_breaker(self, command: SetBreaker, holds_orders: bool) -> Reason | None:
        """Why an instrument's breaker cannot be set; `holds_orders` says whether orders of it rest."""
        instrument = self.instruments[command.instrument]
        if instrument is None:  # 5
            return Reason.UNKNOWN_INSTRUMENT
        other_mode = command.mode is not instrument.breaker.durations.mode
        if other_mode and (_trades(instrument) or holds_orders):  # 22
            return Reason.INSTRUMENT_ACTIVE
        return None

    def refuse_move_window(self, command: MoveWindow) -> Reason | None:
        """Why a window cannot move, None when it can."""
        instrument = self.instruments[command.instrument]
        if instrument is None:  # 5
            return Reason.UNKNOWN_INSTRUMENT
        window = range(command.window_base_ticks, command.window_base_ticks + instrument.breaker.window_ticks)
        band = instrument.breaker.band
        holds_band = band is None or (band.lower_ticks in window and band.upper_ticks in window)
        if window.stop > PRICE_LIMIT_TICKS or not holds_band:  # 10
            return Reason.OUTSIDE_WINDOW
        return None

    def refuse_unknown(self, command: Command) -> Reason | None:
        """Whether a command names an instrument that is not set (which all together never are)."""
        if command.instrument != ALL_INSTRUMENTS and self.instruments[command.instrument] is None:  # 5
            return Reason.UNKNOWN_INSTRUMENT
        return None

    def refuse_grant(self, command: GrantCredit) -> Reason | None:
        """Why a grant is rejected, None when it is not."""
        if abs(self.balances_quote[command.account] + command.amount_quote) > BALANCE_LIMIT_QUOTE:  # 24
            return Reason.CREDIT
        return None

    # What the gate works out for an order

    def price_of(self, command: NewOrder) -> int:
        """The effective price of a new order: its limit after clamping, or the band's bound of a market order."""
        instrument = self.instrument(command.instrument)
        if command.order_type is OrderType.MARKET:
            band = instrument.breaker.band_in_force()
            assert band is not None  # row 9
            return band.bound(command.side)
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
        ladder_offset=command.ladder_offset,
        multiplier_quote=command.multiplier_quote,
        top_of_book=command.top_of_book,
        depth=command.depth,
        breaker=Breaker(command.window_base_ticks, 1 << command.window_log2),
    )


def _trades(instrument: Instrument) -> bool:
    return instrument.breaker.state not in (TradingState.HALTED, TradingState.CLOSED)


def _too_short(duration_us: int) -> bool:
    return 0 < duration_us < SHORTEST_US


def _malformed_window(width_ticks: int, bucket_us: int, buckets: int) -> bool:
    off = width_ticks == bucket_us == buckets == 0
    return not off and (bucket_us < SHORTEST_US or not 1 <= buckets <= MOST_BUCKETS)
