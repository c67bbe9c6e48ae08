"""The appliance behind its PCIe link under cocotb."""

from pathlib import Path

from simulation import simulate

from bandgap.hdl.build import pcie_verilog
from bandgap.hdl.config import PRESETS

TIMEOUT_CYCLES = 1_024


def test_a_rack_server_drives_the_appliance(tmp_path: Path, seed: int, waves: bool, coverage: Path | None) -> None:
    verilog = pcie_verilog(PRESETS["formal"], window_commands=8, tags=4, timeout_cycles=TIMEOUT_CYCLES)
    covered = coverage and coverage / "pcie.dat"
    simulate("pcie_bench", verilog, tmp_path, waves=waves, covered=covered, seed=seed, preset="formal", commands=800)
