"""Operator commands: each function makes rows of 32 bytes for the privileged link, epoch and number still zero.

Values beyond a field's width raise `OverflowError` (numpy); everything else that is wrong the device rejects.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.protocol.commands import ALL_INSTRUMENTS, BandPolicy, ExpiryAction, InstrumentFlags, Opcode
from bandgap.host.wire import Bytes2D, new_commands, to_bytes


def set_instrument(
    instrument: int,
    *,
    window_base_ticks: int,
    window_ticks: int,
    ladder_offset: int,
    multiplier_quote: int,
    top_of_book: bool,
    depth: bool,
) -> Bytes2D:
    """Define an instrument: prices from `window_base_ticks`, a power of two `window_ticks` of them, can rest.

    `top_of_book` and `depth` switch its market data on.

    Raises
    ------
    ValueError : `window_ticks` is no power of two.
    """
    if window_ticks <= 0 or window_ticks & (window_ticks - 1):
        raise ValueError(f"window_ticks must be a power of two, not {window_ticks}")
    command = new_commands(Opcode.SET_INSTRUMENT, 1)
    command["header"]["instrument"] = instrument
    command["window_base_ticks"] = window_base_ticks
    command["ladder_offset"] = ladder_offset
    command["multiplier_quote"] = multiplier_quote
    command["window_log2"] = window_ticks.bit_length() - 1
    command["flags"] = top_of_book * InstrumentFlags.TOP_OF_BOOK.value + depth * InstrumentFlags.DEPTH.value
    return to_bytes(command)


def set_band(
    instrument: int, *, lower_ticks: int, upper_ticks: int, reference_ticks: int, policy: BandPolicy
) -> Bytes2D:
    """Bound where an instrument's trades print."""
    command = new_commands(Opcode.SET_BAND, 1)
    command["header"]["instrument"] = instrument
    command["lower_ticks"] = lower_ticks
    command["upper_ticks"] = upper_ticks
    command["reference_ticks"] = reference_ticks
    command["policy"] = policy.value
    return to_bytes(command)


def halt(instrument: int = ALL_INSTRUMENTS) -> Bytes2D:
    """Halt one instrument, or all."""
    return _of_instrument(Opcode.HALT, instrument)


def resume(instrument: int = ALL_INSTRUMENTS) -> Bytes2D:
    """Let one instrument trade, or all."""
    return _of_instrument(Opcode.RESUME, instrument)


def grant_credit(
    accounts: Sequence[int] | NDArray[np.integer], amounts_quote: Sequence[int] | NDArray[np.int64]
) -> Bytes2D:
    """Add a signed difference to the buying power of each account."""
    commands = new_commands(Opcode.GRANT_CREDIT, len(accounts))
    commands["account"] = accounts
    commands["amount_quote"] = amounts_quote
    return to_bytes(commands)


def kill_accounts(accounts: Sequence[int]) -> Bytes2D:
    """Block the entries of each account and cancel its orders."""
    return _of_accounts(Opcode.KILL_ACCOUNT, accounts)


def restore_accounts(accounts: Sequence[int]) -> Bytes2D:
    """Unblock each account."""
    return _of_accounts(Opcode.RESTORE_ACCOUNT, accounts)


def heartbeat(timeout_ns: int, action: ExpiryAction) -> Bytes2D:
    """Arm the watchdog anew; a timeout of zero disarms it."""
    command = new_commands(Opcode.HEARTBEAT, 1)
    command["timeout_ns"] = timeout_ns
    command["action"] = action.value
    return to_bytes(command)


def _of_instrument(opcode: Opcode, instrument: int) -> Bytes2D:
    command = new_commands(opcode, 1)
    command["header"]["instrument"] = instrument
    return to_bytes(command)


def _of_accounts(opcode: Opcode, accounts: Sequence[int]) -> Bytes2D:
    commands = new_commands(opcode, len(accounts))
    commands["account"] = accounts
    return to_bytes(commands)
