"""How rolling windows narrow a band and forget; no report tells of them."""

from collections import defaultdict
from dataclasses import dataclass

from bandgap.sim.model import Appliance
from bandgap.sim.model.breaker import Breaker
from bandgap.sim.model.rolling import RollingWindow

from .points import See


@dataclass(slots=True)
class _Seen:
    """How a rolling window was when it was looked at last."""

    window: RollingWindow | None = None
    deadline_ns: int | None = None
    bounds_ticks: tuple[int, int] | None = None


class Windows:
    """Counts what becomes of the windows of a model's instruments.

    Arguments
    ---------
    instruments : How many there are.
    see : Counts a point.
    """

    def __init__(self, instruments: int, see: See) -> None:
        self._instruments, self._see = instruments, see
        self._seen: defaultdict[tuple[int, str], _Seen] = defaultdict(_Seen)

    def look(self, model: Appliance) -> None:
        """Look at all instruments, now."""
        for index in range(self._instruments):
            if breaker := model.breaker(index):
                self._look_at(index, breaker, model.time_ns)

    def _look_at(self, index: int, breaker: Breaker, now_ns: int) -> None:
        band = breaker.band
        narrow = []
        changed = False
        for name, window in (("short", breaker.short), ("long", breaker.long)):
            seen = self._seen[index, name]
            if window is not seen.window:
                self._seen[index, name] = seen = _Seen(window)
            if window is None:
                continue
            was_ns, is_ns = seen.deadline_ns, window.deadline_ns
            was_ticks, bounds_ticks = seen.bounds_ticks, window.bounds()
            seen.deadline_ns, seen.bounds_ticks = is_ns, bounds_ticks
            if band and bounds_ticks and (bounds_ticks[0] > band.lower_ticks or bounds_ticks[1] < band.upper_ticks):
                narrow.append(name)
            if was_ns == is_ns and was_ticks == bounds_ticks:
                continue
            changed = True
            if was_ns is None:
                self._see("dynamic band", f"{name}: first trade")
            elif is_ns is None:
                self._see("dynamic band", f"{name}: emptied {'by time' if now_ns == was_ns else 'otherwise'}")
                if band and was_ticks and (was_ticks[0] > band.upper_ticks or was_ticks[1] < band.lower_ticks):
                    self._see("dynamic band", "parted from the static band")
            elif was_ns != is_ns and was_ticks != bounds_ticks:
                self._see("dynamic band", f"{name}: bucket leaves")
        if changed:
            for name in narrow:
                self._see("dynamic band", f"{name}: narrows the band")
            if len(narrow) > 1:
                self._see("dynamic band", "both narrow")
