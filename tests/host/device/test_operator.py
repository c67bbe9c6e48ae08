"""Operator commands, read back by the reference model's decoder, which shares no code with them."""

from collections.abc import Callable
from typing import Any

import pytest

from bandgap.hdl.protocol import commands
from bandgap.hdl.protocol.commands import ReferenceSource, ScheduledState, TradingMode
from bandgap.host.device import operator
from bandgap.host.wire import Bytes2D, command_headers
from bandgap.sim.model.commands import decode

DURATIONS = {"limit_us": 1_001, "halt_us": 1_002, "call_us": 1_003, "extension_us": 1_004, "indicative_us": 1_005}
WINDOWS = {
    "short_width_ticks": 1,
    "short_bucket_us": 2_000,
    "short_buckets": 3,
    "long_width_ticks": 4,
    "long_bucket_us": 5_000,
    "long_buckets": 6,
}
WIDTHS = {"width_ticks": 1, "width_ppm": 2, "auction_width_ticks": 3, "move_ppm": 4, "hold_us": 5}


def decoded(rows: Bytes2D) -> Any:
    """The one command, as the model reads it."""
    command_headers(rows)["number"] = 1
    (row,) = rows
    return decode(row.tobytes())


@pytest.mark.parametrize(
    ("make", "opcode", "fields"),
    [
        (
            lambda: operator.set_breaker(2, **DURATIONS, mode=TradingMode.BATCH, collects=True),
            "SET_BREAKER",
            DURATIONS | {"mode": 2, "collects": True},
        ),
        (lambda: operator.set_dynamic_band(2, **WINDOWS), "SET_DYNAMIC_BAND", WINDOWS),
        (
            lambda: operator.set_reference_rule(2, **WIDTHS, source=ReferenceSource.LAST_TRADES, trades_log2=6),
            "SET_REFERENCE_RULE",
            WIDTHS | {"source": 2, "trades_log2": 6},
        ),
        (lambda: operator.halt(2, 5_000), "HALT", {"duration_us": 5_000}),
        (lambda: operator.call(2, 6_000), "CALL", {"duration_us": 6_000}),
        (lambda: operator.set_call_end(2, 7_000), "SET_CALL_END", {"extra_us": 7_000}),
        (
            lambda: operator.set_schedule(2, ScheduledState.CLOSING_CALL, at_ns=1 << 40, duration_us=8_000),
            "SET_SCHEDULE",
            {"at_ns": 1 << 40, "duration_us": 8_000, "state": 3},
        ),
        (lambda: operator.move_window(2, 4_096), "MOVE_WINDOW", {"window_base_ticks": 4_096}),
    ],
)
def test_command_says_what_it_is_told(make: Callable[[], Bytes2D], opcode: str, fields: dict[str, int]) -> None:
    rows = make()
    assert command_headers(rows)["opcode"].tolist() == [getattr(commands.Opcode, opcode).value]
    command = decoded(rows)
    assert command.instrument == 2
    assert {name: getattr(command, name) for name in fields} == fields


@pytest.mark.parametrize("make", [operator.halt, operator.call, operator.resume])
def test_all_instruments_are_meant_where_none_is_named(make: Callable[[], Bytes2D]) -> None:
    assert decoded(make()).instrument == commands.ALL_INSTRUMENTS


def test_values_beyond_their_field_are_an_error() -> None:
    with pytest.raises(OverflowError):
        operator.set_call_end(0, 1 << 32)
