"""Parts of random episodes: a simulation with a line or a bus in it affords few commands."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from bandgap.sim.flow.episode import Episode


def cut(episode: Episode, commands: int) -> Episode:
    """The first commands of an episode."""
    return replace(
        episode,
        commands=episode.commands[:commands],
        links=episode.links[:commands],
        arrivals_ns=episode.arrivals_ns[:commands],
    )


def take(episodes: Iterable[Episode], commands: int) -> Iterator[Episode]:
    """Episodes with so many commands in all, the last one cut."""
    for episode in episodes:
        yield cut(episode, commands)
        commands -= len(episode.commands)
        if commands <= 0:
            return
