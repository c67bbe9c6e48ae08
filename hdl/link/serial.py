"""The serial link: commands, reports and registers over one UART, with nothing lost and nothing doubled.

rx -> UartReceiver -> CobsDecoder -> WindowReceiver -> MessageReader -> commands, registers, time
tx <- UartTransmitter <- CobsEncoder <- CrcAppender <- WindowSender <- MessageWriter <- reports, values
"""

from amaranth.hdl import Module, ResetInserter, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from ..guard.entrant import LinkCommand
from ..protocol.frames import CRC_BYTES, LARGEST_FRAME_BYTES
from .cobs import CobsDecoder, CobsEncoder, FrameByte
from .messages import REPORT_BITS, MessageReader, MessageWriter
from .registers import RegisterBus
from .uart import FRAME_BITS, UartReceiver, UartTransmitter
from .window import WindowReceiver, WindowSender

SLOTS = 16
TIMEOUT_BYTES = 8_192
"""The default timeout is so many bytes on the line: six full windows, and 27 ms at 3 Mbaud for the host to wake up."""


class CrcAppender(wiring.Component):
    """Frames, each with its CRC-32 behind it.

    Attributes
    ----------
    frames : Stream in.
    checked : Stream out: the same bytes, then four more.
    """

    frames: In(stream.Signature(FrameByte))
    checked: Out(stream.Signature(FrameByte))

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=8).create()
        begun = Signal()
        place = Signal(range(CRC_BYTES))
        byte, checked = self.frames, self.checked
        taken = byte.valid & byte.ready
        m.d.comb += [crc.data.eq(byte.payload.data), crc.valid.eq(taken), crc.start.eq(taken & ~begun)]
        with m.FSM():
            with m.State("FRAME"):
                m.d.comb += [
                    checked.valid.eq(byte.valid),
                    checked.payload.data.eq(byte.payload.data),
                    byte.ready.eq(checked.ready),
                ]
                with m.If(taken):
                    m.d.sync += begun.eq(1)
                    with m.If(byte.payload.last):
                        m.next = "CRC"
            with m.State("CRC"):
                m.d.comb += [
                    checked.valid.eq(1),
                    checked.payload.data.eq(crc.crc.word_select(place, 8)),
                    checked.payload.last.eq(place == CRC_BYTES - 1),
                ]
                with m.If(checked.ready):
                    m.d.sync += place.eq(place + 1)
                    with m.If(checked.payload.last):
                        m.d.sync += begun.eq(0)
                        m.next = "FRAME"
        return m


class SerialLink(wiring.Component):
    """An appliance's serial port.

    A report is taken from the core only when there is a slot to keep it in until the host has acknowledged it: a slow
    host, or none, makes the core wait. A new session begins with empty windows and time zero; whatever the link
    still kept of the old one is gone. The core knows nothing of sessions: the host starts an epoch in it.

    Parameters
    ----------
    cycles_per_bit : Clock cycles a bit, at least 4; see `hdl.link.uart.cycles_per_bit`.
    slots : Messages kept in each direction, a power of two, 2 to 64.
    timeout_cycles : Without an acknowledgement for so long, reports are sent again; by default `TIMEOUT_BYTES`.

    Attributes
    ----------
    rx, tx : The line; `rx` may be of any clock.
    commands : Stream out, to the core.
    reports : Stream in, from the core.
    registers : The appliance's registers, as their user.
    core_idle : The core is at rest.
    time_ns : Time as the host has set it, for a core whose time the host keeps.
    quiet : Nothing will happen here before something is received, the core reports, or a timeout passes.

    Raises
    ------
    ValueError : A parameter is outside its limits.
    """

    rx: In(1, init=1)
    tx: Out(1, init=1)
    commands: Out(stream.Signature(LinkCommand))
    reports: In(stream.Signature(unsigned(REPORT_BITS)))
    registers: Out(RegisterBus)
    core_idle: In(1)
    time_ns: Out(64)
    quiet: Out(1)

    def __init__(self, cycles_per_bit: int, slots: int = SLOTS, timeout_cycles: int | None = None):
        timeout_cycles = timeout_cycles or TIMEOUT_BYTES * FRAME_BITS * cycles_per_bit
        self._uart_receiver, self._uart_transmitter = UartReceiver(cycles_per_bit), UartTransmitter(cycles_per_bit)
        self._receiver, self._sender = WindowReceiver(slots), WindowSender(slots, timeout_cycles)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.uart_receiver = uart_receiver = self._uart_receiver
        m.submodules.uart_transmitter = uart_transmitter = self._uart_transmitter
        m.submodules.receiver = receiver = self._receiver
        m.submodules.sender = sender = self._sender
        m.submodules.decoder = decoder = CobsDecoder()
        m.submodules.encoder = encoder = CobsEncoder(LARGEST_FRAME_BYTES)
        m.submodules.crc_appender = crc_appender = CrcAppender()
        m.submodules.reader = reader = ResetInserter(receiver.opened)(MessageReader())
        m.submodules.writer = writer = ResetInserter(receiver.opened)(MessageWriter())

        wiring.connect(m, uart_receiver.bytes, decoder.bytes)
        wiring.connect(m, decoder.frame, receiver.frames)
        wiring.connect(m, receiver.messages, reader.messages)
        wiring.connect(m, reader.commands, wiring.flipped(self.commands))
        wiring.connect(m, reader.registers, wiring.flipped(self.registers))

        wiring.connect(m, wiring.flipped(self.reports), writer.reports)
        wiring.connect(m, reader.values, writer.values)
        wiring.connect(m, writer.messages, sender.messages)
        wiring.connect(m, sender.frames, crc_appender.frames)
        wiring.connect(m, crc_appender.checked, encoder.frame)
        wiring.connect(m, encoder.bytes, uart_transmitter.bytes)

        wiring.connect(m, receiver.peer, sender.peer)
        # What was at rest a cycle ago, and was given nothing, still is.
        core_rests, at_rest = Signal(), Signal()
        m.d.sync += core_rests.eq(self.core_idle & reader.idle)
        m.d.comb += at_rest.eq(receiver.empty & reader.idle & writer.idle & core_rests)
        m.d.comb += [
            uart_receiver.rx.eq(self.rx),
            self.tx.eq(uart_transmitter.tx),
            self.time_ns.eq(reader.time_ns),
            sender.window.eq(receiver.window),
            sender.answer.eq(receiver.answer),
            sender.missing.eq(receiver.missing),
            sender.opened.eq(receiver.opened),
            sender.idle.eq(at_rest),
            self.quiet.eq(at_rest & sender.quiet & ~encoder.busy & ~uart_transmitter.busy & ~uart_receiver.busy),
        ]
        return m
