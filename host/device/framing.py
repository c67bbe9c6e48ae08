"""Frames of the serial link as bytes: `hdl.protocol.frames` in, COBS and CRC-32 around it."""

import struct
import zlib
from typing import NamedTuple

from amaranth.hdl import Shape
from amaranth.lib import data
from cobs import cobs

from bandgap.hdl.protocol.frames import CRC_BYTES, DELIMITER, LARGEST_FRAME_BYTES, FrameHeader

_CODES = {8: "B", 16: "H", 32: "I", 64: "Q"}
_HEADER = struct.Struct("<" + "".join(_CODES[Shape.cast(f.shape).width] for _, f in data.Layout.cast(FrameHeader)))
_CRC = struct.Struct("<I")
_END = bytes([DELIMITER])
_LONGEST_ENCODED_BYTES = LARGEST_FRAME_BYTES + 1


class Frame(NamedTuple):
    """One frame: the fields of `FrameHeader` as integers, and the payload."""

    kind: int
    flags: int
    sequence: int
    acknowledged: int
    credit: int
    session: int
    payload: bytes = b""


def encode(frame: Frame) -> bytes:
    """The frame as it goes over the line, between two delimiters: the first ends what noise has left there."""
    raw = _HEADER.pack(*frame[:-1]) + frame.payload
    encoded: bytes = cobs.encode(raw + _CRC.pack(zlib.crc32(raw)))
    return _END + encoded + _END


def decode(encoded: bytes) -> Frame | None:
    """The frame that stood before a delimiter; None when it has come damaged."""
    try:
        raw = cobs.decode(encoded)
    except cobs.DecodeError:
        return None
    if len(raw) < _HEADER.size + CRC_BYTES or zlib.crc32(raw[:-CRC_BYTES]) != _CRC.unpack(raw[-CRC_BYTES:])[0]:
        return None
    return Frame._make((*_HEADER.unpack_from(raw), raw[_HEADER.size : -CRC_BYTES]))


class FrameReader:
    """Cuts a stream of bytes into frames. What is damaged is dropped, and counted in `damaged`."""

    def __init__(self) -> None:
        self._begun = bytearray()
        self.damaged = 0

    def take(self, received: bytes) -> list[Frame]:
        """The frames that these bytes complete, in order."""
        *ended, begun = (bytes(self._begun) + received).split(_END)
        # A frame that never ends is noise: of that, no more is kept than shows that it is too long.
        self._begun = bytearray(begun[: _LONGEST_ENCODED_BYTES + 1])
        frames = []
        for encoded in ended:
            if not encoded:
                continue
            frame = decode(encoded)
            if frame is None:
                self.damaged += 1
            else:
                frames.append(frame)
        return frames
