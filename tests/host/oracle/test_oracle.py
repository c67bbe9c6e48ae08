"""The oracle: medians by hand, and bounds on what bad sources can do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandgap.host.oracle.oracle import Oracle, Quote, QuoteError, median_ticks

NOW_NS = 1_000


def oracle(sources: int = 5, quorum: int = 3, staleness_ns: int = 100, max_deviation_ppm: int = 100_000) -> Oracle:
    return Oracle(sources, 2, quorum=quorum, staleness_ns=staleness_ns, max_deviation_ppm=max_deviation_ppm)


def told(oracle: Oracle, *prices_ticks: int, time_ns: int = NOW_NS) -> Oracle:
    for source, price in enumerate(prices_ticks):
        oracle.take(Quote(source, 0, price, time_ns))
    return oracle


@pytest.mark.parametrize(
    ("prices", "middle"), [([7], 7), ([9, 1], 1), ([3, 1, 2], 2), ([4, 1, 3, 2], 2), ([5, 5, 1, 9, 9], 5)]
)
def test_median_is_the_lower_middle(prices: list[int], middle: int) -> None:
    assert median_ticks(prices) == middle


def test_price_needs_a_quorum() -> None:
    assert told(oracle(), 100, 101).mark_ticks(0, NOW_NS) is None
    assert told(oracle(), 100, 101, 103).mark_ticks(0, NOW_NS) == 101
    assert told(oracle(), 100, 101, 103).mark_ticks(1, NOW_NS) is None


def test_stale_quotes_drop_out_to_the_nanosecond() -> None:
    venue = told(oracle(), 100, 101, 103)
    assert venue.mark_ticks(0, NOW_NS + 100) == 101
    assert venue.mark_ticks(0, NOW_NS + 101) is None


def test_stalled_source_no_longer_counts() -> None:
    venue = told(oracle(sources=4), 100, 102, 104, 150)
    told(venue, 200, 201, 202, time_ns=NOW_NS + 101)
    assert venue.mark_ticks(0, NOW_NS + 101) == 201


def test_outlier_does_not_count_at_all() -> None:
    """Median 102; 113 is more than 10 % above it, 112 is not: the median of 100, 101, 102, 112 is 101."""
    assert told(oracle(), 100, 101, 102, 112, 113).mark_ticks(0, NOW_NS) == 101


def test_outliers_cost_the_quorum() -> None:
    assert told(oracle(sources=3), 100, 150, 200).mark_ticks(0, NOW_NS) is None


def test_newer_quote_replaces_and_older_does_not() -> None:
    venue = told(oracle(), 100, 100, 100)
    for source in range(3):
        venue.take(Quote(source, 0, 90, NOW_NS - 1))
    assert venue.mark_ticks(0, NOW_NS) == 100
    for source in range(3):
        venue.take(Quote(source, 0, 105, NOW_NS))
    assert venue.mark_ticks(0, NOW_NS) == 105


@pytest.mark.parametrize(
    ("quote", "message"),
    [
        (Quote(5, 0, 1, 0), "no oracle source 5, there are 5"),
        (Quote(0, 2, 1, 0), "no instrument 2, there are 2"),
        (Quote(0, 0, 0, 0), "price 0 of source 0 is not 1 to 4294967295"),
        (Quote(0, 0, 1, NOW_NS + 1), "not 0 to 1000 ns"),
        (Quote(0, 0, 1, -1), "from -1 ns"),
        (Quote(-1, 0, 1, 0), "no oracle source -1"),
        (Quote(0, -1, 1, 0), "no instrument -1"),
        (Quote(0, 0, 2**32, 0), "price 4294967296"),
    ],
)
def test_bad_quotes_are_named(quote: Quote, message: str) -> None:
    with pytest.raises(QuoteError, match=message):
        oracle().check(quote, NOW_NS)


@given(
    st.integers(1_000, 10**6),
    st.lists(st.integers(0, 90), min_size=3, max_size=3),
    st.lists(st.integers(1, 2**32 - 1), min_size=2, max_size=2),
)
def test_minority_of_liars_cannot_leave_the_honest_range(price: int, spread: list[int], lies: list[int]) -> None:
    honest = [price + offset for offset in spread]
    mark = told(oracle(), *lies, *honest).mark_ticks(0, NOW_NS)
    assert mark is not None
    assert min(honest) <= mark <= max(honest)


@given(st.integers(1_000, 10**6), st.integers(1, 2**32 - 1))
def test_one_liar_among_three_moves_the_mark_within_the_honest(price: int, lie: int) -> None:
    mark = told(oracle(sources=3, quorum=2), price, price + 10, lie).mark_ticks(0, NOW_NS)
    assert mark is not None
    assert price <= mark <= price + 10
