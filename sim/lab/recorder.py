"""Requests turned into commands once, so that the same commands can be measured in several ways."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bandgap.host.device.device import Device
from bandgap.host.device.transport import Bytes2D, Transport
from bandgap.sim.flow.file import CHUNK_ROWS, Chunk, PriceRange, Survey
from bandgap.sim.replay.session import ReplaySession
from bandgap.sim.statistics import FlowStatistics

Call = tuple[Bytes2D, NDArray[np.uint64] | None, int]


class Recorder(Transport):
    """Passes everything on, and remembers what was sent and which registers were written.

    Attributes
    ----------
    sent : Arguments of every `send`.
    written : Offset and value of every register write.
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.sent: list[Call] = []
        self.written: list[tuple[int, int]] = []

    def read_register(self, offset: int) -> int:
        return self._inner.read_register(offset)

    def write_register(self, offset: int, value: int) -> None:
        self.written.append((offset, value))
        self._inner.write_register(offset, value)

    def send(self, commands: Bytes2D, arrival_ns: NDArray[np.uint64] | None = None, link: int = 0) -> None:
        self.sent.append((commands.copy(), arrival_ns, link))
        self._inner.send(commands, arrival_ns, link)

    def receive(self) -> Bytes2D:
        return self._inner.receive()

    def advance(self, time_ns: int) -> None:
        self._inner.advance(time_ns)

    def close(self) -> None:
        self._inner.close()


def record_requests(
    transport: Transport,
    requests: NDArray[np.void],
    start_ticks: Sequence[int],
    accounts: int,
    chunk_rows: int = CHUNK_ROWS,
) -> tuple[Recorder, FlowStatistics]:
    """The commands that requests become, and what they come to.

    Arguments
    ---------
    transport : A fresh device; it is closed in the end.
    requests : (n,) of `REQUEST_DTYPE`, by arrival.
    start_ticks : First price of each instrument; the windows are placed around them.
    accounts : Accounts that are granted credit.
    chunk_rows : How many requests the host sends before it looks at their reports.
    """
    prices = [PriceRange(ticks, ticks, ticks) for ticks in start_ticks]
    names = [str(number) for number in range(len(start_ticks))]
    recorder = Recorder(transport)
    device = Device(recorder)
    session = ReplaySession(device, Survey(len(requests), names, prices, list(range(accounts)), {}))
    for start in range(0, len(requests), chunk_rows):
        chunk = requests[start : start + chunk_rows]
        session.run(Chunk(np.arange(start + 1, start + 1 + len(chunk)), chunk))
    device.close()
    return recorder, session.statistics
