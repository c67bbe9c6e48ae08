"""The PCIe link: commands, reports and registers behind the integrated block's four streams.

CQ -> Completer -> registers, CommandWindows -> commands
CC <- Completer
RQ <- PacketArbiter <- ReportWriter <- reports; <- StatusWriter; <- HostReader <- BatchReader
RC -> HostReader -> BatchReader -> commands
"""

from amaranth.hdl import Module, Mux, ResetInserter, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...guard.guard import LinkCommand
from ...protocol.pcie import LinkError
from ..registers import RegisterBus
from .batches import BatchReader
from .block import COMPLETER_COMPLETION, COMPLETER_REQUEST, REQUESTER_COMPLETION, REQUESTER_REQUEST
from .completer import Completer
from .reads import HostReader
from .registers import InterruptTable, LinkRegisters
from .window import CommandWindows
from .writer import REPORT_BITS, PacketArbiter, ReportWriter, StatusWriter

WINDOW_COMMANDS = 64
TAGS = 8
READ_BYTES = 256
TIMEOUT_CYCLES = 1 << 24
"""67 ms at 250 MHz: the block's own timeout of 50 ms is told first, if it is configured so."""


class PcieLink(wiring.Component):
    """An appliance's PCI Express function.

    Requests of the host are always taken: no command and no register access waits for the core, so that the host can
    always say that it has taken reports out. What waits is the core, when the report ring is full.

    Parameters
    ----------
    window_commands : Commands that the windows have room for, a power of two from 2 to 1024.
    tags : Reads of host memory under way at once, a power of two from 2 to 32.
    read_bytes : The largest read: 128, 256 or 512; also limited by the configured maximum.
    timeout_cycles : A read fails when it takes longer.

    Attributes
    ----------
    completer_requests, completer_completions, requester_requests, requester_completions : The block's streams.
    max_read_request : The configured maximum read request: two to this, times 128 bytes.
    function_reset : The function is being reset: the link stops, and the interrupt table forgets its entry.
    function_reset_done : And has stopped.
    interrupts_enabled, interrupts_masked : The function's MSI-X enable and mask.
    interrupt_send, interrupt_address, interrupt_message : The block is to send this message.
    interrupt_sent, interrupt_failed : It has, or could not.
    commands : Stream out, to the core.
    reports : Stream in, from the core.
    registers : The appliance's registers, as their user.
    core_idle : The core is at rest.
    time_ns : Time as the host has set it, for a core whose time the host keeps.

    Raises
    ------
    ValueError : A parameter is outside its limits.
    """

    completer_requests: In(COMPLETER_REQUEST)
    completer_completions: Out(COMPLETER_COMPLETION)
    requester_requests: Out(REQUESTER_REQUEST)
    requester_completions: In(REQUESTER_COMPLETION)
    max_read_request: In(3)
    function_reset: In(1)
    function_reset_done: Out(1)
    interrupts_enabled: In(1)
    interrupts_masked: In(1)
    interrupt_send: Out(1)
    interrupt_address: Out(64)
    interrupt_message: Out(32)
    interrupt_sent: In(1)
    interrupt_failed: In(1)
    commands: Out(stream.Signature(LinkCommand))
    reports: In(stream.Signature(unsigned(REPORT_BITS)))
    registers: Out(RegisterBus)
    core_idle: In(1)
    time_ns: Out(64)

    def __init__(
        self,
        window_commands: int = WINDOW_COMMANDS,
        tags: int = TAGS,
        read_bytes: int = READ_BYTES,
        timeout_cycles: int = TIMEOUT_CYCLES,
    ):
        self._windows = CommandWindows(window_commands)
        self._reader = HostReader(tags, read_bytes, timeout_cycles)
        self._batches = BatchReader(read_bytes)
        self._link_registers = LinkRegisters(window_commands)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.completer = completer = Completer()
        m.submodules.windows = windows = self._windows
        m.submodules.reader = reader = self._reader
        run, busy, at_rest = Signal(), Signal(), Signal()
        batches = self._batches
        m.submodules.batches = ResetInserter(~run)(batches)
        m.submodules.link_registers = link_registers = self._link_registers
        interrupt_table = InterruptTable()
        m.submodules.interrupt_table = ResetInserter(self.function_reset)(interrupt_table)
        m.submodules.report_writer = report_writer = ReportWriter()
        m.submodules.status_writer = status_writer = StatusWriter()
        m.submodules.arbiter = arbiter = PacketArbiter(3)

        wiring.connect(m, wiring.flipped(self.completer_requests), completer.requests)
        wiring.connect(m, completer.completions, wiring.flipped(self.completer_completions))
        wiring.connect(m, completer.commands, windows.lines)
        wiring.connect(m, batches.asked, reader.asked)
        wiring.connect(m, reader.lines, batches.lines)
        wiring.connect(m, wiring.flipped(self.requester_completions), reader.completions)
        wiring.connect(m, wiring.flipped(self.reports), report_writer.reports)
        wiring.connect(m, report_writer.requests, arbiter.inputs[0])
        wiring.connect(m, status_writer.requests, arbiter.inputs[1])
        wiring.connect(m, reader.requests, arbiter.inputs[2])
        wiring.connect(m, arbiter.output, wiring.flipped(self.requester_requests))

        # All registers share one bus: where one has no register, it reads zero.
        bus = completer.registers
        buses = (self.registers, link_registers.bus, interrupt_table.bus)
        for place in buses:
            m.d.comb += [
                place.address.eq(bus.address),
                place.write_data.eq(bus.write_data),
                place.write_enable.eq(bus.write_enable),
                place.read_enable.eq(bus.read_enable),
            ]
        read_data = 0
        for place in buses:
            read_data |= place.read_data
        m.d.comb += bus.read_data.eq(read_data)

        settings = link_registers.settings
        taken = Signal(32)
        m.d.comb += [
            run.eq(settings.control.as_value()[0] & ~self.function_reset),
            busy.eq(reader.busy | report_writer.busy | ~status_writer.idle),
            link_registers.function_reset.eq(self.function_reset),
            link_registers.busy.eq(busy),
            link_registers.at_rest.eq(at_rest),
            link_registers.commands_taken.eq(taken),
            link_registers.reports_written.eq(report_writer.written),
            self.function_reset_done.eq(self.function_reset & ~busy),
            self.time_ns.eq(link_registers.time_ns),
            windows.run.eq(run),
            reader.run.eq(run),
            batches.ring_address.eq(settings.descriptor_ring),
            batches.ring_log2.eq(settings.descriptor_ring_log2),
            batches.posted.eq(settings.descriptors_posted),
            batches.max_read_request.eq(self.max_read_request),
            report_writer.run.eq(run),
            report_writer.ring_address.eq(settings.report_ring),
            report_writer.ring_log2.eq(settings.report_ring_log2),
            report_writer.taken.eq(settings.reports_taken),
            status_writer.run.eq(run),
            status_writer.address.eq(settings.status_address),
            status_writer.reports.eq(report_writer.written),
            status_writer.descriptors.eq(batches.fetched),
            status_writer.errors.eq(link_registers.errors),
            status_writer.commands.eq(taken),
            status_writer.at_rest.eq(at_rest),
            at_rest.eq(
                self.core_idle
                & windows.empty
                & reader.idle
                & (batches.idle | reader.failed)
                & ~report_writer.busy
                & ~self.reports.valid
            ),
        ]
        for place, (error, raised) in enumerate(
            {
                LinkError.UNSUPPORTED_REQUEST: completer.unsupported,
                LinkError.CORRUPT_REQUEST: completer.corrupt,
                LinkError.WINDOW_ORDER: windows.disorder,
                LinkError.WINDOW_OVERRUN: windows.overrun,
            }.items()
        ):
            assert error.value == 1 << place
            m.d.comb += link_registers.raised.as_value()[place].eq(raised)
        m.d.comb += link_registers.raised.as_value()[4:].eq(reader.errors.as_value()[4:])

        # A command in a window goes first; what is offered stays.
        chosen, held, holder = Signal(), Signal(), Signal()
        out = self.commands
        m.d.comb += [
            chosen.eq(Mux(held, holder, ~windows.commands.valid)),
            out.valid.eq(Mux(chosen, batches.commands.valid, windows.commands.valid)),
            out.payload.eq(Mux(chosen, batches.commands.payload, windows.commands.payload)),
            windows.commands.ready.eq(out.ready & ~chosen),
            batches.commands.ready.eq(out.ready & chosen),
        ]
        m.d.sync += [held.eq(out.valid & ~out.ready & run), holder.eq(chosen)]
        with m.If(~run):
            m.d.sync += taken.eq(0)
        with m.Elif(out.valid & out.ready):
            m.d.sync += taken.eq(taken + 1)

        # One interrupt for each time the host asks, once a later report is on its way.
        asked = Signal()
        due = asked & ~report_writer.busy & (report_writer.written != settings.interrupt_behind)
        m.d.comb += [
            interrupt_table.raise_now.eq(due),
            interrupt_table.enabled.eq(self.interrupts_enabled),
            interrupt_table.masked.eq(self.interrupts_masked),
            interrupt_table.sent.eq(self.interrupt_sent),
            interrupt_table.failed.eq(self.interrupt_failed),
            self.interrupt_send.eq(interrupt_table.send),
            self.interrupt_address.eq(interrupt_table.address),
            self.interrupt_message.eq(interrupt_table.message),
        ]
        m.d.sync += asked.eq(run & (link_registers.asks | (asked & ~due)))
        return m
