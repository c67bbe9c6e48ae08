"""A simulated rack server: cocotbext-pcie's root complex and UltraScale+ block around the appliance's PCIe link."""

import logging
from enum import Enum, auto
from itertools import count
from random import Random

import cocotb
from cocotb.handle import SimHandleBase
from cocotb.simtime import get_sim_time
from cocotb.task import resume
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiStreamBus
from cocotbext.pcie.core import RootComplex
from cocotbext.pcie.core.tlp import Tlp, TlpType
from cocotbext.pcie.core.utils import PcieId
from cocotbext.pcie.xilinx.us import UltraScalePlusPcieDevice

from bandgap.hdl.protocol.pcie import BAR_BYTES, INTERRUPT_PENDING_OFFSET, INTERRUPT_TABLE_OFFSET
from bandgap.host.device.pcie import DmaMemory, PcieAccess

PAUSE_CYCLES = 16
LATE_CYCLES = 1_500
"""Longer than the design's timeout."""

SHORT_CREDIT = {"ph": 2, "pd": 12, "nph": 1}
"""Writes, 16-byte units of these, and reads that the root port has room for when credit is short."""


class Fault(Enum):
    """What can become of a read: it is refused, answered without data, never, late, or with bad data."""

    REFUSED = auto()
    EMPTY = auto()
    LOST = auto()
    LATE = auto()
    POISONED = auto()


class SimulatedHost:
    """Root complex, link and block, connected to the design's pins.

    Every request of the device is checked: it stays within the configured sizes and within a page.

    Arguments
    ---------
    dut : The design.
    rng : Draws delays, sizes and pauses.
    credit_is_short : The root port has room for two writes and one read at a time, not for plenty.

    Attributes
    ----------
    root : The root complex, with the host's memory.
    block : The integrated block.
    read_sizes : How many bytes each read of the device was of.
    delay_cycles : Reads are answered after up to so many cycles, each on its own.
    faults : What happens to the next reads of the device, in turn.
    """

    def __init__(self, dut: SimHandleBase, rng: Random, credit_is_short: bool = False) -> None:
        for name in ("cocotb.pcie", "cocotb.bandgap"):
            logging.getLogger(name).setLevel(logging.ERROR)  # every packet is logged
        self.dut = dut
        self.root = RootComplex()
        self.block = UltraScalePlusPcieDevice(
            pcie_generation=3,
            pcie_link_width=8,
            user_clk_frequency=250e6,
            max_payload_size=1024,
            enable_client_tag=True,
            pf0_msix_enable=True,
            pf0_msix_table_offset=INTERRUPT_TABLE_OFFSET,
            pf0_msix_pba_offset=INTERRUPT_PENDING_OFFSET,
            user_clk=dut.clk,
            user_reset=dut.rst,
            rq_bus=AxiStreamBus.from_prefix(dut, "s_axis_rq"),
            rc_bus=AxiStreamBus.from_prefix(dut, "m_axis_rc"),
            cq_bus=AxiStreamBus.from_prefix(dut, "m_axis_cq"),
            cc_bus=AxiStreamBus.from_prefix(dut, "s_axis_cc"),
            pcie_cq_np_req=dut.pcie_cq_np_req,
            cfg_max_read_req=dut.cfg_max_read_req,
            cfg_interrupt_msix_enable=dut.cfg_interrupt_msix_enable,
            cfg_interrupt_msix_mask=dut.cfg_interrupt_msix_mask,
            cfg_interrupt_msix_address=dut.cfg_interrupt_msix_address,
            cfg_interrupt_msix_data=dut.cfg_interrupt_msix_data,
            cfg_interrupt_msix_int=dut.cfg_interrupt_msix_int,
            cfg_interrupt_msix_sent=dut.cfg_interrupt_msi_sent,
            cfg_interrupt_msix_fail=dut.cfg_interrupt_msi_fail,
        )
        port = self.root.make_port()
        for name, units in SHORT_CREDIT.items() if credit_is_short else ():
            credit = getattr(port.downstream_port.fc_state[0], name)
            credit.rx_initial_allocation = credit.rx_credits_allocated = units
        port.connect(self.block)
        self.block.functions[0].configure_bar(0, BAR_BYTES)
        dut.cfg_flr_in_process.value = 0
        self.rng = rng
        self.read_sizes: list[int] = []
        self.delay_cycles = 0
        self.faults: list[Fault | None] = []
        self._poisoned_tag: int | None = None
        self._write, self._send = self.root.handle_mem_write_tlp, self.root.send
        self.root.send = self._answer
        for kind in (TlpType.MEM_READ, TlpType.MEM_READ_64):
            self.root.register_rx_tlp_handler(kind, self._take_read)
        for kind in (TlpType.MEM_WRITE, TlpType.MEM_WRITE_64):
            self.root.register_rx_tlp_handler(kind, self._take_write)

    async def boot(self) -> None:
        """Find the function, give it its BAR, and let it be a bus master."""
        await self.root.enumerate()
        self.function = self.root.find_device(self.block.functions[0].pcie_id)
        await self.function.enable_device()
        await self.function.set_master()
        self.bar = self.function.bar_window[0]

    def configure(self, payload: int, read_request: int, boundary_128: bool, split: bool) -> None:
        """Set maximum payload and read request (two to these, times 128 bytes), and how completions are cut."""
        self.root.max_payload_size = payload
        capability = self.block.functions[0].pcie_cap
        capability.max_payload_size, capability.max_read_request_size = payload, read_request
        self.root.read_completion_boundary, self.root.split_on_all_rcb = boundary_128, split

    def pause_at_random(self, eagerness: float) -> None:
        """Let each of the four streams hold back, unless with this probability a cycle."""
        for end in (self.block.rq_sink, self.block.cc_sink, self.block.cq_source, self.block.rc_source):
            end.set_pause_generator(self.rng.random() >= eagerness for _ in count())

    async def _take_write(self, tlp: Tlp) -> None:
        self._check(tlp, self.block.functions[0].pcie_cap.max_payload_size)
        await self._write(tlp)

    async def _take_read(self, tlp: Tlp) -> None:
        self._check(tlp, self.block.functions[0].pcie_cap.max_read_request_size)
        self.read_sizes.append(4 * tlp.length)
        cocotb.start_soon(self._serve_read(tlp, self.faults.pop(0) if self.faults else None))

    def _check(self, tlp: Tlp, limit_log2: int) -> None:
        assert tlp.length * 4 <= 128 << limit_log2, tlp
        assert tlp.address % 4096 + 4 * tlp.length <= 4096, tlp
        assert (tlp.first_be, tlp.last_be, tlp.attr) == (0xF, 0xF if tlp.length > 1 else 0, 0), tlp

    async def _serve_read(self, tlp: Tlp, fault: Fault | None) -> None:
        if self.delay_cycles:
            await ClockCycles(self.dut.clk, self.rng.randint(1, self.delay_cycles))
        nobody = PcieId(0, 0, 0)
        match fault:
            case Fault.REFUSED:
                await self._send(Tlp.create_ur_completion_for_tlp(tlp, nobody))
                return
            case Fault.EMPTY:
                await self._send(Tlp.create_completion_for_tlp(tlp, nobody))
                return
            case Fault.LOST:
                return
            case Fault.LATE:
                await ClockCycles(self.dut.clk, LATE_CYCLES)
            case Fault.POISONED:
                self._poisoned_tag = tlp.tag
        await self.root.handle_mem_read_tlp(tlp)

    async def _answer(self, tlp: Tlp) -> None:
        if tlp.fmt_type == TlpType.CPL_DATA and tlp.tag == self._poisoned_tag:
            tlp.ep = True
            self._poisoned_tag = None
        await self._send(tlp)


class SimulatedAccess(PcieAccess):
    """What a host does with BAR and memory, in simulation; its methods are called from a bridged thread.

    A line is written in pieces of a random size, as processors differ in what they make of a copy.
    """

    def __init__(self, host: SimulatedHost) -> None:
        self._host, self._rng = host, host.rng

    @resume
    async def read_word(self, offset: int) -> int:
        return await self._host.bar.read_dword(offset)

    @resume
    async def write_word(self, offset: int, value: int) -> None:
        await self._host.bar.write_dword(offset, value)

    @resume
    async def write_line(self, offset: int, data: bytes) -> None:
        size = self._rng.choice((4, 8, 16, 32))
        for place in range(0, len(data), size):
            await self._host.bar.write(offset + place, data[place : place + size])

    def allocate(self, size: int) -> DmaMemory:
        address, memory = self._host.root.alloc_region(max(size, 4096))
        return DmaMemory(address, memoryview(memory))

    @resume
    async def pause(self) -> None:
        await ClockCycles(self._host.dut.clk, PAUSE_CYCLES)

    @resume
    async def clock_s(self) -> float:
        return get_sim_time("sec")

    def close(self) -> None:
        """The simulation ends with its test."""
