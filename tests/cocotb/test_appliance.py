"""The whole appliance under cocotb."""

from pathlib import Path

from simulation import simulate

from bandgap.hdl.build import verilog
from bandgap.hdl.config import PRESETS


def test_random_commands_on_the_appliance(tmp_path: Path, seed: int, waves: bool) -> None:
    simulate(
        "appliance_bench", verilog(PRESETS["formal"]), tmp_path, waves=waves, seed=seed, preset="formal", episodes=12
    )
