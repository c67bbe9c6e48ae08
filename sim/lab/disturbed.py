"""A device that is reset in the midst of its work, at random."""

from random import Random

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.protocol.commands import Opcode
from bandgap.hdl.protocol.registers import BY_NAME
from bandgap.host.device.transport import Bytes2D, Transport
from bandgap.host.wire import COMMAND_DTYPES, command_headers
from bandgap.sim.embedded import EmbeddedTransport

MOST_CYCLES = 120

_Block = tuple[Bytes2D, NDArray[np.uint64], int]
"""Commands, when they arrive, and by which link."""


class RestartedWhileBusy(Transport):
    """Every epoch is begun twice: a part of what it is sent, cut off by a reset anywhere, and then all of it.

    The part's commands arrive as far apart as they will again, so that its timers act; what follows them is offered for
    some cycles when the first of it is due. Neither is waited for: the reset comes whatever is under way, and commands
    follow it while memories clear. An epoch's commands are held until something else is asked of the device: only then
    is it known how many there are.

    Arguments
    ---------
    device : The device; closed with this one.
    rng : Draws when the reset comes, and whether reports are taken in the last cycles before it.
    """

    def __init__(self, device: EmbeddedTransport, rng: Random) -> None:
        self._device = device
        self._rng = rng
        self._epoch: int | None = None  # begun, nothing sent yet
        self._held: list[_Block] = []

    def read_register(self, offset: int) -> int:
        self._send_held()
        return self._device.read_register(offset)

    def write_register(self, offset: int, value: int) -> None:
        self._send_held()
        self._device.write_register(offset, value)
        if offset == BY_NAME["epoch"].at():
            self._epoch = value

    def send(self, commands: Bytes2D, arrival_ns: NDArray[np.uint64] | None = None, link: int = 0) -> None:
        if self._epoch is None or len(commands) == 0:
            self._device.send(commands, arrival_ns, link)
            return
        if arrival_ns is None:
            now_ns = self._held[-1][1][-1] if self._held else self._device.time_ns
            arrival_ns = np.full(len(commands), now_ns, np.uint64)
        self._held.append((commands, arrival_ns, link))

    def receive(self) -> Bytes2D:
        self._send_held()
        return self._device.receive()

    def advance(self, time_ns: int) -> None:
        self._send_held()
        self._device.advance(time_ns)

    def close(self) -> None:
        self._send_held()
        self._device.close()

    def _send_held(self) -> None:
        if self._epoch is None or not self._held:
            return
        epoch, blocks = self._epoch, self._held
        self._epoch, self._held = None, []
        self._send_part(blocks)
        (commands, arrivals_ns, link), *others = blocks
        _, taken = self._device.restart(epoch, commands, link)
        for block in [(commands[taken:], arrivals_ns[taken:], link), *others]:
            self._device.send(*block)

    def _send_part(self, blocks: list[_Block]) -> None:
        """Send some of the commands, so much earlier that the last of them is there when the first arrives anew."""
        place = self._rng.randrange(sum(len(commands) for commands, _, _ in blocks))
        whole = 0
        while place >= len(blocks[whole][0]):
            place -= len(blocks[whole][0])
            whole += 1
        commands, arrivals_ns, link = blocks[whole]
        earlier_ns = arrivals_ns[place] - blocks[0][1][0]
        for sent, at_ns, by_link in [*blocks[:whole], (commands[:place], arrivals_ns[:place], link)]:
            # Where the time since the last epoch is shorter than the part, the part's first commands arrive at once.
            moved_ns = np.maximum(at_ns, earlier_ns + np.uint64(self._device.time_ns)) - earlier_ns
            self._device.send(_scheduled_earlier(sent, earlier_ns), moved_ns, by_link)
        cycles, take_reports = self._rng.randrange(MOST_CYCLES), self._rng.random() < 0.8
        rest = _scheduled_earlier(commands[place:], earlier_ns)
        self._device.offer(rest, cycles, link, take_reports, int(arrivals_ns[place] - earlier_ns))


def _scheduled_earlier(commands: Bytes2D, earlier_ns: np.uint64) -> Bytes2D:
    """The same commands, in which a timetable's times are as much earlier; zero stays zero, it takes an entry out."""
    moved = commands.copy()
    at_ns = moved.view(COMMAND_DTYPES[Opcode.SET_SCHEDULE])[:, 0]["at_ns"]
    set_here = command_headers(moved)["opcode"] == Opcode.SET_SCHEDULE.value
    at_ns[set_here] = np.maximum(at_ns[set_here], earlier_ns) - earlier_ns
    return moved
