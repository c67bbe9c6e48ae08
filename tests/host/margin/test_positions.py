"""Positions: profits by hand, and nothing lost in rounding."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandgap.host.margin.positions import Positions

Trades = list[tuple[int, int]]


@pytest.mark.parametrize(
    ("trades", "realised", "lots", "entry"),
    [
        pytest.param([(10, 100)], [0], 10, 10 * 100 * 7, id="open a long"),
        pytest.param([(-10, 100)], [0], -10, -10 * 100 * 7, id="open a short"),
        pytest.param([(10, 100), (10, 110)], [0, 0], 20, 10 * 210 * 7, id="add to a long"),
        pytest.param([(10, 100), (-10, 130)], [0, 10 * 30 * 7], 0, 0, id="close a long with profit"),
        pytest.param([(-10, 100), (10, 130)], [0, -10 * 30 * 7], 0, 0, id="close a short with loss"),
        pytest.param([(10, 100), (-4, 90)], [0, -4 * 10 * 7], 6, 6 * 100 * 7, id="close part"),
        pytest.param([(10, 100), (-15, 90)], [0, -10 * 10 * 7], -5, -5 * 90 * 7, id="turn a long into a short"),
        pytest.param([(-3, 100), (5, 90)], [0, 3 * 10 * 7], 2, 2 * 90 * 7, id="turn a short into a long"),
        pytest.param([(2, 100), (1, 101), (-1, 100)], [0, 0, 700 - 702], 2, 2107 - 702, id="average, rounded down"),
    ],
)
def test_profit_by_hand(trades: Trades, realised: list[int], lots: int, entry: int) -> None:
    positions = Positions(1, [7])
    assert [positions.trade(0, 0, *trade) for trade in trades] == realised
    assert (positions.lots[0, 0], positions.entry_value_quote[0, 0]) == (lots, entry)


TRADES = st.lists(st.tuples(st.integers(-1000, 1000).filter(bool), st.integers(1, 2**20)), min_size=1, max_size=40)


@given(TRADES)
def test_value_is_conserved(trades: Trades) -> None:
    """At every price, realised profit and open profit together are what was sold less what was bought."""
    positions = Positions(1, [3])
    realised = paid = 0
    for signed_lots, price in trades:
        realised += positions.trade(0, 0, signed_lots, price)
        paid += signed_lots * price * 3
        lots, entry = int(positions.lots[0, 0]), int(positions.entry_value_quote[0, 0])
        assert realised + lots * price * 3 - entry == lots * price * 3 - paid
        assert lots != 0 or entry == 0


@given(TRADES)
def test_entry_price_is_the_average_within_rounding(trades: Trades) -> None:
    positions, exact, lots = Positions(1, [1]), Fraction(0), 0
    roundings = 0
    for signed_lots, price in trades:
        if lots * signed_lots < 0:
            closed = min(abs(lots), abs(signed_lots))
            left = signed_lots + lots
            exact = exact * (abs(lots) - closed) / abs(lots) if lots * left > 0 else Fraction(left * price)
            roundings += 1
        else:
            exact += signed_lots * price
        lots += signed_lots
        positions.trade(0, 0, signed_lots, price)
        assert abs(positions.entry_value_quote[0, 0] - exact) <= roundings
