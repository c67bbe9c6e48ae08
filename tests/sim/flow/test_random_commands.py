"""Random commands repeat from their seed, and an episode does not depend on those before it."""

from itertools import islice
from random import Random

import numpy as np

from bandgap.hdl.config import PRESETS
from bandgap.sim.flow.episode import EPISODE_NS, Episode
from bandgap.sim.flow.random_commands import random_episode, random_episodes

CONFIG = PRESETS["formal"]


def same(one: Episode, other: Episode) -> bool:
    return (
        np.array_equal(one.commands, other.commands)
        and np.array_equal(one.links, other.links)
        and np.array_equal(one.arrivals_ns, other.arrivals_ns)
        and (one.epoch, one.token_ranges, one.end_ns) == (other.epoch, other.token_ranges, other.end_ns)
    )


def test_same_seed_same_bytes() -> None:
    for index, episode in enumerate(islice(random_episodes(CONFIG, 3), 5)):
        assert same(episode, random_episode(CONFIG, 3, index))


def test_another_seed_or_index_is_another_episode() -> None:
    episode = random_episode(CONFIG, 3, 0)
    assert not same(episode, random_episode(CONFIG, 4, 0))
    assert not same(episode, random_episode(CONFIG, 3, 1))


def test_time_runs_on_from_episode_to_episode() -> None:
    begin_ns = Random("3").getrandbits(62)
    for episode in islice(random_episodes(CONFIG, 3), 100):
        arrivals_ns = episode.arrivals_ns.tolist()
        assert arrivals_ns == sorted(arrivals_ns)
        assert begin_ns <= arrivals_ns[0]
        begin_ns += EPISODE_NS
        assert arrivals_ns[-1] <= episode.end_ns < begin_ns < 1 << 63


def test_links_are_the_devices() -> None:
    links = np.concatenate([episode.links for episode in islice(random_episodes(CONFIG, 3), 20)])
    assert set(links.tolist()) == set(range(CONFIG.links))
