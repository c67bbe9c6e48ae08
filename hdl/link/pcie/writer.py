"""What the device writes into host memory: reports, its status; and how packets share the way there."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ...protocol.pcie import RING_LOG2_LIMIT, SLOT_BYTES, LinkStatus, ReportSlot
from ...protocol.reports import REPORT_BYTES
from .block import DATA_BITS, LANES, REQUESTER_REQUEST, RequesterRequest, RequestType, keep_first

REPORT_BITS = 8 * REPORT_BYTES
DESCRIPTOR_BITS = RequesterRequest.as_shape().size
RING_LOG2 = range(RING_LOG2_LIMIT + 1)
STATUS_COMMANDS = 16
"""While commands keep coming, the status is written once for so many."""


def request(m: Module, address, kind: RequestType, dwords, tag=0) -> Signal:
    """The descriptor of a request of our own: at least two whole dwords."""
    descriptor = Signal(RequesterRequest)
    m.d.comb += [
        descriptor.address.eq(address[2:]),
        descriptor.dwords.eq(dwords),
        descriptor.kind.eq(kind),
        descriptor.tag.eq(tag),
    ]
    return descriptor


def enable_all(m: Module, beat) -> None:
    """All bytes of the first and the last dword are meant."""
    m.d.comb += [beat.user.first_enable.eq(0xF), beat.user.last_enable.eq(0xF)]


class ReportWriter(wiring.Component):
    """Puts reports into the ring in host memory.

    Each is one packet, which ends with its sequence number. A full ring makes the core wait: nothing is overwritten.

    Attributes
    ----------
    run : Without it no report is taken, and the sequence follows `taken`; a packet that has begun is ended.
    ring_address, ring_log2 : Where the ring is, and its places as a power of two.
    taken : Sequence of the last report that the host has taken out.
    reports : Stream in, from the core.
    requests : Stream out.
    written : Sequence of the last report whose packet has begun.
    busy : A packet is under way.
    """

    run: In(1)
    ring_address: In(64)
    ring_log2: In(RING_LOG2)
    taken: In(32)
    reports: In(stream.Signature(unsigned(REPORT_BITS)))
    requests: Out(REQUESTER_REQUEST)
    written: Out(32)
    busy: Out(1)

    def elaborate(self, platform):
        m = Module()
        report, sequence = Signal(REPORT_BITS), Signal(32)
        size, used = Signal(RING_LOG2_LIMIT + 1), Signal(32)
        address = Signal(64)
        m.d.comb += [size.eq(1 << self.ring_log2), used.eq(self.written - self.taken)]
        place = self.written & (size - 1)
        slot = self.requests
        beat = slot.payload

        dwords = ReportSlot.as_shape().size // 32
        descriptor = request(m, address, RequestType.MEMORY_WRITE, dwords)
        enable_all(m, beat)
        packet = Cat(descriptor, report, sequence)
        beats = [packet[start : start + DATA_BITS] for start in range(0, len(packet), DATA_BITS)]
        index = Signal(range(len(beats)))
        last = index == len(beats) - 1
        sending = Signal()
        with m.Switch(index):
            for number, content in enumerate(beats):
                with m.Case(number):
                    m.d.comb += [beat.data.eq(content), beat.keep.eq(keep_first(len(content) // 32))]
        m.d.comb += [
            slot.valid.eq(sending),
            beat.last.eq(last),
            self.reports.ready.eq(self.run & (used < size) & (~sending | (slot.ready & last))),
            self.busy.eq(sending),
        ]
        with m.If(sending & slot.ready):
            m.d.sync += index.eq(Mux(last, 0, index + 1))
            with m.If(last):
                m.d.sync += sending.eq(0)
        with m.If(self.reports.valid & self.reports.ready):
            m.d.sync += [
                sending.eq(1),
                report.eq(self.reports.payload),
                sequence.eq(self.written + 1),
                address.eq(self.ring_address + (place << exact_log2(SLOT_BYTES))),
                self.written.eq(self.written + 1),
            ]
        with m.Elif(~self.run & ~sending):
            m.d.sync += self.written.eq(self.taken)
        return m


class StatusWriter(wiring.Component):
    """Tells the host how far the device has come: at rest, on an error, and once for some commands.

    Attributes
    ----------
    run : Without it nothing is told.
    address : Where.
    reports, descriptors, errors, commands : As in `LinkStatus`.
    at_rest : The core has nothing to do, and nothing waits before or behind it.
    requests : Stream out.
    idle : No packet is under way.
    """

    run: In(1)
    address: In(64)
    reports: In(32)
    descriptors: In(32)
    errors: In(32)
    commands: In(31)
    at_rest: In(1)
    requests: Out(REQUESTER_REQUEST)
    idle: Out(1)

    def elaborate(self, platform):
        m = Module()
        status, told = Signal(LinkStatus), Signal(LinkStatus)
        telling, ever = Signal(), Signal()
        behind = Signal(31)
        m.d.comb += [
            status.reports.eq(self.reports),
            status.descriptors.eq(self.descriptors),
            status.errors.eq(self.errors),
            status.progress.eq(Cat(self.at_rest, self.commands)),
            behind.eq(self.commands - told.progress[1:]),
        ]
        news = (
            (self.at_rest & ((status.as_value() != told.as_value()) | ~ever))
            | (status.errors != told.errors)
            | (status.descriptors != told.descriptors)
            | (behind >= STATUS_COMMANDS)
        )
        beat = self.requests.payload
        descriptor = request(m, self.address, RequestType.MEMORY_WRITE, LinkStatus.as_shape().size // 32)
        enable_all(m, beat)
        m.d.comb += [
            self.requests.valid.eq(telling),
            beat.data.eq(Cat(descriptor, told)),
            beat.keep.eq(keep_first(LANES)),
            beat.last.eq(1),
            self.idle.eq(~telling),
        ]
        with m.If(telling):
            with m.If(self.requests.ready):
                m.d.sync += telling.eq(0)
        with m.Elif(~self.run):
            m.d.sync += [ever.eq(0), told.eq(0)]
        with m.Elif(news):
            m.d.sync += [telling.eq(1), told.eq(status), ever.eq(1)]
        return m


class PacketArbiter(wiring.Component):
    """Lets packets of several streams follow each other, whole ones; the first stream goes first.

    Parameters
    ----------
    count : How many streams, at least one.

    Attributes
    ----------
    inputs : Streams in.
    output : Stream out.

    Raises
    ------
    ValueError : `count` is not positive.
    """

    def __init__(self, count: int):
        if count < 1:
            raise ValueError(f"count must be positive, not {count}")
        self._count = count
        super().__init__({"inputs": In(REQUESTER_REQUEST).array(count), "output": Out(REQUESTER_REQUEST)})

    def elaborate(self, platform):
        m = Module()
        held, holder = Signal(), Signal(range(self._count))
        chosen = Signal(range(self._count))
        for index in reversed(range(self._count)):
            with m.If(self.inputs[index].valid):
                m.d.comb += chosen.eq(index)
        with m.If(held):
            m.d.comb += chosen.eq(holder)
        with m.Switch(chosen):
            for index in range(self._count):
                with m.Case(index):
                    m.d.comb += [
                        self.output.valid.eq(self.inputs[index].valid),
                        self.output.payload.eq(self.inputs[index].payload),
                        self.inputs[index].ready.eq(self.output.ready),
                    ]
        # Once offered, a packet stays: its beats must not change before they are taken.
        with m.If(self.output.valid):
            m.d.sync += [held.eq(~(self.output.ready & self.output.payload.last)), holder.eq(chosen)]
        return m
