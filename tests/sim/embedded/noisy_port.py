"""A serial port, as pyserial has them, whose far end is the compiled gateware; its line may be noisy, repeatably."""

from collections import Counter
from random import Random

from bandgap.hdl.protocol.frames import DELIMITER
from bandgap.sim.embedded.build import CYCLES_PER_BIT
from bandgap.sim.embedded.serial_device import SerialDevice
from bandgap.sim.embedded.uart_line import BYTE_CYCLES, LineReader, levels_of

SECONDS_PER_CYCLE = 1e-7
"""Of the time that the host sees, so that its timeouts follow the device's."""

_AT_ONCE_CYCLES = 100 * BYTE_CYCLES
_IDLE = b"\1" * (4 * BYTE_CYCLES)


class Noise:
    """Spoils one direction's levels, about one fault in every `distance_cycles`, and counts the faults by kind.

    Kinds: a glitch of a cycle; a bit flips; a burst of noise; the line is held low; the cable is pulled and it idles.
    """

    def __init__(self, rng: Random, distance_cycles: int) -> None:
        self._rng = rng
        self._distance_cycles = distance_cycles
        self._left = self._draw()
        self._under_way = bytearray()
        self.faults: Counter[str] = Counter()

    def _draw(self) -> int:
        return 1 + int(self._rng.expovariate(1 / self._distance_cycles))

    def spoil(self, levels: bytes) -> bytes:
        """What arrives of these levels."""
        out = bytearray(levels)
        place = 0
        while place < len(out):
            if self._under_way:
                change = self._under_way.pop(0)
                out[place] = out[place] ^ 1 if change == 2 else change
                place += 1
            elif self._left > len(out) - place:
                self._left -= len(out) - place
                break
            else:
                place += self._left
                self._left = self._draw()
                self._under_way = self._fault()
        return bytes(out)

    def _fault(self) -> bytearray:
        """What happens to the next levels: they become 0 or 1, or flip (2)."""
        rng = self._rng
        kind = rng.choices(("glitch", "bit", "burst", "low", "pulled"), (6, 8, 3, 2, 1))[0]
        self.faults[kind] += 1
        if kind == "glitch":
            return bytearray(b"\2")
        if kind == "bit":
            return bytearray(b"\2" * CYCLES_PER_BIT)
        if kind == "burst":
            return bytearray(rng.choices((0, 1, 2), k=rng.randrange(2, 3 * BYTE_CYCLES)))
        return bytearray(bytes([kind == "pulled"]) * rng.randrange(BYTE_CYCLES, 40 * BYTE_CYCLES))


class HostKilledError(Exception):
    """The host has come to the end of its life."""


class NoisyPort:
    """What `SerialTransport` uses of a pyserial port. The device's time passes while the host reads, and only then.

    Arguments
    ---------
    device : At the far end; it stays open.
    noise : Of both directions; none without it.
    life_bytes : The host is killed when it has written so many, which may be in the middle of a frame.

    Attributes
    ----------
    died_within_frame : The host was killed in the middle of a frame.
    """

    def __init__(self, device: SerialDevice, noise: list[Noise] | None = None, life_bytes: int | None = None) -> None:
        self._device = device
        self._noise = noise
        self._life_bytes = life_bytes
        self.died_within_frame = False
        self._line = LineReader()
        self._levels = b""
        self._received = bytearray()

    @property
    def in_waiting(self) -> int:
        return len(self._received)

    def clock(self) -> float:
        return self._device.cycles * SECONDS_PER_CYCLE

    def write(self, data: bytes) -> None:
        alive = data[: self._life_bytes]
        self._levels += levels_of(alive)
        if self._life_bytes is not None:
            self._life_bytes -= len(alive)
            if self._life_bytes == 0:
                self.died_within_frame = alive[-1] != DELIMITER
                while self._levels:
                    self.read(1)
                raise HostKilledError

    def read(self, size: int) -> bytes:
        if size and not self._received:
            levels, self._levels = self._levels[:_AT_ONCE_CYCLES] or _IDLE, self._levels[_AT_ONCE_CYCLES:]
            there, back = self._noise or (None, None)
            levels = self._device.clock(there.spoil(levels) if there else levels)
            self._received += self._line.take(back.spoil(levels) if back else levels)
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    def idle(self, cycles: int) -> None:
        """Time passes in which the host does nothing."""
        self._received += self._line.take(self._device.clock(b"\1" * cycles))

    def close(self) -> None:
        """The device stays."""
