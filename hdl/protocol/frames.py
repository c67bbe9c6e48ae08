"""Frames of the serial link: how commands, reports and register accesses cross a cable that may corrupt or lose them.

Both ways a frame is a header, a payload and the CRC-32 (that of zlib, little-endian) over both, COBS-encoded and put
between two zero bytes. `docs/serial-link.md` tells how sequence numbers, acknowledgements and credit work together.
"""

from amaranth.hdl import unsigned
from amaranth.lib import data, enum

from .commands import COMMAND_BYTES
from .reports import REPORT_BYTES


class FrameKind(enum.Enum, shape=8):
    """What a frame carries.

    All but OPEN and STATUS are messages: they are numbered, and sent again until they are acknowledged.
    """

    OPEN = 1
    STATUS = 2
    COMMAND = 3
    READ = 4
    WRITE = 5
    TIME = 6
    REPORT = 7
    VALUE = 8


class FrameFlags(enum.Flag, shape=8):
    """AGAIN asks for an answer, and for everything from `acknowledged` on once more.

    IDLE: the appliance is at rest, and this frame carries (or follows) the last message it had to send.
    """

    AGAIN = 1
    IDLE = 2


class FrameHeader(data.Struct):
    """The first nine bytes of every frame.

    Attributes
    ----------
    kind : What the payload is.
    flags : What else the frame says.
    sequence : Number of this message in its session and direction, from zero, modulo 256; without one, of the next.
    acknowledged : Number of the first message that the sender of this frame has not received.
    credit : How many messages from `acknowledged` on it has room for.
    session : The session, not zero; zero in what a device sends before its first one.
    """

    kind: FrameKind
    flags: FrameFlags
    sequence: unsigned(8)
    acknowledged: unsigned(8)
    credit: unsigned(8)
    session: unsigned(32)


TO_DEVICE = (FrameKind.COMMAND, FrameKind.READ, FrameKind.WRITE, FrameKind.TIME)
"""Messages that a host sends."""

TO_HOST = (FrameKind.REPORT, FrameKind.VALUE)
"""Messages that a device sends."""

PAYLOAD_BYTES = {
    FrameKind.OPEN: 0,
    FrameKind.STATUS: 0,
    FrameKind.COMMAND: 1 + COMMAND_BYTES,
    FrameKind.READ: 2,
    FrameKind.WRITE: 2 + 4,
    FrameKind.TIME: 8,
    FrameKind.REPORT: REPORT_BYTES,
    FrameKind.VALUE: 4,
}
"""How long each kind's payload is."""

PAYLOADS = {
    FrameKind.OPEN: "nothing: the host begins the session",
    FrameKind.STATUS: "nothing: the header is the news",
    FrameKind.COMMAND: "the link (u8), then a command; to the device",
    FrameKind.READ: "a register's offset (u16); to the device",
    FrameKind.WRITE: "a register's offset (u16) and its new value (u32); to the device",
    FrameKind.TIME: "the core's time from now on, in nanoseconds (u64), where the host keeps it; to the device",
    FrameKind.REPORT: "a report; to the host",
    FrameKind.VALUE: "the value (u32) of the register that was read; to the host",
}
"""What each kind's payload is."""

HEADER_BYTES = data.Layout.cast(FrameHeader).size // 8
CRC_BYTES = 4
DELIMITER = 0
SEQUENCES = 256
LARGEST_FRAME_BYTES = HEADER_BYTES + max(PAYLOAD_BYTES.values()) + CRC_BYTES
"""Before COBS, which adds one byte to a frame of up to 254."""
