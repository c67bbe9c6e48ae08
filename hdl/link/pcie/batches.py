"""The bulk path: descriptors from a ring in host memory, and the commands that they name."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ...guard.guard import LinkCommand
from ...protocol.pcie import RING_LOG2_LIMIT, CommandBatch
from .reads import LINE_ADDRESS_BITS, LINE_LOG2, ReadLine, asked_lines, most_lines
from .writer import RING_LOG2


class BatchReader(wiring.Component):
    """Asks for descriptors and commands, and hands the commands on in order.

    The next descriptor is asked for when all commands of the last one have been asked for.

    Parameters
    ----------
    read_bytes : See `HostReader`.

    Attributes
    ----------
    ring_address, ring_log2 : Where the descriptor ring is, and its places as a power of two.
    posted : How many descriptors the host has put in since the last reset.
    max_read_request : The configured size: two to this, times 128 bytes.
    asked : Stream out, to `HostReader`.
    lines : Stream in, from there.
    commands : Stream out.
    fetched : How many descriptors have come since the last reset.
    idle : No descriptor is left to be fetched, and no line of the last one to be asked for.

    Raises
    ------
    ValueError : See `HostReader`.
    """

    def __init__(self, read_bytes: int):
        self._read_bytes = read_bytes
        super().__init__(
            {
                "ring_address": In(64),
                "ring_log2": In(RING_LOG2),
                "posted": In(32),
                "max_read_request": In(3),
                "asked": Out(stream.Signature(asked_lines(read_bytes))),
                "lines": In(stream.Signature(ReadLine)),
                "commands": Out(stream.Signature(LinkCommand)),
                "fetched": Out(32),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lines_log2 = ceil_log2(most_lines(self._read_bytes))
        line, left, link = Signal(LINE_ADDRESS_BITS), Signal(32), Signal(8)
        size, mask = Signal(RING_LOG2_LIMIT + 1), Signal(RING_LOG2_LIMIT)
        m.d.comb += [size.eq(1 << self.ring_log2), mask.eq(size - 1)]

        # As many lines as the configured size allows, up to its next multiple: no read crosses a page.
        most, room, count = Signal(lines_log2 + 1), Signal(lines_log2 + 1), Signal(lines_log2 + 1)
        m.d.comb += most.eq(1 << lines_log2)
        for setting in range(lines_log2 - 2):
            with m.If(self.max_read_request == setting):
                m.d.comb += most.eq(4 << setting)
        m.d.comb += [room.eq(most - (line & (most - 1))), count.eq(Mux(left < room, left, room))]

        asked, came = self.asked.payload, self.lines.payload
        descriptor = data.View(CommandBatch, came.data)
        m.d.comb += [
            self.commands.payload.command.eq(came.data),
            self.commands.payload.link.eq(link),
            self.commands.valid.eq(self.lines.valid & ~came.descriptor),
            self.lines.ready.eq(self.commands.ready | came.descriptor),
        ]
        with m.FSM() as fsm:
            m.d.comb += self.idle.eq(fsm.ongoing("IDLE") & (self.posted == self.fetched))
            with m.State("IDLE"):
                m.d.sync += line.eq(self.ring_address[LINE_LOG2:] + (self.fetched & mask))
                with m.If(self.posted != self.fetched):
                    m.next = "DESCRIPTOR"
            with m.State("DESCRIPTOR"):
                m.d.comb += [
                    self.asked.valid.eq(1),
                    asked.line.eq(line),
                    asked.lines.eq(1),
                    asked.descriptor.eq(1),
                ]
                with m.If(self.asked.ready):
                    m.next = "AWAIT"
            with m.State("AWAIT"):
                with m.If(self.lines.valid & came.descriptor):
                    m.d.sync += [
                        line.eq(descriptor.address[LINE_LOG2:]),
                        left.eq(descriptor.count),
                        link.eq(descriptor.link),
                        self.fetched.eq(self.fetched + 1),
                    ]
                    m.next = "COMMANDS"
            with m.State("COMMANDS"):
                m.d.comb += [
                    self.asked.valid.eq(left != 0),
                    asked.line.eq(line),
                    asked.lines.eq(count),
                ]
                with m.If(left == 0):
                    m.next = "IDLE"
                with m.Elif(self.asked.ready):
                    m.d.sync += [line.eq(line + count), left.eq(left - count)]
        return m
