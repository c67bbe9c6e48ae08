"""Auction calls: how long they last, how far they may trade; and markets that trade by auctions alone."""

from typing import Any

import pytest

from bandgap.hdl.protocol.commands import BandPolicy, OrderType, ReferenceSource, TimeInForce, TradingMode

MARKET = {"order_type": OrderType.MARKET.value, "time_in_force": TimeInForce.IOC.value}
US = 1_000
MS = 1_000_000


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
