"""What the messages of a serial link do: commands for the core, register accesses, time; reports and values back."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..guard.entrant import LinkCommand
from ..protocol.frames import PAYLOAD_BYTES, TO_DEVICE, FrameKind
from ..protocol.reports import REPORT_BYTES
from .cobs import FrameByte
from .registers import RegisterBus

REPORT_BITS = 8 * REPORT_BYTES


class MessageReader(wiring.Component):
    """Carries out what the host says, one message after the other, in the order in which they came.

    Attributes
    ----------
    messages : Stream in: kind, then payload of the length that the kind has.
    commands : Stream out: commands with the link that the host names.
    registers : The register block, as its user.
    values : Stream out: what was read from it.
    time_ns : The time that the host said last.
    idle : Nothing is under way here.
    """

    messages: In(stream.Signature(FrameByte))
    commands: Out(stream.Signature(LinkCommand))
    registers: Out(RegisterBus)
    values: Out(stream.Signature(unsigned(32)))
    time_ns: Out(64)
    idle: Out(1)

    def elaborate(self, platform):
        m = Module()
        longest = 8 * max(PAYLOAD_BYTES[kind] for kind in TO_DEVICE)
        kind = Signal(8)
        gathered = Signal(longest)  # the payload's last byte is at the top
        begun = Signal()
        value = Signal(32)

        def payload(kind: FrameKind) -> Signal:
            return gathered[longest - 8 * PAYLOAD_BYTES[kind] :]

        written, read = payload(FrameKind.WRITE), payload(FrameKind.READ)
        m.d.comb += [
            Cat(self.commands.payload.link, self.commands.payload.command).eq(payload(FrameKind.COMMAND)),
            self.registers.address.eq(Mux(kind == FrameKind.WRITE.value, written[:16], read[:16])),
            self.registers.write_data.eq(written[16:]),
            self.values.payload.eq(value),
        ]
        with m.FSM() as fsm:
            m.d.comb += self.idle.eq(fsm.ongoing("GATHER") & ~begun & ~self.messages.valid)
            with m.State("GATHER"):
                m.d.comb += self.messages.ready.eq(1)
                with m.If(self.messages.valid):
                    m.d.sync += begun.eq(1)
                    with m.If(begun):
                        m.d.sync += gathered.eq(Cat(gathered[8:], self.messages.payload.data))
                    with m.Else():
                        m.d.sync += kind.eq(self.messages.payload.data)
                    with m.If(self.messages.payload.last):
                        m.d.sync += begun.eq(0)
                        m.next = "ACT"
            with m.State("ACT"):
                with m.Switch(kind):
                    with m.Case(FrameKind.COMMAND):
                        m.d.comb += self.commands.valid.eq(1)
                        with m.If(self.commands.ready):
                            m.next = "GATHER"
                    with m.Case(FrameKind.READ):
                        m.d.comb += self.registers.read_enable.eq(1)
                        m.d.sync += value.eq(self.registers.read_data)
                        m.next = "ANSWER"
                    with m.Case(FrameKind.WRITE):
                        m.d.comb += self.registers.write_enable.eq(1)
                        m.next = "GATHER"
                    with m.Default():
                        m.d.sync += self.time_ns.eq(payload(FrameKind.TIME))
                        m.next = "GATHER"
            with m.State("ANSWER"):
                m.d.comb += self.values.valid.eq(1)
                with m.If(self.values.ready):
                    m.next = "GATHER"
        return m


class MessageWriter(wiring.Component):
    """Makes messages of reports and register values; a value goes first.

    Attributes
    ----------
    reports : Stream in. While the link cannot take more, it waits, and with it the core.
    values : Stream in.
    messages : Stream out: kind, then payload.
    idle : Nothing is under way here.
    """

    reports: In(stream.Signature(unsigned(REPORT_BITS)))
    values: In(stream.Signature(unsigned(32)))
    messages: Out(stream.Signature(FrameByte))
    idle: Out(1)

    def elaborate(self, platform):
        m = Module()
        rest = Signal(8 + REPORT_BITS)
        left = Signal(range(1 + REPORT_BYTES + 1))
        free = Signal(init=1)  # `left` is zero: the core waits for it
        value_comes = self.values.valid
        m.d.comb += [
            self.values.ready.eq(free),
            self.reports.ready.eq(free & ~value_comes),
            self.messages.valid.eq(~free),
            self.messages.payload.data.eq(rest[:8]),
            self.messages.payload.last.eq(left == 1),
            self.idle.eq(free & ~value_comes & ~self.reports.valid),
        ]
        with m.If(free):
            with m.If(value_comes):
                m.d.sync += rest.eq(Cat(Const(FrameKind.VALUE.value, 8), self.values.payload))
                m.d.sync += [left.eq(1 + 4), free.eq(0)]
            with m.Elif(self.reports.valid):
                m.d.sync += rest.eq(Cat(Const(FrameKind.REPORT.value, 8), self.reports.payload))
                m.d.sync += [left.eq(1 + REPORT_BYTES), free.eq(0)]
        with m.Elif(self.messages.ready):
            m.d.sync += [rest.eq(rest[8:]), left.eq(left - 1), free.eq(left == 1)]
        return m
