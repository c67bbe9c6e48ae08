"""The time of a board that has a clock of its own, as a host sees it over the serial link."""

from collections.abc import Iterator

import numpy as np
import pytest
from noisy_port import NoisyPort

from bandgap.hdl.boards.clock import LAG_NS
from bandgap.hdl.boards.loopback import Loopback
from bandgap.hdl.boards.serial import SerialBoard
from bandgap.hdl.build import to_verilog
from bandgap.hdl.protocol.registers import BY_NAME
from bandgap.host.device.serial import SerialTransport
from bandgap.sim.embedded import build
from bandgap.sim.embedded.serial_device import SerialDevice

CLOCK_HZ = 100_000
CYCLE_NS = 10_000
S = 1_000_000_000


@pytest.fixture(scope="module")
def device() -> Iterator[SerialDevice]:
    """A board that echoes commands with the time at which they came."""
    board = SerialBoard(Loopback(), build.CYCLES_PER_BIT, timeout_cycles=build.SERIAL_TIMEOUT_CYCLES, clock_hz=CLOCK_HZ)
    device = SerialDevice(build.library(to_verilog(board), shim=build.SERIAL_SHIM))
    yield device
    device.close()


def opened(device: SerialDevice) -> SerialTransport:
    """A host that has begun an epoch."""
    port = NoisyPort(device)
    transport = SerialTransport(lambda: port, clock=port.clock)  # type: ignore[arg-type, return-value]
    transport.write_register(BY_NAME["epoch"].at(), 1)
    return transport


def stamps_ns(transport: SerialTransport, arrivals_ns: list[int] | None, count: int = 1) -> list[int]:
    """The times at which commands reached the core."""
    commands = np.zeros((count, 32), np.uint8)
    transport.send(commands, None if arrivals_ns is None else np.array(arrivals_ns, np.uint64))
    stamps: list[int] = transport.receive()[:, 8:16].copy().view(np.uint64)[:, 0].tolist()
    return stamps


def silence(device: SerialDevice, ns: int) -> None:
    device.clock(b"\1" * (ns // CYCLE_NS))


def test_stamps_are_the_host_s_to_the_nanosecond_also_when_it_begins_anew_with_an_old_journal(
    device: SerialDevice,
) -> None:
    arrivals_ns = [5 * S, 5 * S, 5 * S + 1, 9 * S + 7]
    for _ in range(2):
        transport = opened(device)
        assert stamps_ns(transport, arrivals_ns, len(arrivals_ns)) == arrivals_ns
        silence(device, LAG_NS * 3 // 4)
        assert stamps_ns(transport, [10 * S]) == [10 * S]


def test_the_time_stands_however_long_commands_and_reports_are_on_the_line(device: SerialDevice) -> None:
    transport = opened(device)
    begin_cycle = device.cycles
    assert set(stamps_ns(transport, [5 * S] * 200, 200)) == {5 * S}
    assert (device.cycles - begin_cycle) * CYCLE_NS > 2 * LAG_NS


def test_the_time_goes_on_when_the_host_is_silent_and_is_the_host_s_again_when_it_returns(
    device: SerialDevice,
) -> None:
    transport = opened(device)
    assert stamps_ns(transport, [5 * S]) == [5 * S]
    silence(device, 2 * LAG_NS)
    (late,) = stamps_ns(transport, None)
    assert 5 * S + LAG_NS * 9 // 10 < late < 5 * S + LAG_NS * 11 // 10
    (later,) = stamps_ns(transport, None)
    assert later > late
    assert stamps_ns(transport, [5 * S + 2 * LAG_NS]) == [5 * S + 2 * LAG_NS]


def test_an_epoch_that_begins_in_the_same_session_goes_on_from_the_host_s_word(device: SerialDevice) -> None:
    transport = opened(device)
    assert stamps_ns(transport, [5 * S]) == [5 * S]
    silence(device, 2 * LAG_NS)
    transport.write_register(BY_NAME["epoch"].at(), 2)
    assert stamps_ns(transport, None) == [5 * S]
