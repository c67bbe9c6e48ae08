"""The kill suite: does a mutant behave otherwise than the reference model?"""

import multiprocessing
import os
import resource
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import islice
from multiprocessing.context import ForkProcess
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from bandgap.hdl.config import BookConfig
from bandgap.host.device.transport import Bytes2D, Transport
from bandgap.host.wire import without_cycles
from bandgap.sim.embedded import DeviceHungError, EmbeddedTransport
from bandgap.sim.flow.episode import Episode, take
from bandgap.sim.flow.random_commands import random_episodes
from bandgap.sim.lab.compare import compare, run_device
from bandgap.sim.lab.disturbed import RestartedWhileBusy

from .design import MUTANT_REGISTER

PATIENCE_CYCLES = 20_000
PIECES = 8
MOST_BYTES = 8 << 30
LONGEST_FATE = 80

Trial = tuple[int, ForkProcess, Any]
"""A mutant, the process that tries it, and the shared text in which it tells the mutant's fate."""

_FORK = multiprocessing.get_context("fork")


class Fate(Enum):
    """What becomes of a mutant."""

    DIFFERS = "a report differs from the model's"
    HANGS = "hangs"
    BREAKS = "the simulation does not come to a result"
    TIMING = "survives: only the timing differs"
    SURVIVES = "survives: nothing differs"


SURVIVED = (Fate.TIMING, Fate.SURVIVES)


@dataclass(frozen=True)
class Suite:
    """Pieces of random commands and their right reports.

    Each piece begins on a fresh device, at another time of the years that a device counts: within one piece the upper
    bits of its time stand still. Every second device holds commands and reports back at random and restarts each epoch
    while it is busy.

    Attributes
    ----------
    config : Sizes of the device.
    library : The device with the mutants.
    pieces : What is sent, a piece a device.
    timed : Their reports without a mutant, of all episodes in turn.
    """

    config: BookConfig
    library: Path
    pieces: list[list[Episode]]
    timed: list[Bytes2D]

    def open(self, piece: int, mutant: int) -> Transport:
        """A fresh device for a piece, in which a mutant acts, or none when its number is zero."""
        disturbed = piece % 2
        device = EmbeddedTransport(
            self.library,
            self.config.links,
            stall_seed=disturbed,
            memory_seed=1 + piece,
            patience_cycles=PATIENCE_CYCLES,
        )
        device.write_register(MUTANT_REGISTER, mutant)
        return RestartedWhileBusy(device, Random(1)) if disturbed else device

    def run(self, mutant: int) -> Iterator[Bytes2D]:
        """The reports of each episode."""
        for piece, episodes in enumerate(self.pieces):
            device = self.open(piece, mutant)
            for episode in episodes:
                yield run_device(device, episode)
            device.close()

    def fate(self, mutant: int) -> Fate:
        """What becomes of a mutant, in this process."""
        fate = Fate.SURVIVES
        try:
            for reports, timed in zip(self.run(mutant), self.timed, strict=True):
                if np.array_equal(reports, timed):
                    continue
                if not np.array_equal(without_cycles(reports), without_cycles(timed)):
                    return Fate.DIFFERS
                fate = Fate.TIMING
        except DeviceHungError:
            return Fate.HANGS
        return fate

    def fates(self, mutants: Iterable[int], jobs: int, most_s: float) -> Iterator[tuple[int, Fate]]:
        """What becomes of each mutant, in so many seconds at most.

        Each has a process, so many at a time, because a changed design may break its simulation off.
        """
        mutants = iter(mutants)
        running = deque(self._start(mutant) for mutant in islice(mutants, jobs))
        while running:
            mutant, process, said = running.popleft()
            process.join(most_s)
            if process.is_alive():
                process.kill()
                process.join()
            yield mutant, Fate(said.value.decode()) if said.value else Fate.BREAKS
            running.extend(self._start(mutant) for mutant in islice(mutants, 1))

    def _start(self, mutant: int) -> Trial:
        said = _FORK.Array("c", LONGEST_FATE)
        process = _FORK.Process(target=self._tell_fate, args=(mutant, said))
        process.start()
        return mutant, process, said

    def _tell_fate(self, mutant: int, said: Any) -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what a simulation says when it breaks off
        said.value = self.fate(mutant).value.encode()


def prepare(config: BookConfig, library: Path, seed: int, commands: int) -> Suite:
    """The suite for a library, its right reports taken from the device without a mutant and checked by the model.

    Arguments
    ---------
    config : Sizes of the device.
    library : The device with the mutants.
    seed : Of the commands.
    commands : How many at least.

    Raises
    ------
    DifferenceError : Device and model differ without a mutant.
    """
    flows = [random_episodes(config, seed * PIECES + piece) for piece in range(PIECES)]
    suite = Suite(config, library, [list(take(flow, commands // PIECES)) for flow in flows], [])
    for piece, episodes in enumerate(suite.pieces):
        compare(config, partial(suite.open, piece, 0), episodes, repeat="make mutation")
    suite.timed.extend(suite.run(0))
    return suite
