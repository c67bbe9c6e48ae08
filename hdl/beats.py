"""What the guard hands the book, and what the book tells the guard. Inside the core; never on a wire."""

from amaranth.hdl import Mux, Value, unsigned
from amaranth.lib import data, enum

from .protocol.commands import BandPolicy, Header
from .protocol.reports import Reason, ReportKind, TradingState

BODY = 256
"""First bit of a report's body, and the width of a command."""

RESERVE_BITS = 46
"""An order's reserve is below two to this; see `config.RESERVE_LIMIT_QUOTE`."""


class Action(enum.Enum, shape=4):
    """What the book does with a beat."""

    ANSWER = 1
    NEW = 2
    CANCEL = 3
    REPLACE = 4
    SWEEP = 5
    MOVE_BAND = 6
    SET_INSTRUMENT = 7
    UNCROSS = 8
    INDICATE = 9
    MOVE_WINDOW = 10


class Single(enum.Enum, shape=2):
    """Whether the book is through with a beat in one cycle: an `ANSWER` always, a `CANCEL` and a `NEW` that is not
    `immediate` if the reader's findings are apt (`hdl.book.reader`)."""

    NEVER = 0
    ALWAYS = 1
    IF_APT = 2


class Cause(data.Struct):
    """What a report says of the command or timer that caused it.

    Attributes
    ----------
    link : Link it came by.
    number : The command's number; zero for a timer.
    time_ns : Its stamp; a timer's deadline.
    entry_cycle : Cycle in which it was first seen.
    instrument : Instrument byte of the command, as sent.
    """

    link: unsigned(8)
    number: unsigned(32)
    time_ns: unsigned(64)
    entry_cycle: unsigned(32)
    instrument: unsigned(8)


class GuardedCommand(data.Struct):
    """A command that the guard has checked.

    Attributes
    ----------
    cause : For the reports.
    action : What to do.
    single : Follows from `action` and `immediate`; a field of its own, because whether the next command may come hangs
        on it.
    kind : `ANSWER`: the kind of report.
    reason : `ANSWER`: its reason. `SWEEP`, `MOVE_BAND`: the reason of the cancels.
    side : `ANSWER`: its side, as sent.
    last : `ANSWER`, `MOVE_BAND`: whether its (last) report is the last of its cause.
    everyone : `SWEEP`: all accounts, not only the one in `body`.
    markets : `SWEEP`: what is left of the market orders that collected in the cause's instrument, and no `DONE`.
    immediate : `NEW`: it never rests.
    halted : `REPLACE`: new orders are rejected, so it must keep its place.
    at_bound : `NEW` and `REPLACE`: its effective price is the bound that the band in force sets its side.
    reserve_quote : `REPLACE`: what the guard has reserved for the new order.
    deficit_quote : `REPLACE`: how far that took the account below zero, else zero.
    price_ticks : `NEW` and `REPLACE`: the effective price.
    body : `ANSWER`: bytes 32 to 63 of the report; `MOVE_BAND`: a `BandMove`; `UNCROSS` and `INDICATE`: a `CallEnd`;
        else the command as it was sent.
    """

    cause: Cause
    action: Action
    single: Single
    kind: ReportKind
    reason: Reason
    side: unsigned(8)
    last: 1
    everyone: 1
    markets: 1
    immediate: 1
    halted: 1
    at_bound: 1
    reserve_quote: unsigned(RESERVE_BITS)
    deficit_quote: unsigned(64)
    price_ticks: unsigned(32)
    body: unsigned(256)


def single_of(beat) -> Value:
    """What `single` has to be for a beat."""
    by_findings = (beat.action == Action.CANCEL) | ((beat.action == Action.NEW) & ~beat.immediate)
    return Mux(beat.action == Action.ANSWER, Single.ALWAYS, Mux(by_findings, Single.IF_APT, Single.NEVER))


class BandMove(data.Struct):
    """A band that moves: the report tells the static one, orders beyond the one in force are cancelled.

    Attributes
    ----------
    header : Not used.
    lower_ticks, upper_ticks, reference_ticks, policy : Of the static band.
    reserved : Zero.
    force_lower_ticks, force_upper_ticks : Of the band in force.
    """

    header: Header
    lower_ticks: unsigned(32)
    upper_ticks: unsigned(32)
    reference_ticks: unsigned(32)
    policy: BandPolicy
    reserved: unsigned(24)
    force_lower_ticks: unsigned(32)
    force_upper_ticks: unsigned(32)


class CallEnd(data.Struct):
    """What an auction needs to know of its instrument.

    Attributes
    ----------
    bounded : It has an auction band: `lower_ticks` to `upper_ticks`.
    reference_ticks : Zero where it has no band.
    """

    bounded: unsigned(32)
    lower_ticks: unsigned(32)
    upper_ticks: unsigned(32)
    reference_ticks: unsigned(32)
    reserved: unsigned(128)


class Uncrossed(data.Struct):
    """How the last auction went: whether its price was `within` the auction band (or nothing could trade), and whether
    `any` quantity traded, at `price_ticks`."""

    within: 1
    any: 1
    price_ticks: unsigned(32)


class Traded(data.Struct):
    """A trade, for the rolling windows. An auction is told once.

    Attributes
    ----------
    instrument : Its instrument.
    auction : It is an auction.
    price_ticks : Its price.
    time_ns : Time of its cause.
    """

    instrument: unsigned(8)
    auction: 1
    price_ticks: unsigned(32)
    time_ns: unsigned(64)


class Best(data.Struct):
    """The best price of a side, if there is `any`."""

    any: 1
    price_ticks: unsigned(32)


class Review(data.Struct):
    """A question to the breaker: does a limit state begin or end?

    Attributes
    ----------
    instrument : Which instrument's best prices, or bound, may have met or parted.
    bid, ask : Its best prices.
    stranded : A bound, or its reach, has left quantity of an order that cannot rest.
    time_ns : Time of the cause.
    """

    instrument: unsigned(8)
    bid: Best
    ask: Best
    stranded: 1
    time_ns: unsigned(64)


class Verdict(data.Struct):
    """The breaker's answer to a `Review`: whether the state has `changed`, to `state`, `until_ns`."""

    changed: 1
    state: TradingState
    until_ns: unsigned(64)


class Release(data.Struct):
    """A part of an order that rests no more without having traded: its reserve returns to the account."""

    account: unsigned(32)
    instrument: unsigned(8)
    price_ticks: unsigned(32)
    quantity_lots: unsigned(32)


class Preview(data.Struct):
    """What the book is to read for a command while the guard checks it.

    Attributes
    ----------
    token : The slot it names.
    instrument : Its instrument.
    new, cancels : It is a new order; it is a cancel.
    sell : A new order's side.
    generation, account : Those it names.
    """

    token: unsigned(16)
    instrument: unsigned(8)
    new: 1
    cancels: 1
    sell: 1
    generation: unsigned(16)
    account: unsigned(32)
