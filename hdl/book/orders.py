"""The order pool: one slot a token, and the links that make a FIFO of the orders of a price level."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from ..bits import COLLISIONS_UNUSED
from ..config import BookConfig
from ..deep_memory import add_memory
from ..protocol.commands import SelfTradePrevention

BLOCK_RAM_BITS = 1 << 14
"""Of a block RAM, parity bits aside. A slice is as wide as all slots of it fit into one."""

LEAST_SLICE_BITS = 2


def order_layout(config: BookConfig) -> data.StructLayout:
    """A slot. It is free while `quantity_lots` is zero; the generation stays behind.

    `quantity_lots` is the open quantity, `price_ticks` the limit, `generation` the last accepted one; `account`,
    `instrument`, `sell`, `self_trade_prevention`, `post_only` and `reduce_only` are the order's; `market`: it is a
    market order, which can rest only where orders collect. No field is wider than it must be: every bit of a slot
    stands in two block RAMs.
    """
    return data.StructLayout(
        {
            "quantity_lots": unsigned(32),
            "price_ticks": unsigned(32),
            "account": unsigned(exact_log2(config.accounts)),
            "instrument": range(config.instruments),
            "sell": 1,
            "generation": unsigned(16),
            "self_trade_prevention": unsigned(ceil_log2(len(SelfTradePrevention) + 1)),
            "post_only": 1,
            "reduce_only": 1,
            "market": 1,
        }
    )


def write_layout(config: BookConfig) -> data.StructLayout:
    """A write: `order` goes into slot `token` while `enable`."""
    return data.StructLayout({"enable": 1, "token": unsigned(exact_log2(config.orders)), "order": order_layout(config)})


def link_layout(config: BookConfig) -> data.StructLayout:
    """A link that changes: that of `token` leads to `to`, while `enable`."""
    token = unsigned(exact_log2(config.orders))
    return data.StructLayout({"enable": 1, "token": token, "to": token})


class OrderPool(wiring.Component):
    """Orders and links in block RAM, with two read ports.

    Parameters
    ----------
    config : Sizes.

    Attributes
    ----------
    read : Token to read while `read_enable`; `order`, `next` and `previous` hold its slot from the next cycle on, until
        the next read. A slot written in the same cycle is read as it was before.
    read_maker, maker, maker_next : The same for makers, which need no `previous`.
    write : The slot that is written.
    write_next : The link to the order behind that changes.
    write_previous : The link to the order before that changes.
    ready : High once all slots are cleared after a reset; no reads or writes before.
    """

    def __init__(self, config: BookConfig):
        self._orders = config.orders
        order = order_layout(config)
        token = unsigned(exact_log2(config.orders))
        super().__init__(
            {
                "read": In(token),
                "read_enable": In(1),
                "order": Out(order),
                "next": Out(token),
                "previous": Out(token),
                "read_maker": In(token),
                "read_maker_enable": In(1),
                "maker": Out(order),
                "maker_next": Out(token),
                "write": In(write_layout(config)),
                "write_next": In(link_layout(config)),
                "write_previous": In(link_layout(config)),
                "ready": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        token = self.read.shape()
        slice_bits = max(LEAST_SLICE_BITS, BLOCK_RAM_BITS // self._orders)
        orders = add_memory(m, "orders", shape=self.order.shape(), depth=self._orders, slice_bits=slice_bits)
        m.submodules.next = nexts = Memory(shape=token, depth=self._orders, init=[], attrs=COLLISIONS_UNUSED)
        m.submodules.previous = previous = Memory(shape=token, depth=self._orders, init=[], attrs=COLLISIONS_UNUSED)

        for memory, out in ((orders, self.order), (nexts, self.next), (previous, self.previous)):
            read = memory.read_port()
            m.d.comb += [read.addr.eq(self.read), read.en.eq(self.read_enable), out.eq(read.data)]
        for memory, out in ((orders, self.maker), (nexts, self.maker_next)):
            read = memory.read_port()
            m.d.comb += [read.addr.eq(self.read_maker), read.en.eq(self.read_maker_enable), out.eq(read.data)]
        for memory, port in ((nexts, self.write_next), (previous, self.write_previous)):
            write = memory.write_port()
            m.d.comb += [write.addr.eq(port.token), write.data.eq(port.to), write.en.eq(port.enable)]

        write = orders.write_port()
        clear = Signal(token)
        with m.If(~self.ready):
            m.d.sync += [clear.eq(clear + 1), self.ready.eq(clear == self._orders - 1)]
            m.d.comb += [write.addr.eq(clear), write.en.eq(1)]
        with m.Else():
            m.d.comb += [
                write.addr.eq(self.write.token),
                write.data.eq(self.write.order),
                write.en.eq(self.write.enable),
            ]
        return m
