"""Invented markets as episodes: what participants would send, knowing the reports."""

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.registers import BY_NAME
from bandgap.sim.flow.episode import EPISODE_NS, Episode
from bandgap.sim.flow.flash_crash import flash_crash
from bandgap.sim.flow.market import MIXED, NORMAL, QUIET, WIDE_SWING, market
from bandgap.sim.lab.recorder import record_requests
from bandgap.sim.model_device import ModelTransport

MESSAGES = 20_000
START_TICKS = (9_600, 6_800, 10_500, 7_000)
ACCOUNTS = 128
RESTING = 1_500
MOODS = (QUIET, NORMAL, MIXED, WIDE_SWING)


def market_episode(config: BookConfig, seed: int, number: int) -> Episode:
    """A session in one of the market's moods, or a flash crash; its commands are recorded on the model.

    It begins so late that a part of it may be sent before, at earlier times.

    Arguments
    ---------
    config : Sizes of the device; at least four instruments and 128 accounts.
    seed : Of the run; the same seed and number give the same bytes.
    number : Which session of the run, below 2**32; five in a row are one of each kind.
    """
    recorder, _ = record_requests(ModelTransport(config), _requests(seed, number), START_TICKS, ACCOUNTS)
    times_ns = [np.zeros(len(sent), np.uint64) if at is None else at for sent, at, _ in recorder.sent]
    arrivals_ns = np.maximum.accumulate(np.concatenate(times_ns)) + np.uint64(EPISODE_NS)
    return Episode(
        index=0,
        epoch=dict(recorder.written)[BY_NAME["epoch"].at()],
        token_ranges=[(0, config.orders)] + [(0, 0)] * (config.links - 1),
        commands=np.concatenate([sent for sent, _, _ in recorder.sent]),
        links=np.zeros(len(arrivals_ns), np.uint8),
        arrivals_ns=arrivals_ns,
        end_ns=int(arrivals_ns[-1]),
    )


def _requests(seed: int, number: int) -> NDArray[np.void]:
    session_seed = seed << 32 | number  # of no other session, whatever the run
    kind = number % (len(MOODS) + 1)
    if kind == len(MOODS):
        return flash_crash(session_seed, MESSAGES, START_TICKS, ACCOUNTS).requests
    return market(MOODS[kind], session_seed, MESSAGES, START_TICKS, ACCOUNTS, RESTING)
