"""`bandgap device serve`, as a program."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from script import BUY, SELL, Script

from bandgap.hdl.config import PRESETS
from bandgap.host.device.transport import open_transport

PROGRAM = [sys.executable, "-c", "from bandgap.host.cli import main; main()", "device", "serve"]
WAIT_S = 300


@contextmanager
def serving(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The program, and the URL that it prints."""
    with subprocess.Popen([*PROGRAM, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_hosts_come_and_go_and_it_stops_when_told(tmp_path: Path, stop: signal.Signals) -> None:
    port = tmp_path / "port"
    with serving("--pty", "--preset", "formal", "--link", str(port)) as (process, url):
        assert url == f"serial:{port}"
        for epoch in (1, 2):
            script = Script(PRESETS["formal"], epoch)
            script.band(100, 103)
            script.new(0, BUY, 101)
            script.new(1, SELL, 101, account=1)
            with closing(open_transport(url)) as transport:
                script.run(transport)
        process.send_signal(stop)
        assert process.wait(WAIT_S) == 0
    assert not port.is_symlink()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "add --pty: a device is served behind a pseudo-terminal"),
        (["--pty", "--preset", "formal", "--link", "/nowhere/port"], "there is no folder /nowhere"),
    ],
)
def test_bad_input_is_named_and_ends_with_status_2(options: list[str], said: str) -> None:
    result = subprocess.run([*PROGRAM, *options], capture_output=True, text=True, check=False, timeout=WAIT_S)
    assert result.returncode == 2
    assert said in result.stderr
