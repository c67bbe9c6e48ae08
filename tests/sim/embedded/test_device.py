"""The compiled appliance, as the host sees it."""

from pathlib import Path

import numpy as np
import pytest

from bandgap.hdl.config import PRESETS, BookConfig
from bandgap.hdl.protocol.reports import ReportFlags
from bandgap.host.device.device import Device
from bandgap.host.wire import Bytes2D, command_headers, report_headers, without_cycles
from bandgap.sim.embedded import open_config, open_device
from bandgap.sim.flow.file import Chunk, PriceRange, Survey
from bandgap.sim.flow.flash_crash import flash_crash
from bandgap.sim.lab.recorder import Recorder
from bandgap.sim.replay.session import ReplaySession

SMALL = BookConfig(instruments=2, orders=256, ticks=2_048, accounts=16)


def recorded(messages: int, at_once: int, stall_seed: int = 0) -> tuple[Recorder, list[Bytes2D]]:
    """A short market through a small device, so many requests at once: what was sent, and the reports of each time."""
    transport = Recorder(open_config(SMALL, stall_seed=stall_seed))
    received: list[Bytes2D] = []
    receive = transport.receive

    def remember() -> Bytes2D:
        received.append(receive())
        return received[-1]

    transport.receive = remember  # type: ignore[method-assign]
    market = flash_crash(3, messages, (9_600,), 16)
    survey = Survey(messages, ["A"], [PriceRange(9_600, 9_600, 9_600)], list(range(16)), {})
    device = Device(transport)
    session = ReplaySession(device, survey)
    for start in range(0, messages, at_once):
        requests = market.requests[start : start + at_once]
        session.run(Chunk(np.arange(len(requests)), requests))
    device.close()
    return transport, received


def test_what_is_received_answers_everything_that_was_sent() -> None:
    transport, received = recorded(3_000, at_once=1)
    exchanges = [reports for reports in received if len(reports)]
    sent = [commands for commands, _, _ in transport.sent if len(commands)]
    assert len(exchanges) == len(sent)
    for commands, reports in zip(sent, exchanges, strict=True):
        headers = report_headers(reports)
        lasts = headers["command_number"][headers["flags"] & ReportFlags.LAST.value != 0]
        assert lasts.tolist() == command_headers(commands)["number"].tolist()


def test_stalls_change_cycles_alone() -> None:
    _, smooth = recorded(2_000, at_once=64)
    _, stalled = recorded(2_000, at_once=64, stall_seed=99)
    one, other = np.concatenate(smooth), np.concatenate(stalled)
    assert np.array_equal(without_cycles(one), without_cycles(other))
    assert not np.array_equal(one, other)


def test_any_run_can_write_waves(tmp_path: Path) -> None:
    waves = tmp_path / "with space.vcd"
    device = Device(open_device(f"formal?waves={str(waves).replace(' ', '%20')}"))
    assert device.sizes.orders == PRESETS["formal"].orders
    device.close()
    head = waves.read_text()[:200_000]
    for signal in ("command_valid", "report_data", "time_ns", "engine"):
        assert signal in head


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("huge", "no preset 'huge' in device 'embedded:huge'; known: formal, ecp5-small, ecp5, ultrascale"),
        ("", "no preset '' in device 'embedded:'"),
        ("formal?speed=9", r"no option speed in device 'embedded:formal\?speed=9'; known: waves"),
        ("formal?waves=run.wlf", r"waves are written as \.vcd or \.fst, not 'run\.wlf'"),
        ("formal?waves=", r"waves are written as \.vcd or \.fst, not ''"),
    ],
)
def test_a_bad_address_says_what_is_wrong_with_it(address: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_device(address)


def test_waves_that_cannot_be_written_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        open_device(f"formal?waves={tmp_path}/nowhere/run.vcd")
