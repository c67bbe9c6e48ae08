"""The wire as numpy sees it: dtypes derived from `hdl.protocol`, nothing typed twice.

A buffer of messages is a C-contiguous `uint8` array of shape (n, 32) for commands and (n, 64) for reports; the
functions here give structured views of such buffers and make them from structured arrays. Views share memory.
"""

from typing import Any

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib import data
from numpy.typing import NDArray

from bandgap.hdl.protocol.commands import COMMAND_BYTES, COMMANDS, Header, Opcode
from bandgap.hdl.protocol.reports import REPORTS, ReportKind

Bytes2D = NDArray[np.uint8]
Records = NDArray[np.void]


def dtype_of(shape: Any) -> np.dtype[Any]:
    """The numpy dtype of an Amaranth shape whose fields are whole bytes, offsets and padding kept."""
    if isinstance(shape, data.ArrayLayout):
        return np.dtype((dtype_of(shape.elem_shape), (shape.length,)))
    if isinstance(shape, type) and issubclass(shape, data.Struct):
        layout = data.Layout.cast(shape)
        fields = [(name, dtype_of(field.shape), field.offset // 8) for name, field in layout]
        names, formats, offsets = zip(*fields, strict=True)
        return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": layout.size // 8})
    cast = Shape.cast(shape)
    return np.dtype(f"<{'i' if cast.signed else 'u'}{cast.width // 8}")


COMMAND_DTYPES = {opcode: dtype_of(layout) for opcode, layout in COMMANDS.items()}
"""The dtype of each opcode's command, 32 bytes; the common part is the field `header`."""

REPORT_DTYPES = {kind: dtype_of(layout) for kind, layout in REPORTS.items()}
"""The dtype of each kind's report, 64 bytes; the common part is the field `header`."""

COMMAND_HEADER_DTYPE = dtype_of(Header)
REPORT_HEADER_DTYPE = REPORT_DTYPES[ReportKind.DONE]["header"]

_REPORT_CYCLES = ("entry_cycle", "exit_cycle")


def new_commands(opcode: Opcode, count: int) -> Records:
    """`count` commands of one kind, all zero but for the opcode."""
    commands: Records = np.zeros(count, COMMAND_DTYPES[opcode])
    commands["header"]["opcode"] = opcode.value
    return commands


def to_bytes(commands: Records) -> Bytes2D:
    """A contiguous structured array of commands as rows of 32 bytes."""
    return commands.view(np.uint8).reshape(len(commands), COMMAND_BYTES)


def empty_commands(count: int = 0) -> Bytes2D:
    """`count` rows of 32 zero bytes."""
    return np.zeros((count, COMMAND_BYTES), np.uint8)


def command_headers(commands: Bytes2D) -> Records:
    """The common first eight bytes of each command."""
    view: Records = commands.view(COMMAND_DTYPES[Opcode.READ_CLOCK])[:, 0]["header"]
    return view


def report_headers(reports: Bytes2D) -> Records:
    """The common first 32 bytes of each report."""
    return as_reports(reports, ReportKind.DONE)["header"]


def as_reports(reports: Bytes2D, kind: ReportKind) -> Records:
    """All rows read with the layout of `kind`, whatever kind they are of."""
    view: Records = reports.view(REPORT_DTYPES[kind])[:, 0]
    return view


def select_reports(reports: Bytes2D, kind: ReportKind) -> Records:
    """The rows that are of `kind`, in order (a copy)."""
    rows: Records = as_reports(reports, kind)[report_headers(reports)["kind"] == kind.value]
    return rows


def without_cycles(reports: Bytes2D) -> Bytes2D:
    """A copy whose cycle counters are zero: what any device answers to the same commands at the same times."""
    copy = reports.copy()
    headers = report_headers(copy)
    for field in _REPORT_CYCLES:
        headers[field] = 0
    return copy
