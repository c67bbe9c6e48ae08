"""The embedded appliance behind a pseudo-terminal: to the host, a serial port like any other."""

import os
import select
import tty
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Thread
from typing import Protocol

_PIECE_BYTES = 64
"""So much is taken from the terminal at once: what is on its way there meanwhile waits no longer than this takes."""


class SerialPins(Protocol):
    """What is served: see `SerialDevice`."""

    @property
    def quiet(self) -> bool: ...

    def exchange(self, data: bytes) -> bytes: ...


class PtyServer:
    """Carries bytes between a pseudo-terminal and a device's UART.

    The device's time passes only while bytes are on their way or it has something to do. It stands still while nobody
    reads what the device has sent: a slow host loses nothing.

    Arguments
    ---------
    device : What is served.

    Attributes
    ----------
    port : Name of the terminal, such as `/dev/pts/3`. It stays while hosts come and go.
    """

    def __init__(self, device: SerialPins) -> None:
        self._device = device
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        self.port = os.ttyname(self._theirs)

    def serve(self, stop: int) -> None:
        """Serve until the file descriptor `stop` can be read."""
        device, terminal = self._device, self._ours
        unread = b""
        while True:
            wait_s = None if unread or device.quiet else 0
            readable, writable, _ = select.select([terminal, stop], [terminal] if unread else [], [], wait_s)
            if stop in readable:
                return
            if writable:
                unread = unread[os.write(terminal, unread) :]
            if not unread:
                data = os.read(terminal, _PIECE_BYTES) if terminal in readable else b""
                if data or not device.quiet:
                    unread = device.exchange(data)

    def close(self) -> None:
        """Let the terminal go. To be called once."""
        os.close(self._ours)
        os.close(self._theirs)


@contextmanager
def served(device: SerialPins) -> Iterator[str]:
    """Serve a device from a thread; the URL by which a host opens it, in this process or another."""
    stop, stopping = os.pipe()
    with closing(PtyServer(device)) as server:
        thread = Thread(target=server.serve, args=(stop,))
        thread.start()
        try:
            yield f"serial:{server.port}"
        finally:
            os.close(stopping)  # at its end, a pipe can be read
            thread.join()
            os.close(stop)
