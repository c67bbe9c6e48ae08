"""The host's scenarios over PCIe, under cocotb."""

import json
from pathlib import Path

import killed_venue
from devices import DEVICE
from simulation import simulate

from bandgap.hdl.build import pcie_verilog
from bandgap.host.settlement.store import Store
from bandgap.sim.embedded.transport import open_config

CLOCK_HZ = 250_000_000
"""Of the simulated block's user clock."""


def test_the_venue_over_pcie_is_as_on_the_embedded_device(tmp_path: Path, seed: int, waves: bool) -> None:
    state = killed_venue.finish(Store(None), open_config(DEVICE))
    verilog = pcie_verilog(DEVICE, clock_hz=CLOCK_HZ)
    simulate("scenario_bench", verilog, tmp_path, waves=waves, seed=seed, state=json.dumps(state))
