"""Layout hashes: one changes when any byte of commands, reports or registers moves, one with the layout of DMA."""

import hashlib
from collections.abc import Iterator

from amaranth.hdl import Shape
from amaranth.lib import data, enum

from .commands import COMMANDS
from .pcie import BAR_AREAS, LINK_REGISTERS, CommandBatch, LinkControl, LinkState, LinkStatus, ReportSlot
from .registers import REGISTERS, Register
from .reports import REPORTS, Reason


def _describe(shape: object) -> Iterator[str]:
    """Canonical text of a layout: names, bit offsets, widths, signs and enum members, depth first."""
    if isinstance(shape, type) and issubclass(shape, data.Struct):
        yield shape.__name__
        for key, field in data.Layout.cast(shape):
            yield f"{key}@{field.offset}"
            yield from _describe(field.shape)
    elif isinstance(shape, data.ArrayLayout):
        yield f"{shape.length}x"
        yield from _describe(shape.elem_shape)
    elif isinstance(shape, type) and issubclass(shape, (enum.Enum, enum.Flag)):
        members = ",".join(f"{member.name}={member.value}" for member in shape)
        yield f"{shape.__name__}:{Shape.cast(shape).width}({members})"
    else:
        cast = Shape.cast(shape)  # type: ignore[arg-type]
        yield f"{'i' if cast.signed else 'u'}{cast.width}"


def layout_text() -> str:
    """Commands, reports and registers as canonical text, the input of `layout_hash`."""
    lines = [
        " ".join([f"{key.name}={key.value}", *_describe(layout)])
        for table in (COMMANDS, REPORTS)
        for key, layout in table.items()
    ]
    lines.append(" ".join(_describe(Reason)))
    lines += _describe_registers(REGISTERS)
    return "\n".join(lines)


def _describe_registers(registers: tuple[Register, ...]) -> list[str]:
    return [f"{r.name}@{r.offset}x{r.words} {r.access.value} {r.per_link}" for r in registers]


def layout_hash() -> int:
    """First 64 bits, little-endian, of SHA-256 over `layout_text`."""
    return int.from_bytes(hashlib.sha256(layout_text().encode()).digest()[:8], "little")


def link_layout_hash() -> int:
    """First 32 bits, little-endian, of SHA-256 over what `pcie` lays out, as canonical text."""
    lines = [" ".join(_describe(layout)) for layout in (CommandBatch, ReportSlot, LinkStatus, LinkControl, LinkState)]
    lines += [*_describe_registers(LINK_REGISTERS), *map(str, BAR_AREAS)]
    return int.from_bytes(hashlib.sha256("\n".join(lines).encode()).digest()[:4], "little")
