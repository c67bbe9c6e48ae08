"""Whether a way to a device is sound: commands of random bytes, and what comes back."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np

from bandgap.hdl.protocol.commands import COMMAND_BYTES
from bandgap.hdl.protocol.loopback import LOOPBACK_MAGIC
from bandgap.hdl.protocol.registers import MAGIC
from bandgap.hdl.protocol.reports import REPORT_BYTES

from .device import HandshakeError, check_layout, read_register
from .transport import Bytes2D, Transport

_BATCH = 256
_ROUND_TRIPS = 50
_HEADER_BYTES = 32


@dataclass(frozen=True)
class Checked:
    """What came of it.

    Attributes
    ----------
    image : What the device is.
    messages : How many commands were sent.
    wrong : How many of them were not answered rightly.
    seconds : How long that took.
    round_trip_s : From a single command to its answer, the median.
    """

    image: str
    messages: int
    wrong: int
    seconds: float
    round_trip_s: float


def check_way(transport: Transport, messages: int, seed: int, told: Callable[[int], None]) -> Checked:
    """Send commands of no opcode and see that each comes back: whole from a loopback image, rejected by an appliance.

    Arguments
    ---------
    told : Called with how many more commands have been answered.

    Raises
    ------
    HandshakeError : The device is neither, or its messages are laid out otherwise.
    """
    magic = read_register(transport, "magic")
    if magic not in (MAGIC, LOOPBACK_MAGIC):
        raise HandshakeError(f"neither appliance nor loopback image answers: magic is {magic:#010x}")
    check_layout(transport)
    # A rejected command's bytes 8 to 23 come back in its report.
    echoed = slice(0, COMMAND_BYTES) if magic == LOOPBACK_MAGIC else slice(8, 24)
    rng = np.random.default_rng(seed)

    def exchange(count: int) -> int:
        commands = rng.integers(0, 256, (count, COMMAND_BYTES), np.uint8)
        commands[:, 0] = 0
        transport.send(commands)
        return _wrong(commands[:, echoed], transport.receive())

    transport.receive()
    wrong = 0
    begun_s = time.perf_counter()
    for first in range(0, messages, _BATCH):
        count = min(_BATCH, messages - first)
        wrong += exchange(count)
        told(count)
    seconds = time.perf_counter() - begun_s
    round_trips_s = []
    for _ in range(_ROUND_TRIPS):
        begun_s = time.perf_counter()
        wrong += exchange(1)
        round_trips_s.append(time.perf_counter() - begun_s)
    image = "loopback image" if magic == LOOPBACK_MAGIC else "appliance"
    return Checked(image, messages, wrong, seconds, median(round_trips_s))


def _wrong(expected: Bytes2D, reports: Bytes2D) -> int:
    """How many commands were not answered in their place with the bytes expected."""
    count, width = expected.shape
    answers = np.zeros((count, REPORT_BYTES), np.uint8)
    known = min(count, len(reports))
    answers[:known] = reports[:known]
    answered = np.arange(count) < len(reports)
    right = answered & (answers[:, _HEADER_BYTES : _HEADER_BYTES + width] == expected).all(axis=1)
    wrong: int = max(count, len(reports)) - np.count_nonzero(right)
    return wrong
