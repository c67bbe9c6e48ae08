"""Go-back-N: messages that cross an unreliable line once each and in order.

The receiver keeps what arrives in order until it is taken; the sender keeps what it has sent until it is acknowledged.
Both know the other only by the headers of its frames.
"""

from amaranth.hdl import Array, Cat, Module, Mux, ResetInserter, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from ..bits import COLLISIONS_UNUSED
from ..protocol.frames import (
    CRC_BYTES,
    HEADER_BYTES,
    LARGEST_FRAME_BYTES,
    PAYLOAD_BYTES,
    TO_DEVICE,
    TO_HOST,
    FrameFlags,
    FrameHeader,
    FrameKind,
)
from .cobs import FrameByte, Received, ReceivedKind

MOST_SLOTS = 64
"""Numbers are modulo 256: what is behind the window must not be taken for what is ahead of it."""

ANSWER_DELAY_CYCLES = 256
"""An acknowledgement waits so long for a message that can carry it: a command is mostly answered sooner."""


class Peer(data.Struct):
    """What a header says of the other side's window.

    Attributes
    ----------
    acknowledged : Number of the first message that it has not received.
    credit : How many from there on it has room for.
    again : It asks for them once more.
    """

    acknowledged: unsigned(8)
    credit: unsigned(8)
    again: 1


class Window(data.Struct):
    """What the headers of our own frames say.

    Attributes
    ----------
    session : The session.
    acknowledged, credit : Of our receiver, as in `FrameHeader`.
    """

    session: unsigned(32)
    acknowledged: unsigned(8)
    credit: unsigned(8)


def payload_bytes(m: Module, kind: Value) -> Value:
    """How long the payload of a frame of this kind is; zero for kinds that are none."""
    length = Signal(range(max(PAYLOAD_BYTES.values()) + 1))
    with m.Switch(kind):
        for name, size in PAYLOAD_BYTES.items():
            with m.Case(name):
                m.d.comb += length.eq(size)
    return length


def _checked(slots: int) -> int:
    if not (2 <= slots <= MOST_SLOTS and slots & (slots - 1) == 0):
        raise ValueError(f"slots must be a power of two from 2 to {MOST_SLOTS}, not {slots}")
    return slots


class SlotReader(wiring.Component):
    """Reads the oldest message that is kept: kind, then payload.

    Parameters
    ----------
    place_bits : Width of a place within a slot.

    Attributes
    ----------
    waiting : There is a message.
    place, enable, byte : The slot's memory: the byte at `place` stands in the cycle after `enable`, and stays.
    messages : Stream out.
    done : The message has been taken: the slot is free with the next cycle.
    idle : No message is being read.
    """

    def __init__(self, place_bits: int):
        super().__init__(
            {
                "waiting": In(1),
                "place": Out(place_bits),
                "enable": Out(1),
                "byte": In(8),
                "messages": Out(stream.Signature(FrameByte)),
                "done": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        left = Signal(range(max(PAYLOAD_BYTES.values()) + 1))
        size = payload_bytes(m, self.byte)
        place = Signal.like(self.place)
        message = self.messages.payload
        m.d.comb += [self.place.eq(place), message.data.eq(self.byte)]
        with m.FSM() as fsm:
            m.d.comb += self.idle.eq(fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.comb += self.enable.eq(1)
                with m.If(self.waiting):
                    m.next = "KIND"
            with m.State("KIND"):
                m.d.comb += self.messages.valid.eq(1)
                with m.If(self.messages.ready):
                    m.d.sync += [left.eq(size), place.eq(HEADER_BYTES)]
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.d.comb += self.enable.eq(1)
                m.next = "PAYLOAD"
            with m.State("PAYLOAD"):
                m.d.comb += [self.messages.valid.eq(1), message.last.eq(left == 1)]
                with m.If(self.messages.ready):
                    m.d.sync += [place.eq(place + 1), left.eq(left - 1)]
                    m.next = "FETCH"
                    with m.If(message.last):
                        m.d.comb += self.done.eq(1)
                        m.d.sync += place.eq(0)
                        m.next = "LEAVE"
            with m.State("LEAVE"):  # `waiting` follows `done`
                m.next = "IDLE"
        return m


class WindowReceiver(wiring.Component):
    """Takes frames apart: whole ones of the session, each message once and in order.

    A frame whose CRC or length is wrong, or that is of another session, changes nothing. OPEN with a new session begins
    that one: whatever was kept of the old one is gone.

    Parameters
    ----------
    slots : Messages that are kept until they are taken, a power of two, 2 to 64.

    Attributes
    ----------
    frames : Stream in, a byte a cycle.
    messages : Stream out: kind, then payload.
    window : For the headers of our frames.
    peer : Stream out: what the header of a whole frame of this session says.
    answer : The other side is to be sent a frame, whatever is in it.
    missing : A message is seen to be missing; said once until it has come.
    opened : A new session begins with the next cycle.
    empty : No message waits, and none is being taken.

    Raises
    ------
    ValueError : `slots` is outside its limits.
    """

    def __init__(self, slots: int):
        self._slots = _checked(slots)
        super().__init__(
            {
                "frames": In(stream.Signature(Received, always_ready=True)),
                "messages": Out(stream.Signature(FrameByte)),
                "window": Out(Window),
                "peer": Out(stream.Signature(Peer, always_ready=True)),
                "answer": Out(1),
                "missing": Out(1),
                "opened": Out(1),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        slots = self._slots
        index_bits = exact_log2(slots)
        place_bits = ceil_log2(HEADER_BYTES + max(PAYLOAD_BYTES[kind] for kind in TO_DEVICE) + CRC_BYTES)
        m.submodules.memory = memory = Memory(shape=8, depth=slots << place_bits, init=[], attrs=COLLISIONS_UNUSED)
        write, read = memory.write_port(), memory.read_port()
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=8).create()
        m.submodules.reader = reader = ResetInserter(self.opened)(SlotReader(place_bits))

        session, expected, taken, used = Signal(32), Signal(8), Signal(8), Signal(8)
        misses = Signal()
        m.d.comb += [
            used.eq(expected - taken),
            self.window.session.eq(session),
            self.window.acknowledged.eq(expected),
            self.window.credit.eq(slots - used),
        ]

        # A frame's bytes go into the slot of the message that is expected; whether they stay there its end decides.
        count = Signal(range(LARGEST_FRAME_BYTES + 2))
        storing = Signal()
        header_bits = Signal(FrameHeader.as_shape().size)
        byte = self.frames.payload
        is_byte = self.frames.valid & (byte.kind == ReceivedKind.BYTE)
        first = count == 0
        room = Mux(first, used != slots, storing)
        m.d.comb += [
            crc.start.eq(is_byte & first),
            crc.valid.eq(is_byte),
            crc.data.eq(byte.data),
            write.addr.eq(Cat(count[:place_bits], expected[:index_bits])),
            write.data.eq(byte.data),
            write.en.eq(is_byte & room & (count < 1 << place_bits)),
        ]
        with m.If(is_byte):
            m.d.sync += storing.eq(room)
            with m.If(count != LARGEST_FRAME_BYTES + 1):
                m.d.sync += count.eq(count + 1)
            with m.If(count < HEADER_BYTES):
                m.d.sync += header_bits.eq(Cat(header_bits[8:], byte.data))
        with m.Elif(self.frames.valid):
            m.d.sync += count.eq(0)

        header = data.View(FrameHeader, header_bits)
        kind, flags = header.kind.as_value(), header.flags.as_value()
        opens, is_message = kind.matches(FrameKind.OPEN), kind.matches(*TO_DEVICE)
        again = (flags & FrameFlags.AGAIN.value) != 0
        same = header.session == session
        ahead = Signal(8)
        whole = Signal()
        length = payload_bytes(m, kind)
        m.d.comb += [
            ahead.eq(header.sequence - expected),
            whole.eq(
                self.frames.valid
                & (byte.kind == ReceivedKind.END)
                & crc.match_detected
                & (count == HEADER_BYTES + CRC_BYTES + length)
            ),
            self.opened.eq(whole & opens & ~same),
            self.answer.eq(whole & (opens | is_message | again)),
            self.missing.eq(whole & same & ~opens & (ahead != 0) & ~ahead[-1] & ~misses),
            self.peer.valid.eq(whole & same & ~opens),
            self.peer.payload.acknowledged.eq(header.acknowledged),
            self.peer.payload.credit.eq(header.credit),
            self.peer.payload.again.eq(again),
        ]
        with m.If(self.missing):
            m.d.sync += misses.eq(1)
        with m.If(whole & same & is_message & (ahead == 0) & storing):
            m.d.sync += [expected.eq(expected + 1), misses.eq(0)]

        m.d.comb += [
            reader.waiting.eq(used != 0),
            read.addr.eq(Cat(reader.place, taken[:index_bits])),
            read.en.eq(reader.enable),
            reader.byte.eq(read.data),
            self.empty.eq(reader.idle & (used == 0)),
        ]
        wiring.connect(m, reader.messages, wiring.flipped(self.messages))
        with m.If(reader.done):
            m.d.sync += taken.eq(taken + 1)
        with m.If(self.opened):
            m.d.sync += [session.eq(header.session), expected.eq(0), taken.eq(0), misses.eq(0)]
        return m


class WindowSender(wiring.Component):
    """Numbers messages, keeps them until they are acknowledged, and sends them again when that takes too long.

    When there is no message to send, a STATUS frame tells the other side what it is owed.

    Parameters
    ----------
    slots : Messages that are kept, a power of two, 2 to 64.
    timeout_cycles : Without progress for so long, everything that is not acknowledged is sent again.

    Attributes
    ----------
    messages : Stream in: kind, then payload; waits while all slots are taken.
    frames : Stream out: header and payload, the CRC still missing.
    window : What headers say of our receiver.
    peer : Stream in: what the other side's header said.
    answer : The other side is to be sent a frame.
    missing : It is to be asked for what is missing.
    opened : A new session begins: whatever is kept is forgotten.
    idle : Nothing will be sent before something is received or time passes: for the flag IDLE.
    quiet : Every message has been sent, or waits for credit, and no answer is owed.

    Raises
    ------
    ValueError : `slots` or `timeout_cycles` is outside its limits.
    """

    def __init__(self, slots: int, timeout_cycles: int):
        self._slots = _checked(slots)
        if timeout_cycles < 1:
            raise ValueError(f"timeout_cycles must be positive, not {timeout_cycles}")
        self._timeout_cycles = timeout_cycles
        super().__init__(
            {
                "messages": In(stream.Signature(FrameByte)),
                "frames": Out(stream.Signature(FrameByte)),
                "window": In(Window),
                "peer": In(stream.Signature(Peer, always_ready=True)),
                "answer": In(1),
                "missing": In(1),
                "opened": In(1),
                "idle": In(1),
                "quiet": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        slots = self._slots
        index_bits = exact_log2(slots)
        place_bits = ceil_log2(max(PAYLOAD_BYTES[kind] for kind in TO_HOST))
        m.submodules.memory = memory = Memory(shape=8, depth=slots << place_bits, init=[], attrs=COLLISIONS_UNUSED)
        write, read = memory.write_port(), memory.read_port()

        base = Signal(8)  # the first that is not acknowledged
        cursor = Signal(8)  # the next to send
        end = Signal(8)  # the next to be numbered
        limit = Signal(8)  # the first that the other side has no room for
        kept, unsent = Signal(8), Signal(8)
        m.d.comb += [kept.eq(end - base), unsent.eq(end - cursor)]

        # In: a message's payload goes into the slot of the next number, its kind beside it.
        kinds = Array(Signal(8, name=f"kind_{slot}") for slot in range(slots))
        filled = Signal(place_bits)
        payload_comes = Signal()
        message = self.messages.payload
        taken = self.messages.valid & self.messages.ready
        m.d.comb += [
            self.messages.ready.eq(kept != slots),
            write.addr.eq(Cat(filled, end[:index_bits])),
            write.data.eq(message.data),
            write.en.eq(taken & payload_comes),
        ]
        with m.If(taken):
            m.d.sync += payload_comes.eq(1)
            with m.If(payload_comes):
                m.d.sync += filled.eq(filled + 1)
            with m.Else():
                m.d.sync += kinds[end[:index_bits]].eq(message.data)
            with m.If(message.last):
                m.d.sync += [payload_comes.eq(0), filled.eq(0), end.eq(end + 1)]

        # Out: the header as things stand when the frame begins, then the payload.
        owed, asking = Signal(), Signal()
        delay = Signal(range(ANSWER_DELAY_CYCLES))
        room = Signal(8)
        sendable, begins = Signal(), Signal()
        m.d.comb += [room.eq(limit - cursor), sendable.eq((unsent != 0) & (room != 0) & ~room[-1])]
        with m.If(delay != 0):
            m.d.sync += delay.eq(delay - 1)

        header = Signal(FrameHeader)
        kind = Signal(8)
        size = payload_bytes(m, kind)
        rest = Signal(FrameHeader.as_shape().size)
        payload_left = Signal.like(size)
        left = Signal(range(max(HEADER_BYTES, *PAYLOAD_BYTES.values()) + 1))
        slot, place = Signal(index_bits), Signal(place_bits)
        flags = Cat(asking, self.idle & (unsent == sendable))
        m.d.comb += [
            kind.eq(Mux(sendable, kinds[cursor[:index_bits]], FrameKind.STATUS.value)),
            header.kind.eq(kind),
            header.flags.eq(flags),
            header.sequence.eq(cursor),
            header.acknowledged.eq(self.window.acknowledged),
            header.credit.eq(self.window.credit),
            header.session.eq(self.window.session),
            read.addr.eq(Cat(place, slot)),
        ]
        frame = self.frames
        with m.FSM() as fsm:
            m.d.comb += self.quiet.eq(fsm.ongoing("IDLE") & ~sendable & ~owed)
            with m.State("IDLE"):
                m.d.sync += [
                    rest.eq(header),
                    left.eq(HEADER_BYTES),
                    payload_left.eq(size),
                    slot.eq(cursor[:index_bits]),
                    place.eq(0),
                ]
                with m.If(sendable | (owed & (delay == 0))):
                    m.d.comb += begins.eq(1)
                    m.d.sync += [cursor.eq(cursor + sendable), owed.eq(0), asking.eq(0)]
                    m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += [
                    frame.valid.eq(1),
                    frame.payload.data.eq(rest[:8]),
                    frame.payload.last.eq((left == 1) & (payload_left == 0)),
                ]
                with m.If(frame.ready):
                    m.d.sync += [rest.eq(rest[8:]), left.eq(left - 1)]
                    with m.If(left == 1):
                        m.d.sync += left.eq(payload_left)
                        m.next = "FETCH"
                    with m.If(frame.payload.last):
                        m.next = "IDLE"
            with m.State("FETCH"):
                m.next = "PAYLOAD"
            with m.State("PAYLOAD"):
                m.d.comb += [
                    read.en.eq(0),
                    frame.valid.eq(1),
                    frame.payload.data.eq(read.data),
                    frame.payload.last.eq(left == 1),
                ]
                with m.If(frame.ready):
                    m.d.sync += [place.eq(place + 1), left.eq(left - 1)]
                    m.next = "FETCH"
                    with m.If(frame.payload.last):
                        m.next = "IDLE"

        # What the other side has, and what it still lacks when the time is over.
        timer = Signal(range(self._timeout_cycles), init=self._timeout_cycles - 1)
        was_idle = Signal()
        newly = Signal(8)
        peer = self.peer.payload
        m.d.comb += newly.eq(peer.acknowledged - base)
        m.d.sync += [timer.eq(timer - 1), was_idle.eq(self.idle)]
        with m.If((kept == 0) | (timer == 0)):
            m.d.sync += timer.eq(timer.init)
        with m.If((kept != 0) & (timer == 0)):
            m.d.sync += [cursor.eq(base), owed.eq(1), asking.eq(1)]
        with m.If(self.peer.valid & (newly <= kept)):
            m.d.sync += [base.eq(peer.acknowledged), limit.eq(peer.acknowledged + peer.credit)]
            with m.If(newly != 0):
                m.d.sync += timer.eq(timer.init)
            sent = Signal(8)
            m.d.comb += sent.eq(cursor - base)
            with m.If(peer.again | (sent < newly)):
                m.d.sync += cursor.eq(peer.acknowledged)
        with m.If(self.missing):
            m.d.sync += asking.eq(1)
        # A frame that begins now, or has still to, says itself that we are idle.
        with m.If(self.answer | self.missing | (self.idle & ~was_idle & ~begins & ~sendable)):
            m.d.sync += owed.eq(1)
            with m.If(~owed):
                m.d.sync += delay.eq(ANSWER_DELAY_CYCLES - 1)
        with m.If(self.opened):
            m.d.sync += [base.eq(0), cursor.eq(0), end.eq(0), limit.eq(peer.credit)]
            m.d.sync += [payload_comes.eq(0), filled.eq(0), asking.eq(0)]
        return m
