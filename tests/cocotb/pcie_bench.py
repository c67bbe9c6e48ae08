"""The appliance behind its PCIe link on Verilator, in a simulated rack server whose host is the real one."""

import os
from itertools import islice
from random import Random

import cocotb
from cocotb.handle import SimHandleBase
from cocotb.task import bridge
from pcie_host import SimulatedAccess, SimulatedHost

from bandgap.hdl.config import PRESETS
from bandgap.host.device.pcie import PcieTransport
from bandgap.sim.flow.random_commands import random_episodes
from bandgap.sim.lab.compare import compare

SEED = int(os.environ["BANDGAP_SEED"])
CONFIG = PRESETS[os.environ["BANDGAP_PRESET"]]
REPEAT = f"BANDGAP_SEED={SEED} python -m pytest tests/cocotb -k pcie"
PATIENCE_S = 1e-4


async def booted(dut: SimHandleBase) -> SimulatedHost:
    host = SimulatedHost(dut)
    await host.boot()
    return host


@cocotb.test()
async def random_commands(dut: SimHandleBase) -> None:
    """Both ways in, compared with the model."""
    host = await booted(dut)
    rng = Random(SEED)

    def connect() -> PcieTransport:
        return PcieTransport(SimulatedAccess(host, rng), report_ring_log2=4, bulk_commands=3, patience_s=PATIENCE_S)

    episodes = islice(random_episodes(CONFIG, SEED), int(os.environ["BANDGAP_EPISODES"]))
    compared = await bridge(compare)(CONFIG, connect, episodes, repeat=REPEAT)
    dut._log.info("%d commands compared with the model, none different; seed %d", compared, SEED)
