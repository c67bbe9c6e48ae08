"""Self-exciting arrivals: activity breeds activity, as order flow does."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def hawkes_arrivals(
    random: np.random.Generator, immigrants_s: NDArray[np.float64], branching: float, decay_s: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Arrival times of a Hawkes process with an exponential kernel, sorted.

    The cluster construction (Hawkes and Oakes, 1974): every arrival has a Poisson number of children, each after an
    exponential delay, until a generation is empty.

    Arguments
    ---------
    random : Source of randomness.
    immigrants_s : Times of the arrivals that nothing excited, in seconds.
    branching : Mean number of children of an arrival, below 1.
    decay_s : Mean delay of a child, in seconds.

    Returns
    -------
    times_s, ancestors : Arrival times, and for each the index of the immigrant it descends from.
    """
    if not 0 <= branching < 1:
        raise ValueError(f"branching must be 0 or more and below 1, not {branching}")
    times, ancestors = [immigrants_s], [np.arange(len(immigrants_s))]
    while len(times[-1]):
        children = random.poisson(branching, len(times[-1]))
        delays = random.exponential(decay_s, children.sum())
        times.append(np.repeat(times[-1], children) + delays)
        ancestors.append(np.repeat(ancestors[-1], children))
    all_times = np.concatenate(times)
    order = np.argsort(all_times, kind="stable")
    return all_times[order], np.concatenate(ancestors)[order]


def session_arrivals(
    random: np.random.Generator,
    messages: int,
    session_s: float,
    immigrants: Callable[[int], NDArray[np.float64]],
    branching: float,
    decay_s: float,
) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
    """Just so many arrivals within a session, chosen at random from a Hawkes process that has enough of them.

    Arguments
    ---------
    random : Source of randomness.
    messages : How many arrivals.
    session_s : When the session ends, in seconds.
    immigrants : Draws so many times of arrivals that nothing excited, in seconds.
    branching, decay_s : Those of `hawkes_arrivals`.

    Returns
    -------
    times_s, ancestors, immigrants : Arrival times, sorted, for each the index of the immigrant it descends from, and
        how many immigrants there were.
    """
    count = int(messages * (1 - branching) * 1.1) + 50
    while True:
        times_s, ancestors = hawkes_arrivals(random, immigrants(count), branching, decay_s)
        inside = np.flatnonzero(times_s < session_s)
        if len(inside) >= messages:
            break
        count += count // 4
    chosen = np.sort(random.choice(inside, messages, replace=False))
    return times_s[chosen], ancestors[chosen], count
