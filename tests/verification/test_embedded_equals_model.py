"""A million random commands through the embedded device and the model: not one report differs, no point stays empty."""

from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO

import pytest
from rich.console import Console

from bandgap.hdl.config import PRESETS, BookConfig
from bandgap.sim.embedded import open_config
from bandgap.sim.flow.episode import take
from bandgap.sim.flow.random_commands import random_episodes
from bandgap.sim.lab.compare import compare
from bandgap.sim.lab.coverage import Coverage

SMALL = BookConfig(instruments=3, orders=32, ticks=32, accounts=8, links=3, word_bits=4)


@dataclass(frozen=True)
class Run:
    """Sizes of the device, how many commands at least, and whether commands and reports are held back at random.

    `offset` is added to the seed, so that runs of the same sizes send other commands.
    """

    config: BookConfig
    commands: int
    stalled: bool = False
    offset: int = 0


RUNS = {
    "small": Run(SMALL, 260_000),
    "small, stalled": Run(SMALL, 250_000, stalled=True, offset=1),
    "formal": Run(PRESETS["formal"], 260_000),
    "ecp5": Run(PRESETS["ecp5"], 260_000),
}


@pytest.mark.parametrize("name", RUNS)
def test_random_commands(
    name: str, seed: int, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    run = RUNS[name]
    coverage = Coverage(run.config)
    compared = compare(
        run.config,
        lambda: open_config(run.config, stall_seed=seed | 1 if run.stalled else 0),
        take(random_episodes(run.config, seed + run.offset), run.commands),
        coverage,
        repeat=f"BANDGAP_SEED={seed} python -m pytest '{request.node.nodeid}'",
    )
    text = StringIO()
    Console(width=120, file=text).print(coverage.table())
    record_property("summary", f"{name}: {compared:,} commands, none different\n{text.getvalue()}")
    assert compared >= run.commands
    assert coverage.excluded() == []
    assert coverage.missing() == []
