"""Margin figures by hand, and against exact fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandgap.host.margin.requirements import (
    CREDIT_LIMIT_QUOTE,
    InstrumentRates,
    ValueLimitError,
    assess,
    can_be_valued,
    cost_ppm,
    credit_target,
)

RATES = [InstrumentRates(10, 100_000, 50_000, 500), InstrumentRates(3, 250_000, 125_000, 0)]


def test_cross_margin_by_hand() -> None:
    """Long 4 from 100 at mark 110, short 7 from 50 at mark 60, cash 1000.

    Equity: 1000 + 4 x 10 x 10 - 7 x 10 x 3 = 1190. Exposures: 4400 and 1260.
    Initial: 440 + 315 = 755. Maintenance: 220 + 157.5, rounded up.
    """
    state = assess(np.array([1000]), np.array([[4, -7]]), np.array([[4000, -1050]]), [110, 60], RATES)
    assert state.equity_quote.tolist() == [1190]
    assert state.initial_quote.tolist() == [755]
    assert state.maintenance_quote.tolist() == [378]


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9), st.integers(1, 10**6), st.integers(1, 10**6))
def test_requirements_are_exact_but_rounded_up_once(first: int, second: int, mark_0: int, mark_1: int) -> None:
    state = assess(
        np.zeros(1, np.int64), np.array([[first, second]]), np.zeros((1, 2), np.int64), [mark_0, mark_1], RATES
    )
    exact = Fraction(abs(first) * mark_0 * 10, 10) + Fraction(abs(second) * mark_1 * 3, 4)
    assert state.initial_quote.tolist() == [math.ceil(exact)]


def test_too_much_value_is_an_error_not_an_overflow() -> None:
    lots = np.array([[1, -(1 << 40)], [1, 2]])
    with pytest.raises(ValueLimitError, match="1099511627776 lots at mark 524288 is worth too much") as caught:
        assess(np.zeros(2, np.int64), lots, np.zeros((2, 2), np.int64), [1, 1 << 19], RATES)
    assert caught.value.instrument == 1


def test_each_instrument_has_its_share_of_what_can_be_valued() -> None:
    """Of 2^58 for two: 2^57, which 2^30 lots reach at 2^27 ticks of one quote unit."""
    assert can_be_valued((1 << 27) - 1, 1 << 30, 1, instruments=2)
    assert not can_be_valued(1 << 27, 1 << 30, 1, instruments=2)
    assert can_be_valued((1 << 32) - 1, 0, 65_535, instruments=16)


def test_cost_by_hand() -> None:
    """Band 950 to 1050, mark 1000, margin 10 %, fee 5 bp: the sell at 950 costs (50 + 100 + 0.475) / 950."""
    assert cost_ppm(1000, 950, 1050, 100_000, 500) == math.ceil(Fraction(150_475, 950_000) * 1_000_000) == 158_395


def test_cost_of_a_buy_when_the_mark_is_low_in_the_band() -> None:
    """Band 990 to 1200, mark 1000: the buy at 1200 costs (200 + 100) / 1200, the sell only (10 + 100) / 990."""
    assert cost_ppm(1000, 990, 1200, 100_000, 0) == 250_000


@given(
    st.integers(1, 10**6),
    st.integers(0, 10**5),
    st.integers(0, 10**5),
    st.integers(1, 10**6),
    st.integers(0, 10**5),
    st.data(),
)
def test_no_fill_costs_more(
    mark: int, below: int, above: int, margin_ppm: int, fee_ppm: int, data: st.DataObject
) -> None:
    """Of every limit in the band and every price it can trade at, none costs more of its reserve than `cost_ppm`."""
    lower, upper = max(1, mark - below), mark + above
    cost = Fraction(cost_ppm(mark, lower, upper, margin_ppm, fee_ppm), 1_000_000)
    margin, fee = Fraction(margin_ppm, 1_000_000), Fraction(fee_ppm, 1_000_000)
    limit = data.draw(st.integers(lower, upper))
    bought = data.draw(st.integers(lower, limit))
    sold = data.draw(st.integers(limit, upper))
    assert (bought - mark) + margin * mark + fee * bought <= cost * limit
    assert (mark - sold) + margin * mark + fee * sold <= cost * limit


@given(st.integers(-(2**55), 2**55), st.integers(1, 10**9))
def test_credit_target_is_exact(free: int, cost: int) -> None:
    exact = min(max(free, 0) * 1_000_000 // cost, CREDIT_LIMIT_QUOTE)
    target = int(credit_target(np.array([free]), cost)[0])
    assert target == exact or (exact > CREDIT_LIMIT_QUOTE - 1_000_000 and abs(target - exact) < 1_000_000)
