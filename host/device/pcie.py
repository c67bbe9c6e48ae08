"""An appliance in a PCI Express slot: BAR 0 and memory that both sides see, however they are reached."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.protocol.commands import COMMAND_BYTES
from bandgap.hdl.protocol.pcie import (
    LINK_BY_NAME,
    READ_ERRORS,
    RING_LOG2_LIMIT,
    SLOT_BYTES,
    STATUS_BYTES,
    WINDOW_BYTES,
    WINDOWS_OFFSET,
    CommandBatch,
    LinkControl,
    LinkError,
    LinkState,
    LinkStatus,
    ReportSlot,
)
from bandgap.hdl.protocol.registers import BY_NAME, MAGIC, Register
from bandgap.hdl.protocol.reports import REPORT_BYTES
from bandgap.hdl.protocol.version import link_layout_hash
from bandgap.host.wire import dtype_of

from .device import DeviceError, HandshakeError
from .transport import Bytes2D, Transport, arrivals_of

REPORT_RING_LOG2 = 12
DESCRIPTOR_RING_LOG2 = 7
COMMAND_PLACES = 1 << 12
BATCH_COMMANDS = 512
BULK_COMMANDS = 16
"""From so many commands on they go through the ring: the device then fetches them while the next are laid out."""

STATUS_LINES = 64
READ_ATTEMPTS = 3
PATIENCE_S = 10.0
_WORD = 1 << 32
_COUNT = 1 << 31
_GONE = _WORD - 1
"""What every register of a function reads as that is not there any more."""
_LOSSES = LinkError.CORRUPT_REQUEST | LinkError.WINDOW_ORDER | LinkError.WINDOW_OVERRUN

_SLOT = np.dtype({"names": ["slot"], "formats": [dtype_of(ReportSlot)], "itemsize": SLOT_BYTES})
_STATUS = np.dtype({"names": ["status"], "formats": [dtype_of(LinkStatus)], "itemsize": STATUS_BYTES})
_BATCH = dtype_of(CommandBatch)


class PcieLinkError(DeviceError):
    """The link to the device fails; the message says how."""


class ReadFailedError(PcieLinkError):
    """The device could not read host memory: everything before that read was carried out, nothing behind it.

    Attributes
    ----------
    taken : How many commands the core took in this run, modulo 2**32.
    """

    def __init__(self, message: str, taken: int) -> None:
        super().__init__(message)
        self.taken = taken


@dataclass(frozen=True)
class DmaMemory:
    """Memory that the device reaches as well.

    Attributes
    ----------
    address : Where the device finds it, a multiple of 4096.
    buffer : Its bytes, for the host.
    """

    address: int
    buffer: memoryview


class PcieAccess(ABC):
    """What a host needs of one PCI Express function: BAR 0, and memory for both.

    Writes to the BAR arrive in the order in which they are made.
    """

    @abstractmethod
    def read_word(self, offset: int) -> int:
        """Read 32 bits of BAR 0."""

    @abstractmethod
    def write_word(self, offset: int, value: int) -> None:
        """Write 32 bits of BAR 0."""

    @abstractmethod
    def write_line(self, offset: int, data: bytes) -> None:
        """Write 32 aligned bytes of BAR 0, in ascending order, in words of at least 32 bits."""

    @abstractmethod
    def allocate(self, size: int) -> DmaMemory:
        """Memory of at least so many bytes, all zero, there until `close`."""

    @abstractmethod
    def pause(self) -> None:
        """Nothing new was found by polling: let time pass if that is needed for anything to happen."""

    @abstractmethod
    def clock_s(self) -> float:
        """Time in seconds, from anywhere."""

    @abstractmethod
    def close(self) -> None:
        """Let the function and the memory go. Calling it twice is allowed."""


class _HostMemory:
    """What host and device leave for each other: rings, commands, and a line for the status of each run in turn."""

    def __init__(
        self, access: PcieAccess, report_ring_log2: int, descriptor_ring_log2: int, command_places: int
    ) -> None:
        self.report_ring, self.slots = _array(access, _SLOT, 1 << report_ring_log2)
        self.descriptor_ring, self.descriptors = _array(access, _BATCH, 1 << descriptor_ring_log2)
        self.status_lines, self.statuses = _array(access, _STATUS, STATUS_LINES)
        self.command_area, self.commands = _array(access, np.dtype((np.uint8, COMMAND_BYTES)), command_places)


def _array(access: PcieAccess, dtype: np.dtype[Any], count: int) -> tuple[int, NDArray[Any]]:
    """So many places in memory for both: where the device finds them, and as the host sees them."""
    memory = access.allocate(dtype.itemsize * count)
    return memory.address, np.frombuffer(memory.buffer, dtype, count)


class PcieTransport(Transport):
    """An appliance behind the registers and rings of `hdl.protocol.pcie`.

    Few commands are written straight into a window; many are laid out in memory, from where the device fetches them.
    When such a read fails the link is started anew and what was not taken is sent again, unless nothing at all is taken
    three times in a row.

    Arguments
    ---------
    access : The way to the function; the transport owns it from now on.
    report_ring_log2, descriptor_ring_log2 : Places in these rings, as a power of two.
    command_places : Memory has room for so many of the commands that go through the ring.
    bulk_commands : From so many commands for the same time on, they go through the ring.
    batch_commands : A descriptor is of at most so many commands.
    patience_s : Without any progress for so long, the link is given up.

    Attributes
    ----------
    failed_reads : How often the link was started anew because the device could not read.

    Raises
    ------
    ValueError : A setting is outside its limits.
    HandshakeError : What answers is no appliance, or its link is laid out otherwise; nothing was written.
    PcieLinkError : The device does not answer, or does not come to rest.
    """

    def __init__(
        self,
        access: PcieAccess,
        report_ring_log2: int = REPORT_RING_LOG2,
        descriptor_ring_log2: int = DESCRIPTOR_RING_LOG2,
        command_places: int = COMMAND_PLACES,
        bulk_commands: int = BULK_COMMANDS,
        batch_commands: int = BATCH_COMMANDS,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._access: PcieAccess | None = access
        self._memory: _HostMemory | None = None
        self._report_ring_log2, self._descriptor_ring_log2 = report_ring_log2, descriptor_ring_log2
        self._bulk_commands, self._batch_commands = bulk_commands, batch_commands
        self._patience_s = patience_s
        self._reports: list[Bytes2D] = []
        self._runs = 0
        self._received = 0  # sequence of the last report that was taken out
        self.failed_reads = 0
        try:
            _check_settings(
                {"report_ring_log2": report_ring_log2, "descriptor_ring_log2": descriptor_ring_log2},
                {"command_places": command_places, "bulk_commands": bulk_commands, "batch_commands": batch_commands},
            )
            self._check_layout()
            self._window_commands = self._read(LINK_BY_NAME["window_commands"])
            self._links = self._read(BY_NAME["links"])
            self._stop()
            self._memory = _HostMemory(access, report_ring_log2, descriptor_ring_log2, command_places)
            self._start()
            self._write_time(0)
        except BaseException:
            self.close()
            raise

    def read_register(self, offset: int) -> int:
        """See `Transport.read_register`."""
        return self._open().read_word(offset)

    def write_register(self, offset: int, value: int) -> None:
        """See `Transport.write_register`; the appliance is at rest before and afterwards."""
        self._settle()
        self._open().write_word(offset, value)
        self._rest()

    def send(self, commands: Bytes2D, arrival_ns: NDArray[np.uint64] | None = None, link: int = 0) -> None:
        """See `Transport.send`.

        Raises
        ------
        ValueError : A shape or type is wrong, arrivals go backwards, or the appliance has no such link.
        PcieLinkError : The device does not take them.
        """
        arrivals = arrivals_of(commands, arrival_ns, link, links=self._links, now_ns=self._time_ns)
        begin = 0
        for time_ns, group in groupby(arrivals):
            end = begin + len(list(group))
            self._set_time(time_ns)
            if end - begin < self._bulk_commands:
                self._through_window(commands[begin:end], link)
            else:
                self._through_ring(commands[begin:end], link)
            begin = end

    def receive(self) -> Bytes2D:
        """See `Transport.receive`; waits until the appliance has carried out what it was sent."""
        self._settle()
        reports = np.concatenate([np.empty((0, REPORT_BYTES), np.uint8), *self._reports])
        self._reports.clear()
        return reports

    def advance(self, time_ns: int) -> None:
        """See `Transport.advance`. Where the host keeps the time it is set; else this waits until it has come."""
        if time_ns < self._time_ns:
            raise ValueError(f"time would go back from {self._time_ns} ns to {time_ns} ns")
        self._settle()
        self._set_time(time_ns)
        self._rest()
        while self._read(BY_NAME["time_ns"]) < time_ns:
            self._open().pause()

    def restart(self) -> None:
        """Stop the link, whatever is under way, and start it anew.

        Commands that are not taken and reports that are not received are gone. The core goes on with what it is at:
        whoever wants that gone as well starts an epoch.
        """
        self._stop()
        self._reports.clear()
        self._start()

    def close(self) -> None:
        """See `Transport.close`; the device lets the memory alone from then on."""
        if self._access is None:
            return
        try:
            if self._memory is not None:
                self._stop()
        finally:
            access, self._access, self._memory = self._access, None, None
            access.close()

    # A run of the link

    def _check_layout(self) -> None:
        magic = self._read(BY_NAME["magic"])
        if magic == _GONE:
            raise PcieLinkError("the device does not answer: its registers read as ones; reset it, or power it up")
        if magic != MAGIC:
            raise HandshakeError(f"no appliance answers: magic is {magic:#010x}, not {MAGIC:#010x}")
        device_hash, host_hash = self._read(LINK_BY_NAME["link_layout"]), link_layout_hash()
        if device_hash != host_hash:
            raise HandshakeError(
                f"the device's link is laid out otherwise: layout {device_hash:#010x}, host {host_hash:#010x}: program "
                "it with the image in whose manifest.json the latter stands; where there is none, build it "
                "(`bandgap bitstream u50` for a card; docs/deployment.md says how to go on)"
            )

    def _stop(self) -> None:
        """Returns when the device has nothing more under way in host memory."""
        access = self._open()
        self._write("control", 0)
        give_up_s = access.clock_s() + self._patience_s
        while True:
            late = access.clock_s() > give_up_s  # as in `_until`
            state = self._read(LINK_BY_NAME["state"])
            if not state & LinkState.BUSY.value or state == _GONE:
                return
            if late:
                raise PcieLinkError(
                    f"reads of the device are not answered for {self._patience_s:g} s: reset it before it is used again"
                )
            access.pause()

    def _start(self) -> None:
        """Begin a run of a link that has stopped.

        What the last run wrote late can be mistaken for nothing of this one: the sequences that this one waits for are
        beyond all that the last one can have written, and its status has a line of its own.
        """
        memory = self._shared()
        self._received = (self._received + len(memory.slots)) % _WORD
        self._told = self._received
        self._sent = self._taken = self._posted = self._fetched = 0
        self._by_ring = False
        self._errors = 0
        self._at_rest = False
        self._written = self._received
        self._line = self._runs % STATUS_LINES
        self._runs += 1
        memory.statuses[self._line] = np.zeros((), _STATUS)
        for name, value in {
            "report_ring": memory.report_ring,
            "report_ring_log2": self._report_ring_log2,
            "reports_taken": self._received,
            "descriptor_ring": memory.descriptor_ring,
            "descriptor_ring_log2": self._descriptor_ring_log2,
            "descriptors_posted": 0,
            "status_address": memory.status_lines + self._line * STATUS_BYTES,
            "errors": _WORD - 1,
            "control": LinkControl.RUN.value,
        }.items():
            self._write(name, value)

    def _open(self) -> PcieAccess:
        if self._access is None:
            raise ValueError("the device is closed")
        return self._access

    def _shared(self) -> _HostMemory:
        assert self._memory is not None
        return self._memory

    def _read(self, register: Register) -> int:
        words = [self._open().read_word(register.offset + 4 * word) for word in range(register.words)]
        return sum(word << 32 * place for place, word in enumerate(words))

    def _write(self, name: str, value: int) -> None:
        register = LINK_BY_NAME[name]
        for word in range(register.words):
            self._open().write_word(register.offset + 4 * word, value >> 32 * word & _WORD - 1)

    def _set_time(self, time_ns: int) -> None:
        if time_ns != self._time_ns:
            self._until(lambda: self._taken == self._sent)
            self._write_time(time_ns)

    def _write_time(self, time_ns: int) -> None:
        self._write("set_time_ns", time_ns)
        self._time_ns = time_ns

    # To the device

    def _through_window(self, commands: Bytes2D, link: int) -> None:
        self._use(by_ring=False)
        access, window = self._open(), WINDOWS_OFFSET + link * WINDOW_BYTES
        for command in commands:
            self._until(lambda: self._sent - self._taken < self._window_commands)
            access.write_line(window + self._sent * COMMAND_BYTES % WINDOW_BYTES, command.tobytes())
            self._sent += 1
        self._until(lambda: self._taken == self._sent)

    def _through_ring(self, commands: Bytes2D, link: int) -> None:
        failures = 0
        while True:
            self._use(by_ring=True)
            before = self._taken
            try:
                self._post(commands, link)
                self._until(lambda: self._taken == self._sent)
                return
            except ReadFailedError as failure:
                self.failed_reads += 1
                taken = (failure.taken - before) % _WORD
                failures = 1 if taken else failures + 1
                if failures == READ_ATTEMPTS:
                    raise
                commands = commands[taken:]
                self._stop()
                self._start()

    def _post(self, commands: Bytes2D, link: int) -> None:
        """Lay commands out and tell the device, whenever there is room."""
        memory = self._shared()
        places = len(memory.commands)
        while len(commands):
            self._until(lambda: self._sent - self._taken < places)
            self._until(lambda: self._posted - self._fetched < len(memory.descriptors))
            place = self._sent % places
            room = places - max(place, self._sent - self._taken)
            count = min(len(commands), self._batch_commands, room)
            memory.commands[place : place + count] = commands[:count]
            descriptor = memory.descriptors[self._posted % len(memory.descriptors) :][0]
            descriptor["address"] = memory.command_area + place * COMMAND_BYTES
            descriptor["count"] = count
            descriptor["link"] = link
            self._posted += 1
            self._write("descriptors_posted", self._posted % _WORD)
            self._sent += count
            commands = commands[count:]

    def _use(self, by_ring: bool) -> None:
        """Commands that went the other way are all taken before one goes this way."""
        if by_ring != self._by_ring:
            self._until(lambda: self._taken == self._sent)
            self._by_ring = by_ring

    # From the device

    def _settle(self) -> None:
        """Everything that was sent is carried out, and everything that the device had to say has come."""
        self._until(lambda: self._at_rest and self._taken == self._sent and self._received == self._written)

    def _rest(self) -> None:
        """As `_settle`, after a register was written: the device is asked, because it does not tell."""
        self._until(lambda: bool(self._read(LINK_BY_NAME["state"]) & LinkState.AT_REST.value))
        written = self._read(LINK_BY_NAME["reports_written"])
        self._until(lambda: self._received == written)

    def _until(self, condition: Callable[[], bool]) -> None:
        """Take in what comes until the condition holds."""
        access = self._open()
        give_up_s = access.clock_s() + self._patience_s
        while True:
            # Judged when memory was looked at once more: what came while this process was suspended counts.
            late = access.clock_s() > give_up_s
            news = self._poll()
            self._check_errors()
            if condition():
                return
            if news:
                give_up_s = access.clock_s() + self._patience_s
            elif late:
                raise PcieLinkError(self._complaint())
            else:
                access.pause()

    def _poll(self) -> bool:
        """Take in the status and all reports that are there; whether any of that is new."""
        memory = self._shared()
        status = memory.statuses[self._line]["status"]
        progress = int(status["progress"])  # first: all that goes with it is written before it
        self._at_rest = bool(progress & 1)
        newly_taken = ((progress >> 1) - self._taken) % _COUNT
        self._taken += newly_taken
        self._fetched += (int(status["descriptors"]) - self._fetched) % _WORD
        self._errors = int(status["errors"])
        self._written = int(status["reports"]) if progress else self._received

        return self._take_out(memory.slots["slot"]) or newly_taken > 0

    def _take_out(self, slots: NDArray[Any]) -> bool:
        """Take the reports out that have come, up to the ring's end; whether there were any."""
        size, place = len(slots), self._received % len(slots)
        sequences = slots["sequence"]  # looked at before the reports: they become visible after these
        if sequences[place] != (self._received + 1) % _WORD:
            return False
        expected = (self._received + 1 + np.arange(size - place, dtype=np.uint64)) % _WORD
        here = sequences[place:] == expected
        count = size - place if here.all() else int(here.argmin())
        self._reports.append(slots["report"][place : place + count].copy())
        self._received = (self._received + count) % _WORD
        if (self._received - self._told) % _WORD >= size // 4:
            self._write("reports_taken", self._received)
            self._told = self._received
        return True

    def _check_errors(self) -> None:
        if self._errors & READ_ERRORS.value and (taken := self._taken_at_the_end()) is not None:
            raise ReadFailedError(f"the device could not read host memory: {_names(self._errors)}", taken)
        if self._errors & _LOSSES.value:
            raise PcieLinkError(f"commands were lost on the way to the device: {_names(self._errors)}")

    def _taken_at_the_end(self) -> int | None:
        """How many commands a run took in which a read failed, once it is at its end and its reports are all here.

        The registers say it, not the status in memory: there, errors can be visible before the progress that belongs to
        them, behind an "at rest" from before the commands. At rest after a failed read is for good, so what was taken
        is final between two looks at that; a run that is reset has forgotten it.
        """
        if not self._runs_at_rest() or self._received != self._read(LINK_BY_NAME["reports_written"]):
            return None
        taken = self._read(LINK_BY_NAME["commands_taken"])
        return taken if self._runs_at_rest() else None

    def _runs_at_rest(self) -> bool:
        state = self._read(LINK_BY_NAME["state"]) & ~LinkState.BUSY.value
        return state == LinkState.RUNNING.value | LinkState.AT_REST.value

    def _complaint(self) -> str:
        waited = f"for {self._patience_s:g} s"
        state = self._read(LINK_BY_NAME["state"])
        if state == _GONE:
            return f"the device has vanished {waited}: its registers read as ones"
        if not state & LinkState.RUNNING.value:
            return f"the device's link is stopped {waited}: it was reset; start this host anew"
        if self._taken < self._sent:
            return f"the device answers, but takes no command {waited}: its core hangs"
        return f"the device answers, but does not come to rest {waited}: its core hangs"


def _check_settings(rings_log2: dict[str, int], counts: dict[str, int]) -> None:
    for name, value in rings_log2.items():
        if not 0 <= value <= RING_LOG2_LIMIT:
            raise ValueError(f"{name} must be 0 to {RING_LOG2_LIMIT}, not {value}")
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} must be positive, not {value}")


def _names(errors: int) -> str:
    return ", ".join(str(error.name).replace("_", " ").lower() for error in LinkError if errors & error.value)
