"""Recovery: a journaled batch carried out again must come out as it did."""

from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.protocol.commands import COMMAND_BYTES, Opcode
from bandgap.host.config import ConfigError, VenueConfig
from bandgap.host.settlement.store import Batch
from bandgap.host.wire import Bytes2D, command_headers, report_headers, without_cycles

_ARRIVAL_BYTES = 8


class DaemonError(RuntimeError):
    """The venue cannot go on; a daemon that raised this is started anew from its store."""


class StoodStillError(DaemonError):
    """The host stood still in the middle of a batch: it will come out as it should when it is carried out again."""


class JournalMismatchError(DaemonError):
    """Carried out again, a journaled batch came out otherwise; the message names both sides."""


def rules_in_writing(config: VenueConfig, stored: str | None) -> str:
    """A venue's rules as its store has them, where they say the same: an older version writes without newer keys."""
    try:
        same = stored is not None and VenueConfig.from_rules(stored).rules() == config.rules()
    except ConfigError:
        same = False
    return stored if stored is not None and same else config.rules()


def see_same_commands(now: Batch, journaled: Batch) -> None:
    """See that a batch decided again is the journaled one.

    Raises
    ------
    JournalMismatchError : The commands differ; the message names the first that does.
    """
    for name, width in (
        ("operator_commands", COMMAND_BYTES),
        ("client_commands", COMMAND_BYTES),
        ("client_arrivals_ns", _ARRIVAL_BYTES),
    ):
        decided, written = (_pieces(getattr(batch, name), width) for batch in (now, journaled))
        for place, (here, there) in enumerate(zip_longest(decided, written, fillvalue=b"")):
            if here != there:
                raise JournalMismatchError(
                    f"batch {now.sequence}, {name}, number {place}: {_describe(here)} now, {_describe(there)} journaled"
                )


def _pieces(content: bytes, width: int) -> list[bytes]:
    return [content[place : place + width] for place in range(0, len(content), width)]


def _describe(piece: bytes) -> str:
    """A command by its opcode and all its bytes, an arrival by its time."""
    if not piece:
        return "none"
    if len(piece) == _ARRIVAL_BYTES:
        return f"{int.from_bytes(piece, 'little')} ns"
    names = {opcode.value: opcode.name for opcode in Opcode}
    return f"{names.get(piece[0], 'no command')} {piece.hex()}"


def see_journaled_times(sequence: int, commands: Bytes2D, arrivals_ns: NDArray[np.uint64], reports: Bytes2D) -> None:
    """See that the device's time was the journal's while a batch was carried out.

    A board's own clock goes on when the host stands still for too long (`hdl/boards/clock.py`): commands that come then
    have later stamps, and timers act that are not yet due. Carried out again, such a batch would come out otherwise.

    Raises
    ------
    StoodStillError : A command has another stamp than its arrival, or a timer's is behind the last arrival.
    """
    headers = report_headers(reports)
    numbers = command_headers(commands)["number"]
    order = np.argsort(numbers)
    caused = headers["command_number"] != 0
    due_ns = np.full(len(reports), arrivals_ns[-1])
    due_ns[caused] = arrivals_ns[order[np.searchsorted(numbers, headers["command_number"][caused], sorter=order)]]
    wrong = np.flatnonzero(np.where(caused, headers["time_ns"] != due_ns, headers["time_ns"] > due_ns))
    if len(wrong):
        row = wrong[0]
        raise StoodStillError(
            f"batch {sequence}: the device's time was {headers['time_ns'][row]} ns, not {due_ns[row]} ns: this host "
            "stood still for longer than the device's clock waits; started anew, it carries the batch out again"
        )


def see_same_reports(sequence: int, now: Bytes2D, journaled: Bytes2D) -> Bytes2D:
    """The journaled reports, if the device now answers the same but for cycle counters.

    Raises
    ------
    JournalMismatchError : A report differs, or there are more or fewer.
    """
    if len(now) != len(journaled):
        raise JournalMismatchError(f"batch {sequence}: {len(now)} reports now, {len(journaled)} journaled")
    different = np.flatnonzero((without_cycles(now) != without_cycles(journaled)).any(axis=1))
    if len(different):
        row = different[0]
        raise JournalMismatchError(
            f"batch {sequence}, report {row}: {now[row].tobytes().hex()} now, "
            f"{journaled[row].tobytes().hex()} journaled"
        )
    return journaled
