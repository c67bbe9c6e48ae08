"""Serial ports that are there, that are not, and that vanish and come back; behind them a device's end in Python."""

import errno
import os
import socket
import struct
import termios
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest
import serial
from device_end import COMMAND, READ, REPORT, VALUE, DeviceEnd, Message
from serial.rfc2217 import PortManager
from serial.urlhandler.protocol_loop import Serial as LoopPort

from bandgap.host.device.device import Device, HandshakeError
from bandgap.host.device.serial import PortError, SerialLinkError, SerialTransport, open_device, open_port
from bandgap.host.device.transport import open_transport
from bandgap.sim.embedded.pty_server import served

LINKS = 2


class Pins:
    """A device's end whose registers read as their offset, and whose answer to a command is the command twice."""

    quiet = True

    def __init__(self) -> None:
        self.commands: list[bytes] = []
        self.end = DeviceEnd(self._act, 0.1)

    def _act(self, kind: int, payload: bytes) -> list[Message]:
        if kind == READ:
            return [(VALUE, struct.pack("<I", LINKS if payload == b"\x28\0" else payload[0]))]
        if kind == COMMAND:
            self.commands.append(payload)
            return [(REPORT, payload[1:] * 2)]
        return []

    def exchange(self, data: bytes) -> bytes:
        self.end.take(data)
        return self.end.give(time.monotonic())


class CountedPort:
    """A port in time that is counted: reading takes a poll's time.

    Attributes
    ----------
    pause_s : For so long the host is suspended when it has written, while the answer comes.
    full_s : Until then the port takes half of what is written, and no more for a quarter of a second.
    """

    def __init__(self, pins: Pins) -> None:
        self._end = pins.end
        self._received = b""
        self.now_s = self.pause_s = self.full_s = 0.0

    @property
    def in_waiting(self) -> int:
        return len(self._received)

    def clock(self) -> float:
        return self.now_s

    def write(self, data: bytes) -> None:
        full = self.now_s < self.full_s
        self._end.take(data[: len(data) // 2] if full else data)
        if full:
            self.now_s += 0.25
            raise serial.SerialTimeoutException("Write timeout")
        self._received += self._end.give(self.now_s)
        self.now_s += self.pause_s

    def read(self, size: int) -> bytes:
        taken, self._received = self._received[:size], self._received[size:]
        if size and not taken:
            self.now_s += 0.02
            self._received = self._end.give(self.now_s)
        return taken

    def close(self) -> None:
        """Nothing is held."""


def connect(url: str, patience_s: float = 20.0) -> SerialTransport:
    """A transport that is in a hurry to give up, but not before it is connected."""
    port = url.removeprefix("serial:")
    transport = SerialTransport(lambda: open_port(port, 115_200), timeout_s=0.1)
    transport._patience_s = patience_s
    return transport


def commands(count: int, first: int = 0) -> np.ndarray:
    return np.arange(first, first + count, dtype=np.uint8).repeat(32).reshape(-1, 32)


def expected(sent: np.ndarray) -> np.ndarray:
    return np.concatenate((sent, sent), axis=1)


def test_everything_crosses_a_terminal() -> None:
    pins = Pins()
    with served(pins) as url, closing(open_transport(f"{url}?baud=115200")) as transport:
        assert transport.read_register(0x44) == 0x44
        sent = commands(100)
        transport.send(sent[:60])
        transport.send(sent[60:], link=1)
        assert np.array_equal(transport.receive(), expected(sent))
        assert len(transport.receive()) == 0
        assert pins.commands == [bytes([row >= 60]) + sent[row].tobytes() for row in range(100)]


def test_reports_may_be_written_to() -> None:
    with served(Pins()) as url, closing(open_transport(url)) as transport:
        transport.send(commands(1))
        transport.receive()[:] = 0


@contextmanager
def behind_a_socket(pins: Pins) -> Iterator[str]:
    """What is called a serial server: a port whose bytes come over TCP."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(4096):
                    connection.sendall(pins.exchange(data))

        thread = Thread(target=serve)
        thread.start()
        yield f"serial:socket://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def test_everything_crosses_a_socket() -> None:
    with behind_a_socket(Pins()) as url, closing(open_transport(url)) as transport:
        sent = commands(40)
        transport.send(sent)
        assert np.array_equal(transport.receive(), expected(sent))


class RemotePort(LoopPort):
    """A server's port: what is written to it goes to the device, and what is read comes from there."""

    def __init__(self, pins: Pins) -> None:
        super().__init__("loop://")
        self._pins = pins

    def write(self, data: bytes) -> int:
        super().write(self._pins.exchange(data))
        return len(data)


def test_everything_crosses_a_server_of_rfc_2217() -> None:
    port = RemotePort(Pins())
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                manager = PortManager(port, SimpleNamespace(write=connection.sendall))
                while data := connection.recv(4096):
                    port.write(b"".join(manager.filter(data)))
                    connection.sendall(b"".join(manager.escape(port.read(port.in_waiting))))

        thread = Thread(target=serve)
        thread.start()
        with closing(open_transport(f"serial:rfc2217://127.0.0.1:{server.getsockname()[1]}")) as transport:
            sent = commands(40)
            transport.send(sent)
            assert np.array_equal(transport.receive(), expected(sent))
        thread.join()


def test_a_port_that_vanishes_and_comes_back_loses_nothing(tmp_path: Path) -> None:
    pins, port = Pins(), tmp_path / "port"
    sent = commands(90)
    with served(pins) as url:
        port.symlink_to(url.removeprefix("serial:"))
        transport = connect(f"serial:{port}")
        transport.send(sent[:30])
    port.unlink()
    with served(pins) as url:
        port.symlink_to(url.removeprefix("serial:"))
        transport.send(sent[30:60])
        transport.send(sent[60:])
        assert np.array_equal(transport.receive(), expected(sent))
        transport.close()
    assert len(pins.commands) == 90


def test_a_port_that_stays_away_is_given_up(tmp_path: Path) -> None:
    port = tmp_path / "port"
    with served(Pins()) as url:
        port.symlink_to(url.removeprefix("serial:"))
        transport = connect(f"serial:{port}", patience_s=0.3)
    port.unlink()
    with pytest.raises(SerialLinkError, match=r"the port vanished \(.*\) and does not come back: there is no port"):
        transport.read_register(0)
    transport.close()


def test_a_device_that_lost_its_power_is_not_taken_for_the_old_one() -> None:
    pins = Pins()
    with served(pins) as url, closing(connect(url, patience_s=1_000.0)) as transport:
        pins.end = DeviceEnd(lambda *_: [], 0.1)
        with pytest.raises(SerialLinkError, match=r"has no session: it lost its power"):
            transport.send(commands(1))


def test_two_hosts_at_one_device_are_told_apart() -> None:
    pins = Pins()
    with served(pins) as url, closing(connect(url, patience_s=1.0)) as transport:
        with served(pins) as other_url:
            connect(other_url).close()
        with pytest.raises(SerialLinkError, match=r"in a session of another host: let one host"):
            transport.send(commands(1))


def test_a_device_that_hangs_is_told_from_one_that_is_silent() -> None:
    pins = Pins()
    with served(pins) as url, closing(connect(url, patience_s=1.0)) as transport:
        transport.read_register(0x28)
        pins.end._act = lambda *_: None
        with pytest.raises(SerialLinkError, match=r"answers, but gets no further for 1 s: its core hangs"):
            transport.send(commands(1))
            transport.receive()


def test_what_came_while_the_host_was_suspended_counts() -> None:
    port = CountedPort(Pins())
    transport = SerialTransport(lambda: port, clock=port.clock, patience_s=30.0)
    port.pause_s = 100.0
    assert transport.read_register(0x44) == 0x44
    sent = commands(3)
    transport.send(sent)
    assert np.array_equal(transport.receive(), expected(sent))


def test_a_port_that_takes_only_part_loses_nothing() -> None:
    pins = Pins()
    port = CountedPort(pins)
    transport = SerialTransport(lambda: port, clock=port.clock)
    port.full_s = port.now_s + 5.0
    sent = commands(40)
    transport.send(sent)
    assert np.array_equal(transport.receive(), expected(sent))
    assert len(pins.commands) == 40
    assert port.now_s > port.full_s


def test_a_port_that_takes_nothing_is_given_up() -> None:
    ours, theirs = os.openpty()
    port = open_port(os.ttyname(theirs), 115_200)
    assert port.write_timeout, "it would be waited for without end"
    with pytest.raises(serial.SerialTimeoutException):
        port.write(bytes(1 << 20))
    with pytest.raises(SerialLinkError, match=r"does not answer for 0.3 s: check its power, the cable and the baud"):
        SerialTransport(lambda: port, patience_s=0.3)
    os.close(ours)
    os.close(theirs)


def test_silence_is_an_error() -> None:
    ours, theirs = os.openpty()
    with pytest.raises(SerialLinkError, match=r"does not answer for 0.3 s: check its power, the cable and the baud"):
        SerialTransport(lambda: open_port(os.ttyname(theirs), 115_200), patience_s=0.3)
    os.close(ours)
    os.close(theirs)


def test_a_device_of_another_layout_is_refused() -> None:
    with served(Pins()) as url, closing(open_transport(url)) as transport:
        with pytest.raises(HandshakeError, match="no appliance answers"):
            Device(transport)


@pytest.mark.parametrize(
    ("rows", "arrivals", "link", "message"),
    [
        (np.zeros((1, 31), np.uint8), None, 0, r"uint8 \(n, 32\)"),
        (np.zeros((1, 32), np.int8), None, 0, r"uint8 \(n, 32\)"),
        (np.zeros((1, 32), np.uint8), None, 2, "link must be below 2, not 2"),
        (np.zeros((2, 32), np.uint8), [50], 0, "2 commands need as many arrivals, not 1"),
        (np.zeros((2, 32), np.uint8), [51, 50], 0, "backwards; the appliance's time is 0 ns"),
    ],
)
def test_a_bad_call_sends_nothing(rows: np.ndarray, arrivals: list[int] | None, link: int, message: str) -> None:
    pins = Pins()
    with served(pins) as url, closing(open_transport(url)) as transport:
        with pytest.raises(ValueError, match=message):
            transport.send(rows, None if arrivals is None else np.array(arrivals, np.uint64), link)
        with pytest.raises(ValueError, match="from 0 ns to -1 ns"):
            transport.advance(-1)
        assert len(transport.receive()) == 0
        assert pins.commands == []


def test_a_closed_transport_says_so() -> None:
    with served(Pins()) as url:
        transport = open_transport(url)
        transport.close()
        transport.close()
        with pytest.raises(ValueError, match="the device is closed"):
            transport.receive()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("", "no port in device 'serial:'; write serial:/dev/ttyUSB0 or serial:socket://HOST:PORT"),
        ("/dev/ttyUSB0?parity=even", r"no option parity in device 'serial:/dev/ttyUSB0\?parity=even'; known: baud"),
        ("/dev/ttyUSB0?baud=fast", "baud is a positive whole number, not 'fast'"),
        ("/dev/ttyUSB0?baud=0", "baud is a positive whole number, not '0'"),
        ("bus://1", "port bus://1 cannot be opened at 3000000 baud: .*not known"),
    ],
)
def test_a_bad_address_says_what_is_wrong_with_it(address: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_device(address)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("/dev/nowhere", "there is no port /dev/nowhere: is the cable in?"),
        ("socket://127.0.0.1:1", "port socket://127.0.0.1:1 cannot be opened at 3000000 baud: .*refused"),
    ],
)
def test_a_port_that_is_not_there_now_is_no_bad_address(address: str, message: str) -> None:
    with pytest.raises(PortError, match=message):
        open_device(address)


def test_a_port_in_use_says_so() -> None:
    with served(Pins()) as url, closing(open_transport(url)):
        with pytest.raises(PortError, match=r"port /dev/pts/\d+ is in use by another program"):
            open_transport(url)


def test_a_port_that_vanishes_while_it_is_opened_is_not_there_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """What pyserial lets through then is none of its errors, nor one of the system's."""

    def vanish(*_: object) -> None:
        raise termios.error(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(termios, "tcflush", vanish)
    ours, theirs = os.openpty()
    with pytest.raises(PortError, match=r"port /dev/pts/\d+ cannot be opened at 115200 baud: .*Input/output error"):
        open_port(os.ttyname(theirs), 115_200)
    os.close(ours)
    os.close(theirs)


def test_a_port_without_permission_names_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise serial.SerialException(errno.EACCES, "could not open port")

    monkeypatch.setattr(serial, "serial_for_url", refuse)
    with pytest.raises(PortError, match=r"no permission for port /dev/ttyUSB0: .*usermod -aG dialout \w"):
        open_port("/dev/ttyUSB0", 115_200)
