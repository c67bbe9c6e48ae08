"""The registers of the appliance: one table for gateware, host and documentation.

All registers are 32 bits wide and little-endian; a 64-bit value takes two, the low half first.
"""

from dataclasses import dataclass
from enum import Enum

MAGIC = int.from_bytes(b"BGAP", "little")


class Access(Enum):
    """Whether the host may write a register."""

    READ_ONLY = "read only"
    READ_WRITE = "read and write"


@dataclass(frozen=True)
class Register:
    """One register, or one per link.

    Attributes
    ----------
    name : Name, unique in the table.
    offset : Byte offset of the first word.
    words : How many 32-bit words it takes.
    access : Whether the host may write it.
    reset : Value after power-up, in words; None when it depends on the build.
    per_link : Whether it stands once for each link, `stride` bytes apart.
    doc : What it means.
    """

    name: str
    offset: int
    words: int
    access: Access
    reset: int | None
    doc: str
    per_link: bool = False

    STRIDE = 8

    def at(self, link: int = 0) -> int:
        """Byte offset of the register for `link` (zero for a register that stands once)."""
        if link and not self.per_link:
            raise ValueError(f"register {self.name} stands once, not per link")
        return self.offset + link * self.STRIDE


_RO, _RW = Access.READ_ONLY, Access.READ_WRITE

REGISTERS = (
    Register("magic", 0x00, 1, _RO, MAGIC, 'The letters "BGAP".'),
    Register("status", 0x04, 1, _RO, 0, "Bit 0: memories are cleared and commands are taken."),
    Register(
        "layout_hash", 0x08, 2, _RO, None, "Hash of all message and register layouts; the host must have the same."
    ),
    Register("build_identity", 0x10, 2, _RO, None, "Hash of the gateware's configuration and sources."),
    Register("instruments", 0x18, 1, _RO, None, "Number of instruments."),
    Register("orders", 0x1C, 1, _RO, None, "Slots in the order pool."),
    Register("ticks", 0x20, 1, _RO, None, "Ladder rows a side, shared by all instruments."),
    Register("accounts", 0x24, 1, _RO, None, "Number of accounts."),
    Register("links", 0x28, 1, _RO, None, "Number of links."),
    Register("epoch", 0x2C, 1, _RW, 1, "The device epoch, 1 to 65535. Writing it resets the core into that epoch."),
    Register("time_ns", 0x30, 2, _RO, 0, "The core's time; reading the low word latches the high one."),
    Register("token_first", 0x40, 1, _RW, None, "First order slot this link may use.", per_link=True),
    Register(
        "token_count",
        0x44,
        1,
        _RW,
        None,
        "How many slots it may use: at power-up all for link 0, none for others.",
        per_link=True,
    ),
)

BY_NAME = {register.name: register for register in REGISTERS}

STATUS_READY = 1
