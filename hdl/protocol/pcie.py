"""The PCIe link: what a host finds behind BAR 0, and what host and device leave for each other in host memory.

`docs/pcie-link.md` tells how they work together.
"""

from amaranth.hdl import unsigned
from amaranth.lib import data, enum

from .commands import COMMAND_BYTES
from .registers import Access, Register
from .reports import REPORT_BYTES

BAR_BYTES = 1 << 16
"""BAR 0 is the only one."""

LINK_REGISTERS_OFFSET = 0x1000
"""Below it stand the registers of the appliance, from it on those of the link."""

INTERRUPT_TABLE_OFFSET = 0x2000
"""The MSI-X table, of one vector."""

INTERRUPT_PENDING_OFFSET = 0x3000
"""The MSI-X pending bits."""

WINDOWS_OFFSET = 0x8000
WINDOW_BYTES = 0x1000
"""Each link has a command window of one page: a command that is written there comes by this link."""

BAR_AREAS = (
    (0, LINK_REGISTERS_OFFSET, "registers of the appliance"),
    (LINK_REGISTERS_OFFSET, INTERRUPT_TABLE_OFFSET, "registers of the link"),
    (INTERRUPT_TABLE_OFFSET, INTERRUPT_PENDING_OFFSET, "MSI-X table"),
    (INTERRUPT_PENDING_OFFSET, INTERRUPT_PENDING_OFFSET + 0x1000, "MSI-X pending bits"),
    (WINDOWS_OFFSET, BAR_BYTES, "command windows, a page for each link"),
)
"""First offset, first offset behind it, and what is there."""

SLOT_BYTES = 128
STATUS_BYTES = 64
RING_LOG2_LIMIT = 16
"""A ring has two to the power of at most this many places."""


class LinkControl(enum.Flag, shape=32):
    """RUN: the rings and windows are in use. Without it the link forgets whatever it holds, and moves nothing."""

    RUN = 1


class LinkState(enum.Flag, shape=32):
    """RUNNING follows RUN. BUSY: reads or writes of host memory are under way; a stopped link still awaits their end.

    AT_REST: the core has nothing to do, and nothing waits before or behind it (but what a failed read holds up).
    """

    RUNNING = 1
    BUSY = 2
    AT_REST = 4


class LinkError(enum.Flag, shape=32):
    """What went wrong on the link since it was last cleared.

    UNSUPPORTED_REQUEST: the host accessed BAR 0 in a way that it does not serve. CORRUPT_REQUEST: the integrated block
    could not vouch for a write, and the whole of it was dropped. WINDOW_ORDER: a command's words did not come in
    ascending order, each as a whole. WINDOW_OVERRUN: more commands were written into windows than there was room for.
    These four drop what they concern and nothing else.

    READ_REFUSED, READ_POISONED, READ_MALFORMED and READ_TIMEOUT: a read of descriptors or commands failed. What came
    before is carried out, and nothing behind it until the link is stopped and started again.
    """

    UNSUPPORTED_REQUEST = 1
    CORRUPT_REQUEST = 2
    WINDOW_ORDER = 4
    WINDOW_OVERRUN = 8
    READ_REFUSED = 16
    READ_POISONED = 32
    READ_MALFORMED = 64
    READ_TIMEOUT = 128


READ_ERRORS = LinkError.READ_REFUSED | LinkError.READ_POISONED | LinkError.READ_MALFORMED | LinkError.READ_TIMEOUT
"""Those that end a run."""


class CommandBatch(data.Struct):
    """A place in the descriptor ring: commands that lie one behind the other in host memory. Written by the host.

    Attributes
    ----------
    address : Where they lie, as the device sees it; a multiple of 32.
    count : How many.
    link : The link they come by.
    reserved : Zero.
    """

    address: unsigned(64)
    count: unsigned(32)
    link: unsigned(8)
    reserved: data.ArrayLayout(unsigned(8), 19)


class ReportSlot(data.Struct):
    """The part of a place in the report ring that is written, by the device; the rest of its 128 bytes is not used.

    Attributes
    ----------
    report : The report.
    sequence : Number of this report, modulo 2**32: one more than the last one's, or, of the first since RUN was set,
        than `reports_taken`. It becomes visible last.
    """

    report: data.ArrayLayout(unsigned(8), REPORT_BYTES)
    sequence: unsigned(32)


class LinkStatus(data.Struct):
    """What the device tells of itself in host memory, anew when it comes to rest, and now and then before.

    Attributes
    ----------
    reports : Sequence of the last report written before this.
    descriptors : How many descriptors have been fetched since RUN was set, modulo 2**32.
    errors : The register `errors`.
    progress : Bit 0: AT_REST of the register `state`. Above: how many commands the core has taken since RUN was set,
        modulo 2**31. It becomes visible last.
    """

    reports: unsigned(32)
    descriptors: unsigned(32)
    errors: LinkError
    progress: unsigned(32)


class InterruptVector(data.Struct):
    """The one entry of the MSI-X table, as the PCI specification has it.

    Attributes
    ----------
    address : Where the message is written.
    message : What is written there.
    mask : Bit 0: the vector is masked.
    """

    address: unsigned(64)
    message: unsigned(32)
    mask: unsigned(32)


_RO, _RW = Access.READ_ONLY, Access.READ_WRITE


def _register(name: str, offset: int, words: int, access: Access, reset: int | None, doc: str) -> Register:
    return Register(name, LINK_REGISTERS_OFFSET + offset, words, access, reset, doc)


LINK_REGISTERS = (
    _register("link_layout", 0x00, 1, _RO, None, "Hash of what this section lays out; the host must have the same."),
    _register("control", 0x04, 1, _RW, 0, "See [LinkControl](#linkcontrol)."),
    _register("state", 0x08, 1, _RO, 0, "See [LinkState](#linkstate)."),
    _register("errors", 0x0C, 1, _RW, 0, "See [LinkError](#linkerror); writing ones clears those."),
    _register("report_ring", 0x10, 2, _RW, 0, "Address of the report ring, a multiple of 4096."),
    _register("report_ring_log2", 0x18, 1, _RW, 0, "Its places, as a power of two."),
    _register("reports_taken", 0x1C, 1, _RW, 0, "Sequence of the last report that the host has taken out."),
    _register("descriptor_ring", 0x20, 2, _RW, 0, "Address of the descriptor ring, a multiple of 4096."),
    _register("descriptor_ring_log2", 0x28, 1, _RW, 0, "Its places, as a power of two."),
    _register("descriptors_posted", 0x2C, 1, _RW, 0, "How many descriptors were put in since RUN was set."),
    _register("status_address", 0x30, 2, _RW, 0, "Where [LinkStatus](#link-status) is written, a multiple of 64."),
    _register("window_commands", 0x38, 1, _RO, None, "How many commands the windows have room for, together."),
    _register("commands_taken", 0x3C, 1, _RO, 0, "How many commands the core has taken since RUN was set."),
    _register("reports_written", 0x40, 1, _RO, 0, "Sequence of the last report that was written, or is being written."),
    _register("interrupt_behind", 0x44, 1, _RW, 0, "Writing a sequence asks for one interrupt at a later report."),
    _register("set_time_ns", 0x48, 2, _RW, 0, "The core's time where the host keeps it; the high word takes effect."),
)
"""The registers of the link."""

LINK_BY_NAME = {register.name: register for register in LINK_REGISTERS}

assert data.Layout.cast(CommandBatch).size // 8 == COMMAND_BYTES, "the device reads both in lines of this size"
