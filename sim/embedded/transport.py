"""The appliance, simulated inside this process."""

import ctypes
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.config import PRESETS, BookConfig
from bandgap.hdl.protocol.commands import COMMAND_BYTES
from bandgap.hdl.protocol.registers import BY_NAME
from bandgap.hdl.protocol.reports import REPORT_BYTES
from bandgap.host.device.transport import Bytes2D, DeviceUrlError, Transport, TransportError, arrivals_of
from bandgap.sim.whole_file import opening

from . import build

PATIENCE_CYCLES = 1 << 20
"""A healthy appliance moves a message, or finishes, within this: its longest silences (a fill-or-kill's count, the
search for an auction's price) take some ten cycles an order, of 65,536 orders at most."""

_NO_COMMANDS = np.empty((0, COMMAND_BYTES), np.uint8)


class DeviceHungError(TransportError):
    """The appliance neither took a command, nor reported, nor came to rest."""


class EmbeddedTransport(Transport):
    """A Verilated appliance.

    Arguments
    ---------
    library : Shared library made by `build.library`.
    links : How many links the appliance has.
    waves : Where the library writes its waves; only for a library that was built for them.
    stall_seed : Not zero: hold back commands and reports at random, repeatably; for verification.
    memory_seed : Not zero: all rows of a memory hold one random value before they are written; else zeros.
    patience_cycles : How long it may do nothing, and how many reports it may give to one command, before it is hung.
    """

    def __init__(
        self,
        library: Path,
        links: int,
        waves: Path | None = None,
        stall_seed: int = 0,
        memory_seed: int = 0,
        patience_cycles: int = PATIENCE_CYCLES,
    ) -> None:
        self._library = _load(library)
        self._links = links
        self._patience_cycles = patience_cycles
        self._device: int | None = self._library.bandgap_open(
            str(waves).encode() if waves else None, stall_seed, patience_cycles, memory_seed
        )
        self._settle()

    @property
    def cycles(self) -> int:
        """Clock cycles simulated so far."""
        return int(self._library.bandgap_cycles(self._open()))

    @property
    def time_ns(self) -> int:
        """The appliance's time, as what was sent or `advance` has set it."""
        return int(self._library.bandgap_time(self._open()))

    def read_register(self, offset: int) -> int:
        """See `Transport.read_register`."""
        return int(self._library.bandgap_read(self._open(), offset))

    def write_register(self, offset: int, value: int) -> None:
        """See `Transport.write_register`; returns when the appliance has come to rest."""
        self._library.bandgap_write(self._open(), offset, value)
        self._settle()

    def send(self, commands: Bytes2D, arrival_ns: NDArray[np.uint64] | None = None, link: int = 0) -> None:
        """See `Transport.send`.

        Raises
        ------
        ValueError : A shape or type is wrong, arrivals go backwards, or the appliance has no such link.
        DeviceHungError : The appliance stopped taking commands.
        """
        device = self._open()
        now_ns = self.time_ns
        arrivals = np.array(arrivals_of(commands, arrival_ns, link, links=self._links, now_ns=now_ns), np.uint64)
        whole = np.ascontiguousarray(commands)
        self._check(self._library.bandgap_send(device, whole.ctypes.data, len(whole), arrivals.ctypes.data, link))

    def receive(self) -> Bytes2D:
        """See `Transport.receive`; raises `DeviceHungError` when the appliance does not come to rest."""
        self._settle()
        return self._take()

    def offer(
        self, commands: Bytes2D, cycles: int, link: int = 0, take_reports: bool = True, time_ns: int | None = None
    ) -> int:
        """Offer commands for exactly so many clock cycles and wait for nothing; returns how many were taken.

        For verification: what is under way stays under way. Without `take_reports` none leaves in these cycles. Time
        stands still in them; with `time_ns` it is set to that first, so that what falls due is under way as well.

        Raises
        ------
        ValueError : Time would go back.
        """
        device = self._open()
        at_ns = self._not_before_now(self.time_ns if time_ns is None else time_ns)
        rows = np.ascontiguousarray(commands, np.uint8)
        return int(self._library.bandgap_offer(device, rows.ctypes.data, len(rows), at_ns, link, cycles, take_reports))

    def restart(self, epoch: int, commands: Bytes2D = _NO_COMMANDS, link: int = 0) -> tuple[Bytes2D, int]:
        """Write the register `epoch` in the very next cycle, whatever is under way; wait for the reset, no more.

        For verification. The commands are offered in the cycle of the reset. Returns the reports that had left until
        then, and how many commands were taken.
        """
        device = self._open()
        self._library.bandgap_write(device, BY_NAME["epoch"].at(), epoch)
        taken = self.offer(commands, 1, link)
        return self._take(), taken

    def write_coverage(self, path: Path) -> None:
        """Write down what ran so far, as Verilator does; only for a library that counts it."""
        build.write_coverage(self._library, self._open(), path)

    def _take(self) -> Bytes2D:
        device = self._open()
        reports = np.empty((self._library.bandgap_pending(device), REPORT_BYTES), np.uint8)
        self._library.bandgap_take(device, reports.ctypes.data)
        return reports

    def advance(self, time_ns: int) -> None:
        """See `Transport.advance`; a time before the appliance's is a `ValueError`."""
        device = self._open()
        self._check(self._library.bandgap_advance(device, self._not_before_now(time_ns)))

    def close(self) -> None:
        """See `Transport.close`; finishes the waves."""
        if self._device is not None:
            self._library.bandgap_close(self._device)
            self._device = None

    def _not_before_now(self, time_ns: int) -> int:
        now_ns = self.time_ns
        if time_ns < now_ns:
            raise ValueError(f"time would go back from {now_ns} ns to {time_ns} ns")
        return time_ns

    def _open(self) -> int:
        if self._device is None:
            raise ValueError("the device is closed")
        return self._device

    def _settle(self) -> None:
        self._check(self._library.bandgap_settle(self._open()))

    def _check(self, hung: int) -> None:
        if hung:
            raise DeviceHungError(
                "the embedded device hangs: it took no command and gave no report, or reports without end, for "
                f"{self._patience_cycles:,} cycles and did not come to rest"
            )


def open_config(
    config: BookConfig, waves: Path | None = None, stall_seed: int = 0, memory_seed: int = 0
) -> EmbeddedTransport:
    """Open an appliance of any size.

    Arguments
    ---------
    config : Its sizes.
    waves : Write its waves to this file, `.vcd` or `.fst`.
    stall_seed, memory_seed : See `EmbeddedTransport`.

    Raises
    ------
    DeviceUrlError : The waves' suffix is neither.
    OutputFileError : The waves cannot be written.
    build.BuildError : It cannot be built on this machine.
    """
    if waves is not None and waves.suffix not in build.WAVE_FLAGS:
        raise DeviceUrlError(f"waves are written as .vcd or .fst, not {waves.name!r}")
    if waves is not None:
        with opening(waves):
            waves.open("ab").close()
    library = build.library(build.verilog(config), waves.suffix if waves else None)
    return EmbeddedTransport(library, config.links, waves, stall_seed, memory_seed)


def open_device(address: str) -> EmbeddedTransport:
    """Open `embedded:PRESET` or `embedded:PRESET?waves=FILE`; `address` is what follows the colon."""
    preset, _, query = address.partition("?")
    options = parse_qs(query, keep_blank_values=True)
    if preset not in PRESETS:
        raise DeviceUrlError(f"no preset {preset!r} in device 'embedded:{address}'; known: {', '.join(PRESETS)}")
    if unknown := options.keys() - {"waves"}:
        raise DeviceUrlError(f"no option {', '.join(sorted(unknown))} in device 'embedded:{address}'; known: waves")
    waves = Path(options["waves"][0]) if "waves" in options else None
    return open_config(PRESETS[preset], waves)


def _load(path: Path) -> ctypes.CDLL:
    """Load a device's library and declare its functions as `shim.cpp` defines them."""
    library = ctypes.CDLL(str(path))
    handle, size, word = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint64
    for name, result, arguments in (
        ("open", handle, [ctypes.c_char_p, word, word, ctypes.c_uint32]),
        ("close", None, [handle]),
        ("send", ctypes.c_int, [handle, ctypes.c_void_p, size, ctypes.c_void_p, ctypes.c_uint8]),
        ("offer", size, [handle, ctypes.c_void_p, size, word, ctypes.c_uint8, word, ctypes.c_int]),
        ("settle", ctypes.c_int, [handle]),
        ("advance", ctypes.c_int, [handle, word]),
        ("time", word, [handle]),
        ("cycles", word, [handle]),
        ("pending", size, [handle]),
        ("take", None, [handle, ctypes.c_void_p]),
        ("read", ctypes.c_uint32, [handle, ctypes.c_uint16]),
        ("write", None, [handle, ctypes.c_uint16, ctypes.c_uint32]),
    ):
        function = getattr(library, f"bandgap_{name}")
        function.restype, function.argtypes = result, arguments
    return library
