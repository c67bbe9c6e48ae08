"""An appliance at the end of a serial line: `serial:PORT`, where PORT is anything that pyserial opens."""

import errno
import secrets
import struct
import termios
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import numpy as np
import serial
from numpy.typing import NDArray

from bandgap.hdl.protocol.frames import FrameKind
from bandgap.hdl.protocol.registers import BY_NAME
from bandgap.hdl.protocol.reports import REPORT_BYTES

from .device import DeviceError, UnavailableError
from .session import Session
from .transport import Bytes2D, DeviceUrlError, Transport, arrivals_of
from .user import user_name

DEFAULT_BAUD = 3_000_000
MOST_BAUD = (1 << 31) - 1
"""What an operating system can be asked for."""

TIMEOUT_S = 0.25
PATIENCE_S = 30.0
_POLL_S = 0.02
_REOPEN_S = 0.1


class PortError(UnavailableError):
    """The port cannot be opened now; the message says why and what to do."""


class SerialLinkError(DeviceError):
    """Nothing, or nothing of use, comes back over the line."""


class SerialTransport(Transport):
    """An appliance behind a serial link.

    A cable that is pulled and returned, even one whose port vanishes meanwhile, costs time alone, as long as the device
    keeps its power: the session goes on.

    Arguments
    ---------
    open_port : Opens the port; called again when it has vanished.
    number : Names the session; a random one by default, because it must differ from the device's last.
    timeout_s : See `Session`.
    patience_s : Without any progress for so long, the link is given up.
    clock : Tells the time in seconds.

    Attributes
    ----------
    repeated, damaged : What the line has cost so far: messages sent once more, frames that came damaged.

    Raises
    ------
    SerialLinkError : The device does not answer.
    """

    def __init__(
        self,
        open_port: Callable[[], serial.SerialBase],
        number: int | None = None,
        timeout_s: float = TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_port = open_port
        self._clock = clock
        self._patience_s = patience_s
        self._session = Session(number or 1 + secrets.randbelow((1 << 32) - 1), timeout_s)
        self._reports: list[bytes] = []
        self._values: deque[int] = deque()
        self._time_ns = 0
        self._links: int | None = None
        self._port: serial.SerialBase | None = open_port()
        try:
            self._until(lambda: self._session.opened)
        except BaseException:
            self.close()
            raise

    @property
    def repeated(self) -> int:
        return self._session.repeated

    @property
    def damaged(self) -> int:
        return self._session.damaged

    def read_register(self, offset: int) -> int:
        """See `Transport.read_register`."""
        self._session.send(FrameKind.READ, struct.pack("<H", offset))
        self._until(lambda: bool(self._values))
        return self._values.popleft()

    def write_register(self, offset: int, value: int) -> None:
        """See `Transport.write_register`; returns when the appliance has come to rest."""
        self._session.send(FrameKind.WRITE, struct.pack("<HI", offset, value))
        self._settle()

    def send(self, commands: Bytes2D, arrival_ns: NDArray[np.uint64] | None = None, link: int = 0) -> None:
        """See `Transport.send`; taken are commands that the device's end of the link has acknowledged.

        Raises
        ------
        ValueError : A shape or type is wrong, arrivals go backwards, or the appliance has no such link.
        SerialLinkError : The device does not take them.
        """
        if self._links is None:
            self._links = self.read_register(BY_NAME["links"].at())
        arrivals = arrivals_of(commands, arrival_ns, link, links=self._links, now_ns=self._time_ns)
        for command, time_ns in zip(commands, arrivals, strict=True):
            self._set_time(time_ns)
            self._session.send(FrameKind.COMMAND, bytes([link]) + command.tobytes())
        self._until(lambda: self._session.acknowledged)

    def receive(self) -> Bytes2D:
        """See `Transport.receive`; waits until the appliance has carried out what it was sent."""
        self._settle()
        reports = np.frombuffer(bytearray(b"".join(self._reports)), np.uint8).reshape(-1, REPORT_BYTES)
        self._reports.clear()
        return reports

    def advance(self, time_ns: int) -> None:
        """See `Transport.advance`. Where the host keeps the time it is set; else this waits until it has come."""
        if time_ns < self._time_ns:
            raise ValueError(f"time would go back from {self._time_ns} ns to {time_ns} ns")
        self._settle()
        self._set_time(time_ns)
        self._settle()
        while self._device_time_ns() < time_ns:
            pass

    def close(self) -> None:
        """See `Transport.close`."""
        if self._port is not None:
            self._port.close()
            self._port = None

    def _device_time_ns(self) -> int:
        offset = BY_NAME["time_ns"].at()
        return self.read_register(offset) | self.read_register(offset + 4) << 32

    def _set_time(self, time_ns: int) -> None:
        if time_ns != self._time_ns:
            self._session.send(FrameKind.TIME, struct.pack("<Q", time_ns))
            self._time_ns = time_ns

    def _settle(self) -> None:
        self._until(lambda: self._session.settled)

    def _until(self, condition: Callable[[], bool]) -> None:
        """Move bytes until the condition holds."""
        if self._port is None:
            raise ValueError("the device is closed")
        session = self._session
        progress, heard = session.progress, session.heard
        give_up_s = self._clock() + self._patience_s
        while True:
            # Judged when the port was read once more: what came while this process was suspended counts.
            late = self._clock() > give_up_s
            try:
                # What is there is taken first, also when there is nothing to wait for: a timer may have reported.
                session.take(self._port.read(self._port.in_waiting))
                self._sort()
                # What has come is acknowledged at once, not with the next call.
                if out := session.give(self._clock()):
                    # What the port does not take is like what the line spoils: it is sent again.
                    with suppress(serial.SerialTimeoutException):
                        self._port.write(out)
                if condition():
                    return
                if session.opened and (why := self._why_foreign()):  # it does not come back to ours
                    raise SerialLinkError(why)
                session.take(self._port.read(1))
            except OSError as error:  # pyserial lets some through that are not its own
                self._reopen(error, give_up_s)
            if session.progress != progress:
                progress, give_up_s = session.progress, self._clock() + self._patience_s
            elif late:
                raise SerialLinkError(self._complaint(session.heard - heard))

    def _sort(self) -> None:
        received = self._session.received
        while received:
            kind, payload = received.popleft()
            if kind == FrameKind.REPORT.value:
                self._reports.append(payload)
            else:
                self._values.append(int.from_bytes(payload, "little"))

    def _reopen(self, error: OSError, give_up_s: float) -> None:
        """The port has vanished: wait for it to come back."""
        assert self._port is not None
        self._port.close()
        while True:
            try:
                self._port = self._open_port()
                return
            except PortError as still:
                if self._clock() > give_up_s:
                    raise SerialLinkError(f"the port vanished ({error}) and does not come back: {still}") from still
                time.sleep(_REOPEN_S)

    def _why_foreign(self) -> str:
        """Why the device's last frame was of another session than ours; nothing, if it was of ours."""
        if self._session.foreign is None:
            return ""
        if self._session.foreign == 0:
            return "the device answers, but has no session: it lost its power; start this host anew"
        return "the device answers, but in a session of another host: let one host at a time use it"

    def _complaint(self, heard: int) -> str:
        waited = f"for {self._patience_s:g} s"
        if heard:
            return f"the device answers, but gets no further {waited}: its core hangs, or the cable is bad"
        silent = f"the device does not answer {waited}: check its power, the cable and the baud rate"
        return self._why_foreign() or silent


def open_device(address: str) -> SerialTransport:
    """Open `serial:PORT` or `serial:PORT?baud=N`; `address` is what follows the colon.

    Raises
    ------
    DeviceUrlError : The address is malformed.
    PortError : The port cannot be opened now.
    SerialLinkError : The device does not answer.
    """
    port, _, query = address.partition("?")
    options = parse_qs(query, keep_blank_values=True)
    if not port:
        raise DeviceUrlError(
            f"no port in device 'serial:{address}'; write serial:/dev/ttyUSB0 or serial:socket://HOST:PORT"
        )
    if unknown := options.keys() - {"baud"}:
        raise DeviceUrlError(f"no option {', '.join(sorted(unknown))} in device 'serial:{address}'; known: baud")
    if port.lower().startswith(("socket://", "rfc2217://")) and not _names_port(port):
        raise DeviceUrlError(f"no HOST:PORT in device 'serial:{address}'; write serial:socket://HOST:PORT")
    text = options.get("baud", [str(DEFAULT_BAUD)])[-1]
    # What has more than ten digits is too much by its first eleven.
    if not text.isdecimal() or not 0 < int(text[:11]) <= MOST_BAUD:
        raise DeviceUrlError(
            f"baud is a positive whole number, not {text!r}, in device 'serial:{address}'; the most is {MOST_BAUD}"
        )
    return SerialTransport(lambda: open_port(port, int(text)))


def _names_port(url: str) -> bool:
    """Whether a URL has a host and a port number."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname and parts.port)
    except ValueError:  # the number is none, or no port's
        return False


def open_port(port: str, baud: int) -> serial.SerialBase:
    """A port, for this process alone.

    Raises
    ------
    PortError : It cannot be opened now.
    DeviceUrlError : There can be no such port, or it cannot do that rate.
    """
    # pyserial knows no timeout of what it writes to such a server: the connection takes it.
    write_timeout_s = None if port.lower().startswith("rfc2217://") else TIMEOUT_S
    try:
        return serial.serial_for_url(
            port, baudrate=baud, timeout=_POLL_S, write_timeout=write_timeout_s, exclusive=True
        )
    except OSError as error:
        raise PortError(_why(port, baud, error)) from error
    except termios.error as error:  # a port that vanishes while it is set up
        raise PortError(_why(port, baud, OSError(*error.args))) from error
    except ValueError as error:
        raise DeviceUrlError(f"port {port} cannot be opened at {baud} baud: {error}") from error


def _why(port: str, baud: int, error: OSError) -> str:
    number = error.errno
    if number == errno.ENOENT:
        return f"there is no port {port}: is the cable in? `python -m serial.tools.list_ports` lists those there are"
    if number == errno.EACCES:
        joining = f"`sudo usermod -aG dialout {user_name()}`"
        return f"no permission for port {port}: join its group ({joining}) and log in again"
    if number in (errno.EAGAIN, errno.EBUSY) or "exclusively lock" in str(error):
        return f"port {port} is in use by another program: close that first"
    return f"port {port} cannot be opened at {baud} baud: {error}"
