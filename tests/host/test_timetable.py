"""Phases of the day and the entries told ahead, by hand; time zero is midnight of a Thursday."""

from datetime import time

import pytest

from bandgap.hdl.protocol.commands import ScheduledState
from bandgap.host.config import TimetableConfig
from bandgap.host.timetable import Entry, Phase, Timetable

PRE_OPEN, OPENING, CLOSING, CLOSED = ScheduledState

SECOND_NS = 10**9
HOUR_NS = 3_600 * SECOND_NS
MINUTE_US = 60_000_000
DAY_NS = 24 * HOUR_NS

XETRA = TimetableConfig(
    days=("monday", "tuesday", "wednesday", "thursday", "friday"),
    pre_open=time(7),
    opening_call=time(7, 50),
    continuous=time(8),
    closing_call=time(16, 30),
    closed=time(16, 35),
)
OVERNIGHT = TimetableConfig(
    days=("sunday", "monday", "tuesday", "wednesday", "thursday"),
    opening_call=time(22, 55),
    continuous=time(23),
    closed=time(22),
)
"""From each of these evenings to the next day's."""


def at(day: int, hour: int, minute: int = 0) -> int:
    return day * DAY_NS + hour * HOUR_NS + minute * 60 * SECOND_NS


@pytest.mark.parametrize(
    ("now_ns", "phase"),
    [
        (0, Phase.CLOSED),
        (at(0, 7) - 1, Phase.CLOSED),
        (at(0, 7), Phase.PRE_OPEN),
        (at(0, 7, 50), Phase.OPENING_CALL),
        (at(0, 8) - 1, Phase.OPENING_CALL),
        (at(0, 8), Phase.CONTINUOUS),
        (at(1, 16, 30), Phase.CLOSING_CALL),
        (at(1, 16, 35), Phase.CLOSED),
        (at(2, 12), Phase.CLOSED),
        (at(3, 12), Phase.CLOSED),
        (at(4, 12), Phase.CONTINUOUS),
    ],
)
def test_phases_of_a_week_that_begins_on_a_thursday(now_ns: int, phase: Phase) -> None:
    assert Timetable(XETRA).phase(now_ns) is phase


@pytest.mark.parametrize(
    ("now_ns", "phase"),
    [
        (at(0, 12), Phase.CONTINUOUS),
        (at(0, 22, 30), Phase.CLOSED),
        (at(0, 22, 55), Phase.OPENING_CALL),
        (at(1, 12), Phase.CONTINUOUS),
        (at(1, 23), Phase.CLOSED),
        (at(2, 12), Phase.CLOSED),
        (at(3, 22, 54), Phase.CLOSED),
        (at(3, 23), Phase.CONTINUOUS),
    ],
)
def test_a_day_that_passes_midnight_belongs_to_the_day_on_which_it_begins(now_ns: int, phase: Phase) -> None:
    """Thursday evening's lasts until Friday 22:00; the next one begins on Sunday."""
    assert Timetable(OVERNIGHT).phase(now_ns) is phase


def test_the_next_time_of_each_entry_is_told_once() -> None:
    timetable = Timetable(XETRA)
    timetable.begin_step(at(1, 12))
    assert timetable.tell(at(1, 12), opens=True) == (
        Entry(PRE_OPEN, at(4, 7)),
        Entry(OPENING, at(4, 7, 50), 10 * MINUTE_US),
        Entry(CLOSING, at(1, 16, 30), 5 * MINUTE_US),
    )
    timetable.begin_step(at(1, 16))
    assert timetable.tell(at(1, 16), opens=True) == ()
    assert not timetable.is_due(at(1, 16))
    assert timetable.next_collecting_ns() == at(1, 16, 30)


def test_an_entry_is_told_anew_in_the_step_behind_the_one_in_which_it_is_due() -> None:
    """Until then what it has led to is not known."""
    timetable = Timetable(XETRA)
    timetable.begin_step(0)
    timetable.tell(0, opens=True)
    timetable.begin_step(at(0, 7))
    assert timetable.is_due(at(0, 7))
    assert timetable.tell(at(0, 7), opens=True) == ()
    assert timetable.is_due(at(0, 7))
    timetable.begin_step(at(0, 7) + 1)
    assert not timetable.is_due(at(0, 7) + 1)
    assert timetable.tell(at(0, 7) + 1, opens=True) == (Entry(PRE_OPEN, at(1, 7)),)


def test_without_a_closing_call_an_entry_closes() -> None:
    timetable = Timetable(OVERNIGHT)
    timetable.begin_step(at(1, 12))
    assert timetable.tell(at(1, 12), opens=True) == (
        Entry(OPENING, at(3, 22, 55), 5 * MINUTE_US),
        Entry(CLOSED, at(1, 22)),
    )


def test_what_opens_is_taken_out_and_told_again() -> None:
    timetable = Timetable(OVERNIGHT)
    timetable.begin_step(at(0, 12))
    opening, closed = timetable.tell(at(0, 12), opens=True)
    assert timetable.tell(at(0, 12), opens=False) == (Entry(OPENING, 0),)
    assert timetable.tell(at(0, 12), opens=False) == ()
    assert timetable.next_collecting_ns() is None
    assert timetable.tell(at(0, 12), opens=True) == (opening,)
    assert closed == Entry(CLOSED, at(0, 22))


def test_all_is_told_again_behind_the_watchdog() -> None:
    timetable = Timetable(XETRA)
    timetable.begin_step(0)
    told = timetable.tell(0, opens=True)
    timetable.forget()
    assert timetable.tell(0, opens=True) == told


@pytest.mark.parametrize(
    ("now_ns", "entry"),
    [
        (at(0, 3), Entry(CLOSED, at(0, 3))),
        (at(0, 7, 30), Entry(PRE_OPEN, at(0, 7, 30))),
        (at(0, 7, 53), Entry(OPENING, at(0, 7, 53), 7 * MINUTE_US)),
        (at(0, 8) - 1_000_001, Entry(OPENING, at(0, 8) - 1_000_001, 1_001)),
        (at(0, 8) - 1, Entry(OPENING, at(0, 8) - 1, 1_000)),
        (at(0, 12), Entry(OPENING, at(0, 12), 0)),
        (at(0, 16, 34), Entry(CLOSING, at(0, 16, 34), MINUTE_US)),
    ],
)
def test_present_phase_is_entered_for_what_is_left_of_it(now_ns: int, entry: Entry) -> None:
    """A call that is left over less than the device can have lasts that long; continuous trading begins by a call."""
    timetable = Timetable(XETRA)
    timetable.begin_step(now_ns)
    assert timetable.enter(now_ns) == entry
    assert timetable.is_due(now_ns)


def test_round_the_clock_there_is_nothing_to_tell() -> None:
    timetable = Timetable(None)
    timetable.begin_step(5)
    assert timetable.phase(5) is Phase.CONTINUOUS
    assert timetable.tell(5, opens=True) == ()
    assert timetable.next_collecting_ns() is None
