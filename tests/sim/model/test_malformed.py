"""Everything that makes a command malformed, each alone: it is answered and changes nothing."""

from typing import Any

import pytest

from bandgap.hdl.protocol.commands import COMMAND_BYTES, COMMANDS, Opcode, OrderFlags, OrderType, TimeInForce
from bandgap.host.wire import COMMAND_DTYPES, new_commands
from bandgap.sim.lab.describe import report_fields

GOOD: dict[Opcode, dict[str, int]] = {
    Opcode.NEW_ORDER: {
        "price_ticks": 103,
        "quantity_lots": 5,
        "token": 1,
        "generation": 1,
        "side": 1,
        "order_type": 1,
        "time_in_force": 1,
        "self_trade_prevention": 1,
    },
    Opcode.CANCEL: {"token": 0, "generation": 1},
    Opcode.REPLACE: {"price_ticks": 102, "quantity_lots": 4, "token": 0, "generation": 1, "side": 1},
    Opcode.MASS_CANCEL: {},
    Opcode.SET_INSTRUMENT: {
        "instrument": 1,
        "ladder_offset": 8,
        "multiplier_quote": 1,
        "window_log2": 3,
        "window_base_ticks": 2**32 - 8,
    },
    Opcode.SET_BAND: {"lower_ticks": 101, "reference_ticks": 102, "upper_ticks": 103, "policy": 1},
    Opcode.HALT: {},
    Opcode.RESUME: {},
    Opcode.GRANT_CREDIT: {"amount_quote": 1},
    Opcode.KILL_ACCOUNT: {},
    Opcode.RESTORE_ACCOUNT: {},
    Opcode.HEARTBEAT: {"timeout_ns": 2**63 - 1, "action": 1},
    Opcode.READ_CLOCK: {},
    Opcode.SET_BREAKER: {"limit_us": 1_000, "call_us": 1_000, "extension_us": 1_000, "mode": 1},
    Opcode.SET_DYNAMIC_BAND: {"short_width_ticks": 2, "short_bucket_us": 1_000, "short_buckets": 64},
    Opcode.SET_REFERENCE_RULE: {"width_ppm": 1_000_000, "move_ppm": 1_000_000, "source": 2, "trades_log2": 6},
    Opcode.CALL: {"duration_us": 1_000},
    Opcode.SET_CALL_END: {"extra_us": 1},
    Opcode.SET_SCHEDULE: {"at_ns": 1, "duration_us": 1_000, "state": 2},
    Opcode.MOVE_WINDOW: {"window_base_ticks": 101},
}
"""A command of each kind that is carried out."""

MARKET = {"order_type": OrderType.MARKET.value, "time_in_force": TimeInForce.IOC.value, "price_ticks": 0}
POST_ONLY = {"flags": OrderFlags.POST_ONLY.value}
NO_INSTRUMENT = [
    Opcode.MASS_CANCEL,
    Opcode.GRANT_CREDIT,
    Opcode.KILL_ACCOUNT,
    Opcode.RESTORE_ACCOUNT,
    Opcode.HEARTBEAT,
    Opcode.READ_CLOCK,
]
ALL = [Opcode.HALT, Opcode.RESUME, Opcode.CALL]
ENUMS = {
    Opcode.NEW_ORDER: {"side": 3, "order_type": 3, "time_in_force": 4, "self_trade_prevention": 6},
    Opcode.REPLACE: {"side": 3},
    Opcode.SET_BAND: {"policy": 4},
    Opcode.HEARTBEAT: {"action": 3},
    Opcode.SET_BREAKER: {"mode": 3},
    Opcode.SET_REFERENCE_RULE: {"source": 5},
    Opcode.SET_SCHEDULE: {"state": 5},
}
"""For each enum, the value after its last member; zero is no member either."""

CASES = [
    *[(opcode, {"number": 0}) for opcode in Opcode],
    *[(opcode, {"instrument": 3}) for opcode in Opcode if opcode not in NO_INSTRUMENT],
    *[(opcode, {"instrument": 255}) for opcode in Opcode if opcode not in ALL],
    *[(opcode, {"instrument": 254}) for opcode in ALL],
    *[(opcode, {"instrument": 1}) for opcode in NO_INSTRUMENT],
    *[(opcode, {"account": 4}) for opcode, layout in COMMAND_DTYPES.items() if "account" in (layout.names or ())],
    *[(opcode, {"token": 8}) for opcode in (Opcode.NEW_ORDER, Opcode.CANCEL, Opcode.REPLACE)],
    *[(opcode, {name: value}) for opcode, enums in ENUMS.items() for name in enums for value in (0, enums[name])],
    (Opcode.NEW_ORDER, {"flags": 4}),
    (Opcode.SET_INSTRUMENT, {"flags": 4}),
    (Opcode.NEW_ORDER, {"quantity_lots": 0}),
    (Opcode.NEW_ORDER, MARKET | {"price_ticks": 103}),
    (Opcode.NEW_ORDER, MARKET | {"time_in_force": TimeInForce.GTC.value}),
    (Opcode.NEW_ORDER, MARKET | {"time_in_force": TimeInForce.FOK.value}),
    (Opcode.NEW_ORDER, MARKET | POST_ONLY),
    (Opcode.NEW_ORDER, POST_ONLY | {"time_in_force": TimeInForce.IOC.value}),
    (Opcode.NEW_ORDER, POST_ONLY | {"time_in_force": TimeInForce.FOK.value}),
    (Opcode.REPLACE, {"quantity_lots": 0}),
    (Opcode.SET_INSTRUMENT, {"multiplier_quote": 0}),
    (Opcode.SET_INSTRUMENT, {"multiplier_quote": 65_536}),
    (Opcode.SET_INSTRUMENT, {"window_log2": 1}),
    (Opcode.SET_INSTRUMENT, {"window_log2": 5}),
    (Opcode.SET_INSTRUMENT, {"window_log2": 255}),
    (Opcode.SET_INSTRUMENT, {"window_base_ticks": 2**32 - 7}),
    (Opcode.SET_BAND, {"reference_ticks": 100}),
    (Opcode.SET_BAND, {"reference_ticks": 104}),
    (Opcode.SET_BAND, {"lower_ticks": 103, "upper_ticks": 101}),
    (Opcode.HEARTBEAT, {"timeout_ns": 2**63}),
    *[(opcode, {"duration_us": us}) for opcode in (Opcode.HALT, Opcode.CALL, Opcode.SET_SCHEDULE) for us in (1, 999)],
    (Opcode.SET_BREAKER, {"flags": 2}),
    *[(Opcode.SET_BREAKER, {name: us}) for name in ("limit_us", "halt_us", "indicative_us") for us in (1, 999)],
    *[(Opcode.SET_BREAKER, {name: us}) for name in ("call_us", "extension_us") for us in (0, 999)],
    (Opcode.SET_DYNAMIC_BAND, {"short_bucket_us": 0}),
    (Opcode.SET_DYNAMIC_BAND, {"short_bucket_us": 999}),
    (Opcode.SET_DYNAMIC_BAND, {"short_buckets": 0}),
    (Opcode.SET_DYNAMIC_BAND, {"short_buckets": 65}),
    (Opcode.SET_DYNAMIC_BAND, {"short_width_ticks": 0, "short_buckets": 0}),
    (Opcode.SET_DYNAMIC_BAND, {"long_width_ticks": 1}),
    (Opcode.SET_DYNAMIC_BAND, {"long_bucket_us": 1_000}),
    (Opcode.SET_DYNAMIC_BAND, {"long_buckets": 1}),
    (Opcode.SET_DYNAMIC_BAND, {"long_bucket_us": 999, "long_buckets": 1}),
    (Opcode.SET_DYNAMIC_BAND, {"long_bucket_us": 1_000, "long_buckets": 65}),
    (Opcode.SET_REFERENCE_RULE, {"width_ppm": 1_000_001}),
    (Opcode.SET_REFERENCE_RULE, {"move_ppm": 1_000_001}),
    (Opcode.SET_REFERENCE_RULE, {"trades_log2": 7}),
    *[(Opcode.SET_REFERENCE_RULE, {"source": source, "trades_log2": 1}) for source in (1, 3, 4)],
    *[(Opcode.SET_SCHEDULE, {"state": state, "duration_us": 1_000}) for state in (1, 4)],
    (Opcode.SET_SCHEDULE, {"state": 3, "duration_us": 999}),
]


def build(market: Any, opcode: Opcode, changes: dict[str, int]) -> bytes:
    command = new_commands(opcode, 1)
    header = {"epoch": 1, "number": market.number + 1, "instrument": 0}
    for name, value in {**header, **GOOD[opcode], **changes}.items():
        (command["header"] if name in header else command)[name] = value
    return bytes(command.tobytes())


def execute(market: Any, command: bytes) -> list[str]:
    """Send raw bytes to a market with one order, and see that a rejection changes nothing."""
    before = market.state()
    lines: list[str] = market.lines(market.appliance.execute(0, 0, command))
    if lines == ["REJECTED MALFORMED"]:
        assert market.state() == before
    return lines


@pytest.fixture(autouse=True)
def one_order(market: Any) -> None:
    market.buy(0, 5, 102)


@pytest.mark.parametrize("opcode", Opcode, ids=lambda opcode: opcode.name)
def test_good_command_is_carried_out(market: Any, opcode: Opcode) -> None:
    assert "REJECTED" not in execute(market, build(market, opcode, {}))[0]


@pytest.mark.parametrize(
    ("opcode", "changes"),
    [
        *[(opcode, {"instrument": 255}) for opcode in ALL],
        *[(opcode, {"duration_us": us}) for opcode in (Opcode.HALT, Opcode.CALL) for us in (0, 1_000, 2**32 - 1)],
        (Opcode.SET_BREAKER, {"limit_us": 0, "halt_us": 2**32 - 1, "indicative_us": 1_000, "flags": 1, "mode": 1}),
        (Opcode.SET_DYNAMIC_BAND, {"short_width_ticks": 0, "short_bucket_us": 0, "short_buckets": 0}),
        (Opcode.SET_DYNAMIC_BAND, {"short_width_ticks": 0, "long_bucket_us": 1_000, "long_buckets": 1}),
        (Opcode.SET_REFERENCE_RULE, {"source": 1, "trades_log2": 0}),
        (Opcode.SET_CALL_END, {"extra_us": 2**32 - 1}),
        (Opcode.SET_SCHEDULE, {"at_ns": 0, "duration_us": 0, "state": 4}),
        (Opcode.SET_SCHEDULE, {"at_ns": 2**64 - 1, "duration_us": 0, "state": 3}),
        (Opcode.MOVE_WINDOW, {"window_base_ticks": 2**32 - 8}),
    ],
    ids=str,
)
def test_what_lies_on_this_side_of_a_limit_is_carried_out(market: Any, opcode: Opcode, changes: dict[str, int]) -> None:
    assert "REJECTED" not in execute(market, build(market, opcode, changes))[0]


@pytest.mark.parametrize(("opcode", "changes"), CASES, ids=str)
def test_malformed(market: Any, opcode: Opcode, changes: dict[str, int]) -> None:
    command = build(market, opcode, changes)
    assert execute(market, command) == ["REJECTED MALFORMED"]
    assert market.fields[0]["command_number"] == str(changes.get("number", market.number + 1))


def reserved_bytes(opcode: Opcode) -> list[int]:
    """Places of the bytes of a command that no named field covers."""
    dtype = COMMAND_DTYPES[opcode]
    assert dtype.fields is not None
    named = set(range(8))
    for name, field in dtype.fields.items():
        if not name.startswith("reserved"):
            named |= set(range(field[1], field[1] + field[0].itemsize))
    return [place for place in range(COMMAND_BYTES) if place not in named]


@pytest.mark.parametrize(
    ("opcode", "place"), [(opcode, place) for opcode in COMMANDS for place in reserved_bytes(opcode)], ids=str
)
def test_reserved_byte_must_be_zero(market: Any, opcode: Opcode, place: int) -> None:
    command = bytearray(build(market, opcode, {}))
    assert command[place] == 0
    command[place] = 0x80
    assert execute(market, bytes(command)) == ["REJECTED MALFORMED"]


@pytest.mark.parametrize("opcode", sorted(set(range(256)) - {opcode.value for opcode in Opcode}))
def test_unknown_opcode(market: Any, opcode: int) -> None:
    command = bytes([opcode, 0, 1, 0, 9, 0, 0, 0]) + bytes(24)
    assert execute(market, command) == ["REJECTED MALFORMED"]


@pytest.mark.parametrize("opcode", COMMANDS, ids=str)
@pytest.mark.parametrize("link", [2, 255])
def test_link_that_there_is_not(market: Any, opcode: Opcode, link: int) -> None:
    reports = market.appliance.execute(0, link, build(market, opcode, {}))
    (fields,) = map(report_fields, reports)
    assert (fields["kind"], fields["reason"], fields["link"]) == ("REJECTED", "MALFORMED", str(link))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_command_of_another_size_is_no_command(market: Any, size: int) -> None:
    with pytest.raises(ValueError, match=f"a command is 32 bytes, not {size}"):
        market.appliance.execute(0, 0, bytes(size))


def test_side_of_a_malformed_order_is_echoed_as_sent(market: Any) -> None:
    execute(market, build(market, Opcode.NEW_ORDER, {"side": 7}))
    assert market.fields[0]["side"] == "7 (no Side)"
