"""The circuit breaker's timetable, and the order in which timers are due."""

from typing import Any

from bandgap.hdl.protocol.commands import Opcode, ReferenceSource, ScheduledState

MS = 1_000_000


# Timetable


def test_day(market: Any) -> None:
    market.set_breaker(call=2_000)
    market.halt(0)
    for state, at_ms, duration_us in (
        (ScheduledState.CLOSED, 30, 0),
        (ScheduledState.CLOSING_CALL, 20, 3_000),
        (ScheduledState.OPENING_CALL, 10, 0),
        (ScheduledState.PRE_OPEN, 5, 0),
    ):
        assert market.set_schedule(state, at_ms * MS, duration_us=duration_us) == ["DONE 0"]
    assert market.advance(5 * MS) == ["PRE_OPEN SCHEDULE instrument 0"]
    assert market.buy(0, 1, 103) == ["ACCEPTED #0 1@103"]
    assert market.sell(1, 1, 103) == ["ACCEPTED #1 1@103"]
    assert market.advance(10 * MS) == ["CALL SCHEDULE instrument 0 until 12000000"]
    assert market.advance(12 * MS)[-2:] == ["UNCROSSED 1@103", "TRADING CALL_OVER instrument 0"]
    assert market.advance(20 * MS) == ["CALL SCHEDULE instrument 0 until 23000000"]
    assert market.advance(23 * MS) == ["UNCROSSED nothing", "CLOSED CALL_OVER instrument 0"]
    assert market.advance(90 * MS) == ["CLOSED SCHEDULE instrument 0"], "each takes place once"


def test_entry_may_be_taken_out_or_changed(market: Any) -> None:
    market.set_schedule(ScheduledState.CLOSED, 5 * MS)
    market.set_schedule(ScheduledState.CLOSED, 0)
    assert market.appliance.next_deadline_ns is None
    market.set_schedule(ScheduledState.CLOSED, 5 * MS)
    market.set_schedule(ScheduledState.CLOSED, 6 * MS)
    assert market.appliance.next_deadline_ns == 6 * MS


def test_entry_that_has_passed_means_the_stamp(market: Any) -> None:
    market.time_ns = 9 * MS
    assert market.set_schedule(ScheduledState.PRE_OPEN, 1) == ["DONE 0"]
    assert market.buy(0, 1, 102) == ["PRE_OPEN SCHEDULE instrument 0", "ACCEPTED #0 1@102"]
    assert market.fields[0]["time_ns"] == str(9 * MS)


def test_closing_call_that_another_follows_does_not_close(market: Any) -> None:
    market.set_breaker()
    market.set_schedule(ScheduledState.CLOSING_CALL, MS, duration_us=5_000)
    market.advance(MS)
    market.call()
    assert market.advance(9 * MS)[-1] == "TRADING CALL_OVER instrument 0"


# Timers


def test_timers_of_one_deadline(market: Any) -> None:
    """At 2 ms: watchdog; then instrument 0: long bucket, timetable; then instrument 1."""
    market.set_instrument(1, ladder_offset=8)
    market.resume()
    market.set_band(100, 107, reference_ticks=102)
    market.set_windows((1, 1_000, 2), (0, 1_000, 2))
    market.set_rule(ReferenceSource.WINDOW_MEAN)
    market.set_breaker(call=1_000, indicative=1_000)
    market.set_breaker(call=2_000, indicative=1_000, instrument=1)
    market.call(1)
    market.time_ns = MS
    market.trade(104, MS)
    market.call(0)
    market.set_schedule(ScheduledState.PRE_OPEN, 2 * MS, instrument=1)
    market.set_schedule(ScheduledState.CLOSING_CALL, 2 * MS)
    market.set_schedule(ScheduledState.OPENING_CALL, 2 * MS)
    market.heartbeat(MS + 1)
    assert market.advance(2 * MS) == [
        "BAND_MOVED 102-107",  # long bucket of 0
        "CALL SCHEDULE instrument 0 until 3000000",  # opening call
        "CALL SCHEDULE instrument 0 until 3000000",  # closing call
        "PRE_OPEN SCHEDULE instrument 1",  # before its phase and its indicative price
    ]
    assert {fields["time_ns"] for fields in market.fields} == {str(2 * MS)}
    assert {fields["flags"] for fields in market.fields} == {"LAST"}


def test_watchdog_comes_before_the_instruments(market: Any) -> None:
    market.call(0, 1_000)
    market.heartbeat(MS)
    assert market.advance(MS) == ["HALTED WATCHDOG instrument 0", "DONE 0"]
    assert market.advance(5 * MS) == []


def test_earlier_deadline_of_a_later_instrument_comes_first(market: Any) -> None:
    market.set_instrument(1, ladder_offset=8)
    market.call(0, 2_000)
    market.call(1, 1_000)
    assert [line for line in market.advance(9 * MS) if "CALL_OVER" in line] == [
        "TRADING CALL_OVER instrument 1",
        "TRADING CALL_OVER instrument 0",
    ]


def test_what_a_timer_begins_begins_at_its_deadline(market: Any) -> None:
    market.set_breaker(call=1_000, halt=1_000)
    market.halt(0, duration_us=1_000)
    market.time_ns = 50 * MS
    assert market.send(Opcode.READ_CLOCK) == [
        "CALL HALT_OVER instrument 0 until 2000000",
        "UNCROSSED nothing",
        "TRADING CALL_OVER instrument 0",
        "DONE 0",
    ]


def test_limit_state_that_a_timer_begins(market: Any) -> None:
    """Band 100 to 106 around 106. 105 and 106: 2 and 1, 1 bid left: 106, where it stays at the bound."""
    market.set_breaker(limit=3_000)
    market.set_band(100, 106, reference_ticks=106)
    market.call()
    market.buy(0, 2, 106)
    market.sell(1, 1, 105)
    assert market.advance(MS)[1:] == [
        "UNCROSSED 1@106, BUY 1 left",
        "BAND_MOVED 100-106",
        "TRADING CALL_OVER instrument 0",
        "LIMIT LIMIT instrument 0 until 4000000",
    ]
    assert [fields["flags"] for fields in market.fields[-2:]] == ["LAST", "-"]


def test_setting_an_instrument_anew_takes_all_of_its_breaker(market: Any) -> None:
    market.set_breaker(limit=1_000, call=9_000)
    market.set_windows((1, 1_000, 1), (1, 1_000, 1))
    market.set_schedule(ScheduledState.CLOSED, MS)
    market.trade(102, 0)
    market.halt(0, duration_us=1_000)
    assert market.set_instrument(0) == ["DONE 0"]
    assert market.appliance.next_deadline_ns is None
    assert market.call()[0] == "CALL OPERATOR instrument 0"
