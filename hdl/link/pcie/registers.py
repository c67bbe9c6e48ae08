"""The link's registers, and the one vector of its interrupt table."""

from amaranth.hdl import Cat, Const, Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...protocol.pcie import (
    INTERRUPT_PENDING_OFFSET,
    INTERRUPT_TABLE_OFFSET,
    LINK_BY_NAME,
    InterruptVector,
    LinkControl,
    LinkError,
)
from ...protocol.version import link_layout_hash
from ..registers import RegisterBus


class LinkSettings(data.Struct):
    """What the host has written into the registers of the same names.

    Attributes
    ----------
    control, report_ring, report_ring_log2, reports_taken, descriptor_ring, descriptor_ring_log2, descriptors_posted,
        status_address, interrupt_behind : See `hdl.protocol.pcie.LINK_REGISTERS`.
    """

    control: LinkControl
    report_ring: unsigned(64)
    report_ring_log2: unsigned(32)
    reports_taken: unsigned(32)
    descriptor_ring: unsigned(64)
    descriptor_ring_log2: unsigned(32)
    descriptors_posted: unsigned(32)
    status_address: unsigned(64)
    interrupt_behind: unsigned(32)


def _bits(settings: data.View, name: str):
    """A setting as plain bits."""
    field = settings[name]
    return field.as_value() if hasattr(field, "as_value") else field


class LinkRegisters(wiring.Component):
    """The registers from `LINK_REGISTERS_OFFSET` on: the table of `hdl.protocol.pcie` as a circuit.

    Parameters
    ----------
    window_commands : Value of the register of that name.

    Attributes
    ----------
    bus : As in `hdl.link.registers.RegisterBlock`.
    settings : What the host has written.
    time_ns : Time as the host has set it.
    asks : `interrupt_behind` was written.
    function_reset : The function is being reset: RUN is cleared.
    busy, at_rest : Values of the bits BUSY and AT_REST.
    commands_taken, reports_written : Values of the registers of these names.
    raised : What goes wrong in this cycle.
    errors : Value of the register of that name.
    """

    def __init__(self, window_commands: int):
        self._window_commands = window_commands
        super().__init__(
            {
                "bus": In(RegisterBus),
                "settings": Out(LinkSettings),
                "time_ns": Out(64),
                "asks": Out(1),
                "function_reset": In(1),
                "busy": In(1),
                "at_rest": In(1),
                "commands_taken": In(32),
                "reports_written": In(32),
                "raised": In(LinkError),
                "errors": Out(LinkError),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bus, settings = self.bus, self.settings
        run = settings.control.as_value()[0]
        errors, cleared = Signal(32), Signal(32)
        time_low = Signal(32)
        read_only = {
            "link_layout": Const(link_layout_hash(), 32),
            "state": Cat(run, self.busy, self.at_rest, Const(0, 29)),
            "errors": errors,
            "window_commands": Const(self._window_commands, 32),
            "commands_taken": self.commands_taken,
            "reports_written": self.reports_written,
            "set_time_ns": self.time_ns,
        }
        word = bus.address[2:]

        def at(name: str, index: int = 0) -> int:
            return LINK_BY_NAME[name].at() // 4 + index

        with m.Switch(word):
            for name, register in LINK_BY_NAME.items():
                value = read_only[name] if name in read_only else _bits(settings, name)
                for index in range(register.words):
                    with m.Case(at(name, index)):
                        m.d.comb += bus.read_data.eq(value[32 * index : 32 * index + 32])
                        if name not in read_only:
                            with m.If(bus.write_enable):
                                m.d.sync += value[32 * index : 32 * index + 32].eq(bus.write_data)
        writes = bus.write_enable
        with m.If(writes & (word == at("errors"))):
            m.d.comb += cleared.eq(bus.write_data)
        with m.If(writes & (word == at("set_time_ns"))):
            m.d.sync += time_low.eq(bus.write_data)
        with m.If(writes & (word == at("set_time_ns", 1))):
            m.d.sync += self.time_ns.eq(Cat(time_low, bus.write_data))
        m.d.sync += [errors.eq((errors & ~cleared) | self.raised.as_value()), self.asks.eq(0)]
        with m.If(writes & (word == at("interrupt_behind"))):
            m.d.sync += self.asks.eq(1)
        m.d.comb += self.errors.eq(errors)
        with m.If(self.function_reset):
            m.d.sync += settings.control.eq(0)
        return m


class InterruptTable(wiring.Component):
    """One MSI-X vector: its table entry, its pending bit, and when its message is due.

    Attributes
    ----------
    bus : As in `hdl.link.registers.RegisterBlock`.
    raise_now : An interrupt is due; one that is due already is not counted twice.
    enabled, masked : The function's, from its MSI-X capability.
    sent, failed : The block has sent the message, or could not.
    send : The block is to send it.
    address, message : What it is to send.
    """

    bus: In(RegisterBus)
    raise_now: In(1)
    enabled: In(1)
    masked: In(1)
    sent: In(1)
    failed: In(1)
    send: Out(1)
    address: Out(64)
    message: Out(32)

    def elaborate(self, platform):
        m = Module()
        vector = Signal(InterruptVector, init={"mask": 1})
        pending, sending = Signal(), Signal()
        words = vector.as_value()
        bus = self.bus
        word = bus.address[2:]
        with m.Switch(word):
            for index in range(len(words) // 32):
                with m.Case(INTERRUPT_TABLE_OFFSET // 4 + index):
                    m.d.comb += bus.read_data.eq(words[32 * index : 32 * index + 32])
                    with m.If(bus.write_enable):
                        m.d.sync += words[32 * index : 32 * index + 32].eq(bus.write_data)
            with m.Case(INTERRUPT_PENDING_OFFSET // 4):
                m.d.comb += bus.read_data.eq(pending)
        m.d.comb += [self.address.eq(vector.address), self.message.eq(vector.message)]
        with m.If(self.raise_now & self.enabled):
            m.d.sync += pending.eq(1)
        m.d.sync += self.send.eq(0)
        with m.If(sending):
            with m.If(self.sent | self.failed):
                m.d.sync += [sending.eq(0), pending.eq(self.failed)]
        with m.Elif(pending & self.enabled & ~self.masked & ~vector.mask[0]):
            m.d.sync += [self.send.eq(1), sending.eq(1)]
        return m
