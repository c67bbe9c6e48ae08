"""The whole appliance on Verilator: random commands, back-pressure on both sides, every report compared with the model.

The bench is a `Transport`, so what runs on the embedded device runs here unchanged.
"""

import os
from itertools import islice
from random import Random

import cocotb
import numpy as np
from cocotb.handle import SimHandleBase
from cocotb.task import bridge, resume
from numpy.typing import NDArray
from pins import Pins, Sink, Source

from bandgap.hdl.config import PRESETS
from bandgap.hdl.protocol.registers import BY_NAME, STATUS_READY
from bandgap.hdl.protocol.reports import REPORT_BYTES
from bandgap.host.device.transport import Bytes2D, Transport
from bandgap.sim.flow.random_commands import random_episodes
from bandgap.sim.lab.compare import compare

MOST_CYCLES = 100_000
"""No wait is longer than this: the design hangs."""


class PinTransport(Transport):
    """The appliance's pins as a transport; its methods are called from a bridged thread."""

    def __init__(self, pins: Pins, rng: Random, eagerness: float) -> None:
        dut = pins.dut
        self._pins, self._dut = pins, dut
        self._commands = Source(
            dut.command_valid, dut.command_ready, [dut.command_link, dut.command_data], rng, eagerness
        )
        self._reports = Sink(dut.report_valid, dut.report_ready, dut.report_data, rng, eagerness)
        pins.drivers = [self._commands, self._reports]
        self._time_ns = 0
        for signal in (dut.time_ns, dut.register_write_enable, dut.register_read_enable, dut.register_address):
            signal.value = 0

    async def _until(self, condition) -> None:
        for _ in range(MOST_CYCLES):
            if condition():
                return
            await self._pins.cycle()
        raise RuntimeError(f"the appliance hangs: nothing in {MOST_CYCLES} cycles")

    def _set_time(self, time_ns: int) -> None:
        self._time_ns = max(self._time_ns, time_ns)
        self._dut.time_ns.value = self._time_ns

    async def _read_register(self, offset: int) -> int:
        self._dut.register_address.value = offset
        self._dut.register_read_enable.value = 1
        await self._pins.cycle()
        value = int(self._dut.register_read_data.value)
        self._dut.register_read_enable.value = 0
        return value

    @resume
    async def read_register(self, offset: int) -> int:
        return await self._read_register(offset)

    @resume
    async def write_register(self, offset: int, value: int) -> None:
        self._dut.register_address.value = offset
        self._dut.register_write_data.value = value
        self._dut.register_write_enable.value = 1
        await self._pins.cycle()
        self._dut.register_write_enable.value = 0
        for _ in range(MOST_CYCLES):
            if await self._read_register(BY_NAME["status"].at()) & STATUS_READY:
                return
        raise RuntimeError("the appliance does not get ready")

    @resume
    async def send(self, commands: Bytes2D, arrival_ns: NDArray[np.uint64] | None = None, link: int = 0) -> None:
        for row, command in enumerate(commands):
            if arrival_ns is not None:
                self._set_time(int(arrival_ns[row]))
            self._commands.pending.append((link, int.from_bytes(command.tobytes(), "little")))
            await self._until(lambda: not self._commands.pending)

    async def _finish(self) -> None:
        await self._pins.cycle()
        await self._until(lambda: int(self._dut.idle.value))

    @resume
    async def receive(self) -> Bytes2D:
        await self._finish()
        raw = b"".join(report.to_bytes(REPORT_BYTES, "little") for report in self._reports.taken)
        self._reports.taken.clear()
        return np.frombuffer(raw, np.uint8).reshape(-1, REPORT_BYTES)

    @resume
    async def advance(self, time_ns: int) -> None:
        await self._finish()
        self._set_time(time_ns)
        await self._finish()

    def close(self) -> None:
        """The simulation ends with its test."""


async def run(dut: SimHandleBase, eagerness: float) -> None:
    """Compare `BANDGAP_EPISODES` random episodes with the model, offering and taking with this probability a cycle."""
    seed = int(os.environ["BANDGAP_SEED"])
    config = PRESETS[os.environ["BANDGAP_PRESET"]]
    pins = Pins(dut)
    transport = PinTransport(pins, Random(seed), eagerness)
    await pins.reset()
    episodes = islice(random_episodes(config, seed), int(os.environ["BANDGAP_EPISODES"]))
    repeat = f"BANDGAP_SEED={seed} python -m pytest tests/cocotb -k appliance"
    compared = await bridge(compare)(config, lambda: transport, episodes, repeat=repeat)
    dut._log.info("%d commands compared with the model, none different; seed %d", compared, seed)


@cocotb.test()
async def at_full_speed(dut: SimHandleBase) -> None:
    """Nobody holds back."""
    await run(dut, 1.0)


@cocotb.test()
async def with_back_pressure(dut: SimHandleBase) -> None:
    """Both sides hold back in six cycles of ten."""
    await run(dut, 0.4)
