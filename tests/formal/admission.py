"""Proofs of `hdl.guard.admission`."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data
from harness import Harness, anything, before, opened, register
from proof import Proof

from bandgap.hdl.config import PRESETS
from bandgap.hdl.guard.admission import Watchdog, WellFormed
from bandgap.hdl.protocol.commands import (
    NewOrder,
    Opcode,
    SetBand,
    SetBreaker,
    SetDynamicBand,
    SetInstrument,
    StateCommand,
)

CONFIG = PRESETS["formal"]


class Expiry(Harness):
    """The watchdog is due exactly while it is armed and its deadline has come, until that is taken up."""

    def describe(self, m: Module) -> None:
        dut = Watchdog()
        m.submodules.dut = inner = opened(dut)
        for port in (dut.time_ns, dut.arm, dut.arm_none, dut.arm_deadline_ns, dut.acted):
            anything(m, port)
        self.assume(m, dut.time_ns >= before(m, dut.time_ns))
        self.assume(m, ~dut.acted | dut.due)

        armed, deadline_ns = Signal(), Signal(64)
        with m.If(dut.arm):
            m.d.sync += [armed.eq(~dut.arm_none), deadline_ns.eq(dut.arm_deadline_ns)]
        with m.Elif(dut.acted):
            m.d.sync += armed.eq(0)
        self.claim(m, "due", dut.due == (armed & (dut.time_ns >= deadline_ns)))
        self.claim(m, "deadline", dut.deadline_ns == deadline_ns)
        self.claim(m, "armed", register(inner, "armed") == armed)
        changed = before(m, dut.arm | dut.acted)
        self.claim(m, "stays_due", ~before(m, dut.due) | changed | dut.due)
        self.reach(m, "due", dut.due)
        self.reach(m, "armed_anew", before(m, dut.due & dut.arm) & ~dut.due & armed)


class Form(Harness):
    """A well-formed command names an account, a slot, a quantity and a band or window that the device can hold."""

    def describe(self, m: Module) -> None:
        m.submodules.dut = dut = WellFormed(CONFIG)
        anything(m, dut.command)
        order, window, band = (data.View(layout, dut.command) for layout in (NewOrder, SetInstrument, SetBand))
        opcode = order.header.opcode

        def claim(name, opcodes, condition):
            meant = Mux(dut.malformed, 0, sum(opcode == member for member in opcodes) != 0)
            self.claim(m, name, ~meant | condition)
            self.reach(m, name, meant)

        flow = (Opcode.NEW_ORDER, Opcode.CANCEL, Opcode.REPLACE)
        size = (1 << window.window_log2)[:33]
        claim("account", (*flow, Opcode.MASS_CANCEL, Opcode.KILL_ACCOUNT), order.account < CONFIG.accounts)
        claim("token", flow, order.token < CONFIG.orders)
        claim("quantity", (Opcode.NEW_ORDER, Opcode.REPLACE), order.quantity_lots != 0)
        claim(
            "instrument", (*flow, Opcode.SET_BAND, Opcode.SET_INSTRUMENT), order.header.instrument < CONFIG.instruments
        )
        claim("window", (Opcode.SET_INSTRUMENT,), (window.window_base_ticks + size <= 1 << 32) & (size <= CONFIG.ticks))
        claim(
            "multiplier", (Opcode.SET_INSTRUMENT,), (window.multiplier_quote != 0) & (window.multiplier_quote < 1 << 16)
        )
        claim(
            "band",
            (Opcode.SET_BAND,),
            (band.lower_ticks <= band.reference_ticks) & (band.reference_ticks <= band.upper_ticks),
        )
        state, breaker, dynamic = (
            data.View(layout, dut.command) for layout in (StateCommand, SetBreaker, SetDynamicBand)
        )
        claim("duration", (Opcode.HALT, Opcode.CALL), (state.duration_us == 0) | (state.duration_us >= 1_000))
        claim("durations", (Opcode.SET_BREAKER,), (breaker.call_us >= 1_000) & (breaker.extension_us >= 1_000))
        is_on = dynamic.long_buckets != 0
        claim("buckets", (Opcode.SET_DYNAMIC_BAND,), (dynamic.long_bucket_us >= 1_000) == is_on)
        claim("number", tuple(Opcode), order.header.number != 0)


PROOFS = (
    Proof("watchdog", Expiry, steps=2, terms=(15,), reach=4),
    Proof("well-formed", Form, steps=1, terms=(10,)),
)
