"""What the host asks of BAR 0: writes become lines, reads of one dword are answered, all else is refused."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ...bits import lowest_set
from ...protocol.commands import COMMAND_BYTES
from ...protocol.pcie import BAR_BYTES, WINDOWS_OFFSET
from ..registers import RegisterBus
from .block import (
    COMPLETER_COMPLETION,
    COMPLETER_REQUEST,
    LANES,
    CompleterCompletion,
    CompleterRequest,
    CompletionStatus,
    RequestType,
    keep_first,
)

LINE_BYTES = COMMAND_BYTES
OFFSET_BITS = exact_log2(BAR_BYTES)
LINE_BITS = OFFSET_BITS - exact_log2(LINE_BYTES)
FIRST_MESSAGE = 12
"""Request types from here on are messages, which want no answer."""
DESCRIPTOR_LANES = CompleterRequest.as_shape().size // 32


class Line(data.Struct):
    """A part of a write, within 32 aligned bytes.

    Attributes
    ----------
    line : Which 32 bytes of the BAR.
    data : The bytes.
    dwords : Which dwords of them are written.
    first, last : The write begins and ends here.
    corrupt : At `last`: the whole write is to be dropped.
    partial : A dword was to be written in part, and is left out.
    """

    line: unsigned(LINE_BITS)
    data: unsigned(8 * LINE_BYTES)
    dwords: unsigned(LANES)
    first: 1
    last: 1
    corrupt: 1
    partial: 1


class Read(data.Struct):
    """A read that is to be answered.

    Attributes
    ----------
    request : Its descriptor.
    first_enable, last_enable, hints : As they came beside it.
    """

    request: CompleterRequest
    first_enable: unsigned(4)
    last_enable: unsigned(4)
    hints: unsigned(11)


class RequestReader(wiring.Component):
    """Takes the host's requests apart.

    A write's first line leaves with the beat that completes it, every further line with its own beat. A request that
    is neither a write nor a read is handed on as a read, to be refused.

    Attributes
    ----------
    requests : Stream in, from the integrated block.
    lines : Stream out: what is written, in the order of its addresses.
    reads : Stream out.
    """

    requests: In(COMPLETER_REQUEST)
    lines: Out(stream.Signature(Line))
    reads: Out(stream.Signature(Read))

    def elaborate(self, platform):
        m = Module()
        beat = self.requests.payload
        descriptor = data.View(CompleterRequest, beat.data[: CompleterRequest.as_shape().size])
        within = Signal()  # a write's first beat is past
        writes = Signal()
        m.d.comb += writes.eq(
            within | ((descriptor.kind == RequestType.MEMORY_WRITE) & (descriptor.bar == 0) & beat.user.first)
        )

        # Payload dword 0 comes in lane 4 and belongs to place `address` of its line: all lanes are turned by as much.
        turn, line = Signal(3), Signal(LINE_BITS)
        kept_turn, kept_line = Signal(3), Signal(LINE_BITS)
        first_line = descriptor.address[3 : 3 + LINE_BITS]
        m.d.comb += [
            turn.eq(Mux(within, kept_turn, descriptor.address[:3] + DESCRIPTOR_LANES)),
            line.eq(Mux(within, kept_line, first_line - (turn >= DESCRIPTOR_LANES))),
        ]
        enables = [beat.user.byte_enable.word_select(lane, 4) for lane in range(LANES)]
        whole, partial = Signal(LANES), Signal()
        m.d.comb += [
            whole.eq(Cat(enable.all() for enable in enables)),
            partial.eq(Cat(enable.any() & ~enable.all() for enable in enables).any()),
        ]
        # What is turned beyond the line's end belongs to the next one.
        turned, turned_whole, turned_keep = Signal(2 * 8 * LINE_BYTES), Signal(2 * LANES), Signal(2 * LANES)
        m.d.comb += [
            turned.eq(beat.data << Cat(Const(0, 5), turn)),
            turned_whole.eq(whole << turn),
            turned_keep.eq(beat.keep << turn),
        ]
        carried, carried_whole = Signal(8 * LINE_BYTES), Signal(LANES)
        carried_first, carried_partial, corrupt, begun = Signal(), Signal(), Signal(), Signal()
        flushing = Signal()
        more = Signal()
        m.d.comb += more.eq(turned_keep[LANES:].any())

        out = self.lines.payload
        merged = [
            Mux(carried_whole[lane], carried.word_select(lane, 32), turned.word_select(lane, 32))
            for lane in range(LANES)
        ]
        with m.If(flushing):
            m.d.comb += [
                self.lines.valid.eq(1),
                out.line.eq(kept_line),
                out.data.eq(carried),
                out.dwords.eq(carried_whole),
                out.first.eq(carried_first),
                out.last.eq(1),
                out.corrupt.eq(corrupt),
                out.partial.eq(carried_partial),
            ]
            with m.If(self.lines.ready):
                m.d.sync += [flushing.eq(0), carried_whole.eq(0), carried_partial.eq(0)]
        with m.Elif(self.requests.valid & writes):
            reaches_back = Signal()  # this beat writes into the line, or what is carried does
            m.d.comb += [
                reaches_back.eq(within | (turn < DESCRIPTOR_LANES)),
                self.lines.valid.eq(reaches_back),
                self.requests.ready.eq(self.lines.ready | ~reaches_back),
                out.line.eq(line),
                out.data.eq(Cat(merged)),
                out.dwords.eq(turned_whole[:LANES] | carried_whole),
                out.first.eq(~begun),
                out.last.eq(beat.last & ~more),
                out.corrupt.eq(beat.user.discontinue),
                out.partial.eq(partial | carried_partial),
            ]
            with m.If(self.requests.ready):
                m.d.sync += [
                    within.eq(~beat.last),
                    begun.eq(~beat.last & (begun | reaches_back)),
                    kept_turn.eq(turn),
                    kept_line.eq(line + 1),
                    carried.eq(turned[8 * LINE_BYTES :]),
                    carried_whole.eq(turned_whole[LANES:]),
                    carried_first.eq(~begun & ~reaches_back),
                    carried_partial.eq(partial & more),
                    corrupt.eq(beat.user.discontinue),
                    flushing.eq(beat.last & more),
                ]
        with m.Else():
            refused_rest = ~beat.user.first  # the payload of what is refused
            m.d.comb += [
                self.reads.valid.eq(self.requests.valid & ~refused_rest),
                self.requests.ready.eq(self.reads.ready | refused_rest),
            ]
        m.d.comb += [
            self.reads.payload.request.eq(descriptor),
            self.reads.payload.first_enable.eq(beat.user.first_enable),
            self.reads.payload.last_enable.eq(beat.user.last_enable),
            self.reads.payload.hints.eq(beat.user.hints),
        ]
        return m


class RegisterAccess(wiring.Component):
    """Carries out writes of registers and answers reads, one after the other: a read sees every write ahead of it.

    A write is of whole dwords within 32 aligned bytes, a read of one dword; whatever else is asked for is not done, and
    refused where it wants an answer.

    Attributes
    ----------
    lines : Stream in: writes of registers.
    reads : Stream in.
    completions : Stream out, to the integrated block.
    registers : All registers of BAR 0, as their user.
    writing : A write is being carried out.
    unsupported : Something is asked for that is not done.
    corrupt : A write is dropped because the block did not vouch for it.
    """

    lines: In(stream.Signature(Line))
    reads: In(stream.Signature(Read))
    completions: Out(COMPLETER_COMPLETION)
    registers: Out(RegisterBus)
    writing: Out(1)
    unsupported: Out(1)
    corrupt: Out(1)

    def elaborate(self, platform):
        m = Module()
        line, read = self.lines.payload, self.reads.payload
        written, left = Signal(Line), Signal(LANES)
        asked, value, served = Signal(Read), Signal(32), Signal()
        _, place = lowest_set(left)
        bus = self.registers

        request = read.request
        servable = (
            (request.kind == RequestType.MEMORY_READ)
            & (request.bar == 0)
            & (request.dwords == 1)
            & (read.last_enable == 0)
        )
        kind = request.kind.as_value()
        posted = (kind == RequestType.MEMORY_WRITE.value) | (kind[2:] == FIRST_MESSAGE >> 2)
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.lines.valid):
                    m.d.comb += [
                        self.lines.ready.eq(1),
                        self.corrupt.eq(line.last & line.corrupt),
                        self.unsupported.eq(line.partial | ~line.first),
                    ]
                    m.d.sync += [written.eq(line), left.eq(line.dwords)]
                    with m.If(line.first & line.last & ~line.corrupt & ~line.partial):
                        m.next = "WRITE"
                with m.Elif(self.reads.valid):
                    m.d.comb += [self.reads.ready.eq(1), self.unsupported.eq(~servable)]
                    m.d.sync += [asked.eq(read), served.eq(servable)]
                    with m.If(~posted):
                        m.next = "READ"
            with m.State("WRITE"):
                m.d.comb += [
                    self.writing.eq(1),
                    bus.address.eq(Cat(Const(0, 2), place, written.line)),
                    bus.write_data.eq(written.data.word_select(place, 32)),
                    bus.write_enable.eq(left != 0),
                ]
                m.d.sync += left.eq(left & (left - 1))
                with m.If((left & (left - 1)) == 0):
                    m.next = "IDLE"
            with m.State("READ"):
                m.d.comb += [
                    bus.address.eq(Cat(Const(0, 2), asked.request.address[: OFFSET_BITS - 2])),
                    bus.read_enable.eq(served & (asked.first_enable != 0)),
                ]
                m.d.sync += value.eq(bus.read_data)
                m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += self.completions.valid.eq(1)
                with m.If(self.completions.ready):
                    m.next = "IDLE"

        # The bytes from the first to the last that are meant; none is answered like one.
        first_byte, byte_count = Signal(2), Signal(3)
        for index in reversed(range(4)):
            with m.If(asked.first_enable[index]):
                m.d.comb += first_byte.eq(index)
        m.d.comb += byte_count.eq(1)
        for index in range(4):
            with m.If(asked.first_enable[index]):
                m.d.comb += byte_count.eq(index + 1 - first_byte)

        descriptor = Signal(CompleterCompletion)
        m.d.comb += [
            descriptor.lower_address.eq(Cat(first_byte, asked.request.address[:5])),
            descriptor.byte_count.eq(Mux(served, byte_count, asked.request.dwords << 2)),
            descriptor.dwords.eq(served),
            descriptor.status.eq(
                Mux(served, CompletionStatus.SUCCESS.value, CompletionStatus.UNSUPPORTED_REQUEST.value)
            ),
            descriptor.requester.eq(asked.request.requester),
            descriptor.tag.eq(asked.request.tag),
            descriptor.traffic_class.eq(asked.request.traffic_class),
            descriptor.attributes.eq(asked.request.attributes),
        ]
        # A refusal carries the request, for the block's error log.
        enables = Cat(asked.first_enable, asked.last_enable, asked.hints)
        refusal = Cat(enables, Const(0, 32 - len(enables)), asked.request)
        out = self.completions.payload
        m.d.comb += [
            out.data.eq(Cat(descriptor, Mux(served, value, refusal))),
            out.keep.eq(Mux(served, keep_first(4), keep_first(LANES))),
            out.last.eq(1),
        ]
        return m


class Completer(wiring.Component):
    """BAR 0: registers, and windows for commands. A command does not overtake the write of a register.

    Attributes
    ----------
    requests, completions : Streams from and to the integrated block.
    registers : All registers of BAR 0, as their user.
    commands : Stream out: what is written into the command windows.
    unsupported, corrupt : See `RegisterAccess`.
    """

    requests: In(COMPLETER_REQUEST)
    completions: Out(COMPLETER_COMPLETION)
    registers: Out(RegisterBus)
    commands: Out(stream.Signature(Line, always_ready=True))
    unsupported: Out(1)
    corrupt: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader = reader = RequestReader()
        m.submodules.access = access = RegisterAccess()
        lines = reader.lines
        is_command, passes = Signal(), Signal()
        m.d.comb += [
            is_command.eq(lines.payload.line >= WINDOWS_OFFSET // LINE_BYTES),
            passes.eq(is_command & ~access.writing),
            self.commands.valid.eq(lines.valid & passes),
            self.commands.payload.eq(lines.payload),
            access.lines.valid.eq(lines.valid & ~is_command),
            access.lines.payload.eq(lines.payload),
            lines.ready.eq(Mux(is_command, passes, access.lines.ready)),
            self.unsupported.eq(access.unsupported),
            self.corrupt.eq(access.corrupt | (self.commands.valid & lines.payload.last & lines.payload.corrupt)),
        ]
        wiring.connect(m, wiring.flipped(self.requests), reader.requests)
        wiring.connect(m, reader.reads, access.reads)
        wiring.connect(m, access.completions, wiring.flipped(self.completions))
        wiring.connect(m, access.registers, wiring.flipped(self.registers))
        return m
