"""Writes docs/protocol.md from the definitions: `python -m bandgap.hdl.protocol.document`."""

import enum as python_enum
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data

from . import commands, frames, pcie, registers, reports
from .commands import COMMAND_BYTES, COMMANDS, Header, Opcode
from .frames import PAYLOAD_BYTES, PAYLOADS, FrameFlags, FrameHeader, FrameKind
from .pcie import (
    BAR_AREAS,
    LINK_REGISTERS,
    CommandBatch,
    InterruptVector,
    LinkControl,
    LinkError,
    LinkState,
    LinkStatus,
    ReportSlot,
)
from .registers import REGISTERS, Register
from .reports import REPORT_BYTES, REPORTS, ReportHeader
from .version import layout_hash, link_layout_hash

DOCUMENT = Path(__file__).parents[2] / "docs" / "protocol.md"

_INTRODUCTION = f"""# Protocol

This file is generated from `hdl/protocol`; a test fails when the two differ. To write it anew:
`python -m bandgap.hdl.protocol.document`.

Every command is {COMMAND_BYTES} bytes and every report {REPORT_BYTES}. Integers are little-endian and naturally
aligned; `u32` is unsigned, `i64` is signed in two's complement. Reserved bytes are zero in both directions: a command
that has another value there is malformed. Zero is a member of no enum, so an empty message is never a valid one;
a field that a report has no use for is zero.

What the messages mean together is in [order-semantics.md](order-semantics.md).
"""


def descriptions(definition: type) -> dict[str, str]:
    """The `Attributes` section of a docstring: meaning by field name.

    Raises
    ------
    ValueError : The docstring has no such section.
    """
    text = inspect.getdoc(definition) or ""
    _, found, section = text.partition("Attributes\n----------\n")
    if not found:
        raise ValueError(f"{definition.__name__} does not describe its attributes")
    meanings: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if line.startswith(" ") or not line:  # the description goes on
            meanings[name] = f"{meanings[name]} {line.strip()}".strip()
        else:
            name, _, meaning = line.partition(" : ")
            meanings[name] = meaning
    return meanings


def summary(definition: type) -> str:
    """The text of a docstring before its `Attributes` section."""
    text = inspect.getdoc(definition) or ""
    return text.partition("Attributes\n----------\n")[0].strip()


def render() -> str:
    """The whole document.

    Raises
    ------
    ValueError : A field has no description, or a description has no field.
    """
    return "\n".join(
        [
            _INTRODUCTION,
            "## Commands\n",
            *_message("Command header", Header),
            *_messages(COMMANDS),
            "## Reports\n",
            *_message("Report header", ReportHeader),
            *_messages(REPORTS),
            "## Enums\n",
            *_enums(),
            "## Registers\n",
            inspect.getdoc(registers) or "",
            "",
            *_registers(REGISTERS),
            "## Layout hash\n",
            "A host and a device understand each other when they have the same layout hash. It is the first 64 bits,",
            "little-endian, of SHA-256 over the names, places, widths and values of everything above.",
            f"Of this document it is `{layout_hash():#018x}`.",
            "",
            "## Frames of the serial link\n",
            (inspect.getdoc(frames) or "").partition("\n\n")[2],
            "",
            *_message("Frame header", FrameHeader),
            "### Frame kinds\n",
            inspect.getdoc(FrameKind) or "",
            "",
            *_frame_kinds(),
            *_enum(FrameFlags),
            "## PCIe link\n",
            inspect.getdoc(pcie) or "",
            "",
            "### BAR 0\n",
            *_areas(),
            "### Registers of the link\n",
            f"The layout hash of all in this section is `{link_layout_hash():#010x}`.",
            "",
            *_registers(LINK_REGISTERS),
            *_enum(LinkControl),
            *_enum(LinkState),
            *_enum(LinkError),
            *(line for layout in (CommandBatch, ReportSlot, LinkStatus, InterruptVector) for line in _layout(layout)),
        ]
    )


def _messages(table: dict[Any, type[data.Struct]]) -> Iterator[str]:
    """A section for each layout, under the names of all that select it."""
    for layout in dict.fromkeys(table.values()):
        selectors = [key for key, value in table.items() if value is layout]
        names = ", ".join(f"`{key.name}` ({key.value})" for key in selectors)
        kind = "Opcode" if isinstance(selectors[0], Opcode) else "Kind"
        yield from _message(_title(layout), layout, f"{kind} {names}.")


def _title(layout: type) -> str:
    """A class name as words: `NewOrder` is "New order"."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in layout.__name__)
    return words.strip().capitalize()


def _message(title: str, layout: type[data.Struct], selected_by: str = "") -> Iterator[str]:
    meanings = descriptions(layout)
    rows = []
    for name, field in data.Layout.cast(layout):
        if not meanings.get(str(name)):
            raise ValueError(f"{layout.__name__}.{name} is not described")
        offset, size = field.offset // 8, Shape.cast(field.shape).width // 8
        rows.append((str(offset), str(size), _type(field.shape), f"`{name}`", meanings.pop(str(name))))
    if meanings:
        raise ValueError(f"{layout.__name__} describes what it has not: {', '.join(meanings)}")
    yield from [f"### {title}\n", summary(layout), ""]
    if selected_by:
        yield from [selected_by, ""]
    yield from _table(("offset", "size", "type", "field", "meaning"), rows)


def _type(shape: Any) -> str:
    """How a field's bytes are read."""
    if isinstance(shape, data.ArrayLayout):
        return f"{shape.length} bytes"
    if isinstance(shape, type) and issubclass(shape, data.Struct):
        return f"[{_title(shape)}](#{_anchor(shape)})"
    if isinstance(shape, type) and issubclass(shape, python_enum.Enum):
        anchor = "frame-kinds" if shape is FrameKind else shape.__name__.lower()
        return f"[{shape.__name__}](#{anchor})"
    cast = Shape.cast(shape)
    return f"{'i' if cast.signed else 'u'}{cast.width}"


def _anchor(layout: type) -> str:
    return "command-header" if layout is Header else "report-header"


def _enums() -> Iterator[str]:
    for module in (commands, reports):
        for definition in vars(module).values():
            if not (isinstance(definition, type) and issubclass(definition, python_enum.Enum)):
                continue
            if definition.__module__ != module.__name__ or not len(definition):
                continue
            yield from _enum(definition)


def _enum(definition: type[python_enum.Enum]) -> Iterator[str]:
    yield from [f"### {definition.__name__}\n", inspect.getdoc(definition) or "", ""]
    yield from _table(("value", "name"), [(str(member.value), f"`{member.name}`") for member in definition])


def _frame_kinds() -> Iterator[str]:
    rows = [(str(kind.value), f"`{kind.name}`", str(PAYLOAD_BYTES[kind]), PAYLOADS[kind]) for kind in FrameKind]
    yield from _table(("value", "name", "size", "payload"), rows)


def _registers(table: Iterable[Register]) -> Iterator[str]:
    head = ("offset", "words", "access", "after power-up", "register", "meaning")
    yield from _table(head, [_register(register) for register in table])


def _register(register: Register) -> tuple[str, ...]:
    offset = f"`{register.offset:#04x}`" + (f" + {Register.STRIDE} x link" if register.per_link else "")
    reset = "as built" if register.reset is None else f"`{register.reset:#x}`"
    return offset, str(register.words), register.access.value, reset, f"`{register.name}`", register.doc


def _layout(layout: type[data.Struct]) -> Iterator[str]:
    yield from _message(_title(layout), layout)


def _areas() -> Iterator[str]:
    rows = [(f"`{begin:#06x}`", f"`{end - 1:#06x}`", what) for begin, end, what in BAR_AREAS]
    yield from _table(("from", "to", "what"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


if __name__ == "__main__":
    DOCUMENT.write_text(render())
