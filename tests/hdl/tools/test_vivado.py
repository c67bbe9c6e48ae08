"""The Vivado project of the Alveo U50, with a Yosys that only pretends to check it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bandgap.hdl.boards import u50
from bandgap.hdl.protocol.pcie import INTERRUPT_PENDING_OFFSET, INTERRUPT_TABLE_OFFSET
from bandgap.hdl.protocol.version import layout_hash, link_layout_hash
from bandgap.hdl.tools.bitstream import MANIFEST
from bandgap.hdl.tools.fpga_tools import SYNTHESIS
from bandgap.hdl.tools.vivado import BLOCK, PINS, SCRIPT, TOP, block, constraints, script, write_project

ROOT = Path(__file__).parents[3]

COUNTED = {"LUT6": 5, "LUT6_2": 1, "FDRE": 7, "FDSE": 1, "RAMB36E2": 2, "RAM32M16": 3, "DSP48E2": 4, "CARRY8": 9}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project of the smallest preset."""
    folder = tmp_path_factory.mktemp("vivado")
    program = folder / SYNTHESIS
    cells = json.dumps({"design": {"num_cells_by_type": COUNTED}})
    program.write_text(f"#!/bin/sh\necho '{cells}' > cells.json; echo Yosys 1.2.3\n")
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder), prepend=":")
        write_project("formal", folder / "project")
    return folder / "project"


def test_what_yosys_counted_is_in_the_manifest_and_the_timing_is_not(project: Path) -> None:
    manifest = json.loads((project / "manifest.json").read_text())
    assert manifest["synthesis"] == {
        "preset": "formal",
        "cells": {"LUTs": 6, "flip-flops": 8, "distributed RAM": 3, "block RAMs": 2, "DSP slices": 4},
    }
    assert manifest["timing"] == "not verified"
    assert manifest["tools"] == {SYNTHESIS: "1.2.3"}


def test_the_manifest_has_the_hashes_that_the_host_compares(project: Path) -> None:
    manifest = json.loads((project / "manifest.json").read_text())
    assert int(manifest["layout_hash"], 16) == layout_hash()
    assert int(manifest["link_layout_hash"], 16) == link_layout_hash()


def test_every_pin_is_a_port_and_every_port_but_the_lanes_has_its_pin(project: Path) -> None:
    top = re.search(r"^module bandgap\((.*?)\);", (project / TOP).read_text(), re.MULTILINE | re.DOTALL)
    assert top
    ports = {port.strip() for port in top[1].split(",")}
    pins = set(re.findall(r"PACKAGE_PIN .*\[get_ports (\w+)\]", (project / PINS).read_text()))
    assert pins == set(u50.PADS)
    assert ports - pins == {"pcie_rx_p", "pcie_rx_n", "pcie_tx_p", "pcie_tx_n"}


def test_the_block_is_made_by_the_name_under_which_it_is_used(project: Path) -> None:
    assert f"-module_name {u50.BLOCK}" in (project / BLOCK).read_text()
    verilog = (project / TOP).read_text()
    assert re.search(rf"^  {u50.BLOCK} ", verilog, re.MULTILINE)
    for name in ("m_axis_cq_tdata", "s_axis_rq_tready", "cfg_interrupt_msix_data", "cfg_flr_done", "cfg_mgmt_addr"):
        assert f".{name}(" in verilog


def test_the_block_names_the_places_of_the_interrupt_table_in_bytes() -> None:
    places = dict(re.findall(r"CONFIG.PF0_MSIX_CAP_(TABLE|PBA)_OFFSET \{(\w+)\}", block()))
    assert {name: int(place, 16) for name, place in places.items()} == {
        "TABLE": INTERRUPT_TABLE_OFFSET,
        "PBA": INTERRUPT_PENDING_OFFSET,
    }


def test_the_script_stays_within_one_flow() -> None:
    """Without a project on disk there are no runs, and each step is a command of its own."""
    commands = [line.split()[0] for line in script().splitlines() if line and line[0] != "#"]
    assert "create_project -in_memory " in script()
    assert not {"create_ip_run", "create_run", "launch_runs", "open_run", "wait_on_run"} & set(commands)
    steps = ["create_project", "source", "synth_ip", "synth_design", "place_design", "route_design", "write_bitstream"]
    assert [command for command in commands if command in steps] == steps


@pytest.mark.skipif(not shutil.which("tclsh"), reason="needs tclsh")
@pytest.mark.parametrize(
    ("setup_ns", "hold_ns", "said"),
    [
        (0.012, 0.003, ""),
        (-0.012, 0.003, "the timing is not met: the slack of setup is -0.012 ns, see out/timing.rpt"),
        (0.012, -0.003, "the timing is not met: the slack of hold is -0.003 ns, see out/timing.rpt"),
    ],
)
def test_a_bitstream_is_written_where_the_timing_is_met(
    tmp_path: Path, setup_ns: float, hold_ns: float, said: str
) -> None:
    """Of Vivado's commands there are only those that tell a slack; the others do nothing."""
    (tmp_path / SCRIPT).write_text(script())
    (tmp_path / BLOCK).touch()
    (tmp_path / "vivado.tcl").write_text(
        "proc unknown args {}\n"
        "proc get_timing_paths {check} { return $check }\n"
        f"proc get_property {{name path}} {{ dict get {{-setup {setup_ns} -hold {hold_ns}}} $path }}\n"
        "proc write_bitstream args { puts written }\n"
        f"source {SCRIPT}\n"
    )
    done = subprocess.run(["tclsh", "vivado.tcl"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == ("" if said else "written\n")
    assert said in done.stderr
    assert bool(said) == bool(done.returncode)


def test_the_committed_project_is_what_is_written() -> None:
    kept = ROOT / "bitstreams" / u50.NAME
    for name, text in ((PINS, constraints()), (BLOCK, block()), (SCRIPT, script())):
        assert (kept / name).read_text() == text, f"{name}: repeat `bandgap bitstream u50`"
    manifest = json.loads((kept / MANIFEST).read_text())
    assert int(manifest["layout_hash"], 16) == layout_hash()
    assert int(manifest["link_layout_hash"], 16) == link_layout_hash()


def test_the_script_reads_what_there_is(project: Path) -> None:
    script = (project / SCRIPT).read_text()
    for name in (TOP, PINS, BLOCK):
        assert re.search(rf"^(?:read_verilog -sv|read_xdc|source) {name}$", script, re.MULTILINE)
        assert (project / name).exists()
