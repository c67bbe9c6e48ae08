"""Venue time: the computer's clock is read once, when the venue starts; from there on a clock goes that nobody sets.

A clock that is set while the venue runs (an operator, a first answer from a time server, a leap of a virtual machine)
would take venue time with it: forwards, all quotes would be stale at once and halts be over; and backwards it cannot
go, so it would stand until the clock has caught up, in which no quote grows stale and no halt ends.
"""

import time
from collections.abc import Callable

_WORTH_TELLING_NS = 1_000_000_000


class VenueClock:
    """Venue time, in nanoseconds: never runs backwards, never leaps, never stands.

    It begins at the computer's clock, or at the end of the journal where that is later: what has happened stays past.

    Parameters
    ----------
    journal_end_ns : The end of the last step in the journal.
    read_clock_ns : The computer's clock, since 1970.
    read_monotonic_ns : A clock that nobody sets; a time service may adjust its rate.
    """

    def __init__(
        self,
        journal_end_ns: int,
        read_clock_ns: Callable[[], int] = time.time_ns,
        read_monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._read_clock_ns = read_clock_ns
        self._read_monotonic_ns = read_monotonic_ns
        self._offset_ns = max(read_clock_ns(), journal_end_ns) - read_monotonic_ns()
        self._told_lead_ns = 0

    def now_ns(self) -> int:
        """The time of the venue."""
        return self._offset_ns + self._read_monotonic_ns()

    def complaint(self) -> str | None:
        """What an operator should know of the computer's clock, once each time that it is another."""
        lead_ns = self.now_ns() - self._read_clock_ns()
        if abs(lead_ns - self._told_lead_ns) < _WORTH_TELLING_NS:
            return None
        self._told_lead_ns = lead_ns
        seconds = abs(lead_ns) / 1e9
        if seconds < 1:
            return "the computer's clock agrees with venue time again"
        if lead_ns < 0:
            return f"the computer's clock is {seconds:.1f} s ahead of venue time, which follows it with the next start"
        return (
            f"the computer's clock is {seconds:.1f} s behind venue time, which goes on: it never runs backwards. Set "
            "the clock; if it is right, only a stop of that length sets venue time right"
        )
