"""New orders: price-time priority, times in force, post-only, market orders, self-trade prevention."""

from typing import Any

import pytest

from bandgap.hdl.protocol.commands import OrderType, SelfTradePrevention, Side, TimeInForce

IOC = {"time_in_force": TimeInForce.IOC.value}
FOK = {"time_in_force": TimeInForce.FOK.value}
MARKET = {"order_type": OrderType.MARKET.value, **IOC}
MODES = {mode.name: {"self_trade_prevention": mode.value} for mode in SelfTradePrevention}


def crowd(market: Any) -> None:
    """Asks of account 1: 3 then 4 at 103, 5 at 104."""
    market.sell(1, 3, 103, account=1)
    market.sell(2, 4, 103, account=1)
    market.sell(3, 5, 104, account=1)


def test_order_that_meets_nobody_rests(market: Any) -> None:
    assert market.buy(0, 10, 102) == ["ACCEPTED #0 10@102"]
    assert market.sell(1, 10, 103) == ["ACCEPTED #1 10@103"]
    assert market.book(Side.BUY) == ["#0 10@102"]
    assert market.book(Side.SELL) == ["#1 10@103"]


def test_better_price_first_then_earlier_order(market: Any) -> None:
    market.buy(1, 1, 101)
    market.buy(2, 1, 102)
    market.buy(3, 1, 102)
    market.buy(4, 1, 103)
    assert market.book(Side.BUY) == ["#4 1@103", "#2 1@102", "#3 1@102", "#1 1@101"]
    market.sell(5, 1, 106)
    market.sell(6, 1, 105)
    market.sell(7, 1, 105)
    assert market.book(Side.SELL) == ["#6 1@105", "#7 1@105", "#5 1@106"]


def test_taker_sweeps_at_the_makers_prices_and_rests(market: Any) -> None:
    crowd(market)
    assert market.buy(0, 20, 105) == [
        "ACCEPTED #0 20@105",
        "TRADE 3@103 #0 left 17 #1 left 0",
        "TRADE 4@103 #0 left 13 #2 left 0",
        "TRADE 5@104 #0 left 8 #3 left 0",
    ]
    assert market.book(Side.BUY) == ["#0 8@105"]
    assert market.book(Side.SELL) == []


def test_taker_stops_at_its_limit(market: Any) -> None:
    crowd(market)
    assert market.buy(0, 8, 103) == [
        "ACCEPTED #0 8@103",
        "TRADE 3@103 #0 left 5 #1 left 0",
        "TRADE 4@103 #0 left 1 #2 left 0",
    ]
    assert market.book(Side.BUY) == ["#0 1@103"]


def test_maker_that_is_left_keeps_its_place(market: Any) -> None:
    crowd(market)
    market.buy(0, 2, 103)
    assert market.book(Side.SELL) == ["#1 1@103", "#2 4@103", "#3 5@104"]
    assert market.buy(0, 2, 103, generation=2)[1:] == [
        "TRADE 1@103 #0 left 1 #1 left 0",
        "TRADE 1@103 #0 left 0 #2 left 3",
    ]


def test_trade_names_both_orders_in_full(market: Any) -> None:
    market.sell(1, 5, 103, account=2, generation=7)
    market.buy(0, 3, 104, account=1, generation=6)
    trade = market.fields[-1]
    assert {name: trade[name] for name in ("side", "account", "token", "generation")} == {
        "side": "BUY",
        "account": "1",
        "token": "0",
        "generation": "6",
    }
    assert (trade["maker_account"], trade["maker_token"], trade["maker_generation"]) == ("2", "1", "7")


def test_only_the_last_report_of_a_command_is_marked(market: Any) -> None:
    crowd(market)
    market.buy(0, 7, 103)
    assert [fields["flags"] for fields in market.fields] == ["-", "-", "LAST"]


@pytest.mark.parametrize(
    ("how", "price", "tail"),
    [
        (IOC, 102, ["CANCELED IMMEDIATE_REST #0 9 left 0"]),
        (
            IOC,
            103,
            [
                "TRADE 3@103 #0 left 6 #1 left 0",
                "TRADE 4@103 #0 left 2 #2 left 0",
                "CANCELED IMMEDIATE_REST #0 2 left 0",
            ],
        ),
        (FOK, 103, ["CANCELED NOT_FILLABLE #0 9 left 0"]),
        (
            FOK,
            104,
            [
                "TRADE 3@103 #0 left 6 #1 left 0",
                "TRADE 4@103 #0 left 2 #2 left 0",
                "TRADE 2@104 #0 left 0 #3 left 3",
            ],
        ),
    ],
    ids=["IOC meets nobody", "IOC in part", "FOK short", "FOK in full"],
)
def test_immediate_orders(market: Any, how: dict[str, int], price: int, tail: list[str]) -> None:
    crowd(market)
    assert market.buy(0, 9, price, **how) == [f"ACCEPTED #0 9@{price}", *tail]
    assert market.book(Side.BUY) == []


def test_fill_or_kill_that_cannot_fill_touches_nothing(market: Any) -> None:
    crowd(market)
    before = market.book(Side.SELL), market.balance()
    market.buy(0, 13, 107, **FOK)
    assert (market.book(Side.SELL), market.balance()) == before
    assert market.buy(0, 12, 107, generation=2, **FOK)[-1] == "TRADE 5@104 #0 left 0 #3 left 0"


def test_market_order_goes_to_the_bound_of_its_side(market: Any) -> None:
    crowd(market)
    market.set_band(102, 103)
    assert market.buy(0, 9, 0, **MARKET) == [
        "ACCEPTED #0 9@103",
        "TRADE 3@103 #0 left 6 #1 left 0",
        "TRADE 4@103 #0 left 2 #2 left 0",
        "CANCELED IMMEDIATE_REST #0 2 left 0",
    ]
    assert market.sell(0, 1, 0, generation=2, **MARKET) == [
        "ACCEPTED #0 1@102",
        "CANCELED IMMEDIATE_REST #0 1 left 0",
    ]


def test_post_only_rests_or_is_rejected(market: Any) -> None:
    crowd(market)
    assert market.buy(0, 1, 103, post_only=True) == ["REJECTED POST_ONLY"]
    assert market.buy(0, 1, 102, post_only=True) == ["ACCEPTED #0 1@102"]
    assert market.sell(4, 1, 102, post_only=True) == ["REJECTED POST_ONLY"]


def test_slot_is_free_once_its_order_is_gone(market: Any) -> None:
    crowd(market)
    market.buy(0, 3, 103)
    assert market.sell(1, 1, 105, generation=2) == ["ACCEPTED #1 1@105"]
    assert market.buy(0, 1, 100, generation=2) == ["ACCEPTED #0 1@100"]


def test_rejected_order_leaves_its_slot_as_it_was(market: Any) -> None:
    assert market.buy(0, 1, 108, generation=3) == ["REJECTED OUTSIDE_WINDOW"]
    assert market.buy(0, 1, 102, generation=3) == ["ACCEPTED #0 1@102"]


def test_generation_zero_is_used_up_by_the_reset(market: Any) -> None:
    assert market.buy(0, 1, 102, generation=0) == ["REJECTED GENERATION_USED"]
    market.buy(0, 1, 102, generation=1, **IOC)
    assert market.buy(0, 1, 102, generation=0) == ["ACCEPTED #0 1@102"]


def test_instruments_do_not_meet(market: Any) -> None:
    market.set_instrument(1, ladder_offset=8)
    market.resume()
    market.sell(1, 1, 102)
    assert market.buy(0, 1, 102, instrument=1) == ["ACCEPTED #0 1@102"]


def test_quantity_of_a_level_may_exceed_32_bits(market: Any) -> None:
    market.halt()
    market.set_instrument(0, multiplier_quote=1, top_of_book=True)
    market.resume()
    for account in range(4):
        market.grant(account, 2**50)
        market.buy(account, 2**32 - 1, 100, account=account)
    assert market.fields[-1]["bid_quantity_lots"] == str(4 * (2**32 - 1))


# Self-trade prevention: asks of account 1 (2 lots), account 0 (4 lots), account 1 (5 lots) at 103; account 0 buys.


def own_maker_between(market: Any) -> None:
    market.sell(1, 2, 103, account=1)
    market.sell(2, 4, 103, account=0)
    market.sell(3, 5, 103, account=1)


FIRST = "TRADE 2@103 #0 left {} #1 left 0"


@pytest.mark.parametrize(
    ("mode", "quantity", "tail", "asks", "bids"),
    [
        (
            "OFF",
            10,
            ["TRADE 4@103 #0 left 4 #2 left 0", "TRADE 4@103 #0 left 0 #3 left 1"],
            ["#3 1@103"],
            [],
        ),
        ("CANCEL_NEWEST", 10, ["CANCELED SELF_TRADE #0 8 left 0"], ["#2 4@103", "#3 5@103"], []),
        (
            "CANCEL_OLDEST",
            10,
            ["CANCELED SELF_TRADE #2 4 left 0", "TRADE 5@103 #0 left 3 #3 left 0"],
            [],
            ["#0 3@103"],
        ),
        (
            "CANCEL_BOTH",
            10,
            ["CANCELED SELF_TRADE #2 4 left 0", "CANCELED SELF_TRADE #0 8 left 0"],
            ["#3 5@103"],
            [],
        ),
        (
            "DECREMENT",
            10,
            [
                "CANCELED SELF_TRADE #2 4 left 0",
                "CANCELED SELF_TRADE #0 4 left 4",
                "TRADE 4@103 #0 left 0 #3 left 1",
            ],
            ["#3 1@103"],
            [],
        ),
        (
            "DECREMENT",
            6,
            ["CANCELED SELF_TRADE #2 4 left 0", "CANCELED SELF_TRADE #0 4 left 0"],
            ["#3 5@103"],
            [],
        ),
        (
            "DECREMENT",
            5,
            ["CANCELED SELF_TRADE #2 3 left 1", "CANCELED SELF_TRADE #0 3 left 0"],
            ["#2 1@103", "#3 5@103"],
            [],
        ),
    ],
)
def test_self_trade_prevention(
    market: Any, mode: str, quantity: int, tail: list[str], asks: list[str], bids: list[str]
) -> None:
    own_maker_between(market)
    lines = market.buy(0, quantity, 103, **MODES[mode])
    assert lines == [f"ACCEPTED #0 {quantity}@103", FIRST.format(quantity - 2), *tail]
    assert market.book(Side.SELL) == asks
    assert market.book(Side.BUY) == bids


@pytest.mark.parametrize("mode", MODES)
def test_taker_that_is_done_before_its_own_maker_meets_nothing(market: Any, mode: str) -> None:
    own_maker_between(market)
    assert market.buy(0, 2, 103, **MODES[mode]) == ["ACCEPTED #0 2@103", FIRST.format(0)]


def test_the_takers_mode_decides(market: Any) -> None:
    market.sell(1, 1, 103, **MODES["CANCEL_NEWEST"])
    assert market.buy(0, 1, 103, **MODES["OFF"])[-1] == "TRADE 1@103 #0 left 0 #1 left 0"


@pytest.mark.parametrize("mode", ["CANCEL_NEWEST", "CANCEL_BOTH", "DECREMENT"])
def test_nothing_beyond_an_own_maker_counts_for_fill_or_kill(market: Any, mode: str) -> None:
    own_maker_between(market)
    assert market.buy(0, 3, 103, **FOK, **MODES[mode])[1:] == ["CANCELED NOT_FILLABLE #0 3 left 0"]
    assert market.buy(0, 2, 103, generation=2, **FOK, **MODES[mode])[1:] == [FIRST.format(0)]


def test_fill_or_kill_with_self_trade_off_counts_own_makers(market: Any) -> None:
    own_maker_between(market)
    assert market.buy(0, 12, 103, **FOK, **MODES["OFF"])[1:] == ["CANCELED NOT_FILLABLE #0 12 left 0"]
    assert market.buy(0, 11, 103, generation=2, **FOK, **MODES["OFF"])[-1] == "TRADE 5@103 #0 left 0 #3 left 0"


def test_fill_or_kill_passes_over_own_makers_it_would_cancel(market: Any) -> None:
    own_maker_between(market)
    oldest = MODES["CANCEL_OLDEST"]
    assert market.buy(0, 8, 103, **FOK, **oldest)[1:] == ["CANCELED NOT_FILLABLE #0 8 left 0"]
    assert market.book(Side.SELL) == ["#1 2@103", "#2 4@103", "#3 5@103"]
    assert market.buy(0, 7, 103, generation=2, **FOK, **oldest)[1:] == [
        FIRST.format(5),
        "CANCELED SELF_TRADE #2 4 left 0",
        "TRADE 5@103 #0 left 0 #3 left 0",
    ]
