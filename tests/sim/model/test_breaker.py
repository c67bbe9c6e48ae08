"""The circuit breaker: states, bands, reference prices, timetables, windows, timers; at the numbers of real markets."""

from typing import Any

import pytest

from bandgap.hdl.protocol.commands import (
    ALL_INSTRUMENTS,
    BandPolicy,
    ExpiryAction,
    Opcode,
    OrderType,
    ReferenceSource,
    ScheduledState,
    Side,
    TimeInForce,
    TradingMode,
)

MARKET = {"order_type": OrderType.MARKET.value, "time_in_force": TimeInForce.IOC.value}
IOC = {"time_in_force": TimeInForce.IOC.value}
US = 1_000
MS = 1_000_000
S = 1_000_000_000
S_IN_US = 1_000_000


def trade(market: Any, price: int, at_ns: int) -> list[str]:
    """One lot trades between accounts 2 and 3, by slots 6 and 7; the reports of timers and of the taker."""
    market.time_ns = at_ns
    generation = market.number
    lines: list[str] = market.sell(6, 1, price, account=2, generation=generation)
    assert f"ACCEPTED #6 1@{price}" in lines, lines
    assert f"TRADE 1@{price} #7 left 0 #6 left 0" in market.buy(7, 1, price, account=3, generation=generation)
    return lines


# Limit up, limit down: 5 % around 100.00, limit state of 15 s, halt of 5 minutes, mean of 5 minutes, 1 %, 30 s


@pytest.fixture
def luld(stock: Any) -> Any:
    """A share of tier 1."""
    stock.set_breaker(limit=15 * S_IN_US, halt=300 * S_IN_US, call=60 * S_IN_US, extension=60 * S_IN_US)
    stock.set_windows(None, (0, 30 * S_IN_US, 10))
    stock.set_rule(ReferenceSource.WINDOW_MEAN, width_ppm=50_000, move_ppm=10_000, hold_us=30 * S_IN_US)
    assert stock.set_band(9_500, 10_500, reference_ticks=10_000) == ["BAND_MOVED 9500-10500"]
    return stock


@pytest.mark.parametrize(("side", "price"), [(Side.BUY, 10_500), (Side.SELL, 9_500)])
def test_limit_state_becomes_a_halt_and_reopens_by_auction(luld: Any, side: Side, price: int) -> None:
    luld.time_ns = 7
    assert luld.new(0, side, 1, price)[1] == "LIMIT LIMIT instrument 0 until 15000000007"
    assert luld.fields[1]["flags"] == "-"
    assert luld.advance(15 * S + 6) == []
    assert luld.advance(15 * S + 7) == ["HALTED LIMIT instrument 0 until 315000000007"]
    assert luld.fields[0]["flags"] == "LAST"
    assert luld.buy(1, 1, 10_000) == ["REJECTED HALTED"]
    assert luld.advance(315 * S + 7) == ["CALL HALT_OVER instrument 0 until 375000000007"]
    other = Side.SELL if side is Side.BUY else Side.BUY
    luld.new(1, other, 1, price)
    band = {10_500: "9975-11025", 9_500: "9025-9975"}[price]  # 5 % of the price of the auction, each way
    assert luld.advance(375 * S + 7) == [
        f"TRADE 1@{price} " + ("#0 left 0 #1 left 0" if side is Side.BUY else "#1 left 0 #0 left 0"),
        f"UNCROSSED 1@{price}",
        f"BAND_MOVED {band}",
        "TRADING CALL_OVER instrument 0",
    ]


@pytest.mark.parametrize("how", ["executed", "cancelled", "bound moved"])
def test_limit_state_ends_when_the_best_is_no_longer_there(luld: Any, how: str) -> None:
    luld.buy(0, 1, 10_500)
    luld.time_ns = 15 * S - 1
    lines = {
        "executed": lambda: luld.sell(1, 1, 10_500),
        "cancelled": lambda: luld.cancel(0),
        "bound moved": lambda: luld.set_band(9_500, 10_501, reference_ticks=10_000),
    }[how]()
    assert lines[-1] == "TRADING LIMIT instrument 0"
    assert luld.advance(15 * S) == []


def test_best_beyond_its_band_is_no_limit_state(luld: Any) -> None:
    """An ask above and a bid below the band are passive."""
    luld.buy(0, 1, 9_400)
    assert luld.sell(1, 1, 10_600) == ["ACCEPTED #1 1@10600"]


@pytest.mark.parametrize(("price", "lines"), [(10_099, []), (10_100, ["BAND_MOVED 9595-10605"])])
def test_reference_moves_by_one_per_cent_at_least(luld: Any, price: int, lines: list[str]) -> None:
    """5 % of 101.00 is 5.05."""
    trade(luld, price, 5 * S)
    assert luld.advance(35 * S - 1) == []
    assert luld.advance(35 * S) == lines


def test_reference_is_the_mean_rounded_down(luld: Any) -> None:
    """10,200 three times and 10,201: 10,200.25. The width of 510.0 is exact."""
    for price in (10_200, 10_200, 10_201, 10_200):
        trade(luld, price, 5 * S)
    assert luld.advance(35 * S) == ["BAND_MOVED 9690-10710"]
    assert luld.fields[0]["reference_ticks"] == "10200"


def test_reference_stands_for_thirty_seconds(luld: Any) -> None:
    """At the bucket's end at 35 s it has stood for 30 s less 1 ns; at 65 s it may go, and the mean is still there."""
    trade(luld, 10_200, 5 * S)
    luld.time_ns = 5 * S + 1
    luld.set_band(9_500, 10_500, reference_ticks=10_000)
    assert luld.advance(35 * S) == []
    assert luld.advance(65 * S) == ["BAND_MOVED 9690-10710"]


def test_mean_is_that_of_five_minutes(luld: Any) -> None:
    """10,200 in the first bucket, 10,050 in the second: their mean is 10,125. 5 % of 10,050 are 502.5."""
    trade(luld, 10_200, 0)
    assert trade(luld, 10_050, 40 * S)[0] == "BAND_MOVED 9690-10710", "at 30 s"
    assert luld.advance(300 * S - 1) == [], "10,125 is less than 1 % from 10,200"
    assert luld.advance(300 * S) == ["BAND_MOVED 9548-10552"], "10,200 has left: 10,050 is 1.5 % from it"
    assert luld.advance(330 * S) == []
    assert luld.appliance.next_deadline_ns is None, "the window is empty"


def test_band_stands_still_in_a_limit_state(luld: Any) -> None:
    """10,200 would be the reference at 35 s, but an order stands at the bound then; at 65 s it has left."""
    trade(luld, 10_200, 5 * S)
    luld.time_ns = 34 * S
    luld.set_breaker(limit=60 * S_IN_US, halt=300 * S_IN_US, call=60 * S_IN_US, extension=60 * S_IN_US)
    assert luld.buy(0, 1, 10_500)[1].startswith("LIMIT LIMIT instrument 0")
    assert luld.advance(35 * S) == []
    luld.cancel(0)
    assert luld.advance(65 * S) == ["BAND_MOVED 9690-10710"]


# Reference price


def test_last_trades_count_once_there_are_so_many(stock: Any) -> None:
    """Of four trades, at the ends of 1 ms: 10,000, 10,010, 10,020, 10,031: 10,015.25."""
    stock.set_band(9_900, 10_300, reference_ticks=10_000)
    stock.set_windows(None, (0, 1_000, 4))
    stock.set_rule(ReferenceSource.LAST_TRADES, trades_log2=2)
    for price in (10_000, 10_010, 10_020):
        trade(stock, price, 0)
    assert stock.advance(MS) == []
    trade(stock, 10_031, MS)
    assert stock.advance(2 * MS) == ["BAND_MOVED 9915-10315"], "as far below and above as SET_BAND put it"
    stock.set_rule(ReferenceSource.LAST_TRADES)
    assert stock.advance(3 * MS) == [], "they are counted anew"


@pytest.mark.parametrize(
    ("rule", "band"),
    [
        ({}, "10000-10400"),
        ({"width_ticks": 50}, "10050-10150"),
        ({"width_ppm": 9_999}, "10000-10200"),
        ({"width_ticks": 50, "width_ppm": 10_000}, "10050-10150"),
        ({"width_ticks": 500, "width_ppm": 10_000}, "9999-10201"),
        ({"width_ticks": 3_000}, "8192-12287"),
        ({"width_ticks": 2**32 - 1}, "8192-12287"),
    ],
)
def test_width_of_the_band_around_a_reference(stock: Any, rule: dict[str, int], band: str) -> None:
    """The reference 10,100: its 9,999 millionths are 100.99, its 10,000 are 101. 100 below, 300 above as set."""
    stock.set_band(9_900, 10_300, reference_ticks=10_000)
    stock.set_windows(None, (0, 1_000, 4))
    stock.set_rule(ReferenceSource.WINDOW_MEAN, **rule)
    trade(stock, 10_100, 0)
    assert stock.advance(MS) == [f"BAND_MOVED {band}"]


def test_moved_reference_cancels_what_could_trade_outside(stock: Any) -> None:
    """The bid at 10,100 is above the new band of 5 ticks around 10,092; passive orders stay."""
    stock.set_band(9_900, 10_300, reference_ticks=10_000)
    stock.set_windows(None, (0, 1_000, 4))
    stock.set_rule(ReferenceSource.WINDOW_MEAN, width_ticks=5)
    trade(stock, 10_092, 0)
    stock.buy(0, 1, 10_100)
    stock.buy(1, 1, 10_050)
    stock.sell(2, 1, 10_200)
    assert stock.advance(MS) == ["CANCELED BAND_MOVED #0 1 left 0", "BAND_MOVED 10087-10097"]


def test_no_reference_without_a_band(stock: Any) -> None:
    stock.set_windows((1, 1_000, 1), (1, 1_000, 1))
    stock.set_rule(ReferenceSource.WINDOW_MEAN, width_ticks=10)
    trade(stock, 10_100, 0)
    assert stock.advance(MS) == []
    trade(stock, 11_000, MS)
    stock.call(0, 1_000)
    stock.buy(0, 1, 9_000)
    stock.sell(1, 1, 9_000)
    assert stock.advance(2 * MS)[-2:] == ["UNCROSSED 1@9000", "TRADING CALL_OVER instrument 0"]


# Dynamic bands: a long window of 60 minutes, a short one of seconds


def test_short_and_long_window_bind_at_once(stock: Any) -> None:
    """Static 9,000 to 11,000. Long, 60 minutes: 600 ticks. Short, 2 s in 500 ms: 50 ticks."""
    stock.set_band(9_000, 11_000, reference_ticks=10_000)
    stock.set_windows((50, 500_000, 4), (600, 60 * S_IN_US, 60))
    assert stock.buy(0, 1, 11_000, **IOC)[0] == "ACCEPTED #0 1@11000", "no trade, no dynamic band"
    trade(stock, 10_000, 0)
    # 9,950 to 10,050 by the short one.
    assert stock.buy(1, 1, 10_051) == ["REJECTED OUTSIDE_BAND"]
    assert stock.sell(1, 1, 9_949) == ["REJECTED OUTSIDE_BAND"]
    trade(stock, 10_050, 0)
    # Highest 10,050, lowest 10,000: 10,000 to 10,050.
    assert stock.sell(1, 1, 9_999) == ["REJECTED OUTSIDE_BAND"]
    stock.time_ns = 2 * S - 1
    assert stock.buy(1, 1, 10_051) == ["REJECTED OUTSIDE_BAND"]
    # After 2 s the bucket leaves: 9,450 to 10,600 by the long one.
    stock.time_ns = 2 * S
    assert stock.buy(1, 1, 10_601) == ["REJECTED OUTSIDE_BAND"]
    assert stock.sell(1, 1, 9_449) == ["REJECTED OUTSIDE_BAND"]
    assert stock.buy(1, 1, 10_600) == ["ACCEPTED #1 1@10600", "LIMIT LIMIT instrument 0"]
    # After 60 minutes the static one is left, and the bid is below its bound.
    assert stock.advance(3_600 * S) == ["TRADING LIMIT instrument 0"]
    assert stock.fields[0]["time_ns"] == str(3_600 * S)
    assert stock.buy(2, 1, 11_001) == ["REJECTED OUTSIDE_BAND"]


def test_bucket_by_bucket_the_window_forgets(market: Any) -> None:
    """Two buckets of 1 ms, 1 tick. 102 at 0, 103 at 1.5 ms: 102 leaves at 2 ms, 103 at 3 ms."""
    market.set_band(100, 107)
    market.set_windows((1, 1_000, 2))
    trade(market, 102, 0)
    trade(market, 103, 1_500 * US)
    assert market.buy(0, 1, 104) == ["REJECTED OUTSIDE_BAND"]
    market.time_ns = 2 * MS
    assert market.buy(0, 1, 105) == ["REJECTED OUTSIDE_BAND"]
    assert market.buy(0, 1, 104)[0] == "ACCEPTED #0 1@104"
    market.time_ns = 3 * MS - 1
    assert market.buy(1, 1, 105) == ["REJECTED OUTSIDE_BAND"]
    market.time_ns = 3 * MS
    assert market.buy(1, 1, 105) == ["TRADING LIMIT instrument 0", "ACCEPTED #1 1@105"]
    assert market.appliance.next_deadline_ns is None


def test_an_order_reaches_as_far_as_the_width(market: Any) -> None:
    """Width 3. The taker trades at 101 and 104; behind it the band is 101 to 104."""
    market.set_band(100, 107)
    market.set_windows((3, 1_000, 1))
    market.sell(0, 1, 101)
    market.sell(1, 1, 104)
    assert market.buy(2, 2, 104)[1:] == ["TRADE 1@101 #2 left 1 #0 left 0", "TRADE 1@104 #2 left 0 #1 left 0"]
    assert market.sell(3, 1, 100) == ["REJECTED OUTSIDE_BAND"]
    assert market.buy(3, 1, 105) == ["REJECTED OUTSIDE_BAND"]


def test_what_is_beyond_an_orders_reach_is_canceled(market: Any) -> None:
    """Width 2. A buy at 104 meets 101 first and trades up to 103; at 104 its rest would be beyond the band then."""
    market.set_band(100, 107)
    market.set_windows((2, 1_000, 1))
    market.sell(0, 1, 101)
    market.sell(1, 1, 104)
    assert market.buy(2, 3, 104)[1:] == ["TRADE 1@101 #2 left 2 #0 left 0", "CANCELED BAND_MOVED #2 2 left 0"]
    assert market.book(Side.BUY) == []
    assert market.buy(3, 1, 104) == ["REJECTED OUTSIDE_BAND"]


def test_within_its_reach_an_order_rests(market: Any) -> None:
    market.set_band(100, 107)
    market.set_windows((2, 1_000, 1))
    market.sell(0, 1, 101)
    assert market.buy(2, 3, 103)[1:] == ["TRADE 1@101 #2 left 2 #0 left 0", "LIMIT LIMIT instrument 0"]
    assert market.book(Side.BUY) == ["#2 2@103"]


def test_reach_of_a_sell_of_the_lesser_width(market: Any) -> None:
    """Widths 4 and 2. A sell at 101 meets 106 first and trades down to 104."""
    market.set_band(100, 107)
    market.set_windows((4, 1_000, 1), (2, 1_000, 1))
    for token, price in ((0, 106), (1, 104), (2, 103)):
        market.buy(token, 1, price)
    reports = market.sell(3, 3, 101)
    assert reports[1:4] == [
        "TRADE 1@106 #3 left 2 #0 left 0",
        "TRADE 1@104 #3 left 1 #1 left 0",
        "CANCELED BAND_MOVED #3 1 left 0",
    ]


def test_reach_of_immediate_orders(market: Any) -> None:
    market.set_band(100, 107)
    market.set_windows((2, 1_000, 1))
    market.sell(0, 1, 101)
    market.sell(1, 1, 104)
    fok = market.buy(2, 2, 104, time_in_force=TimeInForce.FOK.value)
    assert fok[1:] == ["CANCELED NOT_FILLABLE #2 2 left 0"]
    ioc = market.buy(2, 2, 104, generation=2, time_in_force=TimeInForce.IOC.value)
    assert ioc[1:] == ["TRADE 1@101 #2 left 1 #0 left 0", "CANCELED IMMEDIATE_REST #2 1 left 0"]


def test_a_replace_has_a_reach_too(market: Any) -> None:
    market.set_band(100, 107)
    market.set_windows((2, 1_000, 1))
    market.buy(2, 3, 100)
    market.sell(0, 1, 101)
    market.sell(1, 1, 104)
    replaced = market.replace(2, Side.BUY, 3, 104)
    assert replaced[1:] == ["TRADE 1@101 #2 left 2 #0 left 0", "CANCELED BAND_MOVED #2 2 left 0"]


def test_policy_halt_trips_at_an_orders_reach(market: Any) -> None:
    market.set_band(100, 107, BandPolicy.HALT)
    market.set_windows((2, 1_000, 1))
    market.sell(0, 1, 101)
    market.buy(2, 3, 104)
    assert market.advance(MS) == ["HALTED LIMIT instrument 0"]


def test_clamping_and_market_orders_follow_the_band_in_force(market: Any) -> None:
    market.set_band(100, 107, BandPolicy.CLAMP)
    market.set_windows((1, 1_000, 1))
    trade(market, 103, 0)
    assert market.buy(0, 1, 107)[0] == "ACCEPTED #0 1@104"
    assert market.sell(1, 1, 0, **MARKET)[0] == "ACCEPTED #1 1@102"


def test_static_band_that_parts_from_the_windows_empties_both(market: Any) -> None:
    market.set_band(100, 107)
    market.set_windows((1, 1_000, 4), (5, 2_000, 4))
    trade(market, 101, 0)
    assert market.set_band(102, 104) == ["BAND_MOVED 102-104"]
    assert market.appliance.next_deadline_ns == MS, "102 is in common"
    assert market.set_band(103, 104) == ["BAND_MOVED 103-104"]
    assert market.appliance.next_deadline_ns is None


def test_windows_alone_make_no_band(market: Any) -> None:
    market.set_windows((1, 1_000, 4))
    trade(market, 101, 0)
    assert market.buy(0, 1, 107) == ["ACCEPTED #0 1@107"]
    assert market.buy(1, 1, 0, **MARKET) == ["REJECTED NO_BAND"]


def test_setting_the_windows_empties_them(market: Any) -> None:
    market.set_band(100, 107)
    market.set_windows((1, 1_000, 4))
    trade(market, 101, 0)
    market.set_windows((1, 1_000, 4))
    assert market.appliance.next_deadline_ns is None
    assert market.buy(0, 1, 107)[0] == "ACCEPTED #0 1@107"


def test_auction_empties_the_windows_and_its_price_is_their_first_trade(market: Any) -> None:
    """Static 101 to 102, auction band 98 to 105, dynamic width 1.

    105 stands outside the static band that was, but that is around 105 by now: the windows hold it.
    """
    market.set_breaker()
    market.set_band(101, 102)
    market.set_rule(auction_width_ticks=3, width_ticks=2)
    market.set_windows((1, 1_000, 4))
    trade(market, 101, 0)
    market.call()
    market.buy(0, 1, 105)
    market.sell(1, 1, 105)
    assert market.advance(MS) == [
        "TRADE 1@105 #0 left 0 #1 left 0",
        "UNCROSSED 1@105",
        "BAND_MOVED 103-107",
        "TRADING CALL_OVER instrument 0",
    ]
    assert market.buy(0, 1, 107, generation=2) == ["REJECTED OUTSIDE_BAND"], "104 to 106 are left"
    assert market.appliance.next_deadline_ns == 2 * MS


# Policy halt


@pytest.fixture
def halting(market: Any) -> Any:
    """Band 102 to 105, policy *halt*, a limit state of 5 ms, a halt of 2 ms."""
    market.set_breaker(limit=5_000, halt=2_000)
    market.set_band(102, 105, BandPolicy.HALT)
    return market


def test_policy_halt_clamps_and_halts_after_a_millisecond(halting: Any) -> None:
    assert halting.buy(0, 1, 107) == ["ACCEPTED #0 1@105", "LIMIT LIMIT instrument 0 until 1000000"]
    assert halting.advance(MS - 1) == []
    assert halting.advance(MS) == ["HALTED LIMIT instrument 0 until 3000000"]


def test_nothing_takes_a_trip_back(halting: Any) -> None:
    halting.buy(0, 1, 107)
    assert halting.cancel(0) == ["CANCELED REQUESTED #0 1 left 0", "TRADING LIMIT instrument 0 until 1000000"]
    halting.set_band(102, 106, BandPolicy.REJECT)
    assert halting.buy(1, 1, 106)[1] == "LIMIT LIMIT instrument 0 until 1000000"
    assert halting.advance(MS) == ["HALTED LIMIT instrument 0 until 3000000"]


@pytest.mark.parametrize(
    ("order", "trips"),
    [
        ({"price_ticks": 105, **IOC}, True),
        ({"price_ticks": 107, **IOC}, True),
        ({"price_ticks": 0, **MARKET}, True),
        ({"price_ticks": 104, **IOC}, False),
        ({"price_ticks": 105, "time_in_force": TimeInForce.FOK.value}, False),
    ],
    ids=str,
)
def test_what_is_left_of_an_immediate_order_at_the_bound_trips(
    halting: Any, order: dict[str, int], trips: bool
) -> None:
    halting.buy(0, 2, **{"price": order.pop("price_ticks"), **order})
    assert halting.advance(MS) == (["HALTED LIMIT instrument 0 until 3000000"] if trips else [])


def test_an_immediate_order_that_is_filled_does_not_trip(halting: Any) -> None:
    halting.sell(0, 1, 104)
    halting.buy(1, 1, 105, **IOC)
    assert halting.advance(MS) == []


def test_other_policies_do_not_trip(halting: Any) -> None:
    halting.set_band(102, 105, BandPolicy.CLAMP)
    halting.buy(0, 1, 107, **IOC)
    assert halting.advance(MS) == []


# States


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


# Calls


def test_random_end(market: Any) -> None:
    market.set_breaker(call=1_000)
    assert market.set_call_end(250) == ["DONE 0"]
    assert market.call()[0] == "CALL OPERATOR instrument 0 until 1250000"
    market.set_call_end(700)
    assert market.appliance.next_deadline_ns == 1_700 * US, "instead of what was added"
    market.time_ns = 1_400 * US
    market.set_call_end(0)
    assert market.advance(1_400 * US) == ["UNCROSSED nothing", "TRADING CALL_OVER instrument 0"], "its stamp"
    assert market.fields[-1]["time_ns"] == str(1_400 * US)
    market.set_call_end(1)
    assert market.call(0, 2_000)[0] == "CALL OPERATOR instrument 0 until 3401000"


def test_each_extension_widens_the_auction_band(market: Any) -> None:
    """Static 100 to 101; both trade at 106. Widths of 2: 103, 105, 107."""
    market.set_breaker(call=1_000, extension=2_000)
    market.set_rule(auction_width_ticks=2)
    market.set_band(100, 101)
    market.call()
    market.buy(0, 1, 106)
    market.sell(1, 1, 106)
    assert market.advance(MS) == ["CALL EXTENDED instrument 0 until 3000000"]
    assert market.advance(3 * MS) == ["CALL EXTENDED instrument 0 until 5000000"]
    assert market.advance(5 * MS)[:2] == ["TRADE 1@106 #0 left 0 #1 left 0", "UNCROSSED 1@106"]
    market.set_band(100, 101)
    market.call()
    market.buy(0, 1, 106, generation=2)
    market.sell(1, 1, 106, generation=2)
    assert market.advance(6 * MS) == ["CALL EXTENDED instrument 0 until 8000000"], "the next call begins anew"


@pytest.mark.parametrize(("price", "extended"), [(101, True), (102, False), (105, False), (106, True)])
def test_auction_band_holds_its_bounds(market: Any, price: int, extended: bool) -> None:
    market.set_breaker()
    market.set_rule(auction_width_ticks=1)
    market.set_band(103, 104)
    market.call()
    market.buy(0, 1, price)
    market.sell(1, 1, price)
    assert market.advance(MS)[0].startswith("CALL EXTENDED" if extended else "TRADE")


def test_extension_that_is_not_set_lasts_until_told(market: Any) -> None:
    market.set_band(100, 101)
    market.call(0, 1_000)
    market.buy(0, 1, 106)
    market.sell(1, 1, 106)
    assert market.advance(MS) == ["CALL EXTENDED instrument 0"]
    assert market.appliance.next_deadline_ns is None


# Batch


def test_batch_trades_by_auctions_alone(market: Any) -> None:
    """No limit state, and nothing trips; the reference moves only if the rule says so."""
    market.halt(0)
    market.set_breaker(TradingMode.BATCH, call=1_000, limit=1_000)
    market.set_band(101, 106, BandPolicy.HALT)
    assert market.resume(0) == ["CALL OPERATOR instrument 0 until 1000000", "DONE 1"]
    assert market.buy(0, 1, 106) == ["ACCEPTED #0 1@106"]
    assert market.buy(1, 1, 0, **MARKET) == ["ACCEPTED #1 1@106"]
    market.sell(2, 1, 103)
    # 103 to 106: 2 and 1: the highest.
    assert market.advance(2 * MS) == [
        "TRADE 1@106 #0 left 0 #2 left 0",
        "UNCROSSED 1@106, BUY 1 left",
        "CANCELED IMMEDIATE_REST #1 1 left 0",
        "BAND_MOVED 101-106",
        "CALL CALL_OVER instrument 0 until 2000000",
        "UNCROSSED nothing",
        "BAND_MOVED 101-106",
        "CALL CALL_OVER instrument 0 until 3000000",
    ]


def test_reference_of_a_batch_follows_its_auctions_by_the_rule(market: Any) -> None:
    market.halt(0)
    market.set_breaker(TradingMode.BATCH)
    market.set_band(102, 106, reference_ticks=104)
    market.set_rule(ReferenceSource.AUCTION, width_ticks=2)
    market.resume(0)
    market.buy(0, 1, 105)
    market.sell(1, 1, 105)
    assert "BAND_MOVED 103-107" in market.advance(MS)


def test_mode_changes_only_where_the_instrument_could_be_set(market: Any) -> None:
    assert market.set_breaker(TradingMode.BATCH) == ["REJECTED INSTRUMENT_ACTIVE"]
    assert market.set_breaker(TradingMode.CONTINUOUS) == ["DONE 0"]
    market.buy(0, 1, 102)
    market.halt(0)
    assert market.set_breaker(TradingMode.BATCH) == ["REJECTED INSTRUMENT_ACTIVE"]
    market.cancel(0)
    assert market.set_breaker(TradingMode.BATCH) == ["DONE 0"]
    market.resume(0)
    assert market.set_breaker(TradingMode.BATCH, call=2_000) == ["DONE 0"]
    assert market.set_breaker(TradingMode.CONTINUOUS) == ["REJECTED INSTRUMENT_ACTIVE"]


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


# The window moves


def test_window_moves_up(market: Any) -> None:
    """100 to 107 becomes 103 to 110. Bids first, the best first, the first in the queue first."""
    for token, price in enumerate((101, 102, 102, 103)):
        market.buy(token, 1, price)
    market.sell(4, 1, 105)
    before = market.balance()
    assert market.move_window(103) == [
        "CANCELED WINDOW_MOVED #1 1 left 0",
        "CANCELED WINDOW_MOVED #2 1 left 0",
        "CANCELED WINDOW_MOVED #0 1 left 0",
        "DONE 3",
    ]
    assert market.balance() == before + 305_000
    assert market.book(Side.BUY) == ["#3 1@103"]
    assert market.buy(0, 1, 102, generation=2) == ["REJECTED OUTSIDE_WINDOW"]
    assert market.sell(0, 1, 110, generation=2) == ["ACCEPTED #0 1@110"]
    assert market.buy(1, 1, 105, generation=2)[1] == "TRADE 1@105 #1 left 0 #4 left 0"


def test_window_moves_down(market: Any) -> None:
    market.buy(0, 1, 103)
    market.sell(1, 1, 106)
    market.sell(2, 1, 105)
    assert market.move_window(97) == [
        "CANCELED WINDOW_MOVED #2 1 left 0",
        "CANCELED WINDOW_MOVED #1 1 left 0",
        "DONE 2",
    ]
    assert market.buy(3, 1, 97) == ["ACCEPTED #3 1@97"]


@pytest.mark.parametrize("base", [0, 92, 108, 2**32 - 8])
def test_window_moves_away_altogether(market: Any, base: int) -> None:
    market.buy(0, 1, 103)
    market.sell(1, 1, 106)
    market.grant(0, 2**45)
    assert market.move_window(base)[-1] == "DONE 2"
    assert market.buy(0, 1, base, generation=2) == [f"ACCEPTED #0 1@{base}"]


@pytest.mark.parametrize(("base", "inside"), [(96, False), (97, True), (102, True), (103, False)])
def test_band_must_lie_in_the_window_that_moves(market: Any, base: int, inside: bool) -> None:
    market.set_band(102, 104)
    assert market.move_window(base) == (["DONE 0"] if inside else ["REJECTED OUTSIDE_WINDOW"])


def test_window_ends_at_the_highest_price(market: Any) -> None:
    assert market.move_window(2**32 - 7) == ["REJECTED OUTSIDE_WINDOW"]
    assert market.move_window(2**32 - 8) == ["DONE 0"]


def test_window_moves_during_a_call(market: Any) -> None:
    market.call(0, 1_000)
    market.buy(0, 1, 107)
    market.sell(1, 1, 102)
    assert market.move_window(103) == ["CANCELED WINDOW_MOVED #1 1 left 0", "DONE 1"]
    assert market.advance(MS) == ["UNCROSSED nothing", "TRADING CALL_OVER instrument 0"]


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
    trade(market, 104, MS)
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
    trade(market, 102, 0)
    market.halt(0, duration_us=1_000)
    assert market.set_instrument(0) == ["DONE 0"]
    assert market.appliance.next_deadline_ns is None
    assert market.call()[0] == "CALL OPERATOR instrument 0"
