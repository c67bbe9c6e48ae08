"""Replace, cancel and mass cancel."""

from typing import Any, Final

import pytest

from bandgap.hdl.protocol.commands import Opcode, SelfTradePrevention, Side

QUEUE: Final = ["#0 5@102", "#1 5@102"]


@pytest.fixture(autouse=True)
def queue(market: Any) -> None:
    """Two bids of five at 102."""
    market.buy(0, 5, 102)
    market.buy(1, 5, 102, account=1)


@pytest.mark.parametrize(
    ("quantity", "price", "after"),
    [
        (5, 102, QUEUE),
        (4, 102, ["#0 4@102", "#1 5@102"]),
        (6, 102, ["#1 5@102", "#0 6@102"]),
        (5, 101, ["#1 5@102", "#0 5@101"]),
        (4, 103, ["#0 4@103", "#1 5@102"]),
    ],
    ids=["the same", "smaller", "larger", "worse price", "better price"],
)
def test_place_after_a_replace(market: Any, quantity: int, price: int, after: list[str]) -> None:
    assert market.replace(0, Side.BUY, quantity, price) == [f"REPLACED #0 {quantity}@{price}"]
    assert market.book(Side.BUY) == after


def test_replace_may_trade_on_the_way_in(market: Any) -> None:
    market.sell(2, 3, 104, account=1)
    assert market.replace(0, Side.BUY, 5, 104) == ["REPLACED #0 5@104", "TRADE 3@104 #0 left 2 #2 left 0"]
    assert market.book(Side.BUY) == ["#0 2@104", "#1 5@102"]


def test_replaced_order_that_is_filled_frees_its_slot(market: Any) -> None:
    market.sell(2, 9, 104, account=1)
    assert market.replace(0, Side.BUY, 5, 105)[-1] == "TRADE 5@104 #0 left 0 #2 left 4"
    assert market.buy(0, 1, 100, generation=2) == ["ACCEPTED #0 1@100"]


def test_replace_keeps_the_self_trade_mode(market: Any) -> None:
    market.sell(2, 1, 104)
    market.buy(3, 1, 101, self_trade_prevention=SelfTradePrevention.CANCEL_BOTH.value)
    assert market.replace(3, Side.BUY, 1, 104) == [
        "REPLACED #3 1@104",
        "CANCELED SELF_TRADE #2 1 left 0",
        "CANCELED SELF_TRADE #3 1 left 0",
    ]


def test_expected_quantity_guards_against_a_fill_in_flight(market: Any) -> None:
    market.sell(2, 2, 102, account=1)
    assert market.replace(0, Side.BUY, 5, 102, expected_quantity_lots=5) == ["REJECTED QUANTITY_MISMATCH"]
    assert market.replace(0, Side.BUY, 5, 102, expected_quantity_lots=3) == ["REPLACED #0 5@102"]


def test_rejected_replace_leaves_the_order_alone(market: Any) -> None:
    assert market.replace(0, Side.BUY, 5, 108) == ["REJECTED OUTSIDE_WINDOW"]
    assert market.book(Side.BUY) == QUEUE


def test_halt_lets_an_order_shrink_but_not_move(market: Any) -> None:
    market.halt()
    assert market.replace(0, Side.BUY, 4, 102) == ["REPLACED #0 4@102"]
    assert market.replace(0, Side.BUY, 5, 102) == ["REJECTED HALTED"]
    assert market.replace(0, Side.BUY, 4, 101) == ["REJECTED HALTED"]
    assert market.cancel(0) == ["CANCELED REQUESTED #0 4 left 0"]


def test_post_only_order_stays_post_only(market: Any) -> None:
    market.sell(2, 1, 104, account=1)
    market.buy(3, 1, 101, post_only=True)
    assert market.replace(3, Side.BUY, 1, 104) == ["REJECTED POST_ONLY"]
    assert market.replace(3, Side.BUY, 1, 103) == ["REPLACED #3 1@103"]


def test_cancel_takes_the_order_out(market: Any) -> None:
    assert market.cancel(0) == ["CANCELED REQUESTED #0 5 left 0"]
    assert market.book(Side.BUY) == ["#1 5@102"]
    assert market.cancel(0) == ["REJECTED UNKNOWN_ORDER"]


def test_cancel_from_within_a_queue(market: Any) -> None:
    market.buy(2, 5, 102)
    market.cancel(1, account=1)
    assert market.book(Side.BUY) == ["#0 5@102", "#2 5@102"]


def test_mass_cancel_in_ascending_token_across_instruments(market: Any) -> None:
    market.set_instrument(1, ladder_offset=8)
    market.resume()
    market.buy(7, 1, 100)
    market.sell(4, 2, 105, instrument=1)
    assert market.account_command(Opcode.MASS_CANCEL, 0) == [
        "CANCELED MASS_CANCEL #0 5 left 0",
        "CANCELED MASS_CANCEL #4 2 left 0",
        "CANCELED MASS_CANCEL #7 1 left 0",
        "DONE 3",
    ]
    assert [fields["instrument"] for fields in market.fields] == ["0", "1", "0", "0"]
    assert market.book(Side.BUY) == ["#1 5@102"]
    assert market.account_command(Opcode.MASS_CANCEL, 0) == ["DONE 0"]


def test_any_link_may_mass_cancel(market: Any) -> None:
    assert market.account_command(Opcode.MASS_CANCEL, 0, link=1)[-1] == "DONE 1"
