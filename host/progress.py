"""How far a recovery has come, told a line at a time: a log keeps no bar."""

import time
from collections.abc import Callable

from rich.console import Console

_PATIENCE_S = 2.0
_INTERVAL_S = 10.0


class RecoveryProgress:
    """Tells it when recovery has taken two seconds, and every ten seconds from then on.

    Parameters
    ----------
    console : Where it is told.
    read_clock_s : A clock, in seconds.
    """

    def __init__(self, console: Console, read_clock_s: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._read_clock_s = read_clock_s
        self._due_s = read_clock_s() + _PATIENCE_S

    def follow(self, done: int, batches: int) -> None:
        """So many of all batches have been carried out."""
        now_s = self._read_clock_s()
        if now_s >= self._due_s:
            self._due_s = now_s + _INTERVAL_S
            self._console.print(f"recovering: {done:,} of {batches:,} batches ({100 * done // batches} %)")
