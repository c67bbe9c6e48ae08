"""What a soak runs: sizes of the device, what is sent to it, and how it is disturbed.

A case comes in pieces. A piece is a fresh device and what is sent to it; it follows from the seed, the case's name and
the piece's number alone, so that any piece can be run again by itself.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from random import Random

from bandgap.hdl.config import PRESETS, BookConfig
from bandgap.host.device.transport import Transport
from bandgap.sim.embedded import open_config
from bandgap.sim.flow.episode import Episode
from bandgap.sim.flow.random_commands import random_episode
from bandgap.sim.lab.compare import compare
from bandgap.sim.lab.disturbed import RestartedWhileBusy

from .market import market_episode

LARGE = 1_000
"""Slots from which on clearing and mass cancels take most of the time."""


def random_piece(config: BookConfig, seed: int, number: int) -> Iterator[Episode]:
    """Episodes of random commands, fewer on a large device; those of two pieces are different ones."""
    episodes = 2 if config.orders > LARGE else 24
    return (random_episode(config, seed, number * episodes + index) for index in range(episodes))


def market_piece(config: BookConfig, seed: int, number: int) -> Iterator[Episode]:
    """A session of a market."""
    yield market_episode(config, seed, number)


@dataclass(frozen=True)
class Case:
    """Sizes and what is sent to them.

    Attributes
    ----------
    config : Sizes of the device.
    episodes : What piece `number` of a run with this seed sends.
    every, first : A piece of this case runs in every so many rounds, from the round `first` on.
    """

    config: BookConfig
    episodes: Callable[[BookConfig, int, int], Iterable[Episode]]
    every: int = 1
    first: int = 0


CASES = {
    "one instrument, two slots": Case(
        BookConfig(instruments=1, orders=2, ticks=8, accounts=2, links=1, word_bits=4), random_piece
    ),
    "three instruments": Case(
        BookConfig(instruments=3, orders=32, ticks=32, accounts=8, links=3, word_bits=4), random_piece
    ),
    "many instruments": Case(
        BookConfig(instruments=16, orders=64, ticks=256, accounts=16, links=8, word_bits=8), random_piece
    ),
    "formal": Case(PRESETS["formal"], random_piece),
    # These take long. Each begins in a round of its own, so that a short run has them all and none waits for all.
    "ecp5-small": Case(PRESETS["ecp5-small"], random_piece, every=16, first=1),
    "ecp5": Case(PRESETS["ecp5"], random_piece, every=16, first=2),
    "ecp5, a market": Case(PRESETS["ecp5"], market_piece, every=8, first=3),
    "ultrascale": Case(PRESETS["ultrascale"], random_piece, every=64, first=4),
}


@dataclass(frozen=True)
class Piece:
    """One stretch of a soak: which case, and which of its pieces."""

    case: str
    number: int


def all_pieces() -> Iterator[Piece]:
    """Pieces without end, round by round."""
    for turn in count():
        for name, case in CASES.items():
            number, rest = divmod(turn - case.first, case.every)
            if number >= 0 and rest == 0:
                yield Piece(name, number)


def run_piece(seed: int, piece: Piece) -> int:
    """Run a piece; the number of commands that were compared.

    Memories hold garbage at first. Every second piece holds commands and reports back at random; of each four, the last
    two begin each epoch twice, a part of it being cut off by a reset while the device is busy.

    Raises
    ------
    DifferenceError : Device and model differ.
    BuildError : The device cannot be built.
    """
    case = CASES[piece.case]
    name = f"{seed}/{piece.case}/{piece.number}"
    stall_seed = Random(f"{name}/stalls").getrandbits(32) | 1 if piece.number % 2 else 0

    def open_device() -> Transport:
        rng = Random(f"{name}/device")
        device = open_config(case.config, stall_seed=stall_seed, memory_seed=rng.randrange(1, 1 << 31))
        return RestartedWhileBusy(device, rng) if piece.number % 4 >= 2 else device

    repeat = f"bandgap soak --seed {seed} --case '{piece.case}' --piece {piece.number}"
    return compare(case.config, open_device, case.episodes(case.config, seed, piece.number), repeat=repeat)
