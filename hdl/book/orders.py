"""The order pool: one slot a token, and the links that make a FIFO of the orders of a price level."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
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

QUANTITY_BITS = 32


def maker_layout(config: BookConfig) -> data.StructLayout:
    """What a trade asks of the order that rests; the rest is known of its level. The first fields of a slot."""
    return data.StructLayout(
        {
            "quantity_lots": unsigned(QUANTITY_BITS),
            "account": unsigned(exact_log2(config.accounts)),
            "generation": unsigned(16),
            "reduce_only": 1,
        }
    )


def order_layout(config: BookConfig) -> data.StructLayout:
    """A slot. It is free while `quantity_lots` is zero; the generation stays behind.

    `quantity_lots` is the open quantity, `price_ticks` the limit, `generation` the last accepted one; `account`,
    `instrument`, `sell`, `self_trade_prevention`, `post_only` and `reduce_only` are the order's; `market`: it is a
    market order, which can rest only where orders collect. No field is wider than it must be: every two bits of a slot
    stand in a block RAM of their own, or in two.
    """
    return data.StructLayout(
        maker_layout(config).members
        | {
            "price_ticks": unsigned(32),
            "instrument": range(config.instruments),
            "sell": 1,
            "self_trade_prevention": unsigned(ceil_log2(len(SelfTradePrevention) + 1)),
            "post_only": 1,
            "market": 1,
        }
    )


def write_layout(config: BookConfig) -> data.StructLayout:
    """A write: `order` goes into slot `token` while `enable`; all of it if it is `whole`, else its quantity alone."""
    token = unsigned(exact_log2(config.orders))
    return data.StructLayout({"enable": 1, "whole": 1, "token": token, "order": order_layout(config)})


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
    read_maker, maker, maker_next : The same for makers, of which less is asked: `maker_layout`.
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
                "maker": Out(maker_layout(config)),
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
        # Memories for the slot's fields, in their order: for what is written alone, what makers need besides, the rest.
        maker_bits = self.maker.shape().size
        slice_bits = max(LEAST_SLICE_BITS, BLOCK_RAM_BITS // self._orders)
        quantities, parties, terms = (
            add_memory(m, name, shape=unsigned(width), depth=self._orders, slice_bits=slice_bits)
            for name, width in (
                ("quantities", QUANTITY_BITS),
                ("parties", maker_bits - QUANTITY_BITS),
                ("terms", self.order.shape().size - maker_bits),
            )
        )
        m.submodules.next = nexts = Memory(shape=token, depth=self._orders, init=[], attrs=COLLISIONS_UNUSED)
        m.submodules.previous = previous = Memory(shape=token, depth=self._orders, init=[], attrs=COLLISIONS_UNUSED)

        def read(memories, address, enable):
            ports = [memory.read_port() for memory in memories]
            m.d.comb += [(port.addr.eq(address), port.en.eq(enable)) for port in ports]
            return Cat(port.data for port in ports)

        m.d.comb += [
            self.order.eq(read((quantities, parties, terms), self.read, self.read_enable)),
            self.next.eq(read((nexts,), self.read, self.read_enable)),
            self.previous.eq(read((previous,), self.read, self.read_enable)),
            self.maker.eq(read((quantities, parties), self.read_maker, self.read_maker_enable)),
            self.maker_next.eq(read((nexts,), self.read_maker, self.read_maker_enable)),
        ]
        for memory, port in ((nexts, self.write_next), (previous, self.write_previous)):
            write = memory.write_port()
            m.d.comb += [write.addr.eq(port.token), write.data.eq(port.to), write.en.eq(port.enable)]

        clear = Signal(token)
        with m.If(~self.ready):
            m.d.sync += [clear.eq(clear + 1), self.ready.eq(clear == self._orders - 1)]
        order = Value.cast(self.write.order)
        for memory, written, enable in (
            (quantities, order[:QUANTITY_BITS], self.write.enable),
            (parties, order[QUANTITY_BITS:maker_bits], self.write.enable & self.write.whole),
            (terms, order[maker_bits:], self.write.enable & self.write.whole),
        ):
            write = memory.write_port()
            m.d.comb += [
                write.addr.eq(Mux(self.ready, self.write.token, clear)),
                write.data.eq(Mux(self.ready, written, 0)),
                write.en.eq(~self.ready | enable),
            ]
        return m
