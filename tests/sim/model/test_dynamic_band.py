"""The circuit breaker's rolling windows: a long one of 60 minutes, a short one of seconds."""

from typing import Any

from bandgap.hdl.protocol.commands import BandPolicy, OrderType, Side, TimeInForce

MARKET = {"order_type": OrderType.MARKET.value, "time_in_force": TimeInForce.IOC.value}
IOC = {"time_in_force": TimeInForce.IOC.value}
US = 1_000
MS = 1_000_000
S = 1_000_000_000
S_IN_US = 1_000_000


def test_short_and_long_window_bind_at_once(stock: Any) -> None:
    """Static 9,000 to 11,000. Long, 60 minutes: 600 ticks. Short, 2 s in 500 ms: 50 ticks."""
    stock.set_band(9_000, 11_000, reference_ticks=10_000)
    stock.set_windows((50, 500_000, 4), (600, 60 * S_IN_US, 60))
    assert stock.buy(0, 1, 11_000, **IOC)[0] == "ACCEPTED #0 1@11000", "no trade, no dynamic band"
    stock.trade(10_000, 0)
    # 9,950 to 10,050 by the short one.
    assert stock.buy(1, 1, 10_051) == ["REJECTED OUTSIDE_BAND"]
    assert stock.sell(1, 1, 9_949) == ["REJECTED OUTSIDE_BAND"]
    stock.trade(10_050, 0)
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
    market.trade(102, 0)
    market.trade(103, 1_500 * US)
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
    market.trade(103, 0)
    assert market.buy(0, 1, 107)[0] == "ACCEPTED #0 1@104"
    assert market.sell(1, 1, 0, **MARKET)[0] == "ACCEPTED #1 1@102"


def test_static_band_that_parts_from_the_windows_empties_both(market: Any) -> None:
    market.set_band(100, 107)
    market.set_windows((1, 1_000, 4), (5, 2_000, 4))
    market.trade(101, 0)
    assert market.set_band(102, 104) == ["BAND_MOVED 102-104"]
    assert market.appliance.next_deadline_ns == MS, "102 is in common"
    assert market.set_band(103, 104) == ["BAND_MOVED 103-104"]
    assert market.appliance.next_deadline_ns is None


def test_windows_alone_make_no_band(market: Any) -> None:
    market.set_windows((1, 1_000, 4))
    market.trade(101, 0)
    assert market.buy(0, 1, 107) == ["ACCEPTED #0 1@107"]
    assert market.buy(1, 1, 0, **MARKET) == ["REJECTED NO_BAND"]


def test_setting_the_windows_empties_them(market: Any) -> None:
    market.set_band(100, 107)
    market.set_windows((1, 1_000, 4))
    market.trade(101, 0)
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
    market.trade(101, 0)
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
