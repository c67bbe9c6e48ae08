"""Markets in several moods: requests of invented people, without news, oracle or crash.

Everything follows from the seed. Floats describe people; everything that leaves this module is an integer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, pi

import numpy as np
from numpy.typing import NDArray

from bandgap.host.gateway.order_entry import REQUEST_DTYPE

from .crowd import INDEX_STEP_S, Crowd, Habits, Population
from .flash_crash import DECAY_S, SESSION_S
from .hawkes import session_arrivals

SWING_S = 120
"""How long a swing takes, up, down and back."""


@dataclass(frozen=True)
class Mood:
    """How a market feels.

    Attributes
    ----------
    volatility : Standard deviation of the logarithm of what an instrument is worth, each `INDEX_STEP_S`.
    swing : How far the worth goes up and down every `SWING_S`, as a part of itself.
    branching : Mean number of requests that a request provokes, below 1.
    habits : What people do.
    """

    volatility: float
    swing: float
    branching: float
    habits: Habits


QUIET = Mood(1e-5, 0.0, 0.2, Habits(replace_share=0.04, taker_share=0.01, crash_s=inf))
NORMAL = Mood(2.5e-5, 0.0, 0.6, Habits(crash_s=inf))
MIXED = Mood(5e-6, 0.0, 0.6, Habits(taker_share=0.13, taker_reach_ticks=-30, crash_s=inf))
"""Most takers miss: nearly all orders are canceled, and few commands get more than one report."""

WIDE_SWING = Mood(2e-4, 0.15, 0.7, Habits(taker_share=0.08, crash_s=inf))


def market(
    mood: Mood,
    seed: int,
    messages: int,
    start_ticks: Sequence[int],
    accounts: int,
    resting: int,
    built_up: int = 0,
    in_one_level: int = 0,
) -> NDArray[np.void]:
    """Generate requests.

    Arguments
    ---------
    mood : How the market feels.
    seed : The same seed gives the same requests.
    messages : Requests to generate, after those that build a book up. Each is in an instrument drawn at random.
    start_ticks : First price of each instrument.
    accounts : Accounts that take part, at least 8.
    resting : About how many orders people like to have in the book.
    built_up : Orders that are put into each instrument's book before anything else.
    in_one_level : How many of those are buys at one price, the best.

    Returns
    -------
    requests : (built_up * instruments + messages,) of `REQUEST_DTYPE`, by arrival.
    """
    random = np.random.default_rng(seed)
    steps = int(SESSION_S / INDEX_STEP_S) + 1
    swing = mood.swing * np.sin(2 * pi * INDEX_STEP_S / SWING_S * np.arange(steps))
    walks = np.cumsum(random.normal(0, mood.volatility, (len(start_ticks), steps)), axis=1)
    index = np.array(start_ticks)[:, np.newaxis] * np.exp(walks + swing)
    times_s, _, _ = session_arrivals(
        random, messages, SESSION_S, lambda count: random.uniform(0, SESSION_S, count), mood.branching, DECAY_S
    )
    instruments = random.integers(len(start_ticks), size=messages)
    crowd = Crowd(random, index, Population.of(accounts), resting, mood.habits)
    rows = [row for instrument in range(len(start_ticks)) for row in crowd.build_up(instrument, built_up, in_one_level)]
    rows += [
        crowd.act(time_s, instrument) for time_s, instrument in zip(times_s.tolist(), instruments.tolist(), strict=True)
    ]
    return np.array(rows, REQUEST_DTYPE)
