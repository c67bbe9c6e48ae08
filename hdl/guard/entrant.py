"""A command on its way through the guard."""

from amaranth.hdl import Cat, Const, Mux, Value, unsigned
from amaranth.lib import data

from ..beats import Cause
from ..protocol.reports import Reason
from .band import Instrument, Refusal
from .credit import Account


class LinkCommand(data.Struct):
    """A command and the link it came by."""

    link: unsigned(8)
    command: unsigned(256)


class TokenRange(data.Struct):
    """The order slots that a link may use: `count` of them from `first` on."""

    first: unsigned(17)
    count: unsigned(17)


class Rejection(data.Struct):
    """A reason to reject, if there is `any`."""

    any: 1
    reason: Reason


class Faults(data.Struct):
    """What is wrong with a command that neither the kill switch nor its instrument's state has to be asked for.

    Attributes
    ----------
    malformed : It is not what its opcode's layout allows.
    wrong_epoch : It is of another epoch.
    not_privileged : Link 0 alone may send it.
    not_yours : It names another link's slot.
    unknown_instrument : Its instrument has not been set.
    """

    malformed: 1
    wrong_epoch: 1
    not_privileged: 1
    not_yours: 1
    unknown_instrument: 1


def first_fault(faults) -> Value:
    """The verdict on a command with these faults: the first one counts."""
    reason = Const(Reason.UNKNOWN_INSTRUMENT)
    for name, fault in (
        ("not_yours", Reason.TOKEN_NOT_YOURS),
        ("not_privileged", Reason.NOT_PRIVILEGED),
        ("wrong_epoch", Reason.WRONG_EPOCH),
        ("malformed", Reason.MALFORMED),
    ):
        reason = Mux(faults[name], fault, reason)
    return Cat(Value.cast(faults).any(), reason)


class Entrant(data.Struct):
    """A command on its way through the guard.

    Attributes
    ----------
    cause : For the reports.
    command : The 32 bytes.
    timer : No command: a timer is due.
    operator : Has the guard to itself.
    rules : Its instrument, as the guard knows it.
    slots : The order slots its link may use.
    faults : What goes before the kill switch. In b.
    early : The same, as a verdict. In c.
    late : Reasons that come after it: in b the trading state, from c on its price as well.
    refusal : What speaks against its price. From b on.
    price_ticks, at_bound : An order's effective price; it is the bound of its side. From b on.
    waits : It has to wait for the trades before it. In b as far as its instrument goes.
    row : Its account's row. From b on.
    asks : Whether its account can afford it is all that is left to ask. In c.
    touched : The row has been written since it was looked at.
    factor_bits : Quantity and multiplier together are below two to this. In b.
    worth_bits : The reserve is below two to this. In c.
    balance_bits : The balance is at least two to one less than this; zero if it is not positive. No more than
        `RESERVE_BITS` and one, which is enough for every order. In c.
    """

    cause: Cause
    command: unsigned(256)
    timer: 1
    operator: 1
    rules: Instrument
    slots: TokenRange
    faults: Faults
    early: Rejection
    late: Rejection
    refusal: Refusal
    price_ticks: unsigned(32)
    at_bound: 1
    waits: 1
    row: Account
    asks: 1
    touched: 1
    factor_bits: unsigned(6)
    worth_bits: unsigned(7)
    balance_bits: unsigned(6)
