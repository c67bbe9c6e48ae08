"""The bytes of reports: a second reading of `docs/protocol.md`, as `commands.py` is of what they answer."""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct

from .commands import BandPolicy


class ReportKind(IntEnum):
    """What a report tells."""

    ACCEPTED = 1
    REJECTED = 2
    TRADE = 3
    CANCELED = 4
    REPLACED = 5
    DONE = 6
    BAND_MOVED = 7
    TRADING_STATE = 8
    TOP_OF_BOOK = 9
    LEVEL = 10
    INDICATIVE = 11
    UNCROSSED = 12


class Reason(IntEnum):
    """Why a command was rejected, an order was canceled, or a trading state changed."""

    MALFORMED = 1
    WRONG_EPOCH = 2
    NOT_PRIVILEGED = 3
    TOKEN_NOT_YOURS = 4
    UNKNOWN_INSTRUMENT = 5
    KILLED = 6
    OUTSIDE_WINDOW = 7
    HALTED = 8
    NO_BAND = 9
    OUTSIDE_BAND = 10
    CREDIT = 11
    SLOT_IN_USE = 12
    GENERATION_USED = 13
    UNKNOWN_ORDER = 14
    QUANTITY_MISMATCH = 15
    POST_ONLY = 16
    INSTRUMENT_ACTIVE = 17
    LADDER_CONFLICT = 18
    AUCTION_CALL = 19
    BOOK_CROSSED = 20
    REQUESTED = 32
    IMMEDIATE_REST = 33
    NOT_FILLABLE = 34
    SELF_TRADE = 35
    MASS_CANCEL = 36
    ACCOUNT_KILLED = 37
    BAND_MOVED = 38
    WINDOW_MOVED = 39
    OPERATOR = 48
    WATCHDOG = 49
    LIMIT = 50
    HALT_OVER = 51
    CALL_OVER = 52
    EXTENDED = 53
    SCHEDULE = 54


class TradingState(IntEnum):
    """How an instrument trades."""

    HALTED = 1
    TRADING = 2
    LIMIT = 3
    CALL = 4
    PRE_OPEN = 5
    CLOSED = 6


LAST = 1
"""The flag of the last report that a command or a timer causes."""


# Reports. `encode` adds what the header needs to know of the cause.


@dataclass(slots=True)
class Cause:
    """What caused a report: a command, or a timer (link 0, command number 0, its deadline as the time)."""

    time_ns: int
    link: int
    command_number: int


@dataclass(slots=True)
class OrderReport:
    """An order, or part of one, was accepted, canceled or replaced."""

    kind: ReportKind
    reason: int
    instrument: int
    side: int
    price_ticks: int
    quantity_lots: int
    account: int
    token: int
    generation: int
    remaining_lots: int

    def body(self) -> bytes:
        """Bytes 32 to 63."""
        return _ORDER_BODY.pack(
            self.price_ticks, self.quantity_lots, self.account, self.token, self.generation, self.remaining_lots
        )


@dataclass(slots=True)
class Rejected:
    """A command was rejected; `echo` is its bytes 8 to 23."""

    reason: int
    instrument: int
    side: int
    echo: bytes
    kind: ReportKind = ReportKind.REJECTED

    def body(self) -> bytes:
        """Bytes 32 to 63."""
        return self.echo + bytes(16)


@dataclass(slots=True)
class Trade:
    """Two orders traded at the maker's price; `side` is the taker's.

    In an auction it is zero; the buyer stands as the taker and the seller as the maker.
    """

    instrument: int
    side: int
    price_ticks: int
    quantity_lots: int
    account: int
    token: int
    generation: int
    remaining_lots: int
    maker_account: int
    maker_token: int
    maker_generation: int
    maker_remaining_lots: int
    kind: ReportKind = ReportKind.TRADE
    reason: int = 0

    def body(self) -> bytes:
        """Bytes 32 to 63."""
        return _TRADE_BODY.pack(
            self.price_ticks,
            self.quantity_lots,
            self.account,
            self.token,
            self.generation,
            self.remaining_lots,
            self.maker_account,
            self.maker_token,
            self.maker_generation,
            self.maker_remaining_lots,
        )


@dataclass(slots=True)
class Done:
    """A command that is not an order was carried out."""

    instrument: int = 0
    count: int = 0
    account: int = 0
    balance_quote: int = 0
    reason: int = 0
    side: int = 0
    kind: ReportKind = ReportKind.DONE

    def body(self) -> bytes:
        """Bytes 32 to 63."""
        return _DONE_BODY.pack(self.count, self.account, self.balance_quote)


@dataclass(slots=True)
class BandMoved:
    """An instrument's static band is now this one."""

    instrument: int
    lower_ticks: int
    upper_ticks: int
    reference_ticks: int
    policy: BandPolicy
    reason: int = 0
    side: int = 0
    kind: ReportKind = ReportKind.BAND_MOVED

    def body(self) -> bytes:
        """Bytes 32 to 63."""
        return _BAND_BODY.pack(self.lower_ticks, self.upper_ticks, self.reference_ticks, self.policy)


@dataclass(slots=True)
class TradingStateChanged:
    """An instrument's trading state is now this one, until a timer ends it (zero: none does)."""

    reason: int
    instrument: int
    state: TradingState
    until_ns: int
    side: int = 0
    kind: ReportKind = ReportKind.TRADING_STATE

    def body(self) -> bytes:
        """Bytes 32 to 63."""
        return _STATE_BODY.pack(self.until_ns, self.state)


@dataclass(slots=True)
class TopOfBook:
    """The best prices of an instrument and the quantities there; zero where there is none."""

    instrument: int
    bid_price_ticks: int
    ask_price_ticks: int
    bid_quantity_lots: int
    ask_quantity_lots: int
    reason: int = 0
    side: int = 0
    kind: ReportKind = ReportKind.TOP_OF_BOOK

    def body(self) -> bytes:
        """Bytes 32 to 63."""
        return _TOP_BODY.pack(
            self.bid_price_ticks, self.ask_price_ticks, self.bid_quantity_lots, self.ask_quantity_lots
        )


@dataclass(slots=True)
class LevelChanged:
    """The open quantity at one price is now this one, zero when the level is gone."""

    instrument: int
    side: int
    price_ticks: int
    quantity_lots: int
    reason: int = 0
    kind: ReportKind = ReportKind.LEVEL

    def body(self) -> bytes:
        """Bytes 32 to 63."""
        return _LEVEL_BODY.pack(self.price_ticks, self.quantity_lots)


@dataclass(slots=True)
class Auction:
    """What an auction would do now, or has done; `side` is that of the surplus."""

    kind: ReportKind
    instrument: int
    side: int = 0
    price_ticks: int = 0
    volume_lots: int = 0
    surplus_lots: int = 0
    trades: int = 0
    reason: int = 0

    def body(self) -> bytes:
        """Bytes 32 to 63."""
        return _AUCTION_BODY.pack(self.price_ticks, self.trades, self.volume_lots, self.surplus_lots)


Report = OrderReport | Rejected | Trade | Done | BandMoved | TradingStateChanged | TopOfBook | LevelChanged | Auction

# kind, reason, instrument, link, number, time_ns, command_number, entry_cycle, exit_cycle, epoch, side, flags
_REPORT_HEADER = Struct("<BBBB I Q I II H BB")
_ORDER_BODY = Struct("<IIIHHI 12x")
_TRADE_BODY = Struct("<IIIHHI IHHI")
_DONE_BODY = Struct("<I4xI4xq 8x")
_BAND_BODY = Struct("<IIIB 19x")
_STATE_BODY = Struct("<QB 23x")
_AUCTION_BODY = Struct("<IIQQ 8x")
_TOP_BODY = Struct("<IIQQ 8x")
_LEVEL_BODY = Struct("<I4xQ 16x")


def encode(report: Report, cause: Cause, number: int, epoch: int, flags: int) -> bytes:
    """The 64 bytes of a report; the cycle counters, which only hardware has, are zero."""
    return (
        _REPORT_HEADER.pack(
            report.kind,
            report.reason,
            report.instrument,
            cause.link,
            number & 0xFFFF_FFFF,
            cause.time_ns,
            cause.command_number,
            0,
            0,
            epoch,
            report.side,
            flags,
        )
        + report.body()
    )
