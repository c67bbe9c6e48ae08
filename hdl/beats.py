"""What the guard hands the book, and what the book tells the guard. Inside the core; never on a wire."""

from amaranth.hdl import unsigned
from amaranth.lib import data, enum

from .protocol.reports import Reason, ReportKind

RESERVE_BITS = 46
"""An order's reserve is below two to this; see `config.RESERVE_LIMIT_QUOTE`."""


class Action(enum.Enum, shape=3):
    """What the book does with a beat."""

    ANSWER = 1
    NEW = 2
    CANCEL = 3
    REPLACE = 4
    SWEEP = 5
    MOVE_BAND = 6
    SET_INSTRUMENT = 7


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
    kind : `ANSWER`: the kind of report.
    reason : `ANSWER`: its reason. `SWEEP`, `MOVE_BAND`: the reason of the cancels.
    side : `ANSWER`: its side, as sent.
    last : `ANSWER`: whether it is the last report of its cause.
    everyone : `SWEEP`: all accounts, not only the one in `body`.
    immediate : `NEW`: it never rests.
    halted : `REPLACE`: the instrument is halted.
    reserve_quote : `REPLACE`: what the guard has reserved for the new order.
    deficit_quote : `REPLACE`: how far that took the account below zero, else zero.
    price_ticks : `NEW` and `REPLACE`: the effective price.
    body : `ANSWER`: bytes 32 to 63 of the report; else the command as it was sent.
    """

    cause: Cause
    action: Action
    kind: ReportKind
    reason: Reason
    side: unsigned(8)
    last: 1
    everyone: 1
    immediate: 1
    halted: 1
    reserve_quote: unsigned(RESERVE_BITS)
    deficit_quote: unsigned(64)
    price_ticks: unsigned(32)
    body: unsigned(256)


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
