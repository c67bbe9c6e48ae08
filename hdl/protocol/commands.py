"""What goes in: every command is 32 bytes, one beat inside the core.

Little-endian, naturally aligned. All commands share the first eight bytes (`Header`) and, where they have
them, the places of price, quantity, account, token and generation. Reserved bytes must be zero. Zero is not
a member of any enum, so an empty message is never a valid one.
"""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data, enum

COMMAND_BYTES = 32

ALL_INSTRUMENTS = 0xFF
"""In `HALT`, `RESUME` and `CALL`: every instrument that has been set."""


class Opcode(enum.Enum, shape=8):
    """What a command asks for. Order flow is below 16, operator commands are 16 and above.

    32 to 35 are kept for resend reports, restore order, report digest and book digest.
    """

    NEW_ORDER = 1
    CANCEL = 2
    REPLACE = 3
    MASS_CANCEL = 4

    SET_INSTRUMENT = 16
    SET_BAND = 17
    HALT = 18
    RESUME = 19
    GRANT_CREDIT = 20
    KILL_ACCOUNT = 21
    RESTORE_ACCOUNT = 22
    HEARTBEAT = 23
    READ_CLOCK = 24
    SET_BREAKER = 25
    SET_DYNAMIC_BAND = 26
    SET_REFERENCE_RULE = 27
    CALL = 28
    SET_CALL_END = 29
    SET_SCHEDULE = 30
    MOVE_WINDOW = 31


class Side(enum.Enum, shape=8):
    """The side of an order, or of a trade's aggressor."""

    BUY = 1
    SELL = 2


class OrderType(enum.Enum, shape=8):
    """LIMIT trades at its price or better; MARKET trades up to the band's bound."""

    LIMIT = 1
    MARKET = 2


class TimeInForce(enum.Enum, shape=8):
    """How long an order stays: good till cancel, immediate or cancel, fill or kill."""

    GTC = 1
    IOC = 2
    FOK = 3


class SelfTradePrevention(enum.Enum, shape=8):
    """What happens when a taker meets a resting order of its own account; the taker's mode decides."""

    OFF = 1
    CANCEL_NEWEST = 2
    CANCEL_OLDEST = 3
    CANCEL_BOTH = 4
    DECREMENT = 5


class OrderFlags(enum.Flag, shape=8):
    """POST_ONLY never takes; REDUCE_ONLY skips credit and kill and needs the privileged link."""

    POST_ONLY = 1
    REDUCE_ONLY = 2


class BandPolicy(enum.Enum, shape=8):
    """What happens to a buy above the upper bound or a sell below the lower bound.

    HALT clamps it, and halts the instrument as soon as its best price, or what is left of an immediate order, stands at
    the bound.
    """

    REJECT = 1
    CLAMP = 2
    HALT = 3


class ExpiryAction(enum.Enum, shape=8):
    """What the watchdog does when the heartbeat stays away."""

    HALT = 1
    HALT_AND_CANCEL = 2


class TradingMode(enum.Enum, shape=8):
    """CONTINUOUS trades order by order, BATCH in an auction every `call_us`."""

    CONTINUOUS = 1
    BATCH = 2


class BreakerFlags(enum.Flag, shape=8):
    """COLLECT: while halted, new orders collect for the auction; without it they are rejected."""

    COLLECT = 1


class ReferenceSource(enum.Enum, shape=8):
    """Where an instrument's reference price comes from.

    HOST: from `SET_BAND` and reopening auctions alone. LAST_TRADES: mean of the last trades. WINDOW_MEAN: mean of the
    trades in the long window. AUCTION: price of the last auction.
    """

    HOST = 1
    LAST_TRADES = 2
    WINDOW_MEAN = 3
    AUCTION = 4


class ScheduledState(enum.Enum, shape=8):
    """What a timetable's entry leads to."""

    PRE_OPEN = 1
    OPENING_CALL = 2
    CLOSING_CALL = 3
    CLOSED = 4


class InstrumentFlags(enum.Flag, shape=8):
    """TOP_OF_BOOK switches the instrument's top-of-book reports on, DEPTH those of all its price levels."""

    TOP_OF_BOOK = 1
    DEPTH = 2


class Header(data.Struct):
    """The first eight bytes of every command.

    Attributes
    ----------
    opcode : What the command asks for.
    instrument : Index of the instrument; zero in commands that have none.
    epoch : The device epoch the command is meant for.
    number : The sender's number of this command, not zero; every report it causes names it.
    """

    opcode: Opcode
    instrument: unsigned(8)
    epoch: unsigned(16)
    number: unsigned(32)


class NewOrder(data.Struct):
    """Enter an order into a free slot.

    Attributes
    ----------
    header : Opcode `NEW_ORDER`.
    price_ticks : Limit price; zero for a market order.
    quantity_lots : Quantity, not zero.
    account : Account that trades.
    token : Slot in the order pool; must be free.
    generation : Any value other than the last one accepted in this slot (zero after a reset).
    side : Buy or sell.
    order_type : Limit or market.
    time_in_force : GTC, IOC or FOK; a market order is IOC.
    self_trade_prevention : Mode, used while the order takes.
    flags : Post-only (GTC limit orders alone) and reduce-only.
    reserved : Zero.
    """

    header: Header
    price_ticks: unsigned(32)
    quantity_lots: unsigned(32)
    account: unsigned(32)
    token: unsigned(16)
    generation: unsigned(16)
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    self_trade_prevention: SelfTradePrevention
    flags: OrderFlags
    reserved: data.ArrayLayout(8, 3)


class Cancel(data.Struct):
    """Take a resting order out of the book.

    Attributes
    ----------
    header : Opcode `CANCEL`; the instrument of the order.
    reserved_0 : Zero.
    account : The order's account.
    token : The order's slot.
    generation : The order's generation.
    reserved_1 : Zero.
    """

    header: Header
    reserved_0: data.ArrayLayout(8, 8)
    account: unsigned(32)
    token: unsigned(16)
    generation: unsigned(16)
    reserved_1: data.ArrayLayout(8, 8)


class Replace(data.Struct):
    """Change price and open quantity of a resting order.

    Attributes
    ----------
    header : Opcode `REPLACE`; the instrument of the order.
    price_ticks : New limit price.
    quantity_lots : New open quantity, not zero.
    account : The order's account.
    token : The order's slot.
    generation : The order's generation; it stays.
    side : The order's side.
    reserved : Zero.
    expected_quantity_lots : Open quantity the sender believes in; zero asks for no check.
    """

    header: Header
    price_ticks: unsigned(32)
    quantity_lots: unsigned(32)
    account: unsigned(32)
    token: unsigned(16)
    generation: unsigned(16)
    side: Side
    reserved: data.ArrayLayout(8, 3)
    expected_quantity_lots: unsigned(32)


class AccountCommand(data.Struct):
    """Mass cancel, kill or restore an account.

    Attributes
    ----------
    header : Opcode `MASS_CANCEL`, `KILL_ACCOUNT` or `RESTORE_ACCOUNT`; instrument zero.
    reserved_0 : Zero.
    account : The account.
    reserved_1 : Zero.
    """

    header: Header
    reserved_0: data.ArrayLayout(8, 8)
    account: unsigned(32)
    reserved_1: data.ArrayLayout(8, 12)


class SetInstrument(data.Struct):
    """Define an instrument: where its orders can rest and what a lot is worth.

    Attributes
    ----------
    header : Opcode `SET_INSTRUMENT`.
    window_base_ticks : Lowest price that can rest.
    ladder_offset : First ladder row of this instrument, a multiple of the window's size.
    multiplier_quote : Quote units that one lot is worth per tick, 1 to 65535.
    window_log2 : The window holds two to this many ticks.
    flags : Market data switches.
    reserved : Zero.
    """

    header: Header
    window_base_ticks: unsigned(32)
    ladder_offset: unsigned(32)
    multiplier_quote: unsigned(32)
    window_log2: unsigned(8)
    flags: InstrumentFlags
    reserved: data.ArrayLayout(8, 10)


class SetBand(data.Struct):
    """Set the price band of an instrument, inside its window.

    Attributes
    ----------
    header : Opcode `SET_BAND`.
    lower_ticks : Lowest price that can trade.
    upper_ticks : Highest price that can trade.
    reference_ticks : Reference price, within the bounds.
    policy : Reject a price beyond the bound, clamp it, or clamp it and halt.
    reserved : Zero.
    """

    header: Header
    lower_ticks: unsigned(32)
    upper_ticks: unsigned(32)
    reference_ticks: unsigned(32)
    policy: BandPolicy
    reserved: data.ArrayLayout(8, 11)


class StateCommand(data.Struct):
    """Halt an instrument (or all), or open an auction in it.

    Attributes
    ----------
    header : Opcode `HALT` or `CALL`.
    duration_us : How long: a halt leads to a call then, zero means until told; a call to its auction, zero means the
        instrument's `call_us`. Else at least 1,000.
    reserved : Zero.
    """

    header: Header
    duration_us: unsigned(32)
    reserved: data.ArrayLayout(8, 20)


class SetBreaker(data.Struct):
    """Set how long an instrument's states last, and how it trades.

    Each duration is zero or at least 1,000.

    Attributes
    ----------
    header : Opcode `SET_BREAKER`.
    limit_us : How long a limit state lasts before it becomes a halt; zero: for ever.
    halt_us : How long such a halt lasts before it becomes a call; zero: until told.
    call_us : How long a call lasts; in mode *batch* also the time from auction to auction. Not zero.
    extension_us : By how much a call is extended. Not zero.
    indicative_us : How often the indicative price is reported during a call; zero: never.
    mode : Continuous or batch.
    flags : Whether new orders collect while halted.
    reserved : Zero.
    """

    header: Header
    limit_us: unsigned(32)
    halt_us: unsigned(32)
    call_us: unsigned(32)
    extension_us: unsigned(32)
    indicative_us: unsigned(32)
    mode: TradingMode
    flags: BreakerFlags
    reserved: data.ArrayLayout(8, 2)


class SetDynamicBand(data.Struct):
    """Set the two rolling windows of an instrument, and empty them.

    Attributes
    ----------
    header : Opcode `SET_DYNAMIC_BAND`.
    short_width_ticks : How far a trade may be from any other in the short window; zero: no such bound.
    short_bucket_us : A short window's bucket, at least 1,000.
    long_width_ticks : The same for the long window.
    long_bucket_us : A long window's bucket, at least 1,000.
    short_buckets : Buckets of the short window, 1 to 64, the one that is being filled among them.
    long_buckets : Buckets of the long window, 1 to 64.
    reserved : Zero.
    """

    header: Header
    short_width_ticks: unsigned(32)
    short_bucket_us: unsigned(32)
    long_width_ticks: unsigned(32)
    long_bucket_us: unsigned(32)
    short_buckets: unsigned(8)
    long_buckets: unsigned(8)
    reserved: data.ArrayLayout(8, 6)


class SetReferenceRule(data.Struct):
    """Set where an instrument's reference price comes from, and how wide the static band around it is.

    Attributes
    ----------
    header : Opcode `SET_REFERENCE_RULE`.
    width_ticks : Half width of the static band around a reference that the device finds; zero: as `width_ppm` says.
    width_ppm : The same as a share of the reference, at most 1,000,000; zero: as `width_ticks` says. With both, the
        lesser. With neither, the band keeps the distances that `SET_BAND` gave it.
    auction_width_ticks : By how much the auction band is wider than the static band, each way, and by how much each
        extension widens it further.
    move_ppm : The reference is replaced when it would move by at least this share of it, at most 1,000,000.
    hold_us : And has stood for at least so long.
    source : Where it comes from.
    trades_log2 : `LAST_TRADES`: of two to this many trades, 0 to 6; else zero.
    reserved : Zero.
    """

    header: Header
    width_ticks: unsigned(32)
    width_ppm: unsigned(32)
    auction_width_ticks: unsigned(32)
    move_ppm: unsigned(32)
    hold_us: unsigned(32)
    source: ReferenceSource
    trades_log2: unsigned(8)
    reserved: data.ArrayLayout(8, 2)


class SetCallEnd(data.Struct):
    """Lengthen an instrument's calls by a time that the host has drawn at random.

    Attributes
    ----------
    header : Opcode `SET_CALL_END`.
    extra_us : Added to the duration of each call that begins from now on, and to the one under way instead of what was
        added to that.
    reserved : Zero.
    """

    header: Header
    extra_us: unsigned(32)
    reserved: data.ArrayLayout(8, 20)


class SetSchedule(data.Struct):
    """Set one entry of an instrument's timetable.

    Attributes
    ----------
    header : Opcode `SET_SCHEDULE`.
    at_ns : When; zero takes the entry out. A time that has passed means at once.
    duration_us : Of a call; zero: the instrument's `call_us`; else at least 1,000. Zero in the other entries.
    state : Which entry. Each takes place once.
    reserved : Zero.
    """

    header: Header
    at_ns: unsigned(64)
    duration_us: unsigned(32)
    state: ScheduledState
    reserved: data.ArrayLayout(8, 11)


class MoveWindow(data.Struct):
    """Move an instrument's window; its size stays.

    Attributes
    ----------
    header : Opcode `MOVE_WINDOW`.
    window_base_ticks : Lowest price that can rest from now on.
    reserved : Zero.
    """

    header: Header
    window_base_ticks: unsigned(32)
    reserved: data.ArrayLayout(8, 20)


class PlainCommand(data.Struct):
    """Resume an instrument (or all), or read the clock.

    Attributes
    ----------
    header : Opcode `RESUME` or `READ_CLOCK` (instrument zero).
    reserved : Zero.
    """

    header: Header
    reserved: data.ArrayLayout(8, 24)


class GrantCredit(data.Struct):
    """Add to an account's buying power, or take from it.

    Attributes
    ----------
    header : Opcode `GRANT_CREDIT`; instrument zero.
    amount_quote : Signed difference in quote units.
    account : The account.
    reserved : Zero.
    """

    header: Header
    amount_quote: signed(64)
    account: unsigned(32)
    reserved: data.ArrayLayout(8, 12)


class Heartbeat(data.Struct):
    """Arm the watchdog anew: the next heartbeat is due within the time named here.

    Attributes
    ----------
    header : Opcode `HEARTBEAT`; instrument zero.
    timeout_ns : Time until the watchdog expires; zero disarms it.
    action : What to do then.
    reserved : Zero.
    """

    header: Header
    timeout_ns: unsigned(64)
    action: ExpiryAction
    reserved: data.ArrayLayout(8, 15)


COMMANDS = {
    Opcode.NEW_ORDER: NewOrder,
    Opcode.CANCEL: Cancel,
    Opcode.REPLACE: Replace,
    Opcode.MASS_CANCEL: AccountCommand,
    Opcode.SET_INSTRUMENT: SetInstrument,
    Opcode.SET_BAND: SetBand,
    Opcode.HALT: StateCommand,
    Opcode.RESUME: PlainCommand,
    Opcode.GRANT_CREDIT: GrantCredit,
    Opcode.KILL_ACCOUNT: AccountCommand,
    Opcode.RESTORE_ACCOUNT: AccountCommand,
    Opcode.HEARTBEAT: Heartbeat,
    Opcode.READ_CLOCK: PlainCommand,
    Opcode.SET_BREAKER: SetBreaker,
    Opcode.SET_DYNAMIC_BAND: SetDynamicBand,
    Opcode.SET_REFERENCE_RULE: SetReferenceRule,
    Opcode.CALL: StateCommand,
    Opcode.SET_CALL_END: SetCallEnd,
    Opcode.SET_SCHEDULE: SetSchedule,
    Opcode.MOVE_WINDOW: MoveWindow,
}
"""The layout that each opcode selects."""
