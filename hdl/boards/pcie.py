"""The appliance behind an UltraScale+ integrated block, on no board in particular: the block's ports are its own."""

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..appliance import Appliance
from ..config import BookConfig
from ..link.pcie.block import DATA_BITS, LANES
from ..link.pcie.link import READ_BYTES, TAGS, TIMEOUT_CYCLES, WINDOW_COMMANDS, PcieLink
from .clock import keep_time


def _stream(prefix: str, user_bits: int, flow) -> dict[str, object]:
    """A stream's ports, under the names that the block's have."""
    back = Out if flow is In else In
    return {
        f"{prefix}_tdata": flow(DATA_BITS),
        f"{prefix}_tkeep": flow(LANES),
        f"{prefix}_tlast": flow(1),
        f"{prefix}_tuser": flow(user_bits),
        f"{prefix}_tvalid": flow(1),
        f"{prefix}_tready": back(1),
    }


class PcieBoard(wiring.Component):
    """Guard, book, registers and PCIe link as one top in the block's user clock.

    The ports have the names and meanings of those of AMD's PCIE4 block (PG213) that they are to be connected with: 256
    bits, dword-aligned, no straddling, the user's own tags, MSI-X tables outside the block.

    Parameters
    ----------
    config, build_identity : See `hdl.appliance.Appliance`.
    window_commands, tags, read_bytes, timeout_cycles : See `hdl.link.pcie.link.PcieLink`.
    clock_hz : Frequency of the user clock; None where the host alone keeps the time, see `hdl.boards.clock.keep_time`.
    """

    def __init__(
        self,
        config: BookConfig,
        build_identity: int,
        window_commands: int = WINDOW_COMMANDS,
        tags: int = TAGS,
        read_bytes: int = READ_BYTES,
        timeout_cycles: int = TIMEOUT_CYCLES,
        clock_hz: int | None = None,
    ):
        self._clock_hz = clock_hz
        self._appliance = Appliance(config, build_identity)
        self._link = PcieLink(window_commands, tags, read_bytes, timeout_cycles)
        super().__init__(
            _stream("m_axis_cq", 88, In)
            | _stream("s_axis_cc", 33, Out)
            | _stream("s_axis_rq", 62, Out)
            | _stream("m_axis_rc", 75, In)
            | {
                "pcie_cq_np_req": Out(2, init=1),
                "cfg_max_read_req": In(3),
                "cfg_flr_in_process": In(4),
                "cfg_flr_done": Out(4),
                "cfg_interrupt_msix_enable": In(4),
                "cfg_interrupt_msix_mask": In(4),
                "cfg_interrupt_msix_int": Out(1),
                "cfg_interrupt_msix_address": Out(64),
                "cfg_interrupt_msix_data": Out(32),
                "cfg_interrupt_msi_sent": In(1),
                "cfg_interrupt_msi_fail": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.appliance = appliance = self._appliance
        m.submodules.link = link = self._link
        wiring.connect(m, link.commands, appliance.commands)
        wiring.connect(m, appliance.reports, link.reports)
        wiring.connect(m, link.registers, appliance.registers)
        for prefix, stream in (("m_axis_cq", link.completer_requests), ("m_axis_rc", link.requester_completions)):
            beat = stream.payload
            m.d.comb += [
                Cat(beat.data, beat.keep, beat.last, beat.user).eq(self._beat(prefix)),
                stream.valid.eq(getattr(self, f"{prefix}_tvalid")),
                getattr(self, f"{prefix}_tready").eq(stream.ready),
            ]
        for prefix, stream in (("s_axis_cc", link.completer_completions), ("s_axis_rq", link.requester_requests)):
            beat = stream.payload
            m.d.comb += [
                self._beat(prefix).eq(Cat(beat.data, beat.keep, beat.last, beat.user)),
                getattr(self, f"{prefix}_tvalid").eq(stream.valid),
                stream.ready.eq(getattr(self, f"{prefix}_tready")),
            ]
        keep_time(m, link, appliance, self._clock_hz)
        m.d.comb += [
            link.core_idle.eq(appliance.idle),
            link.max_read_request.eq(self.cfg_max_read_req),
            link.function_reset.eq(self.cfg_flr_in_process[0]),
            self.cfg_flr_done.eq(link.function_reset_done),
            link.interrupts_enabled.eq(self.cfg_interrupt_msix_enable[0]),
            link.interrupts_masked.eq(self.cfg_interrupt_msix_mask[0]),
            self.cfg_interrupt_msix_int.eq(link.interrupt_send),
            self.cfg_interrupt_msix_address.eq(link.interrupt_address),
            self.cfg_interrupt_msix_data.eq(link.interrupt_message),
            link.interrupt_sent.eq(self.cfg_interrupt_msi_sent),
            link.interrupt_failed.eq(self.cfg_interrupt_msi_fail),
            self.pcie_cq_np_req.eq(1),
        ]
        return m

    def _beat(self, prefix: str):
        return Cat(getattr(self, f"{prefix}_{part}") for part in ("tdata", "tkeep", "tlast", "tuser"))
