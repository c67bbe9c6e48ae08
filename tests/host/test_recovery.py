"""Killed at any moment and started again, a venue comes to the same money as one that was left alone."""

import importlib.util
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from bandgap.hdl.config import PRESETS
from bandgap.hdl.protocol.commands import Opcode
from bandgap.hdl.protocol.reports import TradingState
from bandgap.host.daemon import Daemon
from bandgap.host.device.transport import open_transport
from bandgap.host.settlement.store import Store
from bandgap.host.wire import command_headers
from bandgap.sim.embedded.pty_server import served
from bandgap.sim.embedded.serial_device import open_serial_device

PROGRAM = Path(__file__).with_name("killed_venue.py")
MODEL, EMBEDDED = "model:ecp5", "embedded:ecp5"


@pytest.fixture(scope="module")
def killed_venue() -> ModuleType:
    specification = importlib.util.spec_from_file_location("killed_venue", PROGRAM)
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def run_until_killed(store: Path, point: int, device: str = MODEL) -> int:
    """The exit status of the program: -9 when it was killed at `point`."""
    command = [sys.executable, str(PROGRAM), str(store), device, str(point)]
    return subprocess.run(command, check=False, timeout=600).returncode


def finish(killed_venue: ModuleType, store: Path | None, device: str = MODEL) -> dict[str, Any]:
    """Open the store, carry the flow on to its end; the state at the end."""
    state: dict[str, Any] = killed_venue.finish(Store(store), open_transport(device))
    return state


@pytest.fixture(scope="module")
def undisturbed(killed_venue: ModuleType) -> dict[str, Any]:
    return finish(killed_venue, None)


def test_flow_has_what_recovery_must_survive(killed_venue: ModuleType) -> None:
    daemon = Daemon(killed_venue.CONFIG, open_transport(MODEL), Store(None))
    results = [daemon.step(given) for given in killed_venue.flow()]
    assert any(result.liquidation.kill for result in results)
    assert any(result.liquidation.close for result in results)
    assert any(not change.trading for result in results for change in result.trading_changes)
    assert daemon.positions.lots.any()
    scheduled = {change.state for result in results for change in result.trading_changes if change.instrument == 1}
    assert scheduled >= {TradingState.CALL, TradingState.TRADING, TradingState.CLOSED}
    opcodes = np.concatenate([command_headers(result.commands)["opcode"] for result in results])
    assert {Opcode.SET_SCHEDULE.value, Opcode.MOVE_WINDOW.value} <= set(opcodes.tolist())
    daemon.close()


# Opening crosses the border four times, each step ten times: begin_batch, two sends, receive and finish_batch.
@pytest.mark.parametrize(
    "point", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 27, 36, 45, 54, 63, 72, 81, 98, 115, 121, 122]
)
def test_killed_once(killed_venue: ModuleType, undisturbed: dict[str, Any], tmp_path: Path, point: int) -> None:
    store = tmp_path / "venue.sqlite"
    assert run_until_killed(store, point) == -signal.SIGKILL
    assert finish(killed_venue, store) == undisturbed
    proof = Store(store)
    assert proof.verify().digest.hex() == undisturbed["digest"]
    assert proof.balances_quote() == undisturbed["balances"]
    proof.close()


def test_killed_again_and_again(killed_venue: ModuleType, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    """Each run gets a little further than the one before, or is killed in the middle of its recovery."""
    store = tmp_path / "venue.sqlite"
    for point in (30, 11, 48, 63, 59):
        assert run_until_killed(store, point) == -signal.SIGKILL
    assert finish(killed_venue, store) == undisturbed


@pytest.mark.parametrize("point", [18, 77, 110])
def test_killed_on_the_embedded_device(
    killed_venue: ModuleType, undisturbed: dict[str, Any], tmp_path: Path, point: int
) -> None:
    """The gateware comes to the same digest as the model, over every report of the flow."""
    store = tmp_path / "venue.sqlite"
    assert run_until_killed(store, point, EMBEDDED) == -signal.SIGKILL
    assert finish(killed_venue, store, EMBEDDED) == undisturbed


def test_killed_on_a_serial_port(killed_venue: ModuleType, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    """The device lives on behind its port, with whatever the host had sent it, and serves the next host as well."""
    store = tmp_path / "venue.sqlite"
    with closing(open_serial_device(PRESETS["ecp5"])) as device, served(device) as url:
        assert run_until_killed(store, 18, url) == -signal.SIGKILL
        assert finish(killed_venue, store, url) == undisturbed
