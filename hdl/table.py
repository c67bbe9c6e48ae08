"""Tables of a few rows that several look at in the same cycle."""

from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out


class Table(wiring.Component):
    """Rows in LUT RAM, a copy for each reader: a choice among registers would be several times as large.

    Parameters
    ----------
    shape : A row.
    depth : How many there are.
    readers : How many look at once.

    Attributes
    ----------
    write : While `enable` the row at `address` becomes `row`, to be seen from the next cycle on. A reset leaves
        all rows as they are.
    looked_at, rows : For each reader, an address and its row, in the same cycle. Anything until it is written, and
        beyond `depth`.
    """

    def __init__(self, shape, depth: int, readers: int):
        self._shape, self._depth, self._readers = shape, depth, readers
        address = range(depth)
        super().__init__(
            {
                "write": In(data.StructLayout({"enable": 1, "address": address, "row": shape})),
                "looked_at": In(data.ArrayLayout(address, readers)),
                "rows": Out(data.ArrayLayout(shape, readers)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.rows = rows = Memory(shape=self._shape, depth=self._depth, init=[])
        port = rows.write_port()
        m.d.comb += [port.en.eq(self.write.enable), port.addr.eq(self.write.address), port.data.eq(self.write.row)]
        for address, row in zip(self.looked_at, self.rows, strict=True):
            read = rows.read_port(domain="comb")
            m.d.comb += [read.addr.eq(address), row.eq(read.data)]
        return m
