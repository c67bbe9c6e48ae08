"""The market-wide halt: when the index has fallen far enough since the session began, everything halts together.

The index is the mean of all marks, each relative to the first of its instrument in the session, in whole parts per
million. Each level halts once a session; the last one until the session is over. One command halts all instruments, and
the device opens their calls itself.

The levels that ship, 7, 13 and 20 %, and the quarter of an hour behind the first two are those of the US share markets
(NYSE Rule 7.12, Nasdaq Rule 4121). There no such halt begins in the last 35 minutes but for the last level, because
the market closes; here nothing closes.
"""

from collections.abc import Sequence

_PPM = 1_000_000
_NS_A_US = 1_000


class MarketHalt:
    """Index and levels.

    Parameters
    ----------
    instruments : How many there are.
    levels_ppm : Falls that halt, ascending.
    halt_us : How long all but the last one halt.

    Attributes
    ----------
    index_ppm : How far the index has moved since the session began; negative for a fall.
    until_ns : When the last halt ends.
    """

    def __init__(self, instruments: int, levels_ppm: Sequence[int], halt_us: int) -> None:
        self._levels_ppm = list(levels_ppm)
        self._halt_us = halt_us
        self._session = -1
        self._references_ticks = [0] * instruments
        self._marks_ticks = [0] * instruments
        self._reached = 0
        self.index_ppm = 0
        self.until_ns = 0

    def decide(
        self, marks_ticks: Sequence[int | None], now_ns: int, *, session: int, session_end_ns: int
    ) -> int | None:
        """Take the marks; for how long to halt now, in microseconds, zero: until told. None: not at all.

        Parameters
        ----------
        marks_ticks : Of each instrument; where there is none, the last one stands.
        session, session_end_ns : Number and end of the session.
        """
        if session != self._session:
            self._session = session
            self._references_ticks = [0] * len(self._references_ticks)
            self._reached = 0
        self._marks_ticks = [new or last for new, last in zip(marks_ticks, self._marks_ticks, strict=True)]
        self._references_ticks = [
            reference or mark or 0 for reference, mark in zip(self._references_ticks, marks_ticks, strict=True)
        ]
        self.index_ppm = self._index_ppm()
        reached = sum(self.index_ppm <= -level for level in self._levels_ppm)
        if reached <= self._reached:
            return None
        self._reached = reached
        if reached == len(self._levels_ppm):
            self.until_ns = session_end_ns
            return 0
        self.until_ns = now_ns + self._halt_us * _NS_A_US
        return self._halt_us

    def holds(self, now_ns: int) -> bool:
        """Whether a halt is not over."""
        return now_ns < self.until_ns

    def _index_ppm(self) -> int:
        relative = [
            mark * _PPM // reference
            for mark, reference in zip(self._marks_ticks, self._references_ticks, strict=True)
            if reference
        ]
        return sum(relative) // len(relative) - _PPM if relative else 0
