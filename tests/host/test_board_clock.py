"""A venue on a board that has a clock of its own, and a host that is slow, stands still or falls silent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from noisy_port import SECONDS_PER_CYCLE, NoisyPort

from bandgap.hdl.appliance import Appliance
from bandgap.hdl.boards.clock import LAG_NS
from bandgap.hdl.boards.serial import SerialBoard
from bandgap.hdl.build import to_verilog
from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.commands import Side
from bandgap.hdl.protocol.reports import TradingState
from bandgap.host.breaker import HaltCause
from bandgap.host.device.serial import SerialTransport
from bandgap.host.recovery import DaemonError
from bandgap.host.settlement.store import Store
from bandgap.host.wire import Records
from bandgap.sim.embedded import build
from bandgap.sim.embedded.serial_device import SerialDevice

CONFIG = BookConfig(instruments=1, orders=512, ticks=1024, accounts=8)
# Slow enough that seconds are soon simulated; both timeouts are shorter than the clock's lag, as those of boards are.
CLOCK_HZ = 50_000
CYCLE_NS = 20_000
BOARD_TIMEOUT_CYCLES = 1 << 14
HOST_TIMEOUT_CYCLES = 40_000
S = 1_000_000_000
WATCHDOG_S = 2

OpenOn = Callable[[], tuple[Any, "Board"]]


class StallingPort(NoisyPort):
    """A port whose host can stand still once, when it has written so many bytes."""

    def __init__(self, device: SerialDevice) -> None:
        super().__init__(device)
        self.written_bytes = 0
        self.stall_at_bytes = 0
        self.stall_cycles = 0

    def write(self, data: bytes) -> None:
        if self.stall_cycles and self.written_bytes >= self.stall_at_bytes:
            self.idle(self.stall_cycles)
            self.stall_cycles = 0
        self.written_bytes += len(data)
        super().write(data)


class Board:
    """A board that was just powered up, the port before it and a host's way to it."""

    def __init__(self, library: Path) -> None:
        self.device = SerialDevice(library)
        self.port = StallingPort(self.device)
        self.transport = SerialTransport(
            lambda: self.port,  # type: ignore[arg-type, return-value]
            timeout_s=HOST_TIMEOUT_CYCLES * SECONDS_PER_CYCLE,
            clock=self.port.clock,
        )


@pytest.fixture(scope="module")
def library() -> Path:
    core = Appliance(CONFIG)
    board = SerialBoard(core, build.CYCLES_PER_BIT, timeout_cycles=BOARD_TIMEOUT_CYCLES, clock_hz=CLOCK_HZ)
    return build.library(to_verilog(board), shim=build.SERIAL_SHIM)


@pytest.fixture
def open_on(library: Path, open_venue: Callable[..., Any], tmp_path: Path) -> Callable[[], tuple[Any, Board]]:
    """The venue of this test, from its store if there is one, on a board that was just powered up."""

    def make() -> tuple[Any, Board]:
        board = Board(library)
        return open_venue(Store(tmp_path / "store"), transport=board.transport, watchdog_s=WATCHDOG_S), board

    return make


def orders(venue: Any, count: int) -> list[Records]:
    """Buys and sells in turn, which trade with each other."""
    return [venue.new(n % 2, (Side.BUY, Side.SELL)[n % 2], 1000, 1 + n % 3) for n in range(count)]


def test_a_step_may_take_longer_than_the_clock_waits(open_on: OpenOn) -> None:
    venue, board = open_on()
    venue.step(mark=1000)
    begun_cycle = board.device.cycles
    digest = venue.step(*orders(venue, 40)).digest
    assert (board.device.cycles - begun_cycle) * CYCLE_NS > 2 * LAG_NS
    venue.daemon.close()
    again, _ = open_on()
    assert (again.daemon.sequence, again.daemon.digest) == (2, digest)


@pytest.mark.parametrize(("part", "stall_s"), [(0, 2), (0, 4), (1, 2), (1, 4), (2, 2), (2, 4), (3, 4)])
def test_a_host_that_stood_still_in_a_step_comes_back_from_its_journal(
    open_on: OpenOn, part: int, stall_s: int
) -> None:
    """For longer than the clock waits, or also than the watchdog does, somewhere in what the step writes.

    In the last part all commands have come: there it matters only that a timer acts.
    """
    venue, board = open_on()
    venue.step(mark=1000)
    begun_bytes = board.port.written_bytes
    venue.step(*orders(venue, 6))
    port = board.port
    port.stall_at_bytes = port.written_bytes + (port.written_bytes - begun_bytes) * part // 4
    port.stall_cycles = stall_s * S // CYCLE_NS
    with pytest.raises(DaemonError, match=r"batch 2: the device's time was .* this host stood still"):
        venue.step(*orders(venue, 6))
    venue.daemon.close()
    again, _ = open_on()
    assert again.daemon.sequence == 3
    digest = again.step(*orders(again, 6)).digest
    again.daemon.close()
    assert open_on()[0].daemon.digest == digest


def test_a_host_that_stood_still_between_steps_finds_the_market_halted(open_on: OpenOn) -> None:
    venue, board = open_on()
    venue.step(mark=1000)
    board.port.idle((WATCHDOG_S * S + LAG_NS * 11 // 10) // CYCLE_NS)
    (change,) = venue.step(after_ns=4 * S).trading_changes
    assert (change.cause, change.state) == (HaltCause.WATCHDOG, TradingState.HALTED)
    assert change.time_ns == venue.daemon.time_ns - 4 * S + WATCHDOG_S * S
    digest = venue.daemon.digest
    venue.daemon.close()
    assert open_on()[0].daemon.digest == digest
