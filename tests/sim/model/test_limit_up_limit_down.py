"""Limit up, limit down: 5 % around 100.00, limit state of 15 s, halt of 5 minutes, mean of 5 minutes, 1 %, 30 s."""

from typing import Any

import pytest

from bandgap.hdl.protocol.commands import ReferenceSource, Side

S = 1_000_000_000
S_IN_US = 1_000_000


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
    luld.trade(price, 5 * S)
    assert luld.advance(35 * S - 1) == []
    assert luld.advance(35 * S) == lines


def test_reference_is_the_mean_rounded_down(luld: Any) -> None:
    """10,200 three times and 10,201: 10,200.25. The width of 510.0 is exact."""
    for price in (10_200, 10_200, 10_201, 10_200):
        luld.trade(price, 5 * S)
    assert luld.advance(35 * S) == ["BAND_MOVED 9690-10710"]
    assert luld.fields[0]["reference_ticks"] == "10200"


def test_reference_stands_for_thirty_seconds(luld: Any) -> None:
    """At the bucket's end at 35 s it has stood for 30 s less 1 ns; at 65 s it may go, and the mean is still there."""
    luld.trade(10_200, 5 * S)
    luld.time_ns = 5 * S + 1
    luld.set_band(9_500, 10_500, reference_ticks=10_000)
    assert luld.advance(35 * S) == []
    assert luld.advance(65 * S) == ["BAND_MOVED 9690-10710"]


def test_mean_is_that_of_five_minutes(luld: Any) -> None:
    """10,200 in the first bucket, 10,050 in the second: their mean is 10,125. 5 % of 10,050 are 502.5."""
    luld.trade(10_200, 0)
    assert luld.trade(10_050, 40 * S)[0] == "BAND_MOVED 9690-10710", "at 30 s"
    assert luld.advance(300 * S - 1) == [], "10,125 is less than 1 % from 10,200"
    assert luld.advance(300 * S) == ["BAND_MOVED 9548-10552"], "10,200 has left: 10,050 is 1.5 % from it"
    assert luld.advance(330 * S) == []
    assert luld.appliance.next_deadline_ns is None, "the window is empty"


def test_band_stands_still_in_a_limit_state(luld: Any) -> None:
    """10,200 would be the reference at 35 s, but an order stands at the bound then; at 65 s it has left."""
    luld.trade(10_200, 5 * S)
    luld.time_ns = 34 * S
    luld.set_breaker(limit=60 * S_IN_US, halt=300 * S_IN_US, call=60 * S_IN_US, extension=60 * S_IN_US)
    assert luld.buy(0, 1, 10_500)[1].startswith("LIMIT LIMIT instrument 0")
    assert luld.advance(35 * S) == []
    luld.cancel(0)
    assert luld.advance(65 * S) == ["BAND_MOVED 9690-10710"]
