"""Recovery: a journaled batch carried out again must come out as it did."""

import numpy as np

from bandgap.host.settlement.store import Batch
from bandgap.host.wire import Bytes2D, without_cycles


class DaemonError(RuntimeError):
    """The venue cannot go on; a daemon that raised this is started anew from its store."""


class JournalMismatchError(DaemonError):
    """Carried out again, a journaled batch came out otherwise; the message names both sides."""


def see_same_commands(now: Batch, journaled: Batch) -> None:
    """See that a batch decided again is the journaled one.

    Raises
    ------
    JournalMismatchError : The commands differ.
    """
    for name in ("operator_commands", "client_commands", "client_arrivals_ns"):
        if getattr(now, name) != getattr(journaled, name):
            raise JournalMismatchError(
                f"batch {now.sequence}, {name}: "
                f"{getattr(now, name).hex()} now, {getattr(journaled, name).hex()} journaled"
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
