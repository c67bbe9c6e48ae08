"""The appliance behind its serial port under cocotb."""

from pathlib import Path

from simulation import simulate

from bandgap.hdl.build import serial_verilog
from bandgap.hdl.config import PRESETS

CYCLES_PER_BIT = 8


def test_random_commands_over_the_serial_port(tmp_path: Path, seed: int, waves: bool) -> None:
    verilog = serial_verilog(PRESETS["formal"], CYCLES_PER_BIT)
    simulate("serial_bench", verilog, tmp_path, waves=waves, seed=seed, preset="formal")
