"""The window of prices moves."""

from typing import Any

import pytest

from bandgap.hdl.protocol.commands import Side

MS = 1_000_000


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
