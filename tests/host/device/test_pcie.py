"""What a host makes of a failed read, when it sees no more of the device's status than is promised."""

from collections.abc import Callable

import numpy as np
import pytest

from bandgap.hdl.protocol.pcie import LINK_BY_NAME, LinkError, LinkState
from bandgap.hdl.protocol.registers import BY_NAME, MAGIC
from bandgap.hdl.protocol.version import link_layout_hash
from bandgap.host.device.pcie import DmaMemory, PcieAccess, PcieLinkError, PcieTransport

COMMANDS, TAKEN = 20, 8
"""So many commands are sent in one batch, and so many of them carried out before a read fails."""

STATUS_FIELDS = ("reports", "descriptors", "errors", "progress")
GONE = 0xFFFF_FFFF


class FailingDevice(PcieAccess):
    """A device in plain Python whose second read of commands fails. It takes what it is told at once.

    Its status becomes visible in ascending order, dword by dword; no more is promised.

    Arguments
    ---------
    visible_dwords : So many dwords of a status are there when the host first looks; one more whenever it pauses.

    Attributes
    ----------
    carried_out : The first byte of every command, in order.
    words : Registers that do not read as zero, by name.
    before_read : Is called with the name of a register before it is read.
    """

    def __init__(self, visible_dwords: int) -> None:
        self.carried_out: list[int] = []
        self.words = {"magic": MAGIC, "link_layout": link_layout_hash(), "links": 1, "window_commands": 64}
        self.before_read: Callable[[str], None] = lambda name: None
        self._visible_dwords = visible_dwords
        self._unseen: list[tuple[str, int]] = []
        self._names = {register.offset: name for name, register in (BY_NAME | LINK_BY_NAME).items()}
        self._allocated_bytes = 0
        self._now_s = 0.0
        self._fails = True
        self.transport = PcieTransport(self, bulk_commands=1, patience_s=0.1)
        self._tell(0, LinkError(0), visible_dwords=len(STATUS_FIELDS))

    def read_word(self, offset: int) -> int:
        name = self._names.get(offset, "")
        self.before_read(name)
        return self.words.get(name, 0)

    def write_word(self, offset: int, value: int) -> None:
        name = self._names.get(offset, "")
        self.words[name] = value
        if name == "control":
            self.words["state"] = (LinkState.RUNNING | LinkState.AT_REST).value * value
            self.words["commands_taken"] = 0
            self.words["reports_written"] = self.words.get("reports_taken", 0)
        elif name == "descriptors_posted" and value:
            self._carry_out()

    def write_line(self, offset: int, data: bytes) -> None:
        raise AssertionError("all commands go through the ring")

    def allocate(self, size: int) -> DmaMemory:
        address = self._allocated_bytes
        self._allocated_bytes += size
        return DmaMemory(address, memoryview(bytearray(size)))

    def pause(self) -> None:
        self._now_s += 0.001
        if self._unseen:
            field, value = self._unseen.pop(0)
            self.transport._shared().statuses[self.transport._line]["status"][field] = value

    def clock_s(self) -> float:
        return self._now_s

    def close(self) -> None:
        """Nothing is held."""

    def _carry_out(self) -> None:
        memory = self.transport._shared()
        taken = TAKEN if self._fails else int(memory.descriptors[0]["count"])
        for command in memory.commands[:taken]:
            self.carried_out.append(command[0])
            self.words["reports_written"] += 1
            slot = memory.slots["slot"][(self.words["reports_written"] - 1) % len(memory.slots)]
            slot["report"][0], slot["sequence"] = command[0], self.words["reports_written"]
        self.words["commands_taken"] += taken
        self._tell(1, LinkError.READ_POISONED if self._fails else LinkError(0), self._visible_dwords)
        self._fails = False

    def _tell(self, descriptors: int, errors: LinkError, visible_dwords: int) -> None:
        values = (self.words["reports_written"], descriptors, errors.value, self.words["commands_taken"] << 1 | 1)
        self._unseen = list(zip(STATUS_FIELDS, values, strict=True))
        for _ in range(visible_dwords):
            self.pause()


class SuspendedHost(FailingDevice):
    """No read fails. While the host waits for what it sent it is suspended before one of its looks at the clock."""

    def __init__(self, look: int) -> None:
        self._looks_left = look
        super().__init__(visible_dwords=0)
        self._fails = False

    def clock_s(self) -> float:
        self._looks_left -= bool(self.carried_out)
        if self._looks_left == 0:
            self._now_s += 100.0
            for _ in STATUS_FIELDS:
                self.pause()
        return super().clock_s()


def commands() -> np.ndarray:
    return np.arange(COMMANDS, dtype=np.uint8).repeat(32).reshape(-1, 32)


@pytest.mark.parametrize("visible_dwords", range(len(STATUS_FIELDS) + 1))
def test_however_little_of_the_status_is_visible_each_command_is_carried_out_once(visible_dwords: int) -> None:
    """Errors can be there while progress is still that of before the commands: at rest, none taken."""
    device = FailingDevice(visible_dwords)
    device.transport.send(commands())
    assert device.transport.receive()[:, 0].tolist() == list(range(COMMANDS))
    assert device.carried_out == list(range(COMMANDS))
    assert device.transport.failed_reads == 1


@pytest.mark.parametrize("register", ["state", "reports_written", "commands_taken"])
@pytest.mark.parametrize(("value", "message"), [(0, "the device's link is stopped"), (GONE, "the device has vanished")])
def test_a_device_that_forgot_what_it_took_is_sent_nothing_again(register: str, value: int, message: str) -> None:
    """It is reset, or vanishes, after a failed read, before the host reads this register."""
    device = FailingDevice(visible_dwords=len(STATUS_FIELDS))

    def forget(name: str) -> None:
        if name == register and device.carried_out:
            device.words |= dict.fromkeys(("state", "reports_written", "commands_taken"), value)

    device.before_read = forget
    with pytest.raises(PcieLinkError, match=message):
        device.transport.send(commands())
    assert device.carried_out == list(range(TAKEN))


@pytest.mark.parametrize("look", range(1, 8))
def test_what_came_while_the_host_was_suspended_counts(look: int) -> None:
    device = SuspendedHost(look)
    device.transport.send(commands())
    assert device.transport.receive()[:, 0].tolist() == list(range(COMMANDS))
