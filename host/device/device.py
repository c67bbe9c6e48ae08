"""The typed API over any transport: handshake, command numbers, and reports that are known to be complete."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.protocol.commands import COMMAND_BYTES
from bandgap.hdl.protocol.loopback import LOOPBACK_MAGIC
from bandgap.hdl.protocol.registers import BY_NAME, MAGIC, STATUS_READY
from bandgap.hdl.protocol.reports import REPORT_BYTES
from bandgap.hdl.protocol.version import layout_hash
from bandgap.host.device.transport import Transport, TransportError
from bandgap.host.wire import Bytes2D, command_headers, report_headers

_READY_POLLS = 1 << 16
_EPOCHS = 1 << 16
_NUMBERS = 1 << 32


class DeviceError(TransportError):
    """The device cannot be reached, or does not keep the protocol."""


class UnavailableError(DeviceError):
    """The way to the device cannot be opened now, but may be later: the address is in order."""


class HandshakeError(DeviceError):
    """What answers is not an appliance that this host can drive."""


class NotReadyError(DeviceError):
    """The device does not become ready after its reset."""


class ReportGapError(DeviceError):
    """Reports are missing, doubled or of another epoch."""


@dataclass(frozen=True)
class DeviceSizes:
    """What fits into the device, as its registers say: instruments, order slots, ladder rows a side (`ticks`), accounts
    and links."""

    instruments: int
    orders: int
    ticks: int
    accounts: int
    links: int


def read_register(transport: Transport, name: str) -> int:
    """The register of that name, of however many words."""
    register = BY_NAME[name]
    words = [transport.read_register(register.offset + 4 * word) for word in range(register.words)]
    return sum(word << 32 * place for place, word in enumerate(words))


def check_layout(transport: Transport) -> None:
    """See that a device's messages are laid out as this host's are.

    Raises
    ------
    HandshakeError : They are not; the message names both layout hashes.
    """
    device_hash, host_hash = read_register(transport, "layout_hash"), layout_hash()
    if device_hash != host_hash:
        raise HandshakeError(
            f"the device's messages are laid out otherwise: layout hash {device_hash:#018x}, host "
            f"{host_hash:#018x}: flash it with the bitstream in whose manifest.json the latter stands "
            "(`bandgap flash BOARD`); where there is none, build it (`bandgap bitstream BOARD`)"
        )


class Device:
    """One appliance in one epoch.

    Parameters
    ----------
    transport : The way to it; the device owns it from now on.
    epoch : The epoch to start, 1 to 65535: the book is empty, credit zero, all instruments unset.

    Attributes
    ----------
    sizes : What fits into it.
    epoch : The epoch it is in.

    Raises
    ------
    HandshakeError : No appliance, or one whose messages are laid out otherwise.
    NotReadyError : It did not finish its reset.
    """

    def __init__(self, transport: Transport, epoch: int = 1) -> None:
        self._transport = transport
        self._check_identity()
        self.sizes = DeviceSizes(
            instruments=self._read("instruments"),
            orders=self._read("orders"),
            ticks=self._read("ticks"),
            accounts=self._read("accounts"),
            links=self._read("links"),
        )
        self._start_epoch(epoch)

    def number(self, commands: Bytes2D) -> None:
        """Fill epoch and number into each command, in place: consecutive numbers from 1, zero left out on overflow."""
        headers = command_headers(commands)
        numbers = (self._commands + np.arange(len(commands), dtype=np.uint64)) % (_NUMBERS - 1) + 1
        headers["number"] = numbers
        headers["epoch"] = self.epoch
        self._commands += len(commands)

    def send(self, commands: Bytes2D, arrival_ns: NDArray[np.uint64] | None = None, link: int = 0) -> None:
        """Send numbered commands; `arrival_ns` and `link` are those of `Transport.send`.

        Raises
        ------
        ValueError : The buffer is not rows of 32 bytes, or there is not one arrival for each.
        """
        if commands.ndim != 2 or commands.shape[1] != COMMAND_BYTES or commands.dtype != np.uint8:
            raise ValueError(f"commands must be uint8 rows of {COMMAND_BYTES}, not {commands.dtype} {commands.shape}")
        if arrival_ns is not None and arrival_ns.shape != (len(commands),):
            raise ValueError(f"{len(commands)} commands have {arrival_ns.shape} arrivals")
        self._transport.send(np.ascontiguousarray(commands), arrival_ns, link)

    def receive(self) -> Bytes2D:
        """All reports since the last call, known to be gapless and of this epoch.

        Raises
        ------
        ReportGapError : The message names the first report that is not the one expected.
        """
        reports = self._transport.receive()
        if reports.ndim != 2 or reports.shape[1] != REPORT_BYTES or reports.dtype != np.uint8:
            raise DeviceError(f"reports must be uint8 rows of {REPORT_BYTES}, not {reports.dtype} {reports.shape}")
        self._check_numbers(reports)
        return reports

    def advance(self, time_ns: int) -> None:
        """Let the device's time reach `time_ns`; what its timers report comes with the next `receive`."""
        self._transport.advance(time_ns)

    def clock(self) -> int:
        """The device's time in nanoseconds."""
        return self._read("time_ns")

    def set_token_range(self, link: int, first: int, count: int) -> None:
        """Let `link` use the order slots `first` to `first + count - 1` and no others.

        Raises
        ------
        ValueError : The device has no such link or slots.
        """
        if not 0 <= link < self.sizes.links:
            raise ValueError(f"link {link} is not below the device's {self.sizes.links} links")
        if not 0 <= first <= first + count <= self.sizes.orders:
            raise ValueError(f"slots {first} to {first + count - 1} are not within the device's {self.sizes.orders}")
        self._transport.write_register(BY_NAME["token_first"].at(link), first)
        self._transport.write_register(BY_NAME["token_count"].at(link), count)

    def close(self) -> None:
        """Let the transport go."""
        self._transport.close()

    def _read(self, name: str) -> int:
        return read_register(self._transport, name)

    def _check_identity(self) -> None:
        magic = self._read("magic")
        if magic == LOOPBACK_MAGIC:
            raise HandshakeError("the device has the loopback image: flash it with an appliance, `bandgap flash BOARD`")
        if magic != MAGIC:
            raise HandshakeError(f"no appliance answers: magic is {magic:#010x}, not {MAGIC:#010x}")
        check_layout(self._transport)

    def _start_epoch(self, epoch: int) -> None:
        if not 1 <= epoch < _EPOCHS:
            raise ValueError(f"epoch must be 1 to {_EPOCHS - 1}, not {epoch}")
        self._transport.write_register(BY_NAME["epoch"].offset, epoch)
        for _ in range(_READY_POLLS):
            if self._read("status") & STATUS_READY:
                break
            self._transport.advance(self.clock())
        else:
            raise NotReadyError(f"not ready for epoch {epoch} after {_READY_POLLS} looks at its status")
        self._transport.receive()
        self.epoch = epoch
        self._commands = 0
        self._reports = 0

    def _check_numbers(self, reports: Bytes2D) -> None:
        headers = report_headers(reports)
        expected = (self._reports + np.arange(len(reports), dtype=np.uint64)) % _NUMBERS
        wrong = np.flatnonzero((headers["number"] != expected) | (headers["epoch"] != self.epoch))
        if len(wrong):
            row = wrong[0]
            raise ReportGapError(
                f"expected report {expected[row]} of epoch {self.epoch}, "
                f"got report {headers['number'][row]} of epoch {headers['epoch'][row]}"
            )
        self._reports += len(reports)
