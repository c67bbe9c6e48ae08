"""From the design to Verilog."""

import hashlib
import os
from dataclasses import astuple
from pathlib import Path

from amaranth.back import verilog as amaranth_verilog

from .boards.embedded import EmbeddedBoard
from .config import BookConfig


def build_identity(config: BookConfig) -> int:
    """64 bits that name the configuration and the gateware's sources: SHA-256 over both, cut."""
    digest = hashlib.sha256(repr(astuple(config)).encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return int.from_bytes(digest.digest()[:8], "little")


def verilog(config: BookConfig) -> str:
    """The embedded device as one Verilog source: top module `bandgap`, ports of `hdl.boards.embedded.EmbeddedBoard`
    and the inputs `clk` and `rst` (synchronous)."""
    os.environ.setdefault("AMARANTH_USE_YOSYS", "builtin")
    board = EmbeddedBoard(config, build_identity(config))
    return amaranth_verilog.convert(board, name="bandgap", emit_src=False)
