"""A Vivado project for the Alveo U50, and what of it can be checked without Vivado: its synthesis, by Yosys."""

import hashlib
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..boards import u50
from ..build import build_identity, pcie_verilog, to_verilog
from ..protocol.version import layout_hash, link_layout_hash
from .bitstream import MANIFEST, ChoiceError, sizes
from .fpga_tools import SYNTHESIS, run_tool, tool_version

CHECKED_PRESET = "formal"
"""Whose synthesis is checked: that of larger ones takes Yosys hours."""

TOP, PINS, BLOCK, SCRIPT = "bandgap.v", "bandgap.xdc", "pcie.tcl", "build.tcl"

_CELLS = {
    "LUTs": r"LUT[1-6](?:_2)?|INV",
    "flip-flops": r"FD[CPRS]E(?:_1)?",
    "distributed RAM": r"RAM\d+(?:X1|M).*",
    "block RAMs": r"RAMB(?:18|36)E2",
    "DSP slices": r"DSP48E2",
}
"""Yosys's names of the cells that are counted, by ours."""


_SYNTHESIS_STEPS = (
    "synth_xilinx -family xcup -top bandgap -run begin:map_luts",
    # The next seven are what `synth_xilinx` does there, but for `abc9`: in the Yosys of the package index that ends
    # without a word on this design. `abc` does the same work without the delays of carry chains.
    "opt_expr -mux_undef -noclkinv",
    "abc -luts 2:2,3,6:5,10,20",
    "clean",
    "xilinx_srl -fixed -minlen 3",
    "techmap -map +/xilinx/lut_map.v -map +/xilinx/cells_map.v -D LUT_WIDTH=6",
    "xilinx_dffopt",
    "opt_lut_ins -tech xilinx",
    "synth_xilinx -family xcup -top bandgap -run finalize:edif",
    "tee -q -o cells.json stat -json",
)


def constraints() -> str:
    """Pins and the reference clock, as XDC."""
    lines = [
        "set_property CFGBVS GND [current_design]",
        "set_property CONFIG_VOLTAGE 1.8 [current_design]",
        "set_property CONFIG_MODE SPIx4 [current_design]",
        "set_property BITSTREAM.GENERAL.COMPRESS TRUE [current_design]",
        "set_property BITSTREAM.CONFIG.SPI_BUSWIDTH 4 [current_design]",
        "set_property BITSTREAM.CONFIG.SPI_32BIT_ADDR YES [current_design]",
        "set_property BITSTREAM.CONFIG.CONFIGRATE 85.0 [current_design]",
        "set_operating_conditions -design_power_budget 63",
        "create_clock -name pcie_reference -period 10.000 [get_ports pcie_reference_p]",
    ]
    for port, (site, standard) in u50.PADS.items():
        settings = f" IOSTANDARD {standard}" if standard else ""
        lines.append(f"set_property -dict {{PACKAGE_PIN {site}{settings}}} [get_ports {port}]")
    asynchronous = ("pcie_reset_n", "alive", "linked", "too_hot")
    lines += [
        f"set_false_path -{'from' if port == 'pcie_reset_n' else 'to'} [get_ports {port}]" for port in asynchronous
    ]
    return "\n".join(lines) + "\n"


def block() -> str:
    """The integrated block, as Tcl; in a folder of its own, because only there a second run may overwrite it."""
    listed = " \\\n".join(f"    CONFIG.{name} {{{value}}}" for name, value in u50.BLOCK_SETTINGS.items())
    return (
        "file mkdir ip\n"
        f"create_ip -vendor xilinx.com -library ip -name pcie4c_uscale_plus -module_name {u50.BLOCK} \\\n"
        "    -dir ip -force\n"
        f"set_property -dict [list \\\n{listed} \\\n] [get_ips {u50.BLOCK}]\n"
    )


def script() -> str:
    """From these files to a bitstream and its reports, as Tcl: `vivado -mode batch -source build.tcl`.

    In the flow without a project on disk: `synth_ip` and what follows is of that one, runs are of the other (UG835).
    """
    return f"""\
# Writes out/bandgap.bit, out/bandgap.mcs, out/timing.rpt and out/utilization.rpt; fails when the timing is not met.
cd [file dirname [file normalize [info script]]]
create_project -in_memory -part {u50.PART}
read_verilog -sv {TOP}
read_xdc {PINS}
source {BLOCK}
generate_target all [get_ips]
synth_ip [get_ips]
synth_design -top bandgap -part {u50.PART}
opt_design
place_design
phys_opt_design
route_design
file mkdir out
report_timing_summary -file out/timing.rpt
report_utilization -file out/utilization.rpt
foreach check {{setup hold}} {{
    set slack [get_property SLACK [get_timing_paths -$check]]
    if {{$slack < 0}} {{
        error "the timing is not met: the slack of $check is $slack ns, see out/timing.rpt"
    }}
}}
write_bitstream -force out/bandgap.bit
write_cfgmem -force -format mcs -size 128 -interface SPIx4 -loadbit {{up 0x01002000 out/bandgap.bit}} out/bandgap.mcs
"""


def write_project(preset: str, target: Path, step: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Write the project and its manifest into the folder `target`; the manifest's content.

    Raises
    ------
    ChoiceError : No such preset, or the loopback image, which has no PCIe link.
    ToolError : Yosys is missing or failed.
    """
    config = sizes(preset)
    if config is None:
        raise ChoiceError(f"there is no loopback image for the {u50.TITLE}: it checks serial cables")
    step("writing Verilog")
    files = {
        TOP: to_verilog(u50.U50Top(config, build_identity(config))),
        PINS: constraints(),
        BLOCK: block(),
        SCRIPT: script(),
    }
    step(f"checking the synthesis of {CHECKED_PRESET}")
    with tempfile.TemporaryDirectory() as name:
        cells, version = _synthesised(Path(name))
    manifest: dict[str, Any] = {
        "board": u50.NAME,
        "preset": preset,
        "part": u50.PART,
        "layout_hash": f"{layout_hash():#018x}",
        "link_layout_hash": f"{link_layout_hash():#010x}",
        "build_identity": f"{build_identity(config):#018x}",
        "source_hash": hashlib.sha256("\0".join(files.values()).encode()).hexdigest(),
        "clock_mhz": u50.CLOCK_HZ / 1e6,
        "timing": "not verified",
        "synthesis": {"preset": CHECKED_PRESET, "cells": cells},
        "tools": {SYNTHESIS: version},
    }
    target.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (target / name).write_text(text)
    (target / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    return manifest


def _synthesised(folder: Path) -> tuple[dict[str, int], str]:
    """What Yosys makes of everything behind the integrated block, and its version."""
    (folder / TOP).write_text(pcie_verilog(sizes(CHECKED_PRESET), clock_hz=u50.CLOCK_HZ))
    run_tool(folder, SYNTHESIS, "-q", "-p", f"read_verilog -sv {TOP}; {'; '.join(_SYNTHESIS_STEPS)}")
    counted = json.loads((folder / "cells.json").read_text())["design"]["num_cells_by_type"]
    cells = {
        name: sum(count for cell, count in counted.items() if re.fullmatch(pattern, cell))
        for name, pattern in _CELLS.items()
    }
    return cells, tool_version(folder, SYNTHESIS)
