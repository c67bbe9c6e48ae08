"""Proof of `hdl.book.orders`."""

from amaranth.hdl import Module, Signal, Value
from harness import Harness, anything, before, opened, some
from proof import Proof

from bandgap.hdl.book.orders import OrderPool
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

        for memory, port, kept, outs, clears in (
            ("orders", dut.write, "order", ((dut.read, dut.order), (dut.read_maker, dut.maker)), True),
            ("next", dut.write_next, "to", ((dut.read, dut.next), (dut.read_maker, dut.maker_next)), False),
            ("previous", dut.write_previous, "to", ((dut.read, dut.previous),), False),
        ):
            anything(m, port)
            self.assume(m, dut.ready | ~port.enable)
            written = Value.cast(port[kept])
            shadow = Signal(len(written), name=f"shadow_{memory}")
            known = Signal(name=f"known_{memory}")
            writes = port.enable & (port.token == token)
            with m.If(writes):
                m.d.sync += [shadow.eq(written), known.eq(1)]
            if clears:
                with m.Elif(~dut.ready & (age == token)):
                    m.d.sync += [shadow.eq(0), known.eq(1)]
                self.claim(m, f"{memory}_cleared", known == (age > token))
            row = inner.submodules[memory].read_port(domain="comb")
            m.d.comb += row.addr.eq(token)
            self.claim(m, f"{memory}_kept", ~known | (Value.cast(row.data) == shadow))
            for index, (address, out) in enumerate(outs):
                enable = dut.read_enable if index == 0 else dut.read_maker_enable
                shows, shown = (
                    Signal(name=f"shows_{memory}_{index}"),
                    Signal.like(shadow, name=f"shown_{memory}_{index}"),
                )
                with m.If(enable):
                    m.d.sync += [shows.eq((address == token) & known), shown.eq(shadow)]
                self.claim(m, f"{memory}_read_{index}", ~shows | (Value.cast(out) == shown))
            self.reach(m, f"{memory}_read_back", before(m, writes) & known & dut.read_enable & (dut.read == token))


PROOFS = (Proof("orders", Slots, steps=10, terms=(4,), reach=12),)
