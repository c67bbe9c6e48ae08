"""The circuit breaker's states: what leads from which to which."""

from typing import Any

import pytest

from bandgap.hdl.protocol.commands import ALL_INSTRUMENTS, ExpiryAction, ScheduledState, Side, TimeInForce

IOC = {"time_in_force": TimeInForce.IOC.value}
MS = 1_000_000
S = 1_000_000_000
S_IN_US = 1_000_000


def test_call_opened_by_the_operator(market: Any) -> None:
    market.set_breaker(call=2_000)
    assert market.call() == ["CALL OPERATOR instrument 0 until 2000000", "DONE 1"]
    assert market.call(0, 5_000) == ["CALL OPERATOR instrument 0 until 5000000", "DONE 1"], "anew"
    assert market.advance(5 * MS) == ["UNCROSSED nothing", "TRADING CALL_OVER instrument 0"]


def test_call_without_a_duration_ends_at_once_where_none_is_set(market: Any) -> None:
    market.time_ns = 7
    assert market.call() == ["CALL OPERATOR instrument 0 until 7", "DONE 1"]
    assert market.buy(0, 1, 101) == ["UNCROSSED nothing", "TRADING CALL_OVER instrument 0", "ACCEPTED #0 1@101"]


def test_halt_with_a_duration_leads_to_a_call(market: Any) -> None:
    market.set_breaker(call=3_000)
    assert market.halt(0, duration_us=1_000) == ["HALTED OPERATOR instrument 0 until 1000000", "DONE 1"]
    assert market.advance(MS) == ["CALL HALT_OVER instrument 0 until 4000000"]


def test_halt_again_tells_only_another_end(market: Any) -> None:
    market.halt(0, duration_us=1_000)
    assert market.halt(0, duration_us=1_000) == ["DONE 0"]
    assert market.halt(0, duration_us=2_000) == ["HALTED OPERATOR instrument 0 until 2000000", "DONE 1"]
    assert market.halt(0) == ["HALTED OPERATOR instrument 0", "DONE 1"], "until told"
    assert market.advance(9 * MS) == []


@pytest.mark.parametrize("state", ["TRADING", "LIMIT", "CALL", "PRE_OPEN", "HALTED"])
def test_halt_from_any_state(market: Any, state: str) -> None:
    reach(market, state)
    assert market.halt(0, duration_us=9_000)[0].startswith("HALTED OPERATOR instrument 0 until")
    assert market.halt(0) == ["HALTED OPERATOR instrument 0", "DONE 1"]


@pytest.mark.parametrize("state", ["TRADING", "LIMIT", "CALL", "PRE_OPEN", "HALTED"])
def test_call_from_any_state(market: Any, state: str) -> None:
    reach(market, state)
    assert market.call(0, 9_000)[0].startswith("CALL OPERATOR instrument 0 until")


@pytest.mark.parametrize("state", ["TRADING", "LIMIT", "CALL", "PRE_OPEN", "CLOSED"])
def test_resume_resumes_halted_ones_alone(market: Any, state: str) -> None:
    reach(market, state)
    assert market.resume(0) == ["DONE 0"]


@pytest.mark.parametrize("state", ["TRADING", "LIMIT", "CALL", "PRE_OPEN", "HALTED", "CLOSED"])
@pytest.mark.parametrize(
    ("entry", "after"),
    [
        (ScheduledState.PRE_OPEN, "PRE_OPEN SCHEDULE instrument 0"),
        (ScheduledState.OPENING_CALL, "CALL SCHEDULE instrument 0 until 11000000"),
        (ScheduledState.CLOSING_CALL, "CALL SCHEDULE instrument 0 until 11000000"),
        (ScheduledState.CLOSED, "CLOSED SCHEDULE instrument 0"),
    ],
)
def test_timetable_leads_from_any_state(market: Any, state: str, entry: ScheduledState, after: str) -> None:
    reach(market, state)
    market.set_schedule(entry, 10 * MS)
    assert market.advance(10 * MS)[-1] == after


def reach(market: Any, state: str) -> None:
    """Bring instrument 0 into a state that stays for 20 ms, at 1 ms."""
    market.set_breaker(call=1_000)
    match state:
        case "LIMIT":
            market.set_band(101, 106)
            assert market.buy(0, 1, 106)[-1].startswith("LIMIT")
        case "CALL":
            market.call(0, 20_000)
        case "HALTED":
            market.halt(0)
        case "PRE_OPEN" | "CLOSED":
            market.set_schedule(ScheduledState[state], 1)
    market.advance(MS)


def test_closed_is_left_by_the_timetable_alone(market: Any) -> None:
    market.buy(0, 1, 102)
    market.set_schedule(ScheduledState.CLOSED, MS)
    assert market.advance(MS) == ["CLOSED SCHEDULE instrument 0"]
    assert market.book(Side.BUY) == ["#0 1@102"], "the book stays"
    assert market.halt() == market.call() == market.call(ALL_INSTRUMENTS) == market.resume() == ["DONE 0"]
    assert market.buy(1, 1, 102) == market.replace(0, Side.BUY, 2, 102) == ["REJECTED HALTED"]
    assert market.replace(0, Side.BUY, 1, 102) == ["REPLACED #0 1@102"]
    market.heartbeat(1)
    assert market.advance(2 * MS) == ["DONE 0"]
    assert market.cancel(0) == ["CANCELED REQUESTED #0 1 left 0"]


def test_halted_instrument_may_collect(market: Any) -> None:
    """Window and band bound it; the auction that follows trades."""
    market.set_breaker(collect=True)
    market.set_band(101, 105)
    market.halt(0, duration_us=1_000)
    assert market.buy(0, 1, 106) == ["REJECTED OUTSIDE_BAND"]
    assert market.buy(0, 1, 105) == ["ACCEPTED #0 1@105"]
    assert market.sell(1, 1, 103) == ["ACCEPTED #1 1@103"]
    assert market.sell(2, 1, 103, **IOC) == ["REJECTED AUCTION_CALL"]
    assert market.replace(0, Side.BUY, 1, 104) == ["REPLACED #0 1@104"]
    assert market.advance(2 * MS)[:2] == [
        "CALL HALT_OVER instrument 0 until 2000000",
        "TRADE 1@103 #0 left 0 #1 left 0",
    ]


def test_flag_of_a_halt_under_way_may_change(market: Any) -> None:
    market.halt(0)
    assert market.buy(0, 1, 102) == ["REJECTED HALTED"]
    market.set_breaker(collect=True)
    assert market.buy(0, 1, 102) == ["ACCEPTED #0 1@102"]


def test_resume_is_refused_while_the_book_stands_crossed(market: Any) -> None:
    market.set_instrument(1, ladder_offset=8)
    market.call(0, 1_000)
    market.buy(0, 1, 103)
    market.sell(1, 1, 103)
    assert market.resume(0) == ["DONE 0"], "it is not halted"
    market.halt()
    assert market.resume(0) == ["REJECTED BOOK_CROSSED"]
    assert market.resume() == ["TRADING OPERATOR instrument 1", "DONE 1"], "all: it is passed over"
    market.cancel(1)
    assert market.resume(0) == ["TRADING OPERATOR instrument 0", "DONE 1"]


@pytest.mark.parametrize(("side", "price"), [(Side.BUY, 106), (Side.SELL, 101)])
def test_resume_is_refused_while_the_book_reaches_beyond_the_band(market: Any, side: Side, price: int) -> None:
    market.set_band(102, 105)
    market.call(0, 1_000)
    market.new(0, side, 1, price)
    market.halt(0)
    assert market.resume(0) == ["REJECTED BOOK_CROSSED"]
    market.cancel(0)
    assert market.resume(0)[0] == "TRADING OPERATOR instrument 0"


def test_market_wide_halt(market: Any) -> None:
    """A fall of 7 %: 15 minutes for all, then a call in each."""
    market.set_instrument(2, ladder_offset=8)
    market.resume()
    assert market.halt(duration_us=900 * S_IN_US) == [
        "HALTED OPERATOR instrument 0 until 900000000000",
        "HALTED OPERATOR instrument 2 until 900000000000",
        "DONE 2",
    ]
    assert market.advance(900 * S) == [
        "CALL HALT_OVER instrument 0 until 900000000000",
        "UNCROSSED nothing",
        "TRADING CALL_OVER instrument 0",
        "CALL HALT_OVER instrument 2 until 900000000000",
        "UNCROSSED nothing",
        "TRADING CALL_OVER instrument 2",
    ]


def test_watchdog_halts_until_told_and_takes_the_timetables_out(market: Any) -> None:
    market.halt(0, duration_us=3_000)
    market.set_schedule(ScheduledState.OPENING_CALL, 5 * MS)
    market.heartbeat(MS, ExpiryAction.HALT)
    assert market.advance(9 * MS) == ["HALTED WATCHDOG instrument 0", "DONE 0"]
    assert market.appliance.next_deadline_ns is None
    market.heartbeat(MS)
    assert market.advance(20 * MS) == ["DONE 0"], "it is halted until told already"
