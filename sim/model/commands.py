"""The bytes of commands: a second reading of `docs/protocol.md`, made with `struct` on purpose.

The gateware and the host take their layouts from `hdl.protocol`. The model states them once more by itself, so that
a mistake in either shows as a difference.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from struct import Struct
from typing import NamedTuple

COMMAND_BYTES = 32
ALL_INSTRUMENTS = 255


class Opcode(IntEnum):
    """What a command asks for."""

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


class Side(IntEnum):
    """The side of an order, or of a trade's aggressor."""

    BUY = 1
    SELL = 2

    @property
    def opposite(self) -> "Side":
        """The side this one trades with."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(IntEnum):
    """LIMIT trades at its price or better; MARKET trades up to the band's bound."""

    LIMIT = 1
    MARKET = 2


class TimeInForce(IntEnum):
    """Good till cancel, immediate or cancel, fill or kill."""

    GTC = 1
    IOC = 2
    FOK = 3


class SelfTradePrevention(IntEnum):
    """What happens when a taker meets a maker of its own account."""

    OFF = 1
    CANCEL_NEWEST = 2
    CANCEL_OLDEST = 3
    CANCEL_BOTH = 4
    DECREMENT = 5


class OrderFlags(IntFlag):
    """POST_ONLY never takes; REDUCE_ONLY skips credit and kill."""

    POST_ONLY = 1
    REDUCE_ONLY = 2


class BandPolicy(IntEnum):
    """What happens to a price beyond the band's bound."""

    REJECT = 1
    CLAMP = 2
    HALT = 3


class TradingMode(IntEnum):
    """Order by order, or by auctions alone."""

    CONTINUOUS = 1
    BATCH = 2


class BreakerFlags(IntFlag):
    """COLLECT: new orders collect while halted."""

    COLLECT = 1


class ReferenceSource(IntEnum):
    """Where the reference price comes from."""

    HOST = 1
    LAST_TRADES = 2
    WINDOW_MEAN = 3
    AUCTION = 4


class ScheduledState(IntEnum):
    """The entries of a timetable."""

    PRE_OPEN = 1
    OPENING_CALL = 2
    CLOSING_CALL = 3
    CLOSED = 4


class ExpiryAction(IntEnum):
    """What the watchdog does at its deadline."""

    HALT = 1
    HALT_AND_CANCEL = 2


class InstrumentFlags(IntFlag):
    """TOP_OF_BOOK switches the instrument's top-of-book reports on, DEPTH those of all its price levels."""

    TOP_OF_BOOK = 1
    DEPTH = 2


class MalformedError(ValueError):
    """The bytes are no command, whatever the sizes of the device."""


# Commands. Every class lists its fields in the order of the bytes; `epoch` and `number` are the header's.


@dataclass(slots=True)
class NewOrder:
    """Enter an order into a free slot."""

    instrument: int
    epoch: int
    number: int
    price_ticks: int
    quantity_lots: int
    account: int
    token: int
    generation: int
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    self_trade_prevention: SelfTradePrevention
    post_only: bool
    reduce_only: bool


@dataclass(slots=True)
class Cancel:
    """Take a resting order out of the book."""

    instrument: int
    epoch: int
    number: int
    account: int
    token: int
    generation: int


@dataclass(slots=True)
class Replace:
    """Change price and open quantity of a resting order."""

    instrument: int
    epoch: int
    number: int
    price_ticks: int
    quantity_lots: int
    account: int
    token: int
    generation: int
    side: Side
    expected_quantity_lots: int


@dataclass(slots=True)
class AccountCommand:
    """Mass cancel, kill or restore an account."""

    opcode: Opcode
    instrument: int
    epoch: int
    number: int
    account: int


@dataclass(slots=True)
class SetInstrument:
    """Give an instrument its window of prices and its ladder rows."""

    instrument: int
    epoch: int
    number: int
    window_base_ticks: int
    ladder_offset: int
    multiplier_quote: int
    window_log2: int
    top_of_book: bool
    depth: bool


@dataclass(slots=True)
class SetBand:
    """Set the price band of an instrument."""

    instrument: int
    epoch: int
    number: int
    lower_ticks: int
    upper_ticks: int
    reference_ticks: int
    policy: BandPolicy


@dataclass(slots=True)
class PlainCommand:
    """Resume an instrument (or all), or read the clock."""

    opcode: Opcode
    instrument: int
    epoch: int
    number: int


@dataclass(slots=True)
class GrantCredit:
    """Add a signed difference to an account's balance."""

    instrument: int
    epoch: int
    number: int
    amount_quote: int
    account: int


@dataclass(slots=True)
class Heartbeat:
    """Arm the watchdog anew."""

    instrument: int
    epoch: int
    number: int
    timeout_ns: int
    action: ExpiryAction


@dataclass(slots=True)
class StateCommand:
    """Halt an instrument (or all), or open a call in it; a duration of zero is the usual one."""

    opcode: Opcode
    instrument: int
    epoch: int
    number: int
    duration_us: int


@dataclass(slots=True)
class SetBreaker:
    """Set how long an instrument's states last, and how it trades."""

    instrument: int
    epoch: int
    number: int
    limit_us: int
    halt_us: int
    call_us: int
    extension_us: int
    indicative_us: int
    mode: TradingMode
    collects: bool


@dataclass(slots=True)
class SetDynamicBand:
    """Set the two rolling windows of an instrument."""

    instrument: int
    epoch: int
    number: int
    short_width_ticks: int
    short_bucket_us: int
    long_width_ticks: int
    long_bucket_us: int
    short_buckets: int
    long_buckets: int


@dataclass(slots=True)
class SetReferenceRule:
    """Set where an instrument's reference price comes from, and how wide its static band is."""

    instrument: int
    epoch: int
    number: int
    width_ticks: int
    width_ppm: int
    auction_width_ticks: int
    move_ppm: int
    hold_us: int
    source: ReferenceSource
    trades_log2: int


@dataclass(slots=True)
class SetCallEnd:
    """Lengthen an instrument's calls."""

    instrument: int
    epoch: int
    number: int
    extra_us: int


@dataclass(slots=True)
class SetSchedule:
    """Set one entry of an instrument's timetable."""

    instrument: int
    epoch: int
    number: int
    at_ns: int
    duration_us: int
    state: ScheduledState


@dataclass(slots=True)
class MoveWindow:
    """Give an instrument's window another base."""

    instrument: int
    epoch: int
    number: int
    window_base_ticks: int


Command = (
    NewOrder
    | Cancel
    | Replace
    | AccountCommand
    | SetInstrument
    | SetBand
    | PlainCommand
    | GrantCredit
    | Heartbeat
    | StateCommand
    | SetBreaker
    | SetDynamicBand
    | SetReferenceRule
    | SetCallEnd
    | SetSchedule
    | MoveWindow
)

# Little-endian; B 1 byte, H 2, I 4, Q 8 unsigned, q 8 signed, Ns N reserved bytes. Each begins with the common header:
# opcode, instrument, epoch, number.
_HEADER = Struct("<BBHI")
_NEW_ORDER = Struct("<BBHI IIIHH BBBBB 3s")
_CANCEL = Struct("<BBHI 8s IHH 8s")
_REPLACE = Struct("<BBHI IIIHH B3sI")
_ACCOUNT_COMMAND = Struct("<BBHI 8s I 12s")
_SET_INSTRUMENT = Struct("<BBHI IIIBB 10s")
_SET_BAND = Struct("<BBHI IIIB 11s")
_PLAIN_COMMAND = Struct("<BBHI 24s")
_GRANT_CREDIT = Struct("<BBHI qI 12s")
_HEARTBEAT = Struct("<BBHI QB 15s")
_STATE_COMMAND = Struct("<BBHI I 20s")
_SET_BREAKER = Struct("<BBHI IIIII BB 2s")
_SET_DYNAMIC_BAND = Struct("<BBHI IIII BB 6s")
_SET_REFERENCE_RULE = Struct("<BBHI IIIII BB 2s")
_SET_CALL_END = Struct("<BBHI I 20s")
_SET_SCHEDULE = Struct("<BBHI QIB 11s")
_MOVE_WINDOW = Struct("<BBHI I 20s")


def _require_zero(*reserved: bytes) -> None:
    if any(map(any, reserved)):
        raise MalformedError("a reserved byte is not zero")


def _has_flag(flags: int, flag: IntFlag, names: type[IntFlag]) -> bool:
    if flags & ~sum(names):
        raise MalformedError(f"{flags:#x} holds a flag without a name")
    return bool(flags & flag)


def _new_order(command: bytes) -> NewOrder:
    (_, instrument, epoch, number, price, quantity, account, token, generation, *kinds, flags, reserved) = (
        _NEW_ORDER.unpack(command)
    )
    side, order_type, time_in_force, self_trade_prevention = kinds
    _require_zero(reserved)
    return NewOrder(
        instrument,
        epoch,
        number,
        price,
        quantity,
        account,
        token,
        generation,
        Side(side),
        OrderType(order_type),
        TimeInForce(time_in_force),
        SelfTradePrevention(self_trade_prevention),
        _has_flag(flags, OrderFlags.POST_ONLY, OrderFlags),
        _has_flag(flags, OrderFlags.REDUCE_ONLY, OrderFlags),
    )


def _cancel(command: bytes) -> Cancel:
    _, instrument, epoch, number, reserved_0, account, token, generation, reserved_1 = _CANCEL.unpack(command)
    _require_zero(reserved_0, reserved_1)
    return Cancel(instrument, epoch, number, account, token, generation)


def _replace(command: bytes) -> Replace:
    (_, instrument, epoch, number, price, quantity, account, token, generation, side, reserved, expected) = (
        _REPLACE.unpack(command)
    )
    _require_zero(reserved)
    return Replace(instrument, epoch, number, price, quantity, account, token, generation, Side(side), expected)


def _account_command(command: bytes) -> AccountCommand:
    opcode, instrument, epoch, number, reserved_0, account, reserved_1 = _ACCOUNT_COMMAND.unpack(command)
    _require_zero(reserved_0, reserved_1)
    return AccountCommand(Opcode(opcode), instrument, epoch, number, account)


def _set_instrument(command: bytes) -> SetInstrument:
    _, instrument, epoch, number, base, offset, multiplier, log2, flags, reserved = _SET_INSTRUMENT.unpack(command)
    _require_zero(reserved)
    top_of_book = _has_flag(flags, InstrumentFlags.TOP_OF_BOOK, InstrumentFlags)
    depth = _has_flag(flags, InstrumentFlags.DEPTH, InstrumentFlags)
    return SetInstrument(instrument, epoch, number, base, offset, multiplier, log2, top_of_book, depth)


def _set_band(command: bytes) -> SetBand:
    _, instrument, epoch, number, lower, upper, reference, policy, reserved = _SET_BAND.unpack(command)
    _require_zero(reserved)
    return SetBand(instrument, epoch, number, lower, upper, reference, BandPolicy(policy))


def _plain_command(command: bytes) -> PlainCommand:
    opcode, instrument, epoch, number, reserved = _PLAIN_COMMAND.unpack(command)
    _require_zero(reserved)
    return PlainCommand(Opcode(opcode), instrument, epoch, number)


def _grant_credit(command: bytes) -> GrantCredit:
    _, instrument, epoch, number, amount, account, reserved = _GRANT_CREDIT.unpack(command)
    _require_zero(reserved)
    return GrantCredit(instrument, epoch, number, amount, account)


def _heartbeat(command: bytes) -> Heartbeat:
    _, instrument, epoch, number, timeout, action, reserved = _HEARTBEAT.unpack(command)
    _require_zero(reserved)
    return Heartbeat(instrument, epoch, number, timeout, ExpiryAction(action))


def _state_command(command: bytes) -> StateCommand:
    opcode, instrument, epoch, number, duration, reserved = _STATE_COMMAND.unpack(command)
    _require_zero(reserved)
    return StateCommand(Opcode(opcode), instrument, epoch, number, duration)


def _set_breaker(command: bytes) -> SetBreaker:
    (_, instrument, epoch, number, limit, halt, call, extension, indicative, mode, flags, reserved) = (
        _SET_BREAKER.unpack(command)
    )
    _require_zero(reserved)
    collects = _has_flag(flags, BreakerFlags.COLLECT, BreakerFlags)
    return SetBreaker(instrument, epoch, number, limit, halt, call, extension, indicative, TradingMode(mode), collects)


def _set_dynamic_band(command: bytes) -> SetDynamicBand:
    _, *fields, reserved = _SET_DYNAMIC_BAND.unpack(command)
    _require_zero(reserved)
    return SetDynamicBand(*fields)


def _set_reference_rule(command: bytes) -> SetReferenceRule:
    (_, instrument, epoch, number, width, width_ppm, auction_width, move, hold, source, trades_log2, reserved) = (
        _SET_REFERENCE_RULE.unpack(command)
    )
    _require_zero(reserved)
    return SetReferenceRule(
        instrument, epoch, number, width, width_ppm, auction_width, move, hold, ReferenceSource(source), trades_log2
    )


def _set_call_end(command: bytes) -> SetCallEnd:
    _, instrument, epoch, number, extra, reserved = _SET_CALL_END.unpack(command)
    _require_zero(reserved)
    return SetCallEnd(instrument, epoch, number, extra)


def _set_schedule(command: bytes) -> SetSchedule:
    _, instrument, epoch, number, at, duration, state, reserved = _SET_SCHEDULE.unpack(command)
    _require_zero(reserved)
    return SetSchedule(instrument, epoch, number, at, duration, ScheduledState(state))


def _move_window(command: bytes) -> MoveWindow:
    _, instrument, epoch, number, base, reserved = _MOVE_WINDOW.unpack(command)
    _require_zero(reserved)
    return MoveWindow(instrument, epoch, number, base)


_DECODERS = {
    Opcode.NEW_ORDER: _new_order,
    Opcode.CANCEL: _cancel,
    Opcode.REPLACE: _replace,
    Opcode.MASS_CANCEL: _account_command,
    Opcode.SET_INSTRUMENT: _set_instrument,
    Opcode.SET_BAND: _set_band,
    Opcode.HALT: _state_command,
    Opcode.RESUME: _plain_command,
    Opcode.GRANT_CREDIT: _grant_credit,
    Opcode.KILL_ACCOUNT: _account_command,
    Opcode.RESTORE_ACCOUNT: _account_command,
    Opcode.HEARTBEAT: _heartbeat,
    Opcode.READ_CLOCK: _plain_command,
    Opcode.SET_BREAKER: _set_breaker,
    Opcode.SET_DYNAMIC_BAND: _set_dynamic_band,
    Opcode.SET_REFERENCE_RULE: _set_reference_rule,
    Opcode.CALL: _state_command,
    Opcode.SET_CALL_END: _set_call_end,
    Opcode.SET_SCHEDULE: _set_schedule,
    Opcode.MOVE_WINDOW: _move_window,
}


def decode(command: bytes) -> Command:
    """The command that 32 bytes spell.

    Raises
    ------
    MalformedError : The opcode is unknown, a reserved byte is not zero, or an enum or a flag has no such member.
    """
    decoder = _DECODERS.get(command[0])  # type: ignore[call-overload]
    if decoder is None:
        raise MalformedError(f"{command[0]} is no opcode")
    try:
        return decoder(command)  # type: ignore[no-any-return]
    except ValueError as error:
        raise MalformedError(str(error)) from error


class CommandHeader(NamedTuple):
    """The first eight bytes of any command, well-formed or not."""

    opcode: int
    instrument: int
    epoch: int
    number: int


def decode_header(command: bytes) -> CommandHeader:
    """The first eight bytes of a command, without judging them."""
    return CommandHeader(*_HEADER.unpack_from(command))
