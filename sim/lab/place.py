"""How fast the gateware's clock can be: `python -m bandgap.sim.lab.place` synthesises, places and routes it.

What is placed is the appliance behind its serial port (`hdl.boards.serial`): besides clock and reset it has a few pins,
so all paths but those are from register to register, and none is shortened because nobody uses its result.
"""

import tempfile
from pathlib import Path

from rich.console import Console

from bandgap.hdl.build import serial_verilog
from bandgap.hdl.config import PRESETS
from bandgap.hdl.fpga_tools import PLACE_AND_ROUTE, REPORT, SYNTHESIS, read_report, run_tool, tool_version

from .performance import update
from .results import source_commit
from .timing import TIMING, Timing, write_timing

PRESET = "ecp5"
DEVICE = "LFE5UM5G-85F, speed 8, CABGA381"
DEVICE_OPTIONS = ("--um5g-85k", "--speed", "8", "--package", "CABGA381")
SEED = 1
CONSTRAINT_MHZ = 125
CYCLES_PER_BIT = 16
"""Of the serial port: 3 Mbaud at 48 MHz."""


def place_and_route(preset: str, folder: Path) -> Timing:
    """Synthesise, place and route a preset; takes minutes. The tools see no other folder than `folder`.

    Raises
    ------
    ToolError : A tool is missing or failed.
    """
    commit = source_commit()
    (folder / "bandgap.v").write_text(serial_verilog(PRESETS[preset], CYCLES_PER_BIT))
    run_tool(folder, SYNTHESIS, "-q", "-p", "read_verilog -sv bandgap.v; synth_ecp5 -top bandgap -json bandgap.json")
    run_tool(
        folder,
        PLACE_AND_ROUTE,
        *DEVICE_OPTIONS,
        *("--json", "bandgap.json", "--report", REPORT, "--quiet"),
        *("--freq", str(CONSTRAINT_MHZ), "--timing-allow-fail", "--lpf-allow-unconstrained", "--seed", str(SEED)),
    )
    placed = read_report(folder)
    return Timing(
        preset=preset,
        device=DEVICE,
        clock_mhz=placed.clock_mhz,
        constraint_mhz=CONSTRAINT_MHZ,
        seed=SEED,
        cells=placed.cells,
        worst_path=placed.worst_path,
        tools={tool: tool_version(folder, tool) for tool in (SYNTHESIS, PLACE_AND_ROUTE)},
        commit=commit,
    )


def main() -> None:
    """Place and route, write down, bring the page up to date, and print."""
    console = Console()
    console.print(f"synthesising, placing and routing {PRESET} (about half an hour)")
    with tempfile.TemporaryDirectory() as folder:
        timing = place_and_route(PRESET, Path(folder))
    write_timing(TIMING, timing)
    update()
    console.print(f"{timing.clock_mhz} MHz, {timing.cells}")
    console.print("\n".join(timing.worst_path), highlight=False)
    console.print(f"written to {TIMING}")


if __name__ == "__main__":
    main()
