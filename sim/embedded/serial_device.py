"""The embedded appliance behind its own serial port, real UART gateware included."""

import ctypes
from pathlib import Path

from bandgap.hdl.config import BookConfig

from . import build
from .uart_line import BYTE_CYCLES, LineReader, levels_of


class SerialDevice:
    """A Verilated appliance that is reached by its UART alone.

    Its time is counted in clock cycles and passes in `exchange` and `clock` alone.

    Arguments
    ---------
    library : Shared library made of `build.verilog(serial=True)` with `build.SERIAL_SHIM`.

    Attributes
    ----------
    cycles : Clock cycles so far.
    """

    def __init__(self, library: Path) -> None:
        self._library = _load(library)
        self._device = self._library.bandgap_open()
        self._line = LineReader()
        self.cycles = 0

    @property
    def quiet(self) -> bool:
        """Nothing will happen before a byte comes or a timeout passes."""
        return bool(self._library.bandgap_quiet(self._device))

    def clock(self, rx: bytes) -> bytes:
        """One cycle for each level of `rx`; the levels of `tx` in the same cycles."""
        tx = ctypes.create_string_buffer(len(rx))
        self._library.bandgap_clock(self._device, rx, tx, len(rx))
        self.cycles += len(rx)
        return tx.raw

    def exchange(self, data: bytes) -> bytes:
        """Send bytes to the device, or let one byte's time pass when there are none; what has come meanwhile."""
        return self._line.take(self.clock(levels_of(data) if data else b"\1" * BYTE_CYCLES))

    def write_coverage(self, path: Path) -> None:
        """Write down what ran so far, as Verilator does; only for a library that counts it."""
        build.write_coverage(self._library, self._device, path)

    def close(self) -> None:
        """Let the device go. Calling it twice is allowed."""
        if self._device is not None:
            self._library.bandgap_close(self._device)
            self._device = None


def open_serial_device(config: BookConfig | None) -> SerialDevice:
    """Open an appliance of any size, or, for None, the loopback image.

    Raises
    ------
    build.BuildError : It cannot be built on this machine.
    """
    return SerialDevice(build.library(build.verilog(config, serial=True), shim=build.SERIAL_SHIM))


def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    handle, size, levels = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
    library.bandgap_open.restype = handle
    for name, arguments in (("close", [handle]), ("quiet", [handle]), ("clock", [handle, levels, levels, size])):
        getattr(library, f"bandgap_{name}").argtypes = arguments
    return library
