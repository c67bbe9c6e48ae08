"""`bandgap` as a program: a venue that runs, is stopped, starts again, and whose store is verified."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bandgap.host.cli import build_app

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "venue.toml"
PROGRAM = [sys.executable, "-c", "from bandgap.host.cli import main; main()"]
WAIT_S = 30

QUOTES = [
    {"type": "quote", "source": source, "instrument": "BTC-PERP", "price_ticks": 10_000} for source in ("alpha", "beta")
]
ORDER = {
    "type": "new",
    "account": "alice",
    "client_order_id": 1,
    "instrument": "BTC-PERP",
    "side": "buy",
    "price_ticks": 10_000,
    "quantity_lots": 5,
}


@pytest.fixture
def venue_file(tmp_path: Path) -> Path:
    """The example, on the model, with its store in the test's folder and any port."""
    text = EXAMPLE.read_text()
    for old, new in (
        ("embedded:ecp5", "model:ecp5"),
        ("venue.sqlite", str(tmp_path / "venue.sqlite")),
        ("port = 7171", "port = 0"),
    ):
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "venue.toml"
    path.write_text(text)
    return path


@contextmanager
def running(venue_file: Path, stop: signal.Signals) -> Iterator[tuple[socket.socket, list[str]]]:
    """A running venue, a connection to it and what it has said; afterwards it is stopped, cleanly if it can be."""
    process = subprocess.Popen(
        [*PROGRAM, "run", "--config", str(venue_file)], stderr=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line.strip())
            if line.startswith("listening on"):
                break
        host, _, port = said[-1].removeprefix("listening on ").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=WAIT_S) as connection:
            yield connection, said
        process.send_signal(stop)
        clean = stop is not signal.SIGKILL
        assert process.stderr.read().rstrip().endswith("stopped") is clean
        assert process.wait(WAIT_S) == (0 if clean else -signal.SIGKILL)
    finally:
        process.kill()
        process.wait(WAIT_S)


def say(connection: socket.socket, *messages: dict[str, Any]) -> None:
    connection.sendall("".join(json.dumps(message) + "\n" for message in messages).encode())


def hear(connection: socket.socket, count: int) -> list[dict[str, Any]]:
    lines = connection.makefile()
    return [json.loads(lines.readline()) for _ in range(count)]


def test_venue_runs_stops_and_goes_on(venue_file: Path) -> None:
    with running(venue_file, signal.SIGTERM) as (connection, said):
        assert not any(line.startswith("recovered ") for line in said)
        say(connection, *QUOTES, {"type": "mass_cancel", "account": "alice"})
        hear(connection, 1)
        say(connection, ORDER, ORDER | {"account": "bob", "side": "sell", "quantity_lots": 2})
        assert [answer["type"] for answer in hear(connection, 4)] == ["accepted", "accepted", "trade", "trade"]

    with running(venue_file, signal.SIGINT) as (connection, said):
        assert said[-2].startswith("recovered ")
        say(connection, {"type": "cancel", "account": "alice", "client_order_id": 1})
        (canceled,) = hear(connection, 1)
        assert (canceled["type"], canceled["quantity_lots"]) == ("canceled", 3)

    store = venue_file.with_name("venue.sqlite")
    verified = CliRunner().invoke(build_app(), ["verify", str(store)])
    assert verified.exit_code == 0
    assert "cash:alice" in verified.output


def test_killed_venue_still_has_its_orders_and_trades(venue_file: Path) -> None:
    with running(venue_file, signal.SIGKILL) as (connection, _):
        say(connection, *QUOTES, {"type": "mass_cancel", "account": "alice"})
        hear(connection, 1)
        say(connection, ORDER, ORDER | {"account": "bob", "side": "sell", "quantity_lots": 2})
        hear(connection, 4)
    with running(venue_file, signal.SIGTERM) as (connection, said):
        assert said[-2].startswith("recovered ")
        say(connection, ORDER, {"type": "mass_cancel", "account": "alice"})
        refused, canceled, done = hear(connection, 3)
        assert (refused["type"], refused["reason"]) == ("refused", "duplicate_id")
        assert (canceled["quantity_lots"], done["canceled_orders"]) == (3, 1)


def test_store_in_use_is_refused(venue_file: Path) -> None:
    with running(venue_file, signal.SIGTERM):
        refused = CliRunner().invoke(build_app(), ["run", "--config", str(venue_file)])
    assert refused.exit_code == 2
    assert "database is locked" in refused.output


@pytest.mark.parametrize(
    ("old", "new", "status", "message"),
    [
        ("quorum = 2", "quorum = 0", 2, "oracle.quorum"),
        ("model:ecp5", "moddel:ecp5", 2, "no transport 'moddel'"),
        ("model:ecp5", "model:ecp6", 2, "no preset 'ecp6'"),
        ("window_ticks = 4_096", "window_ticks = 16_384", 1, "needs 18432 ticks, the device has 8192"),
    ],
)
def test_bad_venue_is_explained(venue_file: Path, old: str, new: str, status: int, message: str) -> None:
    venue_file.write_text(venue_file.read_text().replace(old, new, 1))
    result = CliRunner().invoke(build_app(), ["run", "--config", str(venue_file)])
    assert result.exit_code == status
    assert message in " ".join(result.output.split())


def test_verify_explains_what_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    result = CliRunner().invoke(build_app(), ["verify", str(path)])
    assert (result.exit_code, "not the store of a venue" in result.output) == (1, True)
    assert CliRunner().invoke(build_app(), ["verify", str(tmp_path / "none")]).exit_code == 2


@pytest.mark.parametrize("name", [command.name for command in build_app().registered_commands])
def test_help_of_every_command_has_examples(name: str) -> None:
    result = CliRunner().invoke(build_app(), [name, "--help"])
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert f"bandgap {name}" in result.output
