"""VFIO without a card: a tree of files like the kernel's, and a stand-in for its calls that keeps their rules."""

import ctypes
import errno
import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandgap.hdl.protocol.pcie import BAR_BYTES, LINK_BY_NAME, WINDOWS_OFFSET, LinkState
from bandgap.hdl.protocol.registers import BY_NAME, MAGIC
from bandgap.hdl.protocol.version import link_layout_hash
from bandgap.host.device import vfio
from bandgap.host.device.device import HandshakeError
from bandgap.host.device.pcie import PcieLinkError, PcieTransport
from bandgap.host.device.transport import open_transport
from bandgap.host.device.vfio import VfioAccess, VfioError

ADDRESS = "0000:03:00.0"
NEIGHBOUR = "0000:03:00.1"
GROUP = "7"
HEADER = Path("/usr/include/linux/vfio.h")
CONFIG_OFFSET = BAR_BYTES


class Kernel:
    """Files as the kernel has them for one function, and its calls, in the order in which it wants them.

    Attributes
    ----------
    refusals : The error number that a request is refused with.
    calls : Every request, in order.
    mapped : (here, there, size) of the memory that was mapped.
    bar_bytes, bar_flags, version, viable, extension : What the calls tell.
    """

    def __init__(self, root: Path) -> None:
        self.sysfs, self.devices = root / "sys", root / "dev"
        self.functions = self.sysfs / "bus" / "pci" / "devices"
        self.group = self.sysfs / "kernel" / "iommu_groups" / GROUP
        self.refusals: dict[int, int] = {}
        self.calls: list[int] = []
        self.mapped: list[tuple[int, int, int]] = []
        self.bar_bytes, self.bar_flags, self.version, self.viable, self.extension = BAR_BYTES, 7, 0, 1, 1
        (self.devices / "vfio").mkdir(parents=True)
        for name in ("vfio", GROUP):
            (self.devices / "vfio" / name).touch()
        self.file = root / "function"
        self.file.write_bytes(bytes(BAR_BYTES + 4096))
        self.put("magic", MAGIC)
        self.add_function(ADDRESS, "vfio-pci")

    def add_function(self, address: str, driver: str | None) -> None:
        function = self.functions / address
        function.mkdir(parents=True)
        (self.group / "devices").mkdir(parents=True, exist_ok=True)
        (function / "iommu_group").symlink_to(self.group)
        (self.group / "devices" / address).symlink_to(function)
        if driver:
            self.bind(address, driver)

    def bind(self, address: str, driver: str | None) -> None:
        link = self.functions / address / "driver"
        link.unlink(missing_ok=True)
        if driver:
            target = self.sysfs / "bus" / "pci" / "drivers" / driver
            target.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)

    def put(self, name: str, value: int) -> None:
        """Have a register read as this."""
        with self.file.open("r+b") as file:
            file.seek((BY_NAME | LINK_BY_NAME)[name].offset)
            file.write(value.to_bytes(4, "little"))

    def bytes(self, offset: int, size: int) -> bytes:
        return self.file.read_bytes()[offset : offset + size]

    def ioctl(self, file: int, request: int, argument: Any) -> int:
        if number := self.refusals.get(request):
            raise OSError(number, os.strerror(number))
        before = set(self.calls)
        self.calls.append(request)
        name = Path(os.readlink(f"/proc/self/fd/{file}")).name
        match request:
            case vfio.GET_API_VERSION:
                assert name == "vfio"
                return self.version
            case vfio.CHECK_EXTENSION:
                assert (name, argument) == ("vfio", vfio.TYPE1V2_IOMMU)
                return self.extension
            case vfio.GROUP_GET_STATUS:
                assert name == GROUP
                assert struct.unpack_from("=I", argument) == (8,)
                struct.pack_into("=I", argument, 4, self.viable)
            case vfio.GROUP_SET_CONTAINER:
                (container,) = struct.unpack("=i", argument)
                assert Path(os.readlink(f"/proc/self/fd/{container}")).name == "vfio"
            case vfio.SET_IOMMU:
                assert (name, argument) == ("vfio", vfio.TYPE1V2_IOMMU)
                assert vfio.GROUP_SET_CONTAINER in before
            case vfio.GROUP_GET_DEVICE_FD:
                assert vfio.SET_IOMMU in before
                assert bytes(argument) == ADDRESS.encode() + b"\0"
                return os.open(self.file, os.O_RDWR)
            case vfio.DEVICE_GET_INFO:
                struct.pack_into("=IIII", argument, 4, vfio.DEVICE_IS_PCI | vfio.DEVICE_RESETS, 9, 5, 0)
            case vfio.DEVICE_RESET:
                assert not self.mapped
            case vfio.DEVICE_GET_REGION_INFO:
                size, _, index = struct.unpack_from("=III", argument)
                assert size == 32
                region = {0: (self.bar_flags, self.bar_bytes, 0), 7: (3, 4096, CONFIG_OFFSET)}[index]
                struct.pack_into("=I", argument, 4, region[0])
                struct.pack_into("=QQ", argument, 16, *region[1:])
            case vfio.IOMMU_MAP_DMA:
                size, flags, *place = struct.unpack("=IIQQQ", argument)
                assert (name, size, flags) == ("vfio", 32, 3)
                self.mapped.append(tuple(place))
            case _:
                raise AssertionError(f"no such request: {request}")
        return 0

    def open(self) -> VfioAccess:
        return VfioAccess(ADDRESS, self.sysfs, self.devices, self.ioctl)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


@pytest.fixture
def access(kernel: Kernel) -> Iterator[VfioAccess]:
    access = kernel.open()
    yield access
    access.close()


def test_registers_are_words_of_the_bar(kernel: Kernel, access: VfioAccess) -> None:
    kernel.put("window_commands", 64)
    assert access.read_word(LINK_BY_NAME["window_commands"].offset) == 64
    access.write_word(LINK_BY_NAME["control"].offset, 0x1234_5678)
    assert kernel.bytes(LINK_BY_NAME["control"].offset, 4) == bytes.fromhex("78563412")


def test_a_line_arrives_where_it_belongs(kernel: Kernel, access: VfioAccess) -> None:
    line = bytes(range(1, 33))
    access.write_line(WINDOWS_OFFSET + 0x1020, line)
    assert kernel.bytes(WINDOWS_OFFSET, BAR_BYTES - WINDOWS_OFFSET).strip(b"\0") == line
    assert kernel.bytes(WINDOWS_OFFSET + 0x1020, 32) == line


def test_the_function_becomes_a_bus_master_after_its_reset(kernel: Kernel, access: VfioAccess) -> None:
    assert kernel.bytes(CONFIG_OFFSET, 8) == bytes([0, 0, 0, 0, 6, 0, 0, 0])
    assert vfio.DEVICE_RESET in kernel.calls


def test_memory_is_mapped_where_it_is_said_to_be(kernel: Kernel, access: VfioAccess) -> None:
    first, second = access.allocate(10), access.allocate(5_000)
    large = access.allocate(vfio.HUGE_PAGE_BYTES)
    assert len(first.buffer) == mmap.PAGESIZE
    assert second.address - first.address == mmap.PAGESIZE
    assert len(kernel.mapped) == 2
    for memory in (first, second, large):
        assert memory.address % mmap.PAGESIZE == 0
        assert not any(memory.buffer)
        ((here, there, size),) = [place for place in kernel.mapped if 0 <= memory.address - place[1] < place[2]]
        assert memory.address + len(memory.buffer) <= there + size
        memory.buffer[3] = 77
        assert ctypes.string_at(here + memory.address - there, 4) == b"\0\0\0M"
    assert kernel.mapped[0][1] + kernel.mapped[0][2] <= kernel.mapped[1][1]


@pytest.mark.parametrize("granted", [True, False])
def test_memory_is_of_huge_pages_where_there_are_any(
    kernel: Kernel, access: VfioAccess, monkeypatch: pytest.MonkeyPatch, granted: bool
) -> None:
    map_memory, asked = mmap.mmap, []

    def map_with_huge_pages(file: int, size: int, flags: int) -> mmap.mmap:
        huge = bool(flags & vfio.MAP_HUGETLB)
        asked.append((file, size, huge))
        if huge and not granted:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return map_memory(file, size, flags & ~vfio.MAP_HUGETLB)

    monkeypatch.setattr(mmap, "mmap", map_with_huge_pages)
    memory = access.allocate(10)
    assert asked == [(-1, vfio.HUGE_PAGE_BYTES, huge) for huge in ([True] if granted else [True, False])]
    ((here, there, size),) = kernel.mapped
    assert (there, size) == (memory.address, vfio.HUGE_PAGE_BYTES)
    memory.buffer[0] = 77
    assert ctypes.string_at(here, 1) == b"M"


def test_closing_twice_is_allowed_and_closes_everything(kernel: Kernel) -> None:
    before = len(os.listdir("/proc/self/fd"))
    access = kernel.open()
    access.allocate(1)
    access.close()
    access.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("address", ["03:00.0", "0000:03:00.8", "0000:03:00", "", "../../../etc"])
def test_what_is_no_address(address: str, kernel: Kernel) -> None:
    with pytest.raises(ValueError, match=r"is no PCI address; write it like pcie:0000:03:00\.0"):
        VfioAccess(address, kernel.sysfs, kernel.devices, kernel.ioctl)


def _no_such_device(kernel: Kernel) -> None:
    shutil.rmtree(kernel.functions / ADDRESS)


def _iommu_off(kernel: Kernel) -> None:
    (kernel.functions / ADDRESS / "iommu_group").unlink()


def _no_module(kernel: Kernel) -> None:
    (kernel.devices / "vfio" / "vfio").unlink()


def _no_group_file(kernel: Kernel) -> None:
    (kernel.devices / "vfio" / GROUP).unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_no_such_device, r"there is no PCI device 0000:03:00.0: .*rescan"),
        (_iommu_off, r"has no IOMMU group: the IOMMU is off; .*intel_iommu=on"),
        (
            lambda kernel: kernel.bind(ADDRESS, None),
            r"not bound to vfio-pci, no driver has it: .*driverctl set-override",
        ),
        (lambda kernel: kernel.bind(ADDRESS, "xdma"), r"not bound to vfio-pci, the driver xdma has it"),
        (
            lambda kernel: kernel.add_function(NEIGHBOUR, "snd_hda_intel"),
            r"shares IOMMU group 7 with devices in use: 0000:03:00.1 \(snd_hda_intel\)",
        ),
        (_no_module, r"there is no .*/dev/vfio/vfio: load the module"),
        (_no_group_file, r"there is no .*/dev/vfio/7: is the device handed to vfio-pci"),
        (lambda kernel: vars(kernel).update(version=1), r"version 1 of VFIO, not 0"),
        (lambda kernel: vars(kernel).update(extension=0), r"no type 1 IOMMU: .*modprobe"),
        (lambda kernel: vars(kernel).update(viable=0), r"another driver uses part of it"),
        (lambda kernel: vars(kernel).update(bar_bytes=4096), r"is no appliance: its BAR 0 has 4096 bytes, not 65536"),
        (lambda kernel: vars(kernel).update(bar_flags=3), r"or cannot be mapped"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_stays_open(kernel: Kernel, spoil: Any, message: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    spoil(kernel)
    with pytest.raises(VfioError, match=message):
        kernel.open()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "request_name",
    ["GROUP_GET_STATUS", "GROUP_SET_CONTAINER", "SET_IOMMU", "GROUP_GET_DEVICE_FD", "DEVICE_GET_INFO", "DEVICE_RESET"],
)
def test_a_refusal_of_the_kernel_is_passed_on(kernel: Kernel, request_name: str) -> None:
    kernel.refusals[getattr(vfio, request_name)] = errno.EPERM
    with pytest.raises(VfioError, match=r"0000:03:00.0: the kernel refuses to .*: Operation not permitted"):
        kernel.open()


def test_what_interrupt_remapping_has_to_do_with_it_is_said(kernel: Kernel) -> None:
    kernel.refusals[vfio.SET_IOMMU] = errno.EPERM
    with pytest.raises(VfioError, match=r"without interrupt remapping it does: enable it in .*intremap=off"):
        kernel.open()


def test_a_bar_that_is_not_mapped_and_memory_that_is_not_there(
    kernel: Kernel, access: VfioAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(os.listdir("/proc/self/fd"))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(mmap, "mmap", refuse)
    with pytest.raises(VfioError, match=r"the kernel refuses to map BAR 0: Cannot allocate memory; `sudo dmesg`"):
        kernel.open()
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(VfioError, match=r"^2097152 bytes of memory cannot be had: Cannot allocate"):
        access.allocate(1)
    assert kernel.mapped == []


def test_a_device_that_may_not_reach_memory(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(VfioError, match=r"the kernel refuses to let the device reach memory: Input/output error"):
        kernel.open()


def test_neighbours_that_do_nothing_do_not_matter(kernel: Kernel) -> None:
    kernel.add_function(NEIGHBOUR, None)
    kernel.add_function("0000:00:01.0", "pcieport")
    kernel.open().close()


def test_the_limit_of_locked_memory_is_named(kernel: Kernel, access: VfioAccess) -> None:
    kernel.refusals[vfio.IOMMU_MAP_DMA] = errno.ENOMEM
    with pytest.raises(VfioError, match=r"cannot be pinned for the device; the limit of locked memory is .*ulimit -l"):
        access.allocate(4096)
    kernel.refusals[vfio.IOMMU_MAP_DMA] = errno.EINVAL
    with pytest.raises(VfioError, match=r"cannot be mapped for the device: Invalid argument"):
        access.allocate(4096)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EACCES, r"no permission for .*: hand it to (\S+) \(`sudo chown \1 /"),
        (errno.EBUSY, r"is in use by another program"),
    ],
)
def test_why_a_file_cannot_be_opened(number: int, message: str) -> None:
    with pytest.raises(VfioError, match=message):
        raise VfioError(vfio._why_not_opened(Path("/dev/vfio/7"), OSError(number, "")))


def test_a_device_that_vanished_is_told_from_another_and_from_one_laid_out_otherwise(kernel: Kernel) -> None:
    kernel.put("magic", 0xFFFF_FFFF)
    with pytest.raises(PcieLinkError, match="does not answer: its registers read as ones"):
        PcieTransport(kernel.open())
    kernel.put("magic", 0x0123_4567)
    with pytest.raises(HandshakeError, match=f"no appliance answers: magic is 0x01234567, not {MAGIC:#010x}"):
        PcieTransport(kernel.open())
    kernel.put("magic", MAGIC)
    kernel.put("link_layout", 0x0123_4567)
    before = kernel.bytes(0, BAR_BYTES)
    said = r"laid out otherwise: layout 0x01234567, host 0x[0-9a-f]{8}: program it .*`bandgap bitstream u50`"
    with pytest.raises(HandshakeError, match=said):
        PcieTransport(kernel.open())
    assert kernel.bytes(0, BAR_BYTES) == before


def test_a_device_that_vanishes_meanwhile_can_be_closed(kernel: Kernel) -> None:
    kernel.put("link_layout", link_layout_hash())
    transport = PcieTransport(kernel.open(), patience_s=0.01)
    kernel.put("state", 0xFFFF_FFFF)
    with pytest.raises(PcieLinkError, match=r"the device has vanished for 0\.01 s"):
        transport.receive()
    transport.close()
    transport.close()
    with pytest.raises(ValueError, match="the device is closed"):
        transport.receive()


def test_sequences_begin_anew_behind_32_bits(kernel: Kernel) -> None:
    """Reports that a device has left on both sides of that are taken out in order, once, and told to it."""
    kernel.put("link_layout", link_layout_hash())
    transport = PcieTransport(kernel.open(), report_ring_log2=3)
    memory = transport._shared()
    first = (1 << 32) - 2
    transport._received = first - len(memory.slots) - 1
    transport.restart()
    for row in range(5):
        sequence = (first + row) % (1 << 32)
        slot = memory.slots["slot"][(sequence - 1) % len(memory.slots)]
        slot["report"][0], slot["sequence"] = row, sequence
    status = memory.statuses[transport._line]["status"]
    status["reports"], status["progress"] = 2, 1
    assert transport.receive()[:, 0].tolist() == list(range(5))
    assert len(transport.receive()) == 0
    assert kernel.bytes(LINK_BY_NAME["reports_taken"].offset, 4) == bytes([2, 0, 0, 0])
    transport.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"report_ring_log2": -1}, "report_ring_log2 must be 0 to 16, not -1"),
        ({"report_ring_log2": 17}, "report_ring_log2 must be 0 to 16, not 17"),
        ({"descriptor_ring_log2": -1}, "descriptor_ring_log2 must be 0 to 16, not -1"),
        ({"descriptor_ring_log2": 17}, "descriptor_ring_log2 must be 0 to 16, not 17"),
        ({"command_places": 0}, "command_places must be positive, not 0"),
        ({"bulk_commands": 0}, "bulk_commands must be positive, not 0"),
        ({"batch_commands": 0}, "batch_commands must be positive, not 0"),
    ],
)
def test_settings_are_checked(kernel: Kernel, settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PcieTransport(kernel.open(), **settings)


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
def test_a_bad_call_sends_nothing(
    kernel: Kernel, rows: np.ndarray, arrivals: list[int] | None, link: int, message: str
) -> None:
    kernel.put("link_layout", link_layout_hash())
    kernel.put("links", 2)
    transport = PcieTransport(kernel.open())
    before = kernel.bytes(0, BAR_BYTES)
    with pytest.raises(ValueError, match=message):
        transport.send(rows, None if arrivals is None else np.array(arrivals, np.uint64), link)
    assert kernel.bytes(0, BAR_BYTES) == before
    transport.close()


def test_a_device_that_awaits_what_never_comes_is_not_used(kernel: Kernel) -> None:
    kernel.put("link_layout", link_layout_hash())
    kernel.put("state", LinkState.BUSY.value)
    with pytest.raises(PcieLinkError, match=r"are not answered for 0\.01 s: reset it before it is used again"):
        PcieTransport(kernel.open(), patience_s=0.01)
    assert kernel.mapped == []


def test_a_url_names_the_function() -> None:
    with pytest.raises(VfioError, match=r"there is no PCI device ffff:1f:1f\.7"):
        open_transport("pcie:ffff:1f:1f.7")


@pytest.mark.skipif(not HEADER.exists() or not shutil.which("g++"), reason="needs g++ and linux/vfio.h")
def test_numbers_and_layouts_are_those_of_the_kernel(tmp_path: Path) -> None:
    """Compared with what a compiler makes of its header."""
    expressions = {
        "VFIO_API_VERSION": vfio.API_VERSION,
        "VFIO_TYPE1v2_IOMMU": vfio.TYPE1V2_IOMMU,
        "VFIO_GROUP_FLAGS_VIABLE": vfio.GROUP_VIABLE,
        "VFIO_DEVICE_FLAGS_RESET": vfio.DEVICE_RESETS,
        "VFIO_DEVICE_FLAGS_PCI": vfio.DEVICE_IS_PCI,
        "VFIO_REGION_INFO_FLAG_MMAP": vfio.REGION_MAPPABLE,
        "(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)": vfio.MAP_READ_WRITE,
        "VFIO_PCI_BAR0_REGION_INDEX": vfio.BAR0_REGION,
        "VFIO_PCI_CONFIG_REGION_INDEX": vfio.CONFIG_REGION,
        "VFIO_GET_API_VERSION": vfio.GET_API_VERSION,
        "VFIO_CHECK_EXTENSION": vfio.CHECK_EXTENSION,
        "VFIO_SET_IOMMU": vfio.SET_IOMMU,
        "VFIO_GROUP_GET_STATUS": vfio.GROUP_GET_STATUS,
        "VFIO_GROUP_SET_CONTAINER": vfio.GROUP_SET_CONTAINER,
        "VFIO_GROUP_GET_DEVICE_FD": vfio.GROUP_GET_DEVICE_FD,
        "VFIO_DEVICE_GET_INFO": vfio.DEVICE_GET_INFO,
        "VFIO_DEVICE_GET_REGION_INFO": vfio.DEVICE_GET_REGION_INFO,
        "VFIO_DEVICE_RESET": vfio.DEVICE_RESET,
        "VFIO_IOMMU_MAP_DMA": vfio.IOMMU_MAP_DMA,
        "sizeof(vfio_group_status)": vfio.GROUP_STATUS.size,
        "sizeof(vfio_region_info)": vfio.REGION_INFO.size,
        "offsetof(vfio_region_info, index)": 8,
        "offsetof(vfio_region_info, size)": 16,
        "offsetof(vfio_region_info, offset)": 24,
        "sizeof(vfio_iommu_type1_dma_map)": vfio.DMA_MAP.size,
        "offsetof(vfio_iommu_type1_dma_map, vaddr)": 8,
        "offsetof(vfio_iommu_type1_dma_map, iova)": 16,
        "PCI_COMMAND": vfio.COMMAND_OFFSET,
        "PCI_COMMAND_MEMORY": vfio.MEMORY_SPACE,
        "PCI_COMMAND_MASTER": vfio.BUS_MASTER,
        "MAP_HUGETLB": vfio.MAP_HUGETLB,
    }
    prints = "".join(f'std::printf("%llu\\n", (unsigned long long)({expression}));' for expression in expressions)
    includes = "".join(
        f"#include <{name}>\n"
        for name in ("cstddef", "cstdio", "linux/pci_regs.h", "linux/vfio.h", "sys/ioctl.h", "sys/mman.h")
    )
    (tmp_path / "numbers.cpp").write_text(f"{includes}int main() {{ {prints} }}\n")
    subprocess.run(["g++", "-o", tmp_path / "numbers", tmp_path / "numbers.cpp"], check=True)
    numbers = subprocess.run([tmp_path / "numbers"], capture_output=True, text=True, check=True).stdout.split()
    assert dict(zip(expressions, map(int, numbers), strict=True)) == expressions
