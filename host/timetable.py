"""The timetable of one instrument: which phase of the day it is, and what the device is to be told of the next ones.

The device's timetable has one entry for each state that time alone leads to, and each takes place once, at its time by
the device's clock, whether the host is there or not (`docs/circuit-breaker.md`). So the host tells it the next time of
each entry ahead, and the one after that in the step behind it. Only when an instrument opens, or comes back from a
halt, an entry is told that takes place at once, so that it comes up in the phase that it is in.
"""

from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum

from bandgap.hdl.protocol.commands import ScheduledState
from bandgap.host.config import DAY_US, DAYS, SHORTEST_US, TimetableConfig

_NS_A_US = 1_000
_DAY_NS = DAY_US * _NS_A_US
_EPOCH_WEEKDAY = DAYS.index("thursday")
"""Time zero is midnight UTC of January 1, 1970."""


class Phase(Enum):
    """A part of the day, by the name of its beginning in the configuration."""

    PRE_OPEN = "pre_open"
    OPENING_CALL = "opening_call"
    CONTINUOUS = "continuous"
    CLOSING_CALL = "closing_call"
    CLOSED = "closed"


_STATES = {
    Phase.PRE_OPEN: ScheduledState.PRE_OPEN,
    Phase.OPENING_CALL: ScheduledState.OPENING_CALL,
    Phase.CONTINUOUS: ScheduledState.OPENING_CALL,
    Phase.CLOSING_CALL: ScheduledState.CLOSING_CALL,
    Phase.CLOSED: ScheduledState.CLOSED,
}
"""The entry that leads into a phase: into continuous trading, a call."""


@dataclass(frozen=True)
class Entry:
    """What `SET_SCHEDULE` is told.

    Attributes
    ----------
    state : Which entry.
    at_ns : When it takes place; zero takes it out.
    duration_us : How long the call lasts; zero where it is none, and for the instrument's usual call.
    """

    state: ScheduledState
    at_ns: int
    duration_us: int = 0


class Timetable:
    """An instrument's days, and the entries that the device has.

    Parameters
    ----------
    config : The times; None: it trades round the clock.
    """

    def __init__(self, config: TimetableConfig | None) -> None:
        times_us = config.times_us() if config else {}
        self._days = {DAYS.index(day) for day in config.days} if config else set()
        self._first_ns = next(iter(times_us.values()), 0) * _NS_A_US
        self._phases = [Phase(name) for name in times_us]
        self._offsets_ns = [(at * _NS_A_US - self._first_ns) % _DAY_NS for at in times_us.values()]
        # A call ends by itself; an entry at its end would come before the auction.
        closing = Phase.CLOSING_CALL in self._phases
        self._told_ahead = [
            phase for phase in self._phases if phase is not Phase.CONTINUOUS and not (phase is Phase.CLOSED and closing)
        ]
        self._told: dict[ScheduledState, Entry] = {}
        self._now_ns = 0

    def phase(self, now_ns: int) -> Phase:
        """The phase of a time."""
        if not self._phases:
            return Phase.CONTINUOUS
        day, offset_ns = divmod(now_ns - self._first_ns, _DAY_NS)
        return self._phases[bisect_right(self._offsets_ns, offset_ns) - 1] if self._has(day) else Phase.CLOSED

    def begin_step(self, now_ns: int) -> None:
        """A step of the host begins: what was due in the last one has taken place, and was reported with it."""
        self._told = {state: entry for state, entry in self._told.items() if entry.at_ns > self._now_ns}
        self._now_ns = now_ns

    def is_due(self, now_ns: int) -> bool:
        """Whether an entry has taken place, or is about to, that no earlier step's reports tell of."""
        return any(entry.at_ns <= now_ns for entry in self._told.values())

    def next_collecting_ns(self) -> int | None:
        """When the device begins to collect orders by its timetable; None: not by what it has been told."""
        return min((one.at_ns for one in self._told.values() if one.state is not ScheduledState.CLOSED), default=None)

    def enter(self, now_ns: int) -> Entry:
        """The entry that leads into the present phase at once; what is left of a call is its length."""
        phase = self.phase(now_ns)
        duration_us = 0
        if phase in (Phase.OPENING_CALL, Phase.CLOSING_CALL):
            place = self._phases.index(phase) + 1
            left_ns = self._offsets_ns[place] - (now_ns - self._first_ns) % _DAY_NS
            duration_us = max(-(-left_ns // _NS_A_US), SHORTEST_US)
        entry = self._told[_STATES[phase]] = Entry(_STATES[phase], now_ns, duration_us)
        return entry

    def tell(self, now_ns: int, *, opens: bool) -> tuple[Entry, ...]:
        """The entries that the device does not have yet; one that is due now waits for the next step.

        Parameters
        ----------
        opens : Whether the timetable may open the instrument; else it only closes it.
        """
        entries = []
        for phase in self._told_ahead:
            state = _STATES[phase]
            told = self._told.get(state)
            wanted = self._next(phase, now_ns) if opens or phase is Phase.CLOSED else None
            if wanted == told or (told and told.at_ns <= now_ns):
                continue
            if wanted:
                self._told[state] = wanted
            else:
                del self._told[state]
            entries.append(wanted or Entry(state, 0))
        return tuple(entries)

    def forget(self) -> None:
        """The watchdog has taken all entries out."""
        self._told.clear()

    def _has(self, day: int) -> bool:
        return (day + _EPOCH_WEEKDAY) % len(DAYS) in self._days

    def _next(self, phase: Phase, now_ns: int) -> Entry:
        """The next time of an entry."""
        place = self._phases.index(phase)
        offset_ns = self._offsets_ns[place]
        day = (now_ns - self._first_ns - offset_ns) // _DAY_NS + 1
        while not self._has(day):
            day += 1
        calls = phase in (Phase.OPENING_CALL, Phase.CLOSING_CALL)
        duration_us = (self._offsets_ns[place + 1] - offset_ns) // _NS_A_US if calls else 0
        return Entry(_STATES[phase], self._first_ns + day * _DAY_NS + offset_ns, duration_us)
