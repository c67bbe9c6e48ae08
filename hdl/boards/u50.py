"""AMD's Alveo U50: the appliance behind the integrated block, as a Vivado project.

Pins are those of the card's user guide (UG1371), as the Corundum project has them; ports and parameters of the block
are those of PG213. The link is 8 GT/s on four lanes: that is 256 bits at 125 MHz.
"""

from amaranth.hdl import ClockDomain, ClockSignal, Const, Instance, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import BookConfig
from ..protocol.pcie import BAR_BYTES, INTERRUPT_PENDING_OFFSET, INTERRUPT_TABLE_OFFSET
from .pcie import PcieBoard

NAME, TITLE, PRESET = "u50", "Alveo U50", "ultrascale"
PART = "xcu50-fsvh2104-2-e"
BLOCK = "pcie4c_uscale_plus_0"
CLOCK_HZ = 125_000_000
LANES = 4

PADS = {
    "pcie_reference_p": ("AB9", ""),
    "pcie_reference_n": ("AB8", ""),
    "pcie_reset_n": ("AW27", "LVCMOS18 PULLUP true"),
    "alive": ("E18", "LVCMOS18"),
    "linked": ("E16", "LVCMOS18"),
    "too_hot": ("J18", "LVCMOS18"),
}
"""Place and IO standard by port; those of the lanes come with the block's quad."""

BLOCK_SETTINGS = {
    "mode_selection": "Advanced",
    "pcie_blk_locn": "X1Y0",
    "en_gt_selection": "true",
    "select_quad": "GTY_Quad_227",
    "PL_LINK_CAP_MAX_LINK_SPEED": "8.0_GT/s",
    "PL_LINK_CAP_MAX_LINK_WIDTH": f"X{LANES}",
    "axisten_if_width": "256_bit",
    "axisten_freq": f"{CLOCK_HZ // 1_000_000}",
    "axisten_if_enable_client_tag": "true",
    "AXISTEN_IF_RC_STRADDLE": "false",
    "AXISTEN_IF_CQ_ALIGNMENT_MODE": "DWORD_Aligned",
    "AXISTEN_IF_CC_ALIGNMENT_MODE": "DWORD_Aligned",
    "AXISTEN_IF_RQ_ALIGNMENT_MODE": "DWORD_Aligned",
    "AXISTEN_IF_RC_ALIGNMENT_MODE": "DWORD_Aligned",
    "PF0_DEV_CAP_FUNCTION_LEVEL_RESET_CAPABLE": "true",
    "PF0_CLASS_CODE": "FF0000",
    "pf0_bar0_64bit": "true",
    "pf0_bar0_scale": "Kilobytes",
    "pf0_bar0_size": f"{BAR_BYTES // 1024}",
    "pf0_msi_enabled": "false",
    "pf0_msix_enabled": "true",
    "MSI_X_OPTIONS": "MSI-X_External",
    "PF0_MSIX_CAP_TABLE_SIZE": "000",
    "PF0_MSIX_CAP_TABLE_BIR": "BAR_1:0",
    "PF0_MSIX_CAP_TABLE_OFFSET": f"{INTERRUPT_TABLE_OFFSET:08x}",
    "PF0_MSIX_CAP_PBA_BIR": "BAR_1:0",
    "PF0_MSIX_CAP_PBA_OFFSET": f"{INTERRUPT_PENDING_OFFSET:08x}",
}
"""What the block is configured to, as Vivado's IP catalogue names it; offsets count bytes."""

_TIED = {
    "cfg_config_space_enable": Const(1, 1),
    "cfg_link_training_enable": Const(1, 1),
    "cfg_power_state_change_ack": Const(1, 1),
    **{
        name: Const(0, width)
        for name, width in {
            "cfg_ds_bus_number": 8,
            "cfg_ds_device_number": 5,
            "cfg_ds_port_number": 8,
            "cfg_dsn": 64,
            "cfg_err_cor_in": 1,
            "cfg_err_uncor_in": 1,
            "cfg_fc_sel": 3,
            "cfg_hot_reset_in": 1,
            "cfg_interrupt_int": 4,
            "cfg_interrupt_msi_function_number": 8,
            "cfg_interrupt_msix_vec_pending": 2,
            "cfg_interrupt_pending": 4,
            "cfg_mgmt_addr": 10,
            "cfg_mgmt_byte_enable": 4,
            "cfg_mgmt_debug_access": 1,
            "cfg_mgmt_function_number": 8,
            "cfg_mgmt_read": 1,
            "cfg_mgmt_write": 1,
            "cfg_mgmt_write_data": 32,
            "cfg_msg_transmit": 1,
            "cfg_msg_transmit_data": 32,
            "cfg_msg_transmit_type": 3,
            "cfg_pm_aspm_l1_entry_reject": 1,
            "cfg_pm_aspm_tx_l0s_entry_disable": 1,
            "cfg_req_pm_transition_l23_ready": 1,
            "cfg_vf_flr_done": 8,
            "cfg_vf_flr_func_num": 8,
        }.items()
    },
}
"""The block's inputs that this appliance has no use for."""


class U50Top(wiring.Component):
    """The card's top: the integrated block and what is behind it, all in the block's user clock.

    Parameters
    ----------
    config, build_identity : See `hdl.appliance.Appliance`.

    Attributes
    ----------
    pcie_reference_p, pcie_reference_n, pcie_reset_n : 100 MHz and PERST# of the slot.
    pcie_rx_p, pcie_rx_n, pcie_tx_p, pcie_tx_n : The lanes.
    alive : A LED that blinks while the user clock runs.
    linked : A LED that is lit while the link is up.
    too_hot : Low: a high level makes the card cut its power.
    """

    pcie_reference_p: In(1)
    pcie_reference_n: In(1)
    pcie_reset_n: In(1)
    pcie_rx_p: In(LANES)
    pcie_rx_n: In(LANES)
    pcie_tx_p: Out(LANES)
    pcie_tx_n: Out(LANES)
    alive: Out(1)
    linked: Out(1)
    too_hot: Out(1)

    def __init__(self, config: BookConfig, build_identity: int):
        self._board = PcieBoard(config, build_identity, clock_hz=CLOCK_HZ)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain()
        m.submodules.appliance = board = self._board
        reference, reference_transceivers = Signal(), Signal()
        m.submodules.reference = Instance(
            "IBUFDS_GTE4",
            i_I=self.pcie_reference_p,
            i_IB=self.pcie_reference_n,
            i_CEB=0,
            o_O=reference_transceivers,
            o_ODIV2=reference,
        )
        ports = {}
        for name, member in board.signature.members.items():
            port = getattr(board, name)
            if name in ("s_axis_cc_tready", "s_axis_rq_tready"):
                readies = Signal(4, name=name)  # four copies of one signal
                m.d.comb += port.eq(readies[0])
                port = readies
            ports[f"{'o' if member.flow is In else 'i'}_{name}"] = port
        m.submodules.block = Instance(
            BLOCK,
            i_sys_clk=reference,
            i_sys_clk_gt=reference_transceivers,
            i_sys_reset=self.pcie_reset_n,
            i_pci_exp_rxp=self.pcie_rx_p,
            i_pci_exp_rxn=self.pcie_rx_n,
            o_pci_exp_txp=self.pcie_tx_p,
            o_pci_exp_txn=self.pcie_tx_n,
            o_user_clk=ClockSignal(),
            o_user_reset=ResetSignal(),
            o_user_lnk_up=self.linked,
            **ports,
            **{f"i_{name}": value for name, value in _TIED.items()},
        )
        second = Signal(range(CLOCK_HZ))
        m.d.sync += second.eq(second + 1)
        with m.If(second == CLOCK_HZ - 1):
            m.d.sync += second.eq(0)
        m.d.comb += self.alive.eq(second < CLOCK_HZ // 2)
        return m
