"""Bitstreams: those that are kept, and how they are built and loaded with tools that only pretend.

The test that builds the Evaluation Board's two images with the real tools takes half an hour: `pytest -m slow` runs it.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bandgap.hdl.boards.ecp5 import Ecp5Board
from bandgap.hdl.link.uart import cycles_per_bit
from bandgap.hdl.protocol.version import layout_hash
from bandgap.hdl.tools import bitstream, fpga_tools
from bandgap.hdl.tools.bitstream import (
    BITSTREAM,
    BOARDS,
    LOOPBACK,
    MANIFEST,
    Manifest,
    ManifestError,
    TimingNotMetError,
    aim_mhz,
    build,
    clock_of,
    folder_of,
    read_manifest,
    source_hash,
    sources,
)
from bandgap.hdl.tools.fanout import MOST_BLOCK_RAM_INPUTS
from bandgap.hdl.tools.fpga_tools import ECP5_CELLS, PACK, PLACE_AND_ROUTE, SYNTHESIS, ToolError
from bandgap.host.cli import build_app

ROOT = Path(__file__).parents[3]
KEPT = sorted(path.parent for name in BOARDS for path in (ROOT / "bitstreams" / name).rglob(MANIFEST))
BOARD = BOARDS["ecp5-evaluation"]
CLOCK = "$glbnet$appliance.clk"
NETLIST: dict[str, Any] = {
    "modules": {
        "bandgap": {
            "cells": {
                "driver": {"type": "LUT4", "port_directions": {"Z": "output"}, "connections": {"Z": [2]}},
                **{
                    f"ram.{number}": {
                        "type": "DP16KD",
                        "port_directions": {"ADA0": "input"},
                        "connections": {"ADA0": [2]},
                    }
                    for number in range(MOST_BLOCK_RAM_INPUTS + 1)
                },
            },
            "netnames": {"address": {"bits": [2]}},
        }
    }
}
STEP = {"type": "clk-to-q", "delay": 0.5, "from": {"cell": "appliance.appliance.number_TRELLIS_FF_Q_3"}}


def report(clock_mhz: float, constraint_mhz: float = 102.0) -> dict[str, Any]:
    """What nextpnr says of a design whose clock can be so fast, and was to be so fast."""
    return {
        "fmax": {
            "$glbnet$oscillator$TRELLIS_IO_IN": {"achieved": 12.5, "constraint": 12.0},
            CLOCK: {"achieved": clock_mhz, "constraint": constraint_mhz},
        },
        "utilization": {cell: {"used": 1, "available": 100} for cell in ECP5_CELLS},
        "critical_paths": [{"from": f"posedge {CLOCK}", "to": f"posedge {CLOCK}", "path": [STEP]}],
    }


def pretend(folder: Path, tool: str, script: str) -> None:
    program = folder / tool
    program.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo "Tool 1.2.3+4 (git)"; exit; fi\n{script}\n')
    program.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of tools, first in the path."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    pretend(folder, SYNTHESIS, f"echo '{json.dumps(NETLIST)}' > bandgap.json")
    pretend(
        folder,
        PLACE_AND_ROUTE,
        f"cat bandgap.lpf bandgap.v bandgap.json > bandgap.config; echo '{json.dumps(report(110.0))}' > report.json",
    )
    pretend(folder, PACK, "cp bandgap.config bandgap.bit")
    return folder


def built(target: Path) -> Manifest:
    return build(BOARD, LOOPBACK, target, clock_hz=clock_of(BOARD, LOOPBACK))


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_kept_bitstream_is_that_of_its_manifest_and_keeps_its_clock(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert folder == folder_of(manifest.board, manifest.preset, ROOT / "bitstreams")
    assert manifest.fmax_mhz >= manifest.clock_mhz
    assert manifest.cycles_per_bit == cycles_per_bit(round(manifest.clock_mhz * 1e6), manifest.baud)
    assert all(used <= available for used, available in manifest.cells.values())


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_a_board_is_delivered_with_a_bitstream_that_this_host_accepts(board: Ecp5Board) -> None:
    """Its gateware may be of earlier sources; what host and device say to each other may not."""
    manifest = read_manifest(folder_of(board.name, board.preset, ROOT / "bitstreams"))
    assert (manifest.board, manifest.preset) == (board.name, board.preset)
    assert int(manifest.layout_hash, 16) == layout_hash()


def test_what_was_built_is_in_the_manifest(tools: Path, tmp_path: Path) -> None:
    manifest = built(tmp_path / "out")
    assert manifest == read_manifest(tmp_path / "out")
    assert (manifest.fmax_mhz, manifest.clock_mhz, manifest.cycles_per_bit) == (110.0, 102.0, 34)
    assert manifest.source_hash == source_hash(LOOPBACK, *sources(BOARD, LOOPBACK, 102_000_000))
    assert manifest.worst_path == ["  0.50 ns,   1 steps: number"]
    assert manifest.tools == {SYNTHESIS: "1.2.3+4", PLACE_AND_ROUTE: "1.2.3+4"}


def test_each_step_is_told_and_how_far_routing_is(tools: Path, tmp_path: Path) -> None:
    routers = (
        "Info:     852000 |   151525     699474 |  272   728 |    154161|       3.26    1886.60|",
        "Info:     iter=2 wires=816302 overused=9 overuse=72332 tmgfail=1275 archfail=NA",
    )
    (tools / "lines").write_text("\n".join(("Info: Routing..", *routers, "")))
    pretend(
        tools,
        PLACE_AND_ROUTE,
        f"cat {tools}/lines >&2; cat bandgap.json > bandgap.config; echo '{json.dumps(report(110.0))}' > report.json",
    )
    told: list[str] = []
    build(BOARD, LOOPBACK, tmp_path / "out", clock_hz=clock_of(BOARD, LOOPBACK), step=told.append)
    routing = ["routing: 154,161 to go", "routing: 9 to go, 1,275 too slow"]
    assert told == ["writing Verilog", "synthesising", "placing", *routing, "packing"]


def test_a_tool_that_fails_is_named_with_its_last_words(tools: Path, tmp_path: Path) -> None:
    pretend(tools, PLACE_AND_ROUTE, "seq 1000; echo 'ERROR: no room' >&2; exit 3")
    with pytest.raises(ToolError, match=r"failed with status 3:\n962\n(.*\n)*1000\nERROR: no room") as failed:
        built(tmp_path / "out")
    assert len(str(failed.value).splitlines()) == 1 + 40
    assert not (tmp_path / "out").exists()


def test_a_tool_that_crashes_without_a_word_is_named(tools: Path, tmp_path: Path) -> None:
    pretend(tools, SYNTHESIS, "exit 1")
    with pytest.raises(ToolError, match=f"{SYNTHESIS} failed with status 1:\nit said nothing: it crashed"):
        built(tmp_path / "out")


def test_a_clock_that_is_not_reached_leaves_nothing(tools: Path, tmp_path: Path) -> None:
    pretend(tools, PLACE_AND_ROUTE, f"echo '{json.dumps(report(101.9))}' > report.json")
    with pytest.raises(TimingNotMetError, match=r"loopback reaches 101\.9 MHz of 102\.00 MHz .*--clock-mhz"):
        built(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_router_may_strive_for_more_than_the_board_s_clock(
    tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(bitstream._AIMS_MHZ, (BOARD.name, LOOPBACK), 150.0)
    pretend(
        tools,
        PLACE_AND_ROUTE,
        f"cat bandgap.lpf > bandgap.config; echo '{json.dumps(report(110.0, 149.993))}' > report.json",
    )
    manifest = built(tmp_path / "out")
    assert (manifest.fmax_mhz, manifest.clock_mhz) == (110.0, 102.0)
    told = (tmp_path / "out" / BITSTREAM).read_text()  # the pretended image is what the tools were given
    assert 'FREQUENCY NET "appliance.appliance.clk" 150.0 MHZ;' in told


def test_an_aim_is_one_board_s_and_never_below_its_clock() -> None:
    assert aim_mhz(BOARD, BOARD.preset, 60_000_000) == 70.0
    assert aim_mhz(BOARD, BOARD.preset, 80_000_000) == 80.0
    assert aim_mhz(BOARDS["ulx3s"], BOARD.preset, 45_000_000) == 45.0


def test_a_clock_that_the_tools_were_not_told_of_is_named(tools: Path, tmp_path: Path) -> None:
    script = f"cat bandgap.json > bandgap.config; echo '{json.dumps(report(110.0, 54.0))}' > report.json"
    pretend(tools, PLACE_AND_ROUTE, script)
    with pytest.raises(ToolError, match=r"strove for 54\.0 MHz; it was told 102 MHz"):
        built(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_the_tools_are_told_is_in_the_hash_of_the_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    before = source_hash(LOOPBACK, "verilog", "constraints")
    assert source_hash(LOOPBACK, "verilog", "other") != before
    assert source_hash(BOARD.preset, "verilog", "constraints") != before
    monkeypatch.setattr(bitstream, "_SYNTHESIS_STEPS", ("synth_ecp5",))
    assert source_hash(LOOPBACK, "verilog", "constraints") != before


def test_a_clock_just_missed_is_missed(tools: Path, tmp_path: Path) -> None:
    pretend(tools, PLACE_AND_ROUTE, f"echo '{json.dumps(report(101.9999))}' > report.json")
    with pytest.raises(TimingNotMetError, match=r"loopback reaches 101\.99 MHz of 102\.00 MHz"):
        built(tmp_path / "out")


def test_what_many_block_rams_hang_on_has_several_drivers(tools: Path, tmp_path: Path) -> None:
    built(tmp_path)
    assert "driver$copy3" in (tmp_path / BITSTREAM).read_text()


def test_a_changed_bitstream_is_not_that_of_its_manifest(tools: Path, tmp_path: Path) -> None:
    built(tmp_path)
    with (tmp_path / BITSTREAM).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ManifestError, match="not the bitstream of its manifest"):
        read_manifest(tmp_path)


def run(*arguments: str) -> tuple[int, str]:
    """Exit status and output, errors included, of `bandgap`."""
    result = CliRunner().invoke(build_app(), arguments, env={"COLUMNS": "300"})
    return result.exit_code, result.output


def test_bitstream_and_flash_from_the_command_line(tools: Path, tmp_path: Path) -> None:
    status, output = run("bitstream", BOARD.name, "--preset", LOOPBACK, "--folder", str(tmp_path))
    assert status == 0, output
    assert "102 MHz; placed and routed it can keep 110 MHz" in output
    pretend(tools, "openFPGALoader", f'echo "$@" > {tmp_path}/called')
    status, output = run("flash", BOARD.name, "--preset", LOOPBACK, "--volatile", "--folder", str(tmp_path))
    assert status == 0, output
    path = tmp_path / BOARD.name / LOOPBACK / BITSTREAM
    assert (tmp_path / "called").read_text() == f"-b ecp5_evn -m {path}\n"
    assert "serial:PORT?baud=3000000" in output


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["bitstream", "pdp11"], 2, "no board 'pdp11'; known: ecp5-evaluation, ulx3s, u50"),
        (["bitstream", "u50", "--preset", "loopback"], 2, "no loopback image for the Alveo U50"),
        (["bitstream", "u50", "--clock-mhz", "100"], 2, "not for the Alveo U50"),
        (["bitstream", "u50", "--seed", "2"], 2, "not for the Alveo U50"),
        (["flash", "u50"], 2, "programmed by Vivado"),
        (["bitstream", "ulx3s", "--preset", "tiny"], 2, "no preset 'tiny'"),
        (["bitstream", "ulx3s", "--preset", "ultrascale"], 2, "no clock for preset 'ultrascale'"),
        (["bitstream", "ulx3s", "--clock-mhz", "47.3"], 2, "nearest are 46.875 MHz and 47.5 MHz"),
        (["bitstream", "ulx3s", "--clock-mhz", "-1"], 2, "must be positive"),
        (
            ["bitstream", "ulx3s", "--clock-mhz", "nan"],
            2,
            "--clock-mhz must be positive",
        ),
        (["bitstream", "ulx3s", "--clock-mhz", "inf"], 2, "--clock-mhz must be positive"),
        (["bitstream", "ulx3s", "--clock-mhz", "1e308"], 2, "below 10,000 and a whole number of Hz, not 1e+308"),
        (["bitstream", "ulx3s", "--preset", ""], 2, "no preset ''"),
        (["bitstream", "u50", "--preset", ""], 2, "no preset ''"),
        (["flash", "ulx3s", "--preset", ""], 2, "no preset ''"),
        (["bitstream", "ulx3s", "--seed", "-1"], 2, "'--seed'"),
        (["bitstream", "ulx3s", "--seed", str(1 << 31)], 2, "'--seed'"),
        (["flash", "ulx3s"], 2, "build it: `bandgap bitstream ulx3s --preset ecp5-small`"),
        (["flash", "ulx3s"], 2, "name the checkout's folder of bitstreams (--folder)"),
        (["flash", "ulx3s", "--preset", "tiny"], 2, "no preset 'tiny'; known: formal,"),
    ],
)
def test_bad_input_is_refused_with_what_to_do(arguments: list[str], status: int, message: str, tmp_path: Path) -> None:
    found, output = run(*arguments, "--folder", str(tmp_path))
    assert (found, message in output) == (status, True), output


def test_flash_says_that_the_loader_is_absent(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built(folder_of(BOARD.name, LOOPBACK, tmp_path))
    monkeypatch.setenv("PATH", str(tools))
    status, output = run("flash", BOARD.name, "--preset", LOOPBACK, "--folder", str(tmp_path))
    assert status == 1
    assert "openFPGALoader is not installed: `apt install openfpgaloader`" in output


def test_flash_refuses_what_the_host_would_refuse(tools: Path, tmp_path: Path) -> None:
    folder = folder_of(BOARD.name, LOOPBACK, tmp_path)
    built(folder)
    manifest = json.loads((folder / MANIFEST).read_text()) | {"layout_hash": "0x0000000000000001"}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    status, output = run("flash", BOARD.name, "--preset", LOOPBACK, "--folder", str(tmp_path))
    assert status == 2
    assert "has layout hash 0x0000000000000001" in output
    assert f"`bandgap bitstream {BOARD.name} --preset loopback`" in output


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b"[]", b"{}", b'{"cells": []}', b'{"cells": {"LUTs": 1}}'])
def test_what_is_no_manifest_is_named_with_what_to_do(content: bytes, tmp_path: Path) -> None:
    folder = folder_of(BOARD.name, LOOPBACK, tmp_path)
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_bytes(content)
    status, output = run("flash", BOARD.name, "--preset", LOOPBACK, "--folder", str(tmp_path))
    assert status == 2
    assert f"{folder / MANIFEST} is no manifest of this version; build it: `bandgap bitstream" in output


@pytest.mark.parametrize("board", ["u50", BOARD.name])
def test_a_place_that_can_be_none_is_told_before_the_build(board: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    status, output = run("bitstream", board, "--folder", str(tmp_path / "file"))
    assert (status, output.count("\n")) == (2, 1)
    assert f"{tmp_path / 'file'} is a file; name another --folder" in output


def test_a_missing_tool_is_named(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tools / PLACE_AND_ROUTE).unlink()
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setattr(fpga_tools, "_OWN_FOLDER", tools)
    with pytest.raises(ToolError, match=f"{PLACE_AND_ROUTE} is not installed: `make .venv/fpga/installed`"):
        built(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("preset", [LOOPBACK, BOARD.preset])
def test_the_same_sources_give_the_same_bitstream(tmp_path: Path, preset: str) -> None:
    kept = read_manifest(folder_of(BOARD.name, preset, ROOT / "bitstreams"))
    verilog, constraints = sources(BOARD, preset, round(kept.clock_mhz * 1e6))
    assert source_hash(preset, verilog, constraints) == kept.source_hash, (
        "the sources have changed: run make bitstreams"
    )
    again = build(BOARD, preset, tmp_path, clock_hz=round(kept.clock_mhz * 1e6), seed=kept.seed)
    assert again == kept
