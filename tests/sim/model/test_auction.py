"""Auctions worked out by hand: price, volume and surplus, then who trades with whom and what is reported.

A table shows what bids and asks would trade at each price that matters: bids at it or higher, asks at it or lower.
"""

from typing import Any

import pytest

from bandgap.hdl.protocol.commands import BandPolicy, Opcode, OrderType, ReferenceSource, Side, TimeInForce, TradingMode
from bandgap.sim.model.auction import Clearing, clear
from bandgap.sim.model.commands import Side as ModelSide

BUY, SELL = ModelSide.BUY, ModelSide.SELL
MARKET = {"order_type": OrderType.MARKET.value, "time_in_force": TimeInForce.IOC.value}
IOC = {"time_in_force": TimeInForce.IOC.value}
MS = 1_000_000

Levels = dict[int, int]

PRICES: dict[str, tuple[Levels, Levels, int, Clearing | None]] = {
    # 198: 700 bids, 100 asks; 199: 700, 300; 200: 700, 700; 201: 400, 700; 202: 200, 700.
    "the check of the specification": (
        {202: 200, 201: 200, 200: 300},
        {198: 100, 199: 200, 200: 400},
        0,
        Clearing(200, 700, 0, None),
    ),
    "one order a side at one price": ({100: 10}, {100: 10}, 0, Clearing(100, 10, 0, None)),
    "at the price of zero": ({0: 3}, {0: 2}, 0, Clearing(0, 2, 1, BUY)),
    # Nobody would trade.
    "no order": ({}, {}, 100, None),
    "bids alone": ({100: 10, 99: 3}, {}, 100, None),
    "asks alone": ({}, {100: 10}, 100, None),
    "not crossed": ({99: 10}, {100: 10}, 100, None),
    # 100 to 105: 10 and 10. Nothing is left at any, so the reference decides.
    "balanced, reference below": ({105: 10}, {100: 10}, 95, Clearing(100, 10, 0, None)),
    "balanced, reference at the lowest": ({105: 10}, {100: 10}, 100, Clearing(100, 10, 0, None)),
    "balanced, reference inside": ({105: 10}, {100: 10}, 103, Clearing(103, 10, 0, None)),
    "balanced, reference at the highest": ({105: 10}, {100: 10}, 105, Clearing(105, 10, 0, None)),
    "balanced, reference above": ({105: 10}, {100: 10}, 110, Clearing(105, 10, 0, None)),
    "balanced, no band": ({105: 10}, {100: 10}, 0, Clearing(100, 10, 0, None)),
    # 100 and 101: 1 and 1.
    "balanced, adjacent ticks, the lower": ({101: 1}, {100: 1}, 100, Clearing(100, 1, 0, None)),
    "balanced, adjacent ticks, the upper": ({101: 1}, {100: 1}, 101, Clearing(101, 1, 0, None)),
    # 101 and 102: 10 and 10; what stands far away changes nothing.
    "levels that do not cross": ({102: 10, 50: 99}, {101: 10, 150: 99}, 102, Clearing(102, 10, 0, None)),
    # 100 to 105: 10 and 4, so 6 bids are left at each: the highest.
    "bids left at all": ({105: 10}, {100: 4}, 100, Clearing(105, 4, 6, BUY)),
    # 100 to 105: 4 and 10, so 6 asks are left at each: the lowest.
    "asks left at all": ({105: 4}, {100: 10}, 105, Clearing(100, 4, 6, SELL)),
    # 199 to 201: 600 and 500; 202: 400 and 500.
    "bids left at the most volume": ({202: 400, 201: 200}, {199: 300, 198: 200}, 0, Clearing(201, 500, 100, BUY)),
    # 198: 500 and 200; 199 to 201: 500 and 600; 202: 300 and 600.
    "asks left at the most volume": ({202: 300, 201: 200}, {199: 400, 198: 200}, 999, Clearing(199, 500, 100, SELL)),
    # 100: 7 and 5, 2 bids left; 101: 5 and 7, 2 asks left. Two ticks in the middle.
    "mixed, reference at the lower tick": ({101: 5, 100: 2}, {100: 5, 101: 2}, 100, Clearing(100, 5, 2, BUY)),
    "mixed, reference at the upper tick": ({101: 5, 100: 2}, {100: 5, 101: 2}, 101, Clearing(101, 5, 2, SELL)),
    # 100 to 104: 7 and 5; 105 to 110: 5 and 7. The two in the middle are 104 and 105, however far the reference.
    "mixed, reference far below": ({110: 5, 104: 2}, {100: 5, 105: 2}, 1, Clearing(104, 5, 2, BUY)),
    "mixed, reference far above": ({110: 5, 104: 2}, {100: 5, 105: 2}, 999, Clearing(105, 5, 2, SELL)),
    # 100 and 101: 5 trade; 102: 10 and 10. More volume wins, although the reference is elsewhere.
    "volume before all": ({102: 10, 100: 10}, {100: 5, 102: 5}, 100, Clearing(102, 10, 0, None)),
    # 100 and 101: 10 and 4, 6 left; 102 and 103: 5 and 4, 1 left. The least surplus, then the highest.
    "least surplus, of bids": ({103: 5, 101: 5}, {100: 4}, 100, Clearing(103, 4, 1, BUY)),
    # 100 and 101: 4 and 5, 1 left; 102 and 103: 4 and 10, 6 left. The least surplus, then the lowest.
    "least surplus, of asks": ({103: 4}, {100: 5, 102: 5}, 103, Clearing(100, 4, 1, SELL)),
    # 100: 450 and 120; 101: 450 and 250; 102: 250 and 430; 103: 100 and 430. 250 at 101 and 102; fewer are left at 102.
    "least surplus, bids here and asks there": (
        {103: 100, 102: 150, 101: 200},
        {100: 120, 101: 130, 102: 180},
        101,
        Clearing(102, 250, 180, SELL),
    ),
    # Market orders stand at the bounds 90 and 110: 90 to 110 are balanced.
    "market orders alone": ({110: 10}, {90: 10}, 100, Clearing(100, 10, 0, None)),
    # 101 and 102: 10 and 3; 103 to 110: 10 and 7, 3 left at each. Market pressure takes the price to the bound.
    "a market order that is not filled": ({110: 10}, {101: 3, 103: 4}, 100, Clearing(110, 7, 3, BUY)),
    # 90 to 99: 4 and 9, 5 left; 100 to 110: 2 and 9. The market sell is not filled, so the lower bound it is.
    "a market order that sells": ({99: 2, 110: 2}, {90: 9}, 100, Clearing(90, 4, 5, SELL)),
    "more than 32 bits": ({100: 2**33}, {100: 2**33 + 5}, 0, Clearing(100, 2**33, 5, SELL)),
}


@pytest.mark.parametrize("name", PRICES)
def test_price(name: str) -> None:
    bids, asks, reference_ticks, expected = PRICES[name]
    assert clear(bids, asks, reference_ticks) == expected


def test_best_orders_trade_first_each_pair_for_the_smaller_quantity(market: Any) -> None:
    """102 and 103: 8 and 8. Bids 5@104, 3@103; asks 2@101, then 4@102 before 2@102."""
    market.call(0, 1_000)
    market.buy(0, 3, 103)
    market.buy(1, 5, 104)
    market.sell(2, 4, 102)
    market.sell(3, 2, 101)
    assert market.sell(4, 2, 102) == ["ACCEPTED #4 2@102"]
    assert market.advance(MS) == [
        "TRADE 2@102 #1 left 3 #3 left 0",
        "TRADE 3@102 #1 left 0 #2 left 1",
        "TRADE 1@102 #0 left 2 #2 left 0",
        "TRADE 2@102 #0 left 0 #4 left 0",
        "UNCROSSED 8@102",
        "TRADING CALL_OVER instrument 0",
    ]
    assert [fields["side"] for fields in market.fields[:4]] == ["-"] * 4
    assert [fields["flags"] for fields in market.fields] == ["-"] * 5 + ["LAST"]
    assert (market.fields[4]["trades"], market.fields[4]["command_number"]) == ("4", "0")


def test_what_is_left_goes_on_in_the_book(market: Any) -> None:
    """103 to 105: 9 and 4, 5 bids left: at the highest. The first in the queue at 105 is filled first."""
    market.call(0, 1_000)
    market.buy(0, 3, 105)
    market.buy(1, 6, 105)
    market.sell(2, 4, 103)
    assert market.advance(MS)[-2:] == ["UNCROSSED 4@105, BUY 5 left", "TRADING CALL_OVER instrument 0"]
    assert market.book(Side.BUY) == ["#1 5@105"]
    assert market.sell(3, 5, 105) == ["ACCEPTED #3 5@105", "TRADE 5@105 #3 left 0 #1 left 0"]


def test_nothing_trades(market: Any) -> None:
    market.call(0, 1_000)
    market.buy(0, 3, 102)
    market.sell(1, 3, 103)
    assert market.advance(MS) == ["UNCROSSED nothing", "TRADING CALL_OVER instrument 0"]
    assert market.fields[0]["price_ticks"] == market.fields[0]["trades"] == "0"


def test_self_trade_prevention_does_not_apply(market: Any) -> None:
    market.call(0, 1_000)
    market.buy(0, 3, 103, self_trade_prevention=4)
    market.sell(1, 3, 103, self_trade_prevention=4)
    assert market.advance(MS)[0] == "TRADE 3@103 #0 left 0 #1 left 0"


def test_market_orders_collect_at_their_bounds_and_do_not_outlive_the_auction(market: Any) -> None:
    """Band 101 to 106, reference 101. 103 to 106: 7 and 3 (the market buys 4 and 3): the highest, 106."""
    market.set_band(101, 106)
    market.call(0, 1_000)
    assert market.buy(5, 4, 0, **MARKET) == ["ACCEPTED #5 4@106"]
    assert market.buy(2, 3, 0, **MARKET) == ["ACCEPTED #2 3@106"]
    assert market.sell(1, 3, 103) == ["ACCEPTED #1 3@103"]
    before = market.balance()
    assert market.advance(MS) == [
        "TRADE 3@106 #5 left 1 #1 left 0",
        "UNCROSSED 3@106, BUY 4 left",
        "CANCELED IMMEDIATE_REST #2 3 left 0",
        "CANCELED IMMEDIATE_REST #5 1 left 0",
        "BAND_MOVED 106-107",
        "TRADING CALL_OVER instrument 0",
    ]
    assert market.balance() == before + 4 * 106_000


def test_market_orders_are_canceled_although_nothing_trades(market: Any) -> None:
    market.set_band(101, 106)
    market.call(0, 1_000)
    market.sell(1, 3, 0, **MARKET)
    assert market.advance(MS)[:2] == ["UNCROSSED nothing", "CANCELED IMMEDIATE_REST #1 3 left 0"]


def test_market_order_that_is_replaced_in_place_stays_one(market: Any) -> None:
    """One that loses its place is a limit order from then on."""
    market.set_band(101, 106)
    market.call(0, 1_000)
    market.buy(0, 3, 0, **MARKET)
    market.buy(1, 3, 0, **MARKET)
    assert market.replace(0, Side.BUY, 2, 106) == ["REPLACED #0 2@106"]
    assert market.replace(1, Side.BUY, 2, 105) == ["REPLACED #1 2@105"]
    assert market.advance(MS) == [
        "UNCROSSED nothing",
        "CANCELED IMMEDIATE_REST #0 2 left 0",
        "BAND_MOVED 101-106",
        "TRADING CALL_OVER instrument 0",
    ]
    assert market.book(Side.BUY) == ["#1 2@105"]


def test_levels_are_told_behind_each_trade_bid_first(market: Any) -> None:
    market.halt(0)
    market.set_instrument(0, depth=True, top_of_book=True)
    market.call(0, 1_000)
    market.buy(0, 5, 104)
    market.sell(1, 2, 103)
    market.sell(2, 3, 104)
    # 104: 5 and 5.
    assert market.advance(MS) == [
        "TRADE 2@104 #0 left 3 #1 left 0",
        "LEVEL BUY 3@104",
        "LEVEL SELL 0@103",
        "TRADE 3@104 #0 left 0 #2 left 0",
        "LEVEL BUY 0@104",
        "LEVEL SELL 0@104",
        "UNCROSSED 5@104",
        "TRADING CALL_OVER instrument 0",
        "TOP instrument 0 0@0 0@0",
    ]


def test_orders_collect(market: Any) -> None:
    """Nothing matches, in whatever way an order comes; a resting post-only order may cross."""
    market.call(0, 1_000)
    market.sell(0, 3, 102)
    assert market.buy(1, 3, 105) == ["ACCEPTED #1 3@105"]
    for how in (IOC, {"time_in_force": TimeInForce.FOK.value}, {"post_only": True}):
        assert market.buy(2, 3, 100, **how) == ["REJECTED AUCTION_CALL"]
    assert market.replace(1, Side.BUY, 4, 106) == ["REPLACED #1 4@106"]
    assert market.cancel(0) == ["CANCELED REQUESTED #0 3 left 0"]
    assert market.book(Side.BUY) == ["#1 4@106"]


def test_post_only_order_may_be_replaced_to_any_price_in_a_call(market: Any) -> None:
    market.buy(0, 3, 101, post_only=True)
    market.sell(1, 3, 104)
    assert market.replace(0, Side.BUY, 3, 104) == ["REJECTED POST_ONLY"]
    market.call(0, 1_000)
    assert market.replace(0, Side.BUY, 3, 105) == ["REPLACED #0 3@105"]
    assert market.advance(MS)[0] == "TRADE 3@104 #0 left 0 #1 left 0"


def test_window_alone_bounds_limit_orders_in_a_call(market: Any) -> None:
    """What the band then would let trade outside is canceled: bids, then asks."""
    market.set_band(102, 104)
    market.call(0, 1_000)
    assert market.buy(0, 1, 107) == ["ACCEPTED #0 1@107"]
    assert market.sell(2, 1, 101) == ["ACCEPTED #2 1@101"]
    assert market.sell(1, 1, 99) == ["REJECTED OUTSIDE_WINDOW"]
    market.cancel(2)
    market.sell(3, 1, 100, account=1)
    market.sell(4, 2, 100, account=1)
    # 100 to 107: 1 and 3, 2 asks left: the lowest, 100. That is outside the auction band 102 to 104.
    assert market.advance(MS)[0] == "CALL EXTENDED instrument 0"


def test_band_follows_the_price_and_cancels_what_it_parts_from(market: Any) -> None:
    """Band 102 to 104, of half width 1 from now on. 103 and 104: 2 and 2; the reference 102 takes 103."""
    market.set_breaker()
    market.set_band(102, 104)
    market.set_rule(ReferenceSource.HOST, width_ticks=1)
    market.call()
    market.buy(0, 2, 104)
    market.sell(1, 2, 103)
    market.buy(2, 1, 102)
    assert market.advance(MS) == [
        "TRADE 2@103 #0 left 0 #1 left 0",
        "UNCROSSED 2@103",
        "BAND_MOVED 102-104",
        "TRADING CALL_OVER instrument 0",
    ]


def test_what_is_left_outside_the_band_is_canceled_although_nothing_trades(market: Any) -> None:
    """Band 102 to 104. 104: 3 and 2; 105 to 107: 2 and 2. The reference 102 takes 105: an extension.

    Then nothing crosses any more; the bid at 107 goes, and that at 104 is the best, at its bound.
    """
    market.set_breaker()
    market.set_band(102, 104)
    market.call()
    market.buy(3, 2, 107)
    market.buy(4, 1, 104)
    market.sell(5, 2, 104)
    assert market.advance(MS) == ["CALL EXTENDED instrument 0 until 2000000"]
    market.cancel(5)
    assert market.advance(2 * MS) == [
        "UNCROSSED nothing",
        "CANCELED BAND_MOVED #3 2 left 0",
        "BAND_MOVED 102-104",
        "TRADING CALL_OVER instrument 0",
        "LIMIT LIMIT instrument 0",
    ]


def test_batch_checks_the_band_while_orders_collect(market: Any) -> None:
    market.halt(0)
    market.set_breaker(TradingMode.BATCH)
    market.set_band(102, 104, BandPolicy.CLAMP)
    market.resume(0)
    assert market.buy(0, 1, 107) == ["ACCEPTED #0 1@104"]
    assert market.sell(1, 1, 100) == ["ACCEPTED #1 1@102"]


def test_indicative_tells_what_the_auction_would_do(market: Any) -> None:
    market.set_breaker(call=3_000, indicative=1_000)
    market.set_band(102, 103)
    market.call()
    market.buy(0, 5, 106)
    assert market.advance(MS) == ["INDICATIVE nothing"]
    market.sell(1, 4, 105)
    # 105 and 106: 5 and 4, 1 bid left: 106, whatever the auction band.
    assert market.advance(2 * MS) == ["INDICATIVE 4@106, BUY 1 left"]
    assert market.fields[0]["trades"] == "0"
    assert market.book(Side.BUY) == ["#0 5@106"]
    # The end of the call comes before the third, which the extension brings.
    assert market.advance(3 * MS) == ["CALL EXTENDED instrument 0 until 4000000", "INDICATIVE 4@106, BUY 1 left"]


def test_indicative_period_may_change_during_a_call(market: Any) -> None:
    market.set_breaker(call=9_000, indicative=1_000)
    market.call()
    market.set_breaker(indicative=2_000)
    assert market.advance(2 * MS) == ["INDICATIVE nothing"], "the one under way ends as it began"
    market.set_breaker()
    assert market.advance(8 * MS) == ["INDICATIVE nothing"], "the last: a period of zero is none"
    assert market.fields[0]["time_ns"] == str(3 * MS)


def test_credit_of_an_auction_is_that_of_any_fill(market: Any) -> None:
    """A fill returns nothing, not even the better price."""
    market.call(0, 1_000)
    before = market.balance()
    market.buy(0, 2, 105)
    market.sell(1, 2, 103, account=1)
    market.advance(MS)
    assert market.balance() == before - 2 * 105_000
    assert market.send(Opcode.MASS_CANCEL, account=0) == ["DONE 0"]
