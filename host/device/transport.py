"""The one border between the host and an appliance: moves buffers, knows nothing of what they mean."""

from abc import ABC, abstractmethod
from importlib.metadata import entry_points

import numpy as np
from numpy.typing import NDArray

Bytes2D = NDArray[np.uint8]

ENTRY_POINT_GROUP = "bandgap.transports"


class Transport(ABC):
    """A way to one appliance.

    Commands are rows of 32 bytes, reports rows of 64 bytes (`hdl.protocol`), as C-contiguous `uint8` arrays of shape
    (n, 32) and (n, 64).
    """

    @abstractmethod
    def read_register(self, offset: int) -> int:
        """Value of the 32-bit register at byte `offset`."""

    @abstractmethod
    def write_register(self, offset: int, value: int) -> None:
        """Write the 32-bit register at byte `offset`."""

    @abstractmethod
    def send(self, commands: Bytes2D, arrival_ns: NDArray[np.uint64] | None = None, link: int = 0) -> None:
        """Hand over all commands, in order; returns when the appliance has taken them.

        `arrival_ns` is when each one arrives (not decreasing, not before the appliance's time). Only an appliance whose
        time is simulated heeds it; without it, its time stands still.
        """

    @abstractmethod
    def receive(self) -> Bytes2D:
        """All reports that have come since the last call; a simulated appliance first finishes what it was sent."""

    @abstractmethod
    def advance(self, time_ns: int) -> None:
        """Let the appliance's time reach `time_ns`, timers acting as they fall due; a simulated one jumps there."""

    @abstractmethod
    def close(self) -> None:
        """Let the appliance go. Calling it twice is allowed."""


class UnknownDeviceError(ValueError):
    """No transport has this scheme."""


def open_transport(url: str) -> Transport:
    """Open a device URL such as `embedded:ecp5`, `model:formal` or `serial:/dev/ttyUSB0`.

    The scheme selects an entry point of the group `bandgap.transports`: a callable that takes the rest of the URL.

    Raises
    ------
    UnknownDeviceError : No transport is registered for the scheme; the message lists those that are.
    """
    scheme, _, rest = url.partition(":")
    known = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if scheme not in known:
        raise UnknownDeviceError(f"no transport {scheme!r} for device {url!r}; known: {', '.join(sorted(known))}")
    transport = known[scheme].load()(rest)
    assert isinstance(transport, Transport)
    return transport
