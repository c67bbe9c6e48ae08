"""A PCI Express function through Linux' VFIO: `pcie:0000:03:00.0`, no driver of our own and no root while it runs."""

import ctypes
import errno
import fcntl
import mmap
import os
import re
import resource
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bandgap.hdl.protocol.commands import COMMAND_BYTES
from bandgap.hdl.protocol.pcie import BAR_BYTES, INTERRUPT_TABLE_OFFSET, WINDOWS_OFFSET

from .device import UnavailableError
from .pcie import DmaMemory, PcieAccess, PcieTransport
from .transport import DeviceUrlError
from .user import user_name

ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
DRIVER = "vfio-pci"

# linux/vfio.h
API_VERSION = 0
TYPE1V2_IOMMU = 3
GROUP_VIABLE = 1
DEVICE_RESETS, DEVICE_IS_PCI = 1, 2
REGION_MAPPABLE = 4
MAP_READ_WRITE = 3
BAR0_REGION, CONFIG_REGION = 0, 7


def _request(number: int) -> int:
    """_IO(';', 100 + number)"""
    return ord(";") << 8 | 100 + number


GET_API_VERSION = _request(0)
CHECK_EXTENSION = _request(1)
SET_IOMMU = _request(2)
GROUP_GET_STATUS = _request(3)
GROUP_SET_CONTAINER = _request(4)
GROUP_GET_DEVICE_FD = _request(6)
DEVICE_GET_INFO = _request(7)
DEVICE_GET_REGION_INFO = _request(8)
DEVICE_RESET = _request(11)
IOMMU_MAP_DMA = _request(13)

GROUP_STATUS = struct.Struct("=II")  # argsz, flags
DEVICE_INFO = struct.Struct("=IIIII4x")  # argsz, flags, regions, interrupts, capabilities
REGION_INFO = struct.Struct("=IIIIQQ")  # argsz, flags, index, capabilities, size, offset
DMA_MAP = struct.Struct("=IIQQQ")  # argsz, flags, address here, address there, size

# linux/pci_regs.h
COMMAND_OFFSET = 4
MEMORY_SPACE, BUS_MASTER = 2, 4

HUGE_PAGE_BYTES = 1 << 21
MAP_HUGETLB = 0x40000
ENABLE_REMAPPING = "enable it in the firmware (VT-d, x2APIC), and take intremap=off off the kernel's command line"
FIRST_DEVICE_ADDRESS = 0x1000_0000
"""Memory is mapped from here on: below what any IOMMU reserves for interrupts."""

Ioctl = Callable[[int, int, Any], int]


class VfioError(UnavailableError):
    """The function cannot be used now; the message says why and what to do."""


class VfioAccess(PcieAccess):
    """A function that the kernel has handed to us: its BAR mapped, memory pinned and mapped for it.

    Registers are accessed in single loads and stores of 32 bits, commands written in four stores of 64, in order: the
    kernel maps a BAR uncached. What a copy would be made of is up to the C library.

    Arguments
    ---------
    address : Domain, bus, device and function, such as `0000:03:00.0`.
    sysfs, devices : Where the kernel shows PCI devices and the files of VFIO.
    ioctl : The system call.

    Raises
    ------
    DeviceUrlError : The address is malformed.
    VfioError : The function cannot be used now.
    """

    def __init__(
        self, address: str, sysfs: Path = Path("/sys"), devices: Path = Path("/dev"), ioctl: Ioctl = fcntl.ioctl
    ) -> None:
        self._address, self._ioctl = address, ioctl
        group = _checked_group(address, sysfs / "bus" / "pci" / "devices", devices / "vfio")
        self._free = memoryview(b"")
        self._free_address = self._next_address = FIRST_DEVICE_ADDRESS
        with ExitStack() as cleanup:
            self._cleanup = cleanup
            self._container = self._opened(devices / "vfio" / "vfio")
            self._device = self._attach(self._opened(devices / "vfio" / group))
            self._registers, self._windows = self._map_bar()
            self._let_it_be_master()
            self._cleanup = cleanup.pop_all()

    def read_word(self, offset: int) -> int:
        """See `PcieAccess.read_word`."""
        return int(self._registers[offset // 4])

    def write_word(self, offset: int, value: int) -> None:
        """See `PcieAccess.write_word`."""
        self._registers[offset // 4] = value

    def write_line(self, offset: int, data: bytes) -> None:
        """See `PcieAccess.write_line`."""
        first = (offset - WINDOWS_OFFSET) // 8
        windows = self._windows
        for place, word in enumerate(_LINE.unpack(data), first):
            windows[place] = word

    def allocate(self, size: int) -> DmaMemory:
        """See `PcieAccess.allocate`; from huge pages where there are any.

        Raises
        ------
        VfioError : The memory cannot be had, pinned or mapped.
        """
        size += -size % mmap.PAGESIZE
        if size > len(self._free):
            self._add_memory(size)
        memory, self._free = self._free[:size], self._free[size:]
        address = self._free_address
        self._free_address += size
        return DmaMemory(address, memory)

    def pause(self) -> None:
        """See `PcieAccess.pause`: the device goes on by itself."""

    def clock_s(self) -> float:
        """See `PcieAccess.clock_s`."""
        return time.monotonic()

    def close(self) -> None:
        """See `PcieAccess.close`: the kernel resets the function and unmaps its memory."""
        self._free = self._registers = self._windows = memoryview(b"")
        self._cleanup.close()

    # The kernel's calls

    def _opened(self, path: Path) -> int:
        try:
            file = os.open(path, os.O_RDWR)
        except OSError as error:
            raise VfioError(_why_not_opened(path, error)) from error
        self._cleanup.callback(os.close, file)
        return file

    @contextmanager
    def _asking_to(self, what: str, advice: str = "") -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise VfioError(f"{self._address}: the kernel refuses to {what}: {error.strerror}{advice}") from error

    def _call(self, file: int, request: int, argument: Any, what: str) -> int:
        with self._asking_to(what):
            return self._ioctl(file, request, argument)

    def _attach(self, group: int) -> int:
        """Make the group ours; the file of its device."""
        version = self._call(self._container, GET_API_VERSION, 0, "tell its version of VFIO")
        if version != API_VERSION:
            raise VfioError(f"the kernel has version {version} of VFIO, not {API_VERSION}: update this program")
        if not self._call(self._container, CHECK_EXTENSION, TYPE1V2_IOMMU, "tell what IOMMU it has"):
            raise VfioError("the kernel's VFIO has no type 1 IOMMU: load its module (`sudo modprobe vfio_iommu_type1`)")
        status = bytearray(GROUP_STATUS.pack(GROUP_STATUS.size, 0))
        self._call(group, GROUP_GET_STATUS, status, "tell the state of the IOMMU group")
        if not GROUP_STATUS.unpack(status)[1] & GROUP_VIABLE:
            raise VfioError(f"{self._address}: its IOMMU group is not handed out: another driver uses part of it")
        container = bytearray(struct.pack("=i", self._container))
        self._call(group, GROUP_SET_CONTAINER, container, "hand out the IOMMU group")
        with self._asking_to("set up the IOMMU", "; without interrupt remapping it does: " + ENABLE_REMAPPING):
            self._ioctl(self._container, SET_IOMMU, TYPE1V2_IOMMU)
        name = bytearray(self._address.encode() + b"\0")
        device = self._call(group, GROUP_GET_DEVICE_FD, name, "hand out the device")
        self._cleanup.callback(os.close, device)
        info = bytearray(DEVICE_INFO.pack(DEVICE_INFO.size, 0, 0, 0, 0))
        self._call(device, DEVICE_GET_INFO, info, "describe the device")
        flags = DEVICE_INFO.unpack(info)[1]
        if not flags & DEVICE_IS_PCI:
            raise VfioError(f"{self._address} is no PCI device to VFIO")
        if flags & DEVICE_RESETS:
            self._call(device, DEVICE_RESET, 0, "reset the device")
        return device

    def _region(self, index: int) -> tuple[int, int, int]:
        """Flags, size and offset of a region of the device's file."""
        info = bytearray(REGION_INFO.pack(REGION_INFO.size, 0, index, 0, 0, 0))
        self._call(self._device, DEVICE_GET_REGION_INFO, info, f"describe region {index}")
        _, flags, _, _, size, offset = REGION_INFO.unpack(info)
        return flags, size, offset

    def _map_bar(self) -> tuple[memoryview, memoryview]:
        """Registers as words of 32 bits, windows as words of 64: the kernel may keep the interrupt table to itself."""
        flags, size, offset = self._region(BAR0_REGION)
        if size != BAR_BYTES or not flags & REGION_MAPPABLE:
            raise VfioError(
                f"{self._address} is no appliance: its BAR 0 has {size} bytes, not {BAR_BYTES}, or cannot be mapped"
            )
        registers = self._map(self._device, INTERRUPT_TABLE_OFFSET, offset)
        windows = self._map(self._device, BAR_BYTES - WINDOWS_OFFSET, offset + WINDOWS_OFFSET)
        return registers.cast("I"), windows.cast("Q")

    def _map(self, file: int, size: int, offset: int) -> memoryview:
        with self._asking_to("map BAR 0", "; `sudo dmesg` may say why"):
            return memoryview(mmap.mmap(file, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=offset))

    def _let_it_be_master(self) -> None:
        _, _, offset = self._region(CONFIG_REGION)
        with self._asking_to("let the device reach memory"):
            command = int.from_bytes(os.pread(self._device, 2, offset + COMMAND_OFFSET), "little")
            command |= MEMORY_SPACE | BUS_MASTER
            os.pwrite(self._device, command.to_bytes(2, "little"), offset + COMMAND_OFFSET)

    def _add_memory(self, size: int) -> None:
        size += -size % HUGE_PAGE_BYTES
        anonymous = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS
        try:
            mapping = mmap.mmap(-1, size, anonymous | MAP_HUGETLB)
        except OSError:
            try:
                mapping = mmap.mmap(-1, size, anonymous)
            except OSError as error:
                raise VfioError(f"{size} bytes of memory cannot be had: {error.strerror}; free some") from error
        byte = ctypes.c_char.from_buffer(mapping)
        here = ctypes.addressof(byte)
        del byte
        request = bytearray(DMA_MAP.pack(DMA_MAP.size, MAP_READ_WRITE, here, self._next_address, size))
        try:
            self._ioctl(self._container, IOMMU_MAP_DMA, request)
        except OSError as error:
            raise VfioError(_why_not_mapped(size, error)) from error
        self._free, self._free_address = memoryview(mapping), self._next_address
        self._next_address += size


_LINE = struct.Struct("=4Q")
assert _LINE.size == COMMAND_BYTES


def _checked_group(address: str, functions: Path, files: Path) -> str:
    """The IOMMU group of a function, once it is clear that it can be used."""
    if not ADDRESS.fullmatch(address):
        raise DeviceUrlError(f"{address!r} is no PCI address; write it like pcie:0000:03:00.0 (`lspci -D` lists them)")
    function = functions / address
    if not function.exists():
        raise VfioError(
            f"there is no PCI device {address}: `lspci -D` lists those there are; a card that was configured after the "
            "computer's start is found by `echo 1 | sudo tee /sys/bus/pci/rescan`"
        )
    group = function / "iommu_group"
    if not group.exists():
        raise VfioError(
            f"{address} has no IOMMU group: the IOMMU is off; enable it in the firmware (VT-d, AMD-Vi) and on "
            "the kernel's command line (intel_iommu=on or amd_iommu=on)"
        )
    driver = _driver(function)
    if driver != DRIVER:
        holder = f"the driver {driver} has it" if driver else "no driver has it"
        raise VfioError(
            f"{address} is not bound to {DRIVER}, {holder}: `sudo driverctl set-override {address} {DRIVER}` binds it"
        )
    others = {other.name: _driver(other) for other in sorted((group.resolve() / "devices").iterdir())}
    used = [f"{name} ({driver})" for name, driver in others.items() if driver not in (None, DRIVER, "pcieport")]
    if used:
        raise VfioError(
            f"{address} shares IOMMU group {group.resolve().name} with devices in use: {', '.join(used)}; bind them to "
            f"{DRIVER} too, or put the card into another slot"
        )
    if not (files / "vfio").exists():
        raise VfioError(f"there is no {files / 'vfio'}: load the module (`sudo modprobe {DRIVER}`)")
    return group.resolve().name


def _driver(function: Path) -> str | None:
    link = function / "driver"
    return link.resolve().name if link.exists() else None


def _why_not_opened(path: Path, error: OSError) -> str:
    if error.errno == errno.EACCES:
        user = user_name()
        return (
            f"no permission for {path}: hand it to {user} (`sudo chown {user} {path}`; for good by a udev rule, "
            "docs/deployment.md)"
        )
    if error.errno == errno.EBUSY:
        return f"{path} is in use by another program: end that first"
    if error.errno == errno.ENOENT:
        return f"there is no {path}: is the device handed to {DRIVER} with its IOMMU on?"
    return f"{path} cannot be opened: {error.strerror}"


def _why_not_mapped(size: int, error: OSError) -> str:
    if error.errno == errno.ENOMEM:
        limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        text = "unlimited" if limit == resource.RLIM_INFINITY else f"{limit} bytes"
        return (
            f"{size} bytes cannot be pinned for the device; the limit of locked memory is {text}: raise it "
            "(`ulimit -l`, or memlock in /etc/security/limits.conf; of a service, LimitMEMLOCK= in its unit)"
        )
    return f"{size} bytes cannot be mapped for the device: {error.strerror}"


def open_device(address: str) -> PcieTransport:
    """Open `pcie:DOMAIN:BUS:DEVICE.FUNCTION`; `address` is what follows the first colon.

    Raises
    ------
    DeviceUrlError : The address is malformed.
    VfioError : The function cannot be used now.
    HandshakeError : What answers is no appliance, or its link is laid out otherwise.
    PcieLinkError : The device does not answer.
    """
    return PcieTransport(VfioAccess(address))
