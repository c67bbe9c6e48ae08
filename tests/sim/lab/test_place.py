"""Placing and routing, with tools that only pretend; the real ones take minutes and are for `make timing`."""

import json
from pathlib import Path
from typing import Any

import pytest

from bandgap.hdl.tools import bitstream, fpga_tools
from bandgap.hdl.tools.bitstream import read_manifest
from bandgap.hdl.tools.fpga_tools import ECP5_CELLS, PACK, PLACE_AND_ROUTE, SYNTHESIS, ToolError
from bandgap.sim.lab import place
from bandgap.sim.lab.clocked import CLOCK
from bandgap.sim.lab.performance import CORE, PAGE, tables
from bandgap.sim.lab.place import place_and_route
from bandgap.sim.lab.results import Figure, read_figures, write_figures
from bandgap.sim.lab.unloaded import RESTS
from bandgap.sim.timing import TIMING, read_timing

REPORT: dict[str, Any] = {
    "fmax": {"$glbnet$clk": {"achieved": 131.234, "constraint": 60.0}},
    "utilization": {cell: {"used": 10 + place, "available": 100} for place, cell in enumerate(ECP5_CELLS)},
    "critical_paths": [
        {"from": "<async>", "to": "posedge $glbnet$clk", "path": []},
        {
            "from": "posedge $glbnet$clk",
            "to": "posedge $glbnet$clk",
            "path": [
                {"type": "clk-to-q", "delay": 0.5, "from": {"cell": "appliance.book.head_TRELLIS_FF_Q_3"}},
                {"type": "routing", "delay": 1.25, "net": "appliance.book.head[2]", "from": {"cell": "x"}},
                {"type": "logic", "delay": 0.25, "from": {"cell": "appliance.book.best_LUT4_Z_D_LUT4_A"}},
                {
                    "type": "routing",
                    "delay": 0.5,
                    "net": "appliance.book.best_LUT4_Z_D[1]",
                    "from": {"cell": "x"},
                },
                {"type": "setup", "delay": 0.0, "from": {"cell": "appliance.book.best_TRELLIS_FF_Q"}},
            ],
        },
    ],
}

NETLIST = {"modules": {"bandgap": {"cells": {}, "netnames": {"clk": {"bits": [2]}}}}}


def pretend(folder: Path, tool: str, script: str) -> None:
    program = folder / tool
    program.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo "Tool 1.2.3+4 (git)"; exit; fi\n{script}\n')
    program.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of tools, first in the path; they are given no design at all."""
    monkeypatch.setattr(bitstream, "sources", lambda board, preset, clock_hz: (f"// {preset}", "# none"))
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    pretend(folder, SYNTHESIS, f"echo '{json.dumps(NETLIST)}' > bandgap.json")
    pretend(folder, PLACE_AND_ROUTE, f"grep -q cells bandgap.json && echo '{json.dumps(REPORT)}' > report.json")
    pretend(folder, PACK, "cp bandgap.json bandgap.bit")
    return folder


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The folder that the tools work in."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def test_what_the_tools_say_is_written_down(tools: Path, work: Path) -> None:
    timing = place_and_route("formal", work)
    assert (timing.preset, timing.clock_mhz, timing.device) == ("formal", 131.23, "LFE5UM5G-85F, speed 8, CABGA381")
    assert read_manifest(work).fmax_mhz == timing.clock_mhz
    assert timing.cells == {name: (10 + place, 100) for place, name in enumerate(ECP5_CELLS.values())}
    assert timing.worst_path == [
        "  1.75 ns,   2 steps: book.head",
        "  2.50 ns,   3 steps: book.best",
    ]
    assert timing.tools == {SYNTHESIS: "1.2.3+4", PLACE_AND_ROUTE: "1.2.3+4"}


def test_a_tool_that_fails_is_named_with_what_it_said(tools: Path, work: Path) -> None:
    pretend(tools, PLACE_AND_ROUTE, "echo no room >&2; exit 3")
    with pytest.raises(ToolError, match=f"{PLACE_AND_ROUTE} failed with status 3:\nno room"):
        place_and_route("formal", work)


def test_a_tool_that_is_missing_is_named(tools: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tools / PLACE_AND_ROUTE).unlink()
    monkeypatch.setattr(fpga_tools, "_OWN_FOLDER", tools)
    with pytest.raises(ToolError, match=f"{PLACE_AND_ROUTE} is not installed: .*make timing"):
        place_and_route("formal", work)


def test_a_report_without_a_path_is_none(tools: Path, work: Path) -> None:
    report = json.dumps({**REPORT, "critical_paths": REPORT["critical_paths"][:1]})
    pretend(tools, PLACE_AND_ROUTE, f"echo '{report}' > report.json")
    with pytest.raises(ToolError, match=f"{PLACE_AND_ROUTE} reports no path from register to register"):
        place_and_route("formal", work)


def test_the_clock_goes_to_the_figures_and_the_page(
    tools: Path, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timing = place_and_route("formal", work)
    monkeypatch.setattr(place, "place_and_route", lambda preset, folder, step: timing)
    monkeypatch.chdir(tmp_path)
    cycles = Figure(RESTS, "ecp5", "apart", "max", 5, "cycles", "abc")
    write_figures(CORE, [cycles])
    PAGE.write_text("".join(f"<!-- {name}: generated -->\n<!-- end -->\n" for name in tables([], None)))
    place.main()
    written = read_timing(TIMING)
    assert written is not None and written.clock_mhz == timing.clock_mhz
    kept, clock = read_figures(CORE)
    assert (kept, clock.figure, clock.value) == (cycles, CLOCK, timing.clock_mhz)
    assert "**131.2** | MHz" in PAGE.read_text()
