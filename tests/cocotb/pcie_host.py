"""A simulated rack server: cocotbext-pcie's root complex and UltraScale+ block around the appliance's PCIe link."""

import logging
from random import Random

from cocotb.handle import SimHandleBase
from cocotb.simtime import get_sim_time
from cocotb.task import resume
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiStreamBus
from cocotbext.pcie.core import RootComplex
from cocotbext.pcie.xilinx.us import UltraScalePlusPcieDevice

from bandgap.hdl.protocol.pcie import BAR_BYTES, INTERRUPT_PENDING_OFFSET, INTERRUPT_TABLE_OFFSET
from bandgap.host.device.pcie import DmaMemory, PcieAccess

PAUSE_CYCLES = 16


class SimulatedHost:
    """Root complex, link and block, connected to the design's pins.

    Attributes
    ----------
    root : The root complex, with the host's memory.
    block : The integrated block.
    """

    def __init__(self, dut: SimHandleBase) -> None:
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
        self.root.make_port().connect(self.block)
        self.block.functions[0].configure_bar(0, BAR_BYTES)
        dut.cfg_flr_in_process.value = 0

    async def boot(self) -> None:
        """Find the function, give it its BAR, and let it be a bus master."""
        await self.root.enumerate()
        self.function = self.root.find_device(self.block.functions[0].pcie_id)
        await self.function.enable_device()
        await self.function.set_master()
        self.bar = self.function.bar_window[0]


class SimulatedAccess(PcieAccess):
    """What a host does with BAR and memory, in simulation; its methods are called from a bridged thread.

    A line is written in pieces of a random size, as processors differ in what they make of a copy.
    """

    def __init__(self, host: SimulatedHost, rng: Random) -> None:
        self._host, self._rng = host, rng

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
