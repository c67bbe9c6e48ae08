"""A trading session of invented people: a calm market, a flash crash, a recovery.

Everything follows from the seed. Arrivals are self-exciting, depth and sizes follow power laws, most orders are
canceled. In the crash the index dips, makers step back, and one large seller sells at any price; one oracle source
lies about it and another falls silent. Floats describe people; everything that leaves this module is an integer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandgap.host.gateway.order_entry import REQUEST_DTYPE

from .crowd import CRASH_S, DIP_S, INDEX_STEP_S, SELLING_S, Crowd, Population
from .hawkes import session_arrivals

QUOTE_DTYPE = np.dtype([("time_ns", "<u8"), ("source", "u1"), ("instrument", "u1"), ("price_ticks", "<u4")])
"""What an oracle source says an instrument is worth."""

SESSION_S = 600
RECOVERY_S = 120
INDEX_DIP = 0.05
"""How deep the index falls; it comes back by four fifths."""

SOURCES = 5
LYING_SOURCE = 3
STALLED_SOURCE = 4
QUOTE_INTERVAL_S = 1

BRANCHING = 0.6
DECAY_S = 0.2


@dataclass(frozen=True)
class Session:
    """A generated session.

    Attributes
    ----------
    requests : `REQUEST_DTYPE`, by arrival.
    quotes : `QUOTE_DTYPE`, by time.
    crash_ns : When the dip starts.
    end_ns : When the session ends.
    """

    requests: NDArray[np.void]
    quotes: NDArray[np.void]
    crash_ns: int
    end_ns: int


def flash_crash(seed: int, messages: int, start_ticks: Sequence[int], accounts: int) -> Session:
    """Generate a session.

    Arguments
    ---------
    seed : The same seed gives the same session.
    messages : Requests to generate.
    start_ticks : First price of each instrument.
    accounts : Accounts that take part, at least 8.
    """
    random = np.random.default_rng(seed)
    index = np.stack([_index_path(random, price) for price in start_ticks])
    times_s, instruments = _arrivals(random, messages, len(start_ticks))
    resting = max(20, min(4_000, messages // 25))
    crowd = Crowd(random, index, Population.of(accounts), resting)
    requests = np.zeros(messages, REQUEST_DTYPE)
    for row, (time_s, instrument) in enumerate(zip(times_s.tolist(), instruments.tolist(), strict=True)):
        requests[row] = crowd.act(time_s, instrument)
    return Session(requests, _quotes(random, index), CRASH_S * 10**9, SESSION_S * 10**9)


def _index_path(random: np.random.Generator, start_ticks: int) -> NDArray[np.float64]:
    """What an instrument is worth, every `INDEX_STEP_S`: a random walk, and the crash on top of it."""
    steps = int(SESSION_S / INDEX_STEP_S) + 1
    walk = np.cumsum(random.normal(0, 2.5e-5, steps))
    time_s = np.arange(steps) * INDEX_STEP_S - CRASH_S
    fall = np.clip(time_s / DIP_S, 0, 1)
    rise = np.clip((time_s - DIP_S) / RECOVERY_S, 0, 1)
    dip = INDEX_DIP * random.uniform(0.8, 1.1)
    return start_ticks * np.exp(walk - dip * (fall * fall * (3 - 2 * fall) - 0.8 * rise * (2 - rise)))


def _arrivals(
    random: np.random.Generator, messages: int, instruments: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Times and instruments of `messages` arrivals; a fifth of what starts a cluster starts in the crash."""

    def immigrants(count: int) -> NDArray[np.float64]:
        calm = random.uniform(0, SESSION_S, count - count // 5)
        panic = CRASH_S + random.uniform(0, 2 * SELLING_S, count // 5)
        return np.concatenate([calm, panic])

    times_s, ancestors, count = session_arrivals(random, messages, SESSION_S, immigrants, BRANCHING, DECAY_S)
    popularity = 1 / np.arange(1, instruments + 1)
    traded = random.choice(instruments, count, p=popularity / popularity.sum())
    return times_s, traded[ancestors]


def _quotes(random: np.random.Generator, index: NDArray[np.float64]) -> NDArray[np.void]:
    """Each source quotes each instrument once in `QUOTE_INTERVAL_S`, with its own small error and delay."""
    ticks_s = np.arange(0, SESSION_S, QUOTE_INTERVAL_S, dtype=np.float64)
    rows = []
    for source in range(SOURCES):
        for instrument, path in enumerate(index):
            delay_s = random.uniform(0, 0.5, len(ticks_s))
            if source == STALLED_SOURCE:
                heard = (ticks_s < CRASH_S + 5) | (ticks_s > CRASH_S + DIP_S + RECOVERY_S)
            else:
                heard = np.ones(len(ticks_s), bool)
            price = path[(ticks_s / INDEX_STEP_S).astype(int)] * (1 + random.normal(0, 1e-4, len(ticks_s)))
            if source == LYING_SOURCE:
                price = np.where((ticks_s > CRASH_S - 10) & (ticks_s < CRASH_S + DIP_S), price * 0.6, price)
            quotes = np.zeros(int(heard.sum()), QUOTE_DTYPE)
            quotes["time_ns"] = ((ticks_s + delay_s)[heard] * 1e9).astype(np.uint64)
            quotes["source"], quotes["instrument"] = source, instrument
            quotes["price_ticks"] = np.rint(price[heard]).astype(np.uint32)
            rows.append(quotes)
    everything = np.concatenate(rows)
    return everything[np.argsort(everything["time_ns"], kind="stable")]
