"""Consistent overhead byte stuffing: frames without a zero byte in them, between two of those.

The zero ahead of a frame ends what noise, or a sender that broke off, has left on the line.
"""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..protocol.frames import DELIMITER

LONGEST_FRAME_BYTES = 254
"""A frame up to this long takes one byte more when encoded."""


class FrameByte(data.Struct):
    """A byte of a frame on its way out, and whether it is the last."""

    data: unsigned(8)
    last: 1


class ReceivedKind(enum.Enum, shape=2):
    """BYTE: of a frame. END: the frame is complete. BROKEN: it ended within a block, and is worth nothing."""

    BYTE = 1
    END = 2
    BROKEN = 3


class Received(data.Struct):
    """What comes of a decoded line: a byte, or a frame's end (`data` means nothing then)."""

    kind: ReceivedKind
    data: unsigned(8)


class CobsEncoder(wiring.Component):
    """Frames to bytes for the line, each frame between two zeros.

    A block (up to the next zero or the end) is gathered first, because its length goes ahead of it; `frame` waits while
    it is sent.

    Parameters
    ----------
    longest_bytes : The longest frame, 1 to 254.

    Attributes
    ----------
    frame : Stream in. A frame that is longer comes out as nonsense.
    bytes : Stream out.
    busy : A frame is on its way.

    Raises
    ------
    ValueError : `longest_bytes` is outside its limits.
    """

    frame: In(stream.Signature(FrameByte))
    bytes: Out(stream.Signature(unsigned(8)))
    busy: Out(1)

    def __init__(self, longest_bytes: int):
        if not 1 <= longest_bytes <= LONGEST_FRAME_BYTES:
            raise ValueError(f"a frame has 1 to {LONGEST_FRAME_BYTES} bytes, not {longest_bytes}")
        self._longest = longest_bytes
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.block = block = Memory(shape=8, depth=self._longest, init=[])
        write, read = block.write_port(), block.read_port(domain="comb")
        length, place = Signal(range(self._longest + 1)), Signal(range(self._longest + 1))
        begun = Signal()
        ends = Signal()  # the frame ends with this block
        empty_follows = Signal()  # the frame ends with a zero: after it there is one more block, an empty one
        byte = self.frame.payload
        m.d.comb += [write.addr.eq(length), write.data.eq(byte.data), read.addr.eq(place)]
        taken = self.bytes.valid & self.bytes.ready
        m.d.comb += self.busy.eq(begun)
        with m.FSM():
            with m.State("BEGIN"):
                m.d.comb += [self.bytes.valid.eq(self.frame.valid), self.bytes.payload.eq(DELIMITER)]
                with m.If(taken):
                    m.d.sync += begun.eq(1)
                    m.next = "GATHER"
            with m.State("GATHER"):
                m.d.comb += self.frame.ready.eq(1)
                with m.If(self.frame.valid):
                    m.d.sync += [ends.eq(byte.last), empty_follows.eq(byte.last & (byte.data == 0)), place.eq(0)]
                    with m.If(byte.data != 0):
                        m.d.comb += write.en.eq(1)
                        m.d.sync += length.eq(length + 1)
                    with m.If((byte.data == 0) | byte.last):
                        m.next = "LENGTH"
            with m.State("LENGTH"):
                m.d.comb += [self.bytes.valid.eq(1), self.bytes.payload.eq(length + 1)]
                with m.If(taken):
                    m.next = "BLOCK"
            with m.State("BLOCK"):
                with m.If(place != length):
                    m.d.comb += [self.bytes.valid.eq(1), self.bytes.payload.eq(read.data)]
                    with m.If(taken):
                        m.d.sync += place.eq(place + 1)
                with m.Else():
                    m.d.sync += [length.eq(0), place.eq(0), empty_follows.eq(0)]
                    m.next = "GATHER"
                    with m.If(ends):
                        m.next = "END"
                    with m.If(empty_follows):
                        m.next = "LENGTH"
            with m.State("END"):
                m.d.comb += [self.bytes.valid.eq(1), self.bytes.payload.eq(DELIMITER)]
                with m.If(taken):
                    m.d.sync += begun.eq(0)
                    m.next = "BEGIN"
        return m


class CobsDecoder(wiring.Component):
    """Bytes from a line to frames. Every byte gives at most one outcome; zeros between frames give none.

    Attributes
    ----------
    bytes : Stream in, taken when its outcome is.
    frame : Stream out.
    """

    bytes: In(stream.Signature(unsigned(8)))
    frame: Out(stream.Signature(Received))

    def elaborate(self, platform):
        m = Module()
        left = Signal(8)  # bytes to come before the next length
        begun = Signal()  # a length has been seen since the last delimiter
        zero_owed = Signal()  # the block stands for a zero behind it, unless the frame ends there
        byte, outcome = self.bytes.payload, self.frame.payload
        delimiter, is_length = byte == DELIMITER, left == 0
        says = Signal()
        m.d.comb += [
            outcome.data.eq(Mux(is_length, 0, byte)),
            outcome.kind.eq(ReceivedKind.BYTE),
            says.eq(Mux(is_length, zero_owed, 1)),
            self.frame.valid.eq(self.bytes.valid & says),
            self.bytes.ready.eq(self.frame.ready | ~says),
        ]
        with m.If(delimiter):
            m.d.comb += [outcome.kind.eq(Mux(is_length, ReceivedKind.END, ReceivedKind.BROKEN)), says.eq(begun)]
        with m.If(self.bytes.valid & self.bytes.ready):
            with m.If(delimiter):
                m.d.sync += [left.eq(0), begun.eq(0), zero_owed.eq(0)]
            with m.Elif(is_length):
                m.d.sync += [left.eq(byte - 1), begun.eq(1), zero_owed.eq(byte != 0xFF)]
            with m.Else():
                m.d.sync += left.eq(left - 1)
        return m
