"""Operator commands: each function makes rows of 32 bytes for the privileged link, epoch and number still zero.

Values beyond a field's width raise `OverflowError` (numpy); everything else that is wrong the device rejects.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.protocol.commands import (
    ALL_INSTRUMENTS,
    BandPolicy,
    BreakerFlags,
    ExpiryAction,
    InstrumentFlags,
    Opcode,
    ReferenceSource,
    ScheduledState,
    TradingMode,
)
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
    return _with(
        Opcode.SET_BAND,
        instrument,
        lower_ticks=lower_ticks,
        upper_ticks=upper_ticks,
        reference_ticks=reference_ticks,
        policy=policy.value,
    )


def set_breaker(
    instrument: int,
    *,
    limit_us: int,
    halt_us: int,
    call_us: int,
    extension_us: int,
    indicative_us: int,
    mode: TradingMode,
    collects: bool,
) -> Bytes2D:
    """Set how long an instrument's states last and how it trades; `collects`: orders collect while it is halted."""
    return _with(
        Opcode.SET_BREAKER,
        instrument,
        limit_us=limit_us,
        halt_us=halt_us,
        call_us=call_us,
        extension_us=extension_us,
        indicative_us=indicative_us,
        mode=mode.value,
        flags=collects * BreakerFlags.COLLECT.value,
    )


def set_dynamic_band(
    instrument: int,
    *,
    short_width_ticks: int,
    short_bucket_us: int,
    short_buckets: int,
    long_width_ticks: int,
    long_bucket_us: int,
    long_buckets: int,
) -> Bytes2D:
    """Set an instrument's two rolling windows, and empty them; zeros switch one off."""
    return _with(
        Opcode.SET_DYNAMIC_BAND,
        instrument,
        short_width_ticks=short_width_ticks,
        short_bucket_us=short_bucket_us,
        short_buckets=short_buckets,
        long_width_ticks=long_width_ticks,
        long_bucket_us=long_bucket_us,
        long_buckets=long_buckets,
    )


def set_reference_rule(
    instrument: int,
    *,
    width_ticks: int,
    width_ppm: int,
    auction_width_ticks: int,
    move_ppm: int,
    hold_us: int,
    source: ReferenceSource,
    trades_log2: int,
) -> Bytes2D:
    """Set where an instrument's reference price comes from, and how wide the bands around it are."""
    return _with(
        Opcode.SET_REFERENCE_RULE,
        instrument,
        width_ticks=width_ticks,
        width_ppm=width_ppm,
        auction_width_ticks=auction_width_ticks,
        move_ppm=move_ppm,
        hold_us=hold_us,
        source=source.value,
        trades_log2=trades_log2,
    )


def halt(instrument: int = ALL_INSTRUMENTS, duration_us: int = 0) -> Bytes2D:
    """Halt one instrument, or all; with a duration a call follows, without one they stay halted until told."""
    return _with(Opcode.HALT, instrument, duration_us=duration_us)


def call(instrument: int = ALL_INSTRUMENTS, duration_us: int = 0) -> Bytes2D:
    """Open an auction in one instrument, or all; a duration of zero is the instrument's usual one."""
    return _with(Opcode.CALL, instrument, duration_us=duration_us)


def set_call_end(instrument: int, extra_us: int) -> Bytes2D:
    """Lengthen an instrument's calls, the one under way among them."""
    return _with(Opcode.SET_CALL_END, instrument, extra_us=extra_us)


def set_schedule(instrument: int, state: ScheduledState, *, at_ns: int, duration_us: int = 0) -> Bytes2D:
    """Set one entry of an instrument's timetable; `at_ns` of zero takes it out."""
    return _with(
        Opcode.SET_SCHEDULE,
        instrument,
        state=state.value,
        at_ns=at_ns,
        duration_us=duration_us,
    )


def move_window(instrument: int, window_base_ticks: int) -> Bytes2D:
    """Give an instrument's window another base; orders outside are canceled."""
    return _with(Opcode.MOVE_WINDOW, instrument, window_base_ticks=window_base_ticks)


def resume(instrument: int = ALL_INSTRUMENTS) -> Bytes2D:
    """Let one halted instrument trade, or all; its book must not stand crossed."""
    return _with(Opcode.RESUME, instrument)


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


def _with(opcode: Opcode, instrument: int, **fields: int) -> Bytes2D:
    """One command of an instrument, with these fields."""
    command = new_commands(opcode, 1)
    command["header"]["instrument"] = instrument
    for name, value in fields.items():
        command[name] = value
    return to_bytes(command)


def _of_accounts(opcode: Opcode, accounts: Sequence[int]) -> Bytes2D:
    commands = new_commands(opcode, len(accounts))
    commands["account"] = accounts
    return to_bytes(commands)
