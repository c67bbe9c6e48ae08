"""The circuit breaker's reference price: where it comes from, and the band around it."""

from typing import Any

import pytest

from bandgap.hdl.protocol.commands import ReferenceSource

MS = 1_000_000


def test_last_trades_count_once_there_are_so_many(stock: Any) -> None:
    """Of four trades, at the ends of 1 ms: 10,000, 10,010, 10,020, 10,031: 10,015.25."""
    stock.set_band(9_900, 10_300, reference_ticks=10_000)
    stock.set_windows(None, (0, 1_000, 4))
    stock.set_rule(ReferenceSource.LAST_TRADES, trades_log2=2)
    for price in (10_000, 10_010, 10_020):
        stock.trade(price, 0)
    assert stock.advance(MS) == []
    stock.trade(10_031, MS)
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
    stock.trade(10_100, 0)
    assert stock.advance(MS) == [f"BAND_MOVED {band}"]


def test_moved_reference_cancels_what_could_trade_outside(stock: Any) -> None:
    """The bid at 10,100 is above the new band of 5 ticks around 10,092; passive orders stay."""
    stock.set_band(9_900, 10_300, reference_ticks=10_000)
    stock.set_windows(None, (0, 1_000, 4))
    stock.set_rule(ReferenceSource.WINDOW_MEAN, width_ticks=5)
    stock.trade(10_092, 0)
    stock.buy(0, 1, 10_100)
    stock.buy(1, 1, 10_050)
    stock.sell(2, 1, 10_200)
    assert stock.advance(MS) == ["CANCELED BAND_MOVED #0 1 left 0", "BAND_MOVED 10087-10097"]


def test_no_reference_without_a_band(stock: Any) -> None:
    stock.set_windows((1, 1_000, 1), (1, 1_000, 1))
    stock.set_rule(ReferenceSource.WINDOW_MEAN, width_ticks=10)
    stock.trade(10_100, 0)
    assert stock.advance(MS) == []
    stock.trade(11_000, MS)
    stock.call(0, 1_000)
    stock.buy(0, 1, 9_000)
    stock.sell(1, 1, 9_000)
    assert stock.advance(2 * MS)[-2:] == ["UNCROSSED 1@9000", "TRADING CALL_OVER instrument 0"]
