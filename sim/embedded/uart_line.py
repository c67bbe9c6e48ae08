"""The far end of a UART, as levels: one byte 0 or 1 for each clock cycle of the near end."""

from .build import CYCLES_PER_BIT

BYTE_CYCLES = 10 * CYCLES_PER_BIT
_HIGH, _LOW = b"\1", b"\0"


def levels_of(data: bytes) -> bytes:
    """The levels that send these bytes without a gap: of each a start bit, eight data bits, a stop bit."""
    return b"".join(_BYTES[byte] for byte in data)


def _levels_of_byte(byte: int) -> bytes:
    bits = [0, *(byte >> place & 1 for place in range(8)), 1]
    return b"".join(bytes([bit]) * CYCLES_PER_BIT for bit in bits)


_BYTES = [_levels_of_byte(byte) for byte in range(256)]


class LineReader:
    """Reads bytes off a line's levels; a byte without its stop bit is dropped."""

    def __init__(self) -> None:
        self._levels = b""

    def take(self, levels: bytes) -> bytes:
        """The bytes that these levels complete."""
        levels = self._levels + levels
        received = bytearray()
        place = 0
        while (start := levels.find(_LOW, place)) >= 0 and start + BYTE_CYCLES <= len(levels):
            middles = levels[start + CYCLES_PER_BIT // 2 : start + BYTE_CYCLES : CYCLES_PER_BIT]
            if middles[9]:
                received.append(sum(bit << place for place, bit in enumerate(middles[1:9])))
            # The stop bit's second half is left for a start bit that comes a little early.
            place = start + BYTE_CYCLES - CYCLES_PER_BIT // 2
            if not middles[9] and (place := levels.find(_HIGH, place)) < 0:
                place = len(levels)
        self._levels = levels[start:] if start >= 0 else b""
        return bytes(received)
