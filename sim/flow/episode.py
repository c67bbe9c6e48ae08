"""What is sent to a device in one epoch."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandgap.host.device.transport import Bytes2D

EPISODE_NS = 1 << 45
"""The episodes of a run begin so far apart, ten hours; none lasts longer."""


@dataclass(frozen=True)
class Episode:
    """What is sent in one device epoch.

    Attributes
    ----------
    index : Which episode of the run it is.
    epoch : The device epoch to start.
    token_ranges : First slot and number of slots of each link.
    commands : Rows of 32 bytes.
    links : The link each command comes by.
    arrivals_ns : When each command arrives, not decreasing.
    end_ns : When the episode ends; timers up to then act.
    """

    index: int
    epoch: int
    token_ranges: list[tuple[int, int]]
    commands: Bytes2D
    links: NDArray[np.uint8]
    arrivals_ns: NDArray[np.uint64]
    end_ns: int


def take(episodes: Iterable[Episode], commands: int) -> Iterator[Episode]:
    """Episodes until they hold so many commands."""
    taken = 0
    for episode in episodes:
        yield episode
        taken += len(episode.commands)
        if taken >= commands:
            return
