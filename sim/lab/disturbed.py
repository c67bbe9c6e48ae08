"""A device that is reset in the midst of its work, at random."""

from random import Random

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.protocol.registers import BY_NAME
from bandgap.host.device.transport import Bytes2D, Transport
from bandgap.sim.embedded import EmbeddedTransport

MOST_CYCLES = 400


class RestartedWhileBusy(Transport):
    """Every epoch is begun twice: what is sent first is offered for some cycles, cut off by a reset, and sent again.

    Neither is waited for: the reset comes whatever is under way, and commands follow it while memories clear.

    Arguments
    ---------
    device : The device; closed with this one.
    rng : Draws when the reset comes, and whether reports are taken until then.
    """

    def __init__(self, device: EmbeddedTransport, rng: Random) -> None:
        self._device = device
        self._rng = rng
        self._epoch: int | None = None  # begun, nothing sent yet

    def read_register(self, offset: int) -> int:
        return self._device.read_register(offset)

    def write_register(self, offset: int, value: int) -> None:
        self._device.write_register(offset, value)
        if offset == BY_NAME["epoch"].at():
            self._epoch = value

    def send(self, commands: Bytes2D, arrival_ns: NDArray[np.uint64] | None = None, link: int = 0) -> None:
        if self._epoch is not None:
            self._device.offer(commands, self._rng.randrange(MOST_CYCLES), link, take_reports=self._rng.random() < 0.8)
            self._device.restart(self._epoch)
            self._epoch = None
        self._device.send(commands, arrival_ns, link)

    def receive(self) -> Bytes2D:
        return self._device.receive()

    def advance(self, time_ns: int) -> None:
        self._device.advance(time_ns)

    def close(self) -> None:
        self._device.close()
