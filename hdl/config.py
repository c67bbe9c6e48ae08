"""Sizes of an appliance, fixed when the gateware is built."""

from dataclasses import dataclass


def _power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True)
class BookConfig:
    """Sizes of the book and the guard.

    Attributes
    ----------
    instruments : Instruments that share the design, 1 to 254.
    orders : Slots in the order pool, a power of two, 2 to 65,536.
    ticks : Ladder rows a side, shared by all instruments, a power of two, from two words to 65,536.
    accounts : Accounts, a power of two, at most 2**24.
    links : Links that may send commands, 1 to 8; link 0 is the privileged one.
    word_bits : Width of an occupancy word, a power of two from 2 to 64; the smallest window of ticks.

    Raises
    ------
    ValueError : A size is outside its limits; the message names it.
    """

    instruments: int
    orders: int
    ticks: int
    accounts: int
    links: int = 2
    word_bits: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.instruments <= 254:
            raise ValueError(f"instruments must be 1 to 254, not {self.instruments}")
        for name, least, most in (
            ("word_bits", 2, 64),
            ("orders", 2, 1 << 16),
            ("ticks", 2 * self.word_bits, 1 << 16),
            ("accounts", 2, 1 << 24),
        ):
            value = getattr(self, name)
            if not (_power_of_two(value) and least <= value <= most):
                raise ValueError(f"{name} must be a power of two from {least} to {most}, not {value}")
        if not 1 <= self.links <= 8:
            raise ValueError(f"links must be 1 to 8, not {self.links}")


PRESETS = {
    "formal": BookConfig(instruments=2, orders=8, ticks=8, accounts=4, word_bits=4),
    "ecp5-small": BookConfig(instruments=4, orders=4_096, ticks=4_096, accounts=1_024),
    "ecp5": BookConfig(instruments=8, orders=8_192, ticks=8_192, accounts=1_024),
    "ultrascale": BookConfig(instruments=16, orders=65_536, ticks=65_536, accounts=131_072),
}
"""Sizes by the name that a device URL or `--preset` uses; `formal` is for proofs and tests."""

RESERVE_LIMIT_QUOTE = 1 << 46
"""One order's reserve stays below this. 65,536 orders then hold less than 2**62 quote units, so that an account's
balance (within +-2**62 after every grant) never leaves 64 bits, whatever is returned to it."""

BALANCE_LIMIT_QUOTE = 1 << 62
"""A grant that would take an account's balance beyond this, either way, is rejected."""
