"""Venue time, by clocks that the tests set."""

import asyncio
import io
import signal
from collections.abc import Callable
from itertools import count
from typing import Any

from rich.console import Console

from bandgap.host.clock import VenueClock
from bandgap.host.service import serve

SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * SECOND_NS


class Computer:
    """Its clock, which can be set, and the one that cannot."""

    def __init__(self) -> None:
        self.monotonic_ns = 77 * SECOND_NS
        self.set_by_ns = 1_000 * HOUR_NS

    def start(self, journal_end_ns: int = 0) -> VenueClock:
        return VenueClock(journal_end_ns, lambda: self.monotonic_ns + self.set_by_ns, lambda: self.monotonic_ns)

    def pass_by(self, seconds: int) -> None:
        self.monotonic_ns += seconds * SECOND_NS


def test_venue_time_begins_at_the_clock_and_goes_on_by_itself() -> None:
    computer = Computer()
    clock = computer.start()
    began_ns = clock.now_ns()
    assert began_ns == computer.monotonic_ns + computer.set_by_ns
    for leap_ns in (HOUR_NS, -HOUR_NS, -2 * HOUR_NS):
        computer.set_by_ns += leap_ns
        before_ns = clock.now_ns()
        computer.pass_by(1)
        assert clock.now_ns() - before_ns == SECOND_NS
    assert clock.now_ns() == began_ns + 3 * SECOND_NS


def test_venue_time_goes_on_from_a_journal_that_ends_ahead_of_the_clock() -> None:
    computer = Computer()
    end_ns = computer.monotonic_ns + computer.set_by_ns + HOUR_NS
    clock = computer.start(end_ns)
    computer.pass_by(5)
    assert clock.now_ns() == end_ns + 5 * SECOND_NS


def test_leaps_of_the_clock_are_told_once_each() -> None:
    computer = Computer()
    clock = computer.start()
    assert clock.complaint() is None
    computer.set_by_ns += HOUR_NS
    assert "clock is 3600.0 s ahead of venue time, which follows it with the next start" in str(clock.complaint())
    computer.set_by_ns += SECOND_NS // 2
    assert clock.complaint() is None
    computer.set_by_ns -= 2 * HOUR_NS + SECOND_NS // 2
    assert "clock is 3600.0 s behind venue time, which goes on" in str(clock.complaint())
    computer.set_by_ns += HOUR_NS
    assert clock.complaint() == "the computer's clock agrees with venue time again"
    assert clock.complaint() is None


def test_quotes_grow_stale_though_the_clock_is_set_back(open_venue: Callable[..., Any]) -> None:
    """It was an hour ahead when the venue started. Quotes count for 30 s; 10 s pass with each look at the time."""
    venue = open_venue()
    computer = Computer()
    begun_ns = computer.start().now_ns()
    venue.step(mark=1000, after_ns=begun_ns)
    computer.set_by_ns -= HOUR_NS
    looks = count()

    def monotonic_ns() -> int:
        computer.pass_by(10)
        if next(looks) == 8:
            signal.raise_signal(signal.SIGTERM)
        return computer.monotonic_ns

    clock = VenueClock(begun_ns, lambda: computer.monotonic_ns + computer.set_by_ns, monotonic_ns)
    door = {"gateway": venue.config.gateway.model_copy(update={"port": 0}), "watchdog_ns": 4_000_000}
    told = io.StringIO()
    asyncio.run(serve(venue.config.model_copy(update=door), venue.daemon, clock, Console(file=told, width=200)))
    assert "PERP-0 is halted (oracle)" in told.getvalue()
    assert told.getvalue().count("behind venue time") == 1
