"""The table of rejections of `docs/order-semantics.md`: every row, and of two rows that hold the first."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import pytest

from bandgap.hdl.protocol.commands import Opcode, OrderType, Side, TimeInForce

MAX_LOTS = 2**32 - 1
Setup = Callable[[Any], object]


@dataclass(frozen=True)
class Row:
    """One row of the table for one command.

    Attributes
    ----------
    number : Its number in the table.
    reason : The reason it gives.
    setup : Brings the market into the state that the row is about.
    changes : What makes it hold for a command that would else be carried out.
    late : Whether the setup stops orders from entering, so that others must come first.
    """

    number: int
    reason: str
    setup: Setup = lambda market: None
    changes: dict[str, Any] = field(default_factory=dict)
    late: bool = False


MALFORMED = Row(1, "MALFORMED", changes={"number": 0})
WRONG_EPOCH = Row(2, "WRONG_EPOCH", changes={"epoch": 2})
OTHER_LINK = Row(3, "NOT_PRIVILEGED", changes={"link": 1})
NOT_SET = {"instrument": 2}


def fill_slot(market: Any) -> None:
    market.buy(1, 1, 100, account=1, generation=9)


def use_generation(market: Any) -> None:
    market.buy(1, 1, 100, account=1, generation=9, time_in_force=TimeInForce.IOC.value)


def spend_all(market: Any) -> None:
    market.grant(0, -market.balance())


# The commands that the rows spoil. Each would be carried out in the market as it is.


def new_order(market: Any, **changes: Any) -> list[str]:
    return market.buy(1, 5, 103, **changes)


def cancel(market: Any, **changes: Any) -> list[str]:
    return market.cancel(1, **changes)


def replace(market: Any, **changes: Any) -> list[str]:
    return market.replace(1, Side.BUY, **{"quantity": 6, "price": 103, **changes})


def rest(market: Any) -> None:
    market.buy(1, 5, 102)


def rest_post_only(market: Any) -> None:
    market.cancel(1)
    market.buy(1, 5, 102, generation=2, post_only=True)


def rest_reduce_only(market: Any) -> None:
    market.appliance.set_token_range(1, 0, 8)
    market.cancel(1)
    market.buy(1, 5, 102, generation=2, reduce_only=True)


COMMANDS: dict[str, tuple[Setup, Callable[..., list[str]]]] = {
    "new order": (lambda market: None, new_order),
    "cancel": (rest, cancel),
    "replace": (rest, replace),
    "mass cancel": (rest, lambda market, **changes: market.account_command(Opcode.MASS_CANCEL, 0, **changes)),
    "kill account": (rest, lambda market, **changes: market.account_command(Opcode.KILL_ACCOUNT, 0, **changes)),
    "restore account": (rest, lambda market, **changes: market.account_command(Opcode.RESTORE_ACCOUNT, 0, **changes)),
    "set instrument": (
        lambda market: None,
        lambda market, **changes: market.set_instrument(**{"instrument": 1, "ladder_offset": 8, **changes}),
    ),
    "set band": (rest, lambda market, **changes: market.set_band(**{"lower": 101, "upper": 104, **changes})),
    "halt": (rest, lambda market, **changes: market.halt(**{"instrument": 0, **changes})),
    "resume": (lambda market: market.halt(), lambda market, **changes: market.resume(**{"instrument": 0, **changes})),
    "grant credit": (rest, lambda market, **changes: market.grant(**{"account": 0, "amount": 5, **changes})),
    "heartbeat": (rest, lambda market, **changes: market.heartbeat(5, **changes)),
    "read clock": (rest, lambda market, **changes: market.send(Opcode.READ_CLOCK, **changes)),
}

PLAIN_OPERATOR = [MALFORMED, WRONG_EPOCH, OTHER_LINK]
TABLE: dict[str, list[Row]] = {
    "new order": [
        MALFORMED,
        WRONG_EPOCH,
        Row(3, "NOT_PRIVILEGED", changes={"link": 1, "reduce_only": True}),
        Row(4, "TOKEN_NOT_YOURS", changes={"link": 1}),
        Row(5, "UNKNOWN_INSTRUMENT", changes=NOT_SET),
        Row(6, "KILLED", lambda market: market.kill(0), late=True),
        Row(7, "HALTED", lambda market: market.halt(), late=True),
        Row(
            8,
            "NO_BAND",
            changes={"order_type": OrderType.MARKET.value, "time_in_force": TimeInForce.IOC.value, "price_ticks": 0},
        ),
        Row(9, "OUTSIDE_WINDOW", changes={"price_ticks": 108}),
        Row(10, "OUTSIDE_BAND", lambda market: market.set_band(101, 104), changes={"price_ticks": 105}),
        Row(
            11,
            "CREDIT",
            lambda market: [market.grant(account, 2**60) for account in range(4)],
            changes={"quantity_lots": MAX_LOTS},
        ),
        Row(12, "CREDIT", spend_all, late=True),
        Row(13, "SLOT_IN_USE", fill_slot),
        Row(14, "GENERATION_USED", use_generation, changes={"generation": 9}),
        Row(20, "POST_ONLY", lambda market: market.sell(2, 1, 103, account=1), changes={"post_only": True}),
    ],
    "cancel": [
        MALFORMED,
        WRONG_EPOCH,
        Row(4, "TOKEN_NOT_YOURS", changes={"link": 1}),
        Row(5, "UNKNOWN_INSTRUMENT", changes=NOT_SET),
        Row(15, "UNKNOWN_ORDER", changes={"generation": 2}),
    ],
    "replace": [
        MALFORMED,
        WRONG_EPOCH,
        Row(4, "TOKEN_NOT_YOURS", changes={"link": 1}),
        Row(5, "UNKNOWN_INSTRUMENT", changes=NOT_SET),
        Row(6, "KILLED", lambda market: market.kill(0), late=True),
        Row(9, "OUTSIDE_WINDOW", changes={"price": 99}),
        Row(10, "OUTSIDE_BAND", lambda market: market.set_band(101, 104), changes={"price": 105}),
        Row(11, "CREDIT", lambda market: market.grant(0, 2**60), changes={"quantity": MAX_LOTS}),
        Row(15, "UNKNOWN_ORDER", changes={"generation": 3}),
        Row(16, "NOT_PRIVILEGED", rest_reduce_only, changes={"link": 1, "generation": 2}),
        Row(17, "QUANTITY_MISMATCH", changes={"expected_quantity_lots": 4}),
        Row(18, "HALTED", lambda market: market.halt(), late=True),
        Row(19, "CREDIT", spend_all, late=True),
        Row(
            20,
            "POST_ONLY",
            lambda market: (rest_post_only(market), market.sell(2, 1, 103, account=1)),
            changes={"generation": 2},
        ),
    ],
    "mass cancel": [MALFORMED, WRONG_EPOCH],
    "kill account": PLAIN_OPERATOR,
    "restore account": PLAIN_OPERATOR,
    "set instrument": [
        *PLAIN_OPERATOR,
        Row(21, "INSTRUMENT_ACTIVE", changes={"instrument": 0}),
        Row(22, "LADDER_CONFLICT", changes={"ladder_offset": 4}),
    ],
    "set band": [
        *PLAIN_OPERATOR,
        Row(5, "UNKNOWN_INSTRUMENT", changes=NOT_SET),
        Row(9, "OUTSIDE_WINDOW", changes={"upper": 108}),
    ],
    "halt": [*PLAIN_OPERATOR, Row(5, "UNKNOWN_INSTRUMENT", changes=NOT_SET)],
    "resume": [*PLAIN_OPERATOR, Row(5, "UNKNOWN_INSTRUMENT", changes=NOT_SET)],
    "grant credit": [*PLAIN_OPERATOR, Row(23, "CREDIT", changes={"amount": 2**62})],
    "heartbeat": PLAIN_OPERATOR,
    "read clock": PLAIN_OPERATOR,
}

CANNOT_MEET = {
    ("new order", 8, 9): "a market order has no price of its own",
    ("new order", 8, 10): "there is a band or there is none",
    ("new order", 8, 20): "a post-only market order is malformed",
    ("new order", 9, 10): "one price",
    ("new order", 13, 14): "one slot has one last generation",
    ("replace", 4, 16): "the slot is the link's or it is not",
    ("replace", 9, 10): "one price",
    ("replace", 15, 16): "one generation",
    ("replace", 15, 20): "one generation",
    ("replace", 16, 20): "one generation",
}
"""Rows whose setups or changes exclude each other here; those that can meet otherwise have tests of their own below."""


def pairs() -> Iterator[Any]:
    for name, rows in TABLE.items():
        for first, second in combinations(rows, 2):
            if (name, first.number, second.number) not in CANNOT_MEET:
                yield pytest.param(name, first, second, id=f"{name} {first.number} before {second.number}")


def reject(market: Any, name: str, rows: list[Row]) -> list[str]:
    """Bring all rows about and send the command."""
    setup, send = COMMANDS[name]
    setup(market)
    for row in sorted(rows, key=lambda row: row.late):
        row.setup(market)
    changes = {key: value for row in rows for key, value in row.changes.items()}
    before = market.state()
    lines = send(market, **changes)
    assert market.state() == before, "a rejected command changed something"
    return lines


@pytest.mark.parametrize("name", COMMANDS)
def test_unspoiled_command_is_carried_out(market: Any, name: str) -> None:
    setup, send = COMMANDS[name]
    setup(market)
    assert not send(market)[0].startswith("REJECTED")


@pytest.mark.parametrize(
    ("name", "row"),
    [pytest.param(name, row, id=f"{name} {row.number}") for name, rows in TABLE.items() for row in rows],
)
def test_row(market: Any, name: str, row: Row) -> None:
    assert reject(market, name, [row]) == [f"REJECTED {row.reason}"]


@pytest.mark.parametrize(("name", "first", "second"), list(pairs()))
def test_first_row_wins(market: Any, name: str, first: Row, second: Row) -> None:
    assert reject(market, name, [first, second]) == [f"REJECTED {first.reason}"]


def test_price_beyond_band_and_window_is_outside_the_window(market: Any) -> None:
    market.set_band(101, 104)
    assert market.buy(1, 1, 108) == ["REJECTED OUTSIDE_WINDOW"]
    rest(market)
    assert market.replace(1, Side.BUY, 5, 108) == ["REJECTED OUTSIDE_WINDOW"]


def test_slot_in_use_before_generation_used(market: Any) -> None:
    fill_slot(market)
    assert market.buy(1, 1, 100, generation=9) == ["REJECTED SLOT_IN_USE"]
    market.cancel(1, account=1, generation=9)
    assert market.buy(1, 1, 100, generation=9) == ["REJECTED GENERATION_USED"]


def test_unknown_order_before_post_only(market: Any) -> None:
    market.sell(2, 1, 103, account=1)
    market.buy(1, 5, 102, post_only=True)
    assert market.replace(1, Side.BUY, 5, 103, generation=2) == ["REJECTED UNKNOWN_ORDER"]
    assert market.replace(1, Side.BUY, 5, 103) == ["REJECTED POST_ONLY"]


@pytest.mark.parametrize(
    "wrong", [{"generation": 2}, {"account": 1}, {"instrument": 1}, {"token": 2}], ids=lambda wrong: next(iter(wrong))
)
def test_cancel_must_name_the_order_in_all(market: Any, wrong: dict[str, int]) -> None:
    market.set_instrument(1, ladder_offset=8)
    rest(market)
    assert market.cancel(**{"token": 1, **wrong}) == ["REJECTED UNKNOWN_ORDER"]
    assert market.replace(**{"token": 1, "side": Side.BUY, "quantity": 4, "price": 102, **wrong}) == [
        "REJECTED UNKNOWN_ORDER"
    ]
    assert market.book(Side.BUY) == ["#1 5@102"]


def test_replace_must_name_the_side(market: Any) -> None:
    rest(market)
    assert market.replace(1, Side.SELL, 4, 102) == ["REJECTED UNKNOWN_ORDER"]


def test_reduce_only_passes_kill_and_credit(market: Any) -> None:
    spend_all(market)
    market.kill(0)
    assert market.buy(1, MAX_LOTS, 103, reduce_only=True) == [f"ACCEPTED #1 {MAX_LOTS}@103"]
    assert market.balance() == 0


def test_instrument_that_holds_orders_is_active_though_halted(market: Any) -> None:
    rest(market)
    market.halt()
    assert market.set_instrument(0) == ["REJECTED INSTRUMENT_ACTIVE"]
    market.cancel(1)
    assert market.set_instrument(0) == ["DONE 0"]


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"ladder_offset": 8}, "DONE 0"),
        ({"ladder_offset": 4, "window_log2": 2}, "REJECTED LADDER_CONFLICT"),  # rows 4 to 7 are instrument 0's
        ({"ladder_offset": 8, "window_log2": 2}, "DONE 0"),
        ({"ladder_offset": 10, "window_log2": 2}, "REJECTED LADDER_CONFLICT"),  # no multiple
        ({"ladder_offset": 0, "window_log2": 4}, "REJECTED LADDER_CONFLICT"),
        ({"ladder_offset": 16}, "REJECTED LADDER_CONFLICT"),  # beyond the ladder
        ({"ladder_offset": 2**32 - 8}, "REJECTED LADDER_CONFLICT"),
    ],
)
def test_ladder_rows_belong_to_one_instrument(market: Any, changes: dict[str, int], answer: str) -> None:
    assert market.set_instrument(1, **changes) == [answer]


def test_instrument_may_take_its_own_rows_again(market: Any) -> None:
    market.halt()
    assert market.set_instrument(0, window_log2=4) == ["DONE 0"]


def test_balance_may_reach_its_limits(market: Any) -> None:
    assert market.grant(0, 2**62 - market.balance()) == ["DONE 0"]
    assert market.grant(0, 1) == ["REJECTED CREDIT"]
    assert market.grant(0, -(2**63)) == ["DONE 0"]
    assert market.balance() == -(2**62)
    assert market.grant(0, -1) == ["REJECTED CREDIT"]


def test_rejected_report_echoes_the_command(market: Any) -> None:
    market.sell(1, 7, 108, account=2, generation=5)
    (fields,) = market.fields
    echoed = {name: fields[name] for name in ("price_ticks", "quantity_lots", "account", "token", "generation", "side")}
    assert echoed == {
        "price_ticks": "108",
        "quantity_lots": "7",
        "account": "2",
        "token": "1",
        "generation": "5",
        "side": "SELL",
    }
    assert fields["remaining_lots"] == "0"
    assert fields["command_number"] == str(market.number)


def test_token_range_is_the_links(market: Any) -> None:
    market.appliance.set_token_range(1, 2, 3)
    market.appliance.set_token_range(0, 0, 2)
    assert market.buy(1, 1, 100, link=1) == ["REJECTED TOKEN_NOT_YOURS"]
    assert market.buy(2, 1, 100) == ["REJECTED TOKEN_NOT_YOURS"]
    assert market.buy(2, 1, 100, link=1) == ["ACCEPTED #2 1@100"]
    assert market.buy(4, 1, 100, link=1) == ["ACCEPTED #4 1@100"]
    assert market.buy(5, 1, 100, link=1) == ["REJECTED TOKEN_NOT_YOURS"]
