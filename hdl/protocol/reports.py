"""What comes out: every report is 64 bytes, one beat inside the core.

Little-endian, naturally aligned. All reports share the first 32 bytes (`ReportHeader`). A field that a
report has no use for is zero; zero is not a member of any enum.
"""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data, enum

from .commands import BandPolicy, Side

REPORT_BYTES = 64


class ReportKind(enum.Enum, shape=8):
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


class Reason(enum.Enum, shape=8):
    """Why a command was rejected, an order was canceled, or a trading state changed.

    When several reasons to reject hold, the first in the order of `docs/order-semantics.md` is given.
    """

    # Rejected
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

    # Canceled
    REQUESTED = 32
    IMMEDIATE_REST = 33
    NOT_FILLABLE = 34
    SELF_TRADE = 35
    MASS_CANCEL = 36
    ACCOUNT_KILLED = 37
    BAND_MOVED = 38
    WINDOW_MOVED = 39

    # Canceled by, or trading state changed by
    OPERATOR = 48
    WATCHDOG = 49
    LIMIT = 50
    HALT_OVER = 51
    CALL_OVER = 52
    EXTENDED = 53
    SCHEDULE = 54


class TradingState(enum.Enum, shape=8):
    """How an instrument trades; `docs/circuit-breaker.md` shows what leads from one to the other.

    HALTED: not at all. TRADING: continuously. LIMIT: continuously, with a best price at its bound. CALL: orders collect
    for an auction. PRE_OPEN: the same, without an end of its own. CLOSED: not at all, nothing collects.
    """

    HALTED = 1
    TRADING = 2
    LIMIT = 3
    CALL = 4
    PRE_OPEN = 5
    CLOSED = 6


class ReportFlags(enum.Flag, shape=8):
    """LAST marks the last report that a command or a timer causes."""

    LAST = 1


class ReportHeader(data.Struct):
    """The first 32 bytes of every report.

    Attributes
    ----------
    kind : What the report tells.
    reason : Why, where the kind has a reason.
    instrument : Index of the instrument, zero where there is none.
    link : Link the causing command came by; zero for a timer.
    number : Number of this report in its epoch, from zero, without gaps, modulo 2**32.
    time_ns : The stamp of the causing command at the guard; for a timer, its deadline.
    command_number : The causing command's number; zero for a timer.
    entry_cycle : Clock cycle in which the causing command was first seen, modulo 2**32.
    exit_cycle : Clock cycle in which this report left the book, modulo 2**32.
    epoch : The device epoch.
    side : Side of the order; in a trade, the aggressor's.
    flags : Whether this is the last report of its cause.
    """

    kind: ReportKind
    reason: Reason
    instrument: unsigned(8)
    link: unsigned(8)
    number: unsigned(32)
    time_ns: unsigned(64)
    command_number: unsigned(32)
    entry_cycle: unsigned(32)
    exit_cycle: unsigned(32)
    epoch: unsigned(16)
    side: Side
    flags: ReportFlags


class OrderReport(data.Struct):
    """An order, or part of one, was accepted, rejected, canceled or replaced.

    A rejected command of any kind echoes its bytes 8 to 23 here, whatever they mean to it.

    Attributes
    ----------
    header : Kind `ACCEPTED`, `REJECTED`, `CANCELED` or `REPLACED`.
    price_ticks : The order's limit, after clamping; for a market order its bound.
    quantity_lots : Accepted or replaced: the open quantity. Canceled: the quantity taken away.
    token : The order's slot.
    generation : The order's generation.
    account : The order's account.
    remaining_lots : Open quantity after this report; zero in a rejected one.
    reserved : Zero.
    """

    header: ReportHeader
    price_ticks: unsigned(32)
    quantity_lots: unsigned(32)
    account: unsigned(32)
    token: unsigned(16)
    generation: unsigned(16)
    remaining_lots: unsigned(32)
    reserved: data.ArrayLayout(8, 12)


class Trade(data.Struct):
    """Two orders traded at the maker's price, or in an auction.

    In an auction `side` is zero, the buyer's order stands in the taker's fields and the seller's in the maker's.

    Attributes
    ----------
    header : Kind `TRADE`; `side` is the taker's.
    price_ticks : Price of the trade.
    quantity_lots : Quantity traded.
    account : The taker's account.
    token : The taker's slot.
    generation : The taker's generation.
    remaining_lots : What the taker has left.
    maker_account : The maker's account.
    maker_token : The maker's slot.
    maker_generation : The maker's generation.
    maker_remaining_lots : What the maker has left; at zero its slot is free.
    """

    header: ReportHeader
    price_ticks: unsigned(32)
    quantity_lots: unsigned(32)
    account: unsigned(32)
    token: unsigned(16)
    generation: unsigned(16)
    remaining_lots: unsigned(32)
    maker_account: unsigned(32)
    maker_token: unsigned(16)
    maker_generation: unsigned(16)
    maker_remaining_lots: unsigned(32)


class Done(data.Struct):
    """A command that is not an order was carried out.

    Attributes
    ----------
    header : Kind `DONE`; for the watchdog `reason` is `WATCHDOG`.
    count : Orders canceled by a mass cancel, a kill, the watchdog or a window that moved; instruments whose state a
        halt, call or resume changed.
    reserved_0 : Zero.
    account : The account, where the command names one.
    reserved_1 : Zero.
    balance_quote : The account's buying power after a grant; else zero.
    reserved_2 : Zero.
    """

    header: ReportHeader
    count: unsigned(32)
    reserved_0: data.ArrayLayout(8, 4)
    account: unsigned(32)
    reserved_1: data.ArrayLayout(8, 4)
    balance_quote: signed(64)
    reserved_2: data.ArrayLayout(8, 8)


class BandMoved(data.Struct):
    """An instrument's static band is now this one.

    Attributes
    ----------
    header : Kind `BAND_MOVED`.
    lower_ticks : Lowest price that can trade.
    upper_ticks : Highest price that can trade.
    reference_ticks : Reference price.
    policy : Reject, clamp, or halt.
    reserved : Zero.
    """

    header: ReportHeader
    lower_ticks: unsigned(32)
    upper_ticks: unsigned(32)
    reference_ticks: unsigned(32)
    policy: BandPolicy
    reserved: data.ArrayLayout(8, 19)


class TradingStateChanged(data.Struct):
    """An instrument's trading state is now this one.

    Attributes
    ----------
    header : Kind `TRADING_STATE`; `reason` is what changed it.
    until_ns : When a timer ends this state, as it stands now; zero: none does.
    state : The new state.
    reserved : Zero.
    """

    header: ReportHeader
    until_ns: unsigned(64)
    state: TradingState
    reserved: data.ArrayLayout(8, 23)


class TopOfBook(data.Struct):
    """The best prices of an instrument, after a command that changed them or their quantities.

    Attributes
    ----------
    header : Kind `TOP_OF_BOOK`.
    bid_price_ticks : Best bid; zero when there is none.
    ask_price_ticks : Best ask; zero when there is none.
    bid_quantity_lots : Sum of open quantities at the best bid; zero when there is none.
    ask_quantity_lots : Sum of open quantities at the best ask; zero when there is none.
    reserved : Zero.
    """

    header: ReportHeader
    bid_price_ticks: unsigned(32)
    ask_price_ticks: unsigned(32)
    bid_quantity_lots: unsigned(64)
    ask_quantity_lots: unsigned(64)
    reserved: data.ArrayLayout(8, 8)


class LevelChanged(data.Struct):
    """The open quantity at one price is now this one.

    Attributes
    ----------
    header : Kind `LEVEL`; `side` is the level's.
    price_ticks : Price of the level.
    reserved_0 : Zero.
    quantity_lots : Sum of open quantities at this price; zero when no order rests there any more.
    reserved_1 : Zero.
    """

    header: ReportHeader
    price_ticks: unsigned(32)
    reserved_0: data.ArrayLayout(8, 4)
    quantity_lots: unsigned(64)
    reserved_1: data.ArrayLayout(8, 16)


class Auction(data.Struct):
    """What an auction would do now (`INDICATIVE`), or what it has done (`UNCROSSED`).

    Attributes
    ----------
    header : Kind `INDICATIVE` or `UNCROSSED`; `side` is that of the surplus, zero if there is none.
    price_ticks : Price of the auction; zero when nothing trades.
    trades : How many trades it made; zero in an indicative one.
    volume_lots : Quantity that trades.
    surplus_lots : Quantity that would trade at that price but has no counterpart.
    reserved : Zero.
    """

    header: ReportHeader
    price_ticks: unsigned(32)
    trades: unsigned(32)
    volume_lots: unsigned(64)
    surplus_lots: unsigned(64)
    reserved: data.ArrayLayout(8, 8)


REPORTS = {
    ReportKind.ACCEPTED: OrderReport,
    ReportKind.REJECTED: OrderReport,
    ReportKind.TRADE: Trade,
    ReportKind.CANCELED: OrderReport,
    ReportKind.REPLACED: OrderReport,
    ReportKind.DONE: Done,
    ReportKind.BAND_MOVED: BandMoved,
    ReportKind.TRADING_STATE: TradingStateChanged,
    ReportKind.TOP_OF_BOOK: TopOfBook,
    ReportKind.LEVEL: LevelChanged,
    ReportKind.INDICATIVE: Auction,
    ReportKind.UNCROSSED: Auction,
}
"""The layout that each kind selects."""
