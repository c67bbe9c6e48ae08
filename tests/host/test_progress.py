"""A recovery tells how far it has come when it takes long, by a clock that the tests set."""

import io
from collections.abc import Callable
from typing import Any

from devices import DEVICE
from rich.console import Console

from bandgap.host.daemon import Daemon
from bandgap.host.progress import RecoveryProgress
from bandgap.host.settlement.store import Store
from bandgap.sim.model_device import ModelTransport


def test_long_recovery_tells_how_far_it_has_come() -> None:
    told, seconds = io.StringIO(), [100.0]
    progress = RecoveryProgress(Console(file=told, width=100), lambda: seconds[0])
    for done, after_s in ((1, 1.9), (1_000, 2.0), (2_000, 11.9), (30_000, 12.1), (40_000, 12.2)):
        seconds[0] = 100.0 + after_s
        progress.follow(done, 40_000)
    assert told.getvalue().splitlines() == [
        "recovering: 1,000 of 40,000 batches (2 %)",
        "recovering: 30,000 of 40,000 batches (75 %)",
    ]


def test_recovery_tells_each_batch(open_venue: Callable[..., Any], tmp_path: Any) -> None:
    path = tmp_path / "venue.sqlite"
    venue = open_venue(Store(path))
    for _ in range(3):
        venue.step(mark=1000)
    venue.daemon.close()
    told: list[tuple[int, int]] = []
    store = Store(path)
    Daemon(venue.config, ModelTransport(DEVICE), store, lambda done, batches: told.append((done, batches))).close()
    assert told == [(1, 3), (2, 3), (3, 3)]
