"""Memories with more rows than a block RAM has at its full width.

A block RAM is 18 bits wide with 1,024 rows, 2 bits with 8,192. Left to themselves, tools like to stack wide ones and
choose between them behind their outputs: logic for every bit, on the longest paths there are. A memory cut into slices
that are as narrow as they have to be needs less of it, or none.
"""

from amaranth.hdl import Module, Shape, Signal, Value, unsigned
from amaranth.lib.memory import Memory

from .bits import COLLISIONS_UNUSED

FULL_WIDTH_ROWS = 1_024
"""So many rows a block RAM has at its full width."""


def add_memory(m: Module, name: str, *, shape, depth: int, slice_bits: int):
    """Add a memory whose row is never used if it is read while it is written.

    Arguments
    ---------
    m : Gets the submodule `name`, or one for each slice.
    shape, depth : A row, and how many.
    slice_bits : Width of a slice, where the memory is deep.

    Returns
    -------
    What has the `write_port()` and `read_port()` of `amaranth.lib.memory.Memory`.
    """
    if depth <= FULL_WIDTH_ROWS:
        m.submodules[name] = memory = Memory(shape=shape, depth=depth, init=[], attrs=COLLISIONS_UNUSED)
        return memory
    return _Slices(m, name, shape, depth, slice_bits)


class _Port:
    """A port of all slices."""

    def __init__(self, shape, depth: int) -> None:
        self.addr, self.en, self.data = Signal(range(depth)), Signal(), Signal(shape)


class _Slices:
    def __init__(self, m: Module, name: str, shape, depth: int, slice_bits: int) -> None:
        self._m, self._shape, self._depth = m, shape, depth
        width = Shape.cast(shape).width
        self._slices = []
        for first in range(0, width, slice_bits):
            part = slice(first, min(first + slice_bits, width))
            memory = Memory(shape=unsigned(part.stop - first), depth=depth, init=[], attrs=COLLISIONS_UNUSED)
            m.submodules[f"{name}_{first}"] = memory
            self._slices.append((part, memory))

    def read_port(self) -> _Port:
        port = _Port(self._shape, self._depth)
        for part, memory in self._slices:
            read = memory.read_port()
            self._m.d.comb += [
                read.addr.eq(port.addr),
                read.en.eq(port.en),
                Value.cast(port.data)[part].eq(read.data),
            ]
        return port

    def write_port(self) -> _Port:
        port = _Port(self._shape, self._depth)
        for part, memory in self._slices:
            write = memory.write_port()
            self._m.d.comb += [
                write.addr.eq(port.addr),
                write.en.eq(port.en),
                write.data.eq(Value.cast(port.data)[part]),
            ]
        return port
