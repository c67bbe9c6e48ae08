"""`bandgap` as a program: a venue that runs, is stopped, starts again, and whose store is verified."""

import json
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from devices import Liar
from numpy.typing import NDArray
from typer.testing import CliRunner

from bandgap.hdl.config import PRESETS
from bandgap.hdl.protocol.commands import Opcode
from bandgap.host import cli
from bandgap.host.cli import build_app
from bandgap.host.config import load_config
from bandgap.host.daemon import Daemon
from bandgap.host.device.transport import open_transport
from bandgap.host.oracle.oracle import Quote
from bandgap.host.recovery import DaemonError
from bandgap.host.settlement.store import Store
from bandgap.host.step import StepInput
from bandgap.host.wire import Bytes2D, command_headers
from bandgap.sim.model_device import ModelTransport

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "venue.toml"
PROGRAM = [sys.executable, "-c", "from bandgap.host.cli import main; main()"]
WAIT_S = 120

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
def killed_after(process: subprocess.Popen[str], limit_s: float) -> Iterator[None]:
    """Kill the process when what is done with it takes longer, so that nobody waits for it in vain."""
    timer = threading.Timer(limit_s, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def wait_until_listening(process: subprocess.Popen[str], limit_s: float) -> list[str]:
    """What a venue says until it listens."""
    assert process.stderr is not None
    said = []
    with killed_after(process, limit_s):
        for line in process.stderr:
            said.append(line.strip())
            if line.startswith("listening on"):
                return said
    raise AssertionError(f"after {limit_s} s the venue does not listen; it has said {said}")


@contextmanager
def running(venue_file: Path, stop: signal.Signals) -> Iterator[tuple[socket.socket, list[str]]]:
    """A running venue, a connection to it and what it has said; afterwards it is stopped, cleanly if it can be."""
    process = subprocess.Popen(
        [*PROGRAM, "run", "--config", str(venue_file)], stderr=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        said = wait_until_listening(process, WAIT_S)
        host, _, port = said[-1].removeprefix("listening on ").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=WAIT_S) as connection:
            yield connection, said
        process.send_signal(stop)
        clean = stop is not signal.SIGKILL
        assert process.stderr is not None
        with killed_after(process, WAIT_S):
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


def test_port_in_use_is_named(venue_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        venue_file.write_text(venue_file.read_text().replace("port = 0", f"port = {port}"))
        ended = CliRunner().invoke(build_app(), ["run", "--config", str(venue_file)])
    assert ended.exit_code == 1
    assert f"error: cannot listen on 127.0.0.1:{port}: " in ended.output


MISTAKEN = """
from bandgap.host import cli
from bandgap.host.{module} import {owner}

def mistake(*_):
    {mistake}

{owner}.{method} = mistake
cli.main()
"""


@pytest.mark.parametrize(
    ("module", "owner", "method", "mistake", "shown"),
    [
        ("daemon", "Daemon", "_settle", "raise RuntimeError('dictionary changed size')", "dictionary changed size"),
        ("daemon", "Daemon", "_settle", "open('/nowhere/at/all')", "No such file"),
        ("gateway.order_entry", "OrderEntry", "check", "[].index(3)", "3 is not in list"),
    ],
)
def test_mistake_of_ours_shows_where_it_comes_from(
    venue_file: Path, module: str, owner: str, method: str, mistake: str, shown: str
) -> None:
    program = MISTAKEN.format(module=module, owner=owner, method=method, mistake=mistake)
    run = [sys.executable, "-c", program, "run", "--config", str(venue_file)]
    ended = subprocess.run(run, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
    assert "in mistake" in ended.stderr
    assert shown in ended.stderr


def test_store_in_use_is_refused(venue_file: Path) -> None:
    with running(venue_file, signal.SIGTERM):
        refused = CliRunner().invoke(build_app(), ["run", "--config", str(venue_file)])
    assert refused.exit_code == 2
    assert f"{venue_file.with_name('venue.sqlite')}: another process has this store; stop it first" in refused.output


def test_changed_venue_file_is_told_apart(venue_file: Path) -> None:
    with running(venue_file, signal.SIGTERM) as (connection, _):
        say(connection, *QUOTES, {"type": "mass_cancel", "account": "alice"})
        hear(connection, 1)
    venue_file.write_text(venue_file.read_text().replace("quorum = 2", "quorum = 1"))
    refused = CliRunner().invoke(build_app(), ["run", "--config", str(venue_file)])
    assert refused.exit_code == 2
    assert refused.output.count("\n") == 1
    assert "oracle.quorum is 2 there, 1 here; restore it, or name another store" in refused.output


def test_a_journal_that_comes_out_otherwise_ends_it_for_good(venue_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(venue_file, signal.SIGTERM) as (connection, _):
        say(connection, *QUOTES, {"type": "mass_cancel", "account": "alice"})
        hear(connection, 1)
    monkeypatch.setattr(cli, "open_transport", lambda _: Liar(PRESETS["ecp5"], report=1, byte=40))
    ended = CliRunner().invoke(build_app(), ["run", "--config", str(venue_file)])
    assert ended.exit_code == 2
    assert "batch 0, report 1: " in ended.output


class Picky(ModelTransport):
    """A model that takes no band."""

    def send(self, commands: Bytes2D, arrival_ns: NDArray[np.uint64] | None = None, link: int = 0) -> None:
        commands = commands.copy()
        headers = command_headers(commands)
        headers["opcode"][headers["opcode"] == Opcode.SET_BAND.value] = 0xFF
        super().send(commands, arrival_ns, link)


def test_journal_that_the_device_rejects_ends_it_for_good(venue_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(venue_file)
    daemon = Daemon(config, Picky(PRESETS["ecp5"]), Store(config.store))
    with pytest.raises(DaemonError, match="rejects SET_BAND"):
        daemon.step(StepInput(1, quotes=[Quote(source, 0, 10_000, 1) for source in range(2)]))
    daemon.close()
    monkeypatch.setattr(cli, "open_transport", lambda _: Picky(PRESETS["ecp5"]))
    ended = CliRunner().invoke(build_app(), ["run", "--config", str(venue_file)])
    assert ended.exit_code == 2
    assert "batch 0: the device rejects SET_BAND: MALFORMED" in ended.output


def test_instrument_that_the_device_rejects_is_a_bad_venue_file(venue_file: Path) -> None:
    """Corrected, the venue begins in the store that the file names."""
    text = venue_file.read_text()
    venue_file.write_text(text.replace("window_ticks = 4_096", "window_ticks = 2"))
    refused = CliRunner().invoke(build_app(), ["run", "--config", str(venue_file)])
    assert refused.exit_code == 2
    assert "rejects instrument BTC-PERP (MALFORMED): window_base_ticks 8192, window_ticks 2, " in refused.output
    venue_file.write_text(text)
    with running(venue_file, signal.SIGTERM) as (_, said):
        assert not any(line.startswith("recovered ") for line in said)


STOPPED_EARLY = """
import os, signal
from bandgap.host import cli

signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in a shell's background

def stop(*_):
    os.kill(os.getpid(), signal.{signal})

cli.{opener} = stop
cli.main()
"""


@pytest.mark.parametrize("stop", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("opener", ["open_transport", "Daemon"])
def test_venue_that_is_stopped_before_it_serves(venue_file: Path, opener: str, stop: str) -> None:
    """The signal comes while the device is opened, or the journal carried out again."""
    program = STOPPED_EARLY.format(opener=opener, signal=stop)
    run = [sys.executable, "-c", program, "run", "--config", str(venue_file)]
    stopped = subprocess.run(run, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (0, "", "stopped\n")


def test_wait_for_a_venue_is_limited() -> None:
    silent = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    process = subprocess.Popen(silent, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process, pytest.raises(AssertionError, match="does not listen"):
        wait_until_listening(process, 0.1)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("old", "new", "status", "message"),
    [
        ("quorum = 2", "quorum = 0", 2, "oracle.quorum"),
        ("model:ecp5", "moddel:ecp5", 2, "no transport 'moddel'"),
        ("model:ecp5", "model:ecp6", 2, "no preset 'ecp6'"),
        ("model:ecp5", "serial:/dev/ttyUSB0?baud=fast", 2, "baud is a positive whole number"),
        ("model:ecp5", "serial:/dev/nowhere", 1, "there is no port /dev/nowhere"),
        ("model:ecp5", "pcie:03:00.0", 2, "'03:00.0' is no PCI address"),
        ("model:ecp5", "pcie:ffff:1f:1f.7", 1, "there is no PCI device ffff:1f:1f.7"),
        ("window_ticks = 4_096", "window_ticks = 16_384", 2, "needs 18432 ticks, the device has 8192"),
    ],
)
def test_bad_venue_is_explained(venue_file: Path, old: str, new: str, status: int, message: str) -> None:
    venue_file.write_text(venue_file.read_text().replace(old, new, 1))
    result = CliRunner().invoke(build_app(), ["run", "--config", str(venue_file)])
    assert result.exit_code == status
    assert message in " ".join(result.output.split())


@pytest.fixture
def store(venue_file: Path, tmp_path: Path) -> Path:
    """The example's store after three steps, at a path that is more than its letters in rich's markup."""
    path = tmp_path / "[" / "x] :smile:.sqlite"
    path.parent.mkdir()
    venue_file.write_text(venue_file.read_text().replace(str(tmp_path / "venue.sqlite"), str(path)))
    daemon = Daemon(load_config(venue_file), open_transport("model:ecp5"), Store(path))
    for step in range(3):
        daemon.step(StepInput(step))
    daemon.close()
    return path


def invoke(*arguments: object) -> tuple[int, str]:
    """Exit status and output, in which lines may be broken."""
    result = CliRunner().invoke(build_app(), [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    return result.exit_code, result.output


def test_verify_compares_with_a_digest_that_was_kept(store: Path) -> None:
    with closing(Store(store, read_only=True)) as opened:
        first, *_, last = (str((batch.digest or b"").hex()) for batch in opened.batches())
    status, output = invoke("verify", store)
    assert (status, output.splitlines()[-1]) == (0, f"digest {last}")
    assert "kept" not in output
    for digest, batches in ((last, 3), (first, 1)):
        status, output = invoke("verify", store, "--digest", digest)
        assert (status, f"the kept digest is that of the first {batches} batches" in output) == (0, True)
    status, output = invoke("verify", store, "--digest", "12" * 32)
    assert (status, output) == (1, f"error: after none of 3 batches is the digest {'12' * 32}\n")
    for wrong in ("12", "zz" * 32):
        status, output = invoke("verify", store, "--digest", wrong)
        assert (status, f"'{wrong}' is not 64 hexadecimal digits" in output) == (2, True)


def test_verify_tells_of_an_unfinished_batch(store: Path) -> None:
    assert "unfinished" not in invoke("verify", store)[1]
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE batches SET reports = NULL, digest = NULL WHERE sequence = 2")
    connection.close()
    status, output = invoke("verify", store)
    assert (status, "2 batches, " in output) == (0, True)
    assert "batch 2 is journaled, but unfinished" in output


def test_names_of_files_are_no_markup(venue_file: Path, store: Path) -> None:
    title, _, _ = invoke("verify", store)[1].partition("┏")
    assert "".join(title.split()) == str(store).replace(" ", "")
    with running(venue_file, signal.SIGTERM) as (_, said):
        assert f"recovered 3 batches from {store}" in said


def test_damaged_store_ends_run_for_good(venue_file: Path, store: Path) -> None:
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE ledger_accounts SET name = 'cash:mallory' WHERE name = 'cash:bob'")
    connection.close()
    for command, status in ((("run", "--config", venue_file), 2), (("verify", store), 1)):
        message = "error: ledger account 6: cash:mallory is stored, the rules say cash:bob\n"
        assert invoke(*command) == (status, message)
    with sqlite3.connect(store) as connection:
        connection.execute("DROP TABLE transfers")
    connection.close()
    for command, status in ((("run", "--config", venue_file), 2), (("verify", store), 1)):
        assert invoke(*command) == (status, f"error: {store}: table transfers is missing\n")


@pytest.mark.parametrize(("patience_s", "shown"), [(0.0, True), (1e9, False)])
def test_only_what_is_slow_shows_a_bar(
    store: Path, monkeypatch: pytest.MonkeyPatch, patience_s: float, shown: bool
) -> None:
    monkeypatch.setattr(cli, "_PATIENCE_S", patience_s)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert ("100%" in invoke("verify", store)[1]) is shown
    monkeypatch.delenv("FORCE_COLOR")
    assert "%" not in invoke("verify", store)[1]


def test_venue_that_does_not_begin_leaves_no_store(venue_file: Path) -> None:
    text = venue_file.read_text()
    for old, new in (("model:ecp5", "model:ecp6"), ("window_ticks = 4_096", "window_ticks = 16_384")):
        venue_file.write_text(text.replace(old, new, 1))
        assert invoke("run", "--config", venue_file)[0] == 2
        assert list(venue_file.parent.iterdir()) == [venue_file]


def test_folder_of_the_store_must_be_there(venue_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "none" / "venue.sqlite"
    venue_file.write_text(venue_file.read_text().replace(str(tmp_path / "venue.sqlite"), str(path)))
    message = f"error: {path}: there is no folder {path.parent}; make it first\n"
    assert invoke("run", "--config", venue_file) == (2, message)


def test_verify_explains_what_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    result = CliRunner().invoke(build_app(), ["verify", str(path)])
    assert (result.exit_code, "not the store of a venue" in result.output) == (1, True)
    assert path.read_bytes() == b""
    assert CliRunner().invoke(build_app(), ["verify", str(tmp_path / "none")]).exit_code == 2


@pytest.mark.parametrize("name", [command.name for command in build_app().registered_commands])
def test_help_of_every_command_has_examples(name: str) -> None:
    result = CliRunner().invoke(build_app(), [name, "--help"])
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert f"bandgap {name}" in result.output


def test_examples_of_run_can_be_copied() -> None:
    """None is broken on a terminal of 80 columns."""
    shown = CliRunner().invoke(build_app(), ["run", "--help"], env={"COLUMNS": "80"}).output
    examples = (cli.run.__doc__ or "").partition("Examples:")[2].split("\n\n")
    assert len([example for example in examples if example.strip()]) == 2
    for example in examples:
        assert example.strip() in shown
