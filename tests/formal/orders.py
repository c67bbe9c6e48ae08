"""Proof of `hdl.book.orders`."""

from amaranth.hdl import Module, Signal, Value
from harness import Harness, anything, before, opened, some
from proof import Proof

from bandgap.hdl.book.orders import QUANTITY_BITS, OrderPool
from bandgap.hdl.config import PRESETS

CONFIG = PRESETS["formal"]


class Slots(Harness):
    """Any slot and any link is read as it was last written; after a reset every slot is free."""

    def describe(self, m: Module) -> None:
        dut = OrderPool(CONFIG)
        m.submodules.dut = inner = opened(dut)
        for port in (dut.read, dut.read_enable, dut.read_maker, dut.read_maker_enable):
            anything(m, port)
        token = some(m, dut.read.shape(), "token")
        age = Signal(range(CONFIG.orders + 1))
        with m.If(age != CONFIG.orders):
            m.d.sync += age.eq(age + 1)
        self.claim(m, "cleared_in_time", dut.ready == (age == CONFIG.orders))

        order, maker = Value.cast(dut.order), Value.cast(dut.maker)
        written = Value.cast(dut.write.order)
        whole = dut.write.enable & dut.write.whole
        for port in (dut.write, dut.write_next, dut.write_previous):
            anything(m, port)
            self.assume(m, dut.ready | ~port.enable)
        quantity, party, term = slice(0, QUANTITY_BITS), slice(QUANTITY_BITS, len(maker)), slice(len(maker), None)
        for memory, enable, address, kept, outs, clears in (
            ("quantities", dut.write.enable, dut.write.token, written[quantity], (order[quantity], maker[quantity]), 1),
            ("parties", whole, dut.write.token, written[party], (order[party], maker[party]), 1),
            ("terms", whole, dut.write.token, written[term], (order[term],), 1),
            ("next", dut.write_next.enable, dut.write_next.token, dut.write_next.to, (dut.next, dut.maker_next), 0),
            (
                "previous",
                dut.write_previous.enable,
                dut.write_previous.token,
                dut.write_previous.to,
                (dut.previous,),
                0,
            ),
        ):
            shadow = Signal(len(kept), name=f"shadow_{memory}")
            known = Signal(name=f"known_{memory}")
            writes = enable & (address == token)
            with m.If(writes):
                m.d.sync += [shadow.eq(kept), known.eq(1)]
            if clears:
                with m.Elif(~dut.ready & (age == token)):
                    m.d.sync += [shadow.eq(0), known.eq(1)]
                self.claim(m, f"{memory}_cleared", known == (age > token))
            row = inner.submodules[memory].read_port(domain="comb")
            m.d.comb += row.addr.eq(token)
            self.claim(m, f"{memory}_kept", ~known | (row.data == shadow))
            reads = ((dut.read, dut.read_enable), (dut.read_maker, dut.read_maker_enable))
            for index, (out, (read, read_enable)) in enumerate(zip(outs, reads, strict=False)):
                shows, shown = (
                    Signal(name=f"shows_{memory}_{index}"),
                    Signal.like(shadow, name=f"shown_{memory}_{index}"),
                )
                with m.If(read_enable):
                    m.d.sync += [shows.eq((read == token) & known), shown.eq(shadow)]
                self.claim(m, f"{memory}_read_{index}", ~shows | (out == shown))
            self.reach(m, f"{memory}_read_back", before(m, writes) & known & dut.read_enable & (dut.read == token))


PROOFS = (Proof("orders", Slots, steps=10, terms=(4,), reach=12),)
