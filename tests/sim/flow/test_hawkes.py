"""Self-exciting arrivals."""

import numpy as np
import pytest

from bandgap.sim.flow.hawkes import hawkes_arrivals


def test_without_children_only_the_immigrants_arrive_sorted() -> None:
    times, ancestors = hawkes_arrivals(np.random.default_rng(0), np.array([3.0, 1.0, 2.0]), 0.0, 1.0)
    assert times.tolist() == [1.0, 2.0, 3.0]
    assert ancestors.tolist() == [1, 2, 0]


def test_a_cluster_has_the_size_and_the_delays_it_should() -> None:
    immigrants = np.zeros(20_000)
    times, ancestors = hawkes_arrivals(np.random.default_rng(1), immigrants, 0.5, 2.0)
    assert len(times) == pytest.approx(20_000 / (1 - 0.5), rel=0.03)
    assert (np.diff(times) >= 0).all()
    assert set(np.unique(ancestors)) == set(range(20_000))
    children = times[times > 0]
    assert children.min() > 0
    # A descendant of generation g comes after g delays of mean 2 s; half of all descendants are children, and so on.
    assert children.mean() == pytest.approx(2.0 * sum(g * 0.5**g for g in range(1, 60)), rel=0.05)


@pytest.mark.parametrize("branching", [-0.1, 1.0])
def test_a_process_that_never_ends_is_refused(branching: float) -> None:
    with pytest.raises(ValueError, match="branching must be 0 or more and below 1"):
        hawkes_arrivals(np.random.default_rng(0), np.zeros(1), branching, 1.0)
