"""The one border between the host and an appliance: moves buffers, knows nothing of what they mean."""

from abc import ABC, abstractmethod
from importlib.metadata import entry_points

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.protocol.commands import COMMAND_BYTES

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

        `arrival_ns` is when each one arrives (not decreasing, not before the appliance's time): its time is set to that
        first. Without it the host leaves its time alone.
        """

    @abstractmethod
    def receive(self) -> Bytes2D:
        """All reports since the last call, as soon as the appliance has carried out what it was sent."""

    @abstractmethod
    def advance(self, time_ns: int) -> None:
        """Set the appliance's time to `time_ns`, or wait until it has come; timers act as they fall due."""

    @abstractmethod
    def close(self) -> None:
        """Let the appliance go. Calling it twice is allowed."""


def arrivals_of(
    commands: Bytes2D, arrival_ns: NDArray[np.uint64] | None, link: int, *, links: int, now_ns: int
) -> list[int]:
    """When each command arrives, once it is seen that all of them can be sent.

    Arguments
    ---------
    commands, arrival_ns, link : As given to `Transport.send`.
    links : How many the appliance has.
    now_ns : Its time, at which all arrive that are not given another.

    Raises
    ------
    ValueError : A shape or type is wrong, arrivals go backwards, or the appliance has no such link.
    """
    if commands.dtype != np.uint8 or commands.ndim != 2 or commands.shape[1] != COMMAND_BYTES:
        raise ValueError(f"commands must be uint8 (n, {COMMAND_BYTES}), not {commands.dtype} {commands.shape}")
    if not 0 <= link < links:
        raise ValueError(f"link must be below {links}, not {link}")
    arrivals: list[int] = [now_ns] * len(commands) if arrival_ns is None else arrival_ns.tolist()
    if len(arrivals) != len(commands):
        raise ValueError(f"{len(commands)} commands need as many arrivals, not {len(arrivals)}")
    if arrivals != sorted([now_ns, *arrivals])[1:]:
        raise ValueError(f"arrivals go backwards; the appliance's time is {now_ns} ns")
    return arrivals


class TransportError(RuntimeError):
    """A device cannot be opened, or driven any further; the message says why."""


class DeviceUrlError(ValueError):
    """A device URL names nothing that could be opened; the message says why."""


def open_transport(url: str) -> Transport:
    """Open a device URL such as `embedded:ecp5`, `model:formal` or `serial:/dev/ttyUSB0`.

    The scheme selects an entry point of the group `bandgap.transports`: a callable that takes the rest of the URL.

    Raises
    ------
    DeviceUrlError : No transport is registered for the scheme (the message lists those that are), or the transport does
        not take the rest.
    """
    scheme, _, rest = url.partition(":")
    known = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if scheme not in known:
        raise DeviceUrlError(f"no transport {scheme!r} for device {url!r}; known: {', '.join(sorted(known))}")
    transport = known[scheme].load()(rest)
    assert isinstance(transport, Transport)
    return transport
