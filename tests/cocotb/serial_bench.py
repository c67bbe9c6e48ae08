"""The appliance behind its serial port on Verilator: cocotbext-uart at the far end of the line, the host behind it.

Random commands, every report compared with the model. The far end's bit time is one of its own.
"""

import logging
import os

import cocotb
from cocotb.clock import Clock
from cocotb.handle import SimHandleBase
from cocotb.simtime import get_sim_time
from cocotb.task import bridge, resume
from cocotb.triggers import RisingEdge, Timer
from cocotbext.uart import UartSink, UartSource
from episodes import cut

from bandgap.hdl.config import PRESETS
from bandgap.host.device.serial import SerialTransport
from bandgap.sim.flow.random_commands import random_episode
from bandgap.sim.lab.compare import compare

CLOCK_NS = 10
TIMEOUT_S = 0.002
PATIENCE_S = 0.1


class UartPort:
    """What `SerialTransport` uses of a pyserial port; its methods are called from a bridged thread."""

    def __init__(self, dut: SimHandleBase, bit_ns: int) -> None:
        baud = 1e9 / (bit_ns + 0.5)  # cocotbext-uart cuts a bit's time to whole nanoseconds
        self._source, self._sink = UartSource(dut.rx, baud=baud), UartSink(dut.tx, baud=baud)
        for end in (self._source, self._sink):
            end.log.setLevel(logging.WARNING)  # it logs every byte
        self._byte_ns = 10 * bit_ns

    @property
    def in_waiting(self) -> int:
        return int(self._sink.count())

    @resume
    async def clock(self) -> float:
        return get_sim_time("sec")

    @resume
    async def write(self, data: bytes) -> None:
        self._source.write_nowait(data)

    @resume
    async def read(self, size: int) -> bytes:
        if size and self._sink.empty():
            await Timer(4 * self._byte_ns, "ns")
        return bytes(self._sink.read_nowait(min(size, self._sink.count())))

    def close(self) -> None:
        """The simulation ends with its test."""


async def run(dut: SimHandleBase, bit_ns: int, commands: int) -> None:
    """Compare random commands with the model over a line whose far end takes this time for a bit."""
    seed = int(os.environ["BANDGAP_SEED"])
    config = PRESETS[os.environ["BANDGAP_PRESET"]]
    Clock(dut.clk, CLOCK_NS, "ns").start()
    port = UartPort(dut, bit_ns)
    dut.rst.value = 1
    for _ in range(2):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    episode = cut(random_episode(config, seed, 0), commands)
    repeat = f"BANDGAP_SEED={seed} python -m pytest tests/cocotb -k serial"

    def connect() -> SerialTransport:
        return SerialTransport(
            lambda: port, number=bit_ns, timeout_s=TIMEOUT_S, patience_s=PATIENCE_S, clock=port.clock
        )

    compared = await bridge(compare)(config, connect, [episode], repeat=repeat)
    dut._log.info("%d commands compared with the model, none different; seed %d", compared, seed)


@cocotb.test()
async def at_its_bit_time(dut: SimHandleBase) -> None:
    """Both ends agree."""
    await run(dut, 80, 25)


@cocotb.test()
async def far_end_is_faster(dut: SimHandleBase) -> None:
    """By more than one percent."""
    await run(dut, 79, 8)


@cocotb.test()
async def far_end_is_slower(dut: SimHandleBase) -> None:
    """By more than one percent."""
    await run(dut, 81, 8)
