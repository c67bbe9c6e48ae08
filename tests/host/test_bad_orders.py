"""Orders that cannot be taken: each gets its reason, on model and embedded device, and the book is unchanged.

Window 512 to 1535, band 950 to 1050; instrument 1 of the device's two is not set. Account 0 has a bid of 7 lots at 990,
account 1 an offer of 7 at 1010.
"""

from collections.abc import Callable
from typing import Any

import pytest

from bandgap.hdl.protocol.commands import OrderFlags, OrderType, Side, TimeInForce
from bandgap.hdl.protocol.reports import ReportKind
from bandgap.host.gateway.order_entry import Refusal
from bandgap.host.wire import select_reports

pytestmark = pytest.mark.parametrize("open_venue", ["model", "embedded"], indirect=True)

Open = Callable[..., Any]
Kinds = Callable[..., list[str]]

LAST_UINT32 = 2**32 - 1
MARKET, IOC = OrderType.MARKET.value, TimeInForce.IOC.value

BAD_ORDERS = {
    "quantity zero": ({"quantity_lots": 0}, "MALFORMED"),
    "no side": ({"side": 0}, "MALFORMED"),
    "unknown side": ({"side": 3}, "MALFORMED"),
    "unknown order type": ({"order_type": 9}, "MALFORMED"),
    "unknown time in force": ({"time_in_force": 255}, "MALFORMED"),
    "no self-trade mode": ({"self_trade_prevention": 0}, "MALFORMED"),
    "unknown flag": ({"flags": 128}, "MALFORMED"),
    "instrument beyond the device": ({"instrument": 2}, "MALFORMED"),
    "all instruments": ({"instrument": 255}, "MALFORMED"),
    "instrument not set": ({"instrument": 1}, "UNKNOWN_INSTRUMENT"),
    "market order with a price": ({"order_type": MARKET, "time_in_force": IOC}, "MALFORMED"),
    "market order that stays": ({"order_type": MARKET, "price_ticks": 0}, "MALFORMED"),
    "post-only that does not stay": ({"flags": OrderFlags.POST_ONLY.value, "time_in_force": IOC}, "MALFORMED"),
    "reduce-only from a client": ({"flags": OrderFlags.REDUCE_ONLY.value}, "NOT_PRIVILEGED"),
    "price zero": ({"price_ticks": 0}, "OUTSIDE_WINDOW"),
    "price below the window": ({"price_ticks": 511}, "OUTSIDE_WINDOW"),
    "price above the window": ({"price_ticks": 1536}, "OUTSIDE_WINDOW"),
    "price aliasing a window later": ({"price_ticks": 1000 + 1024}, "OUTSIDE_WINDOW"),
    "largest price": ({"price_ticks": LAST_UINT32}, "OUTSIDE_WINDOW"),
    "buy above the band": ({"price_ticks": 1051}, "OUTSIDE_BAND"),
    "sell below the band": ({"price_ticks": 949, "side": Side.SELL.value}, "OUTSIDE_BAND"),
    "largest quantity": ({"quantity_lots": LAST_UINT32}, "CREDIT"),
    "one lot more than credit": ({"quantity_lots": 592}, "CREDIT"),
    "post-only that would trade": ({"flags": OrderFlags.POST_ONLY.value, "price_ticks": 1010}, "POST_ONLY"),
}

BAD_REPLACES = {
    "quantity zero": ({"quantity_lots": 0}, "MALFORMED"),
    "outside the window": ({"price_ticks": 511}, "OUTSIDE_WINDOW"),
    "above the band": ({"price_ticks": 1051}, "OUTSIDE_BAND"),
    "other side": ({"side": Side.SELL.value}, "UNKNOWN_ORDER"),
    "unknown side": ({"side": 3}, "MALFORMED"),
    "too much": ({"quantity_lots": LAST_UINT32}, "CREDIT"),
    "another open quantity": ({"expected_quantity_lots": 6}, "QUANTITY_MISMATCH"),
}


def open_book(open_venue: Open) -> Any:
    venue = open_venue()
    venue.step(mark=1000)
    venue.step(venue.new(0, Side.BUY, 990, 7), venue.new(1, Side.SELL, 1010, 7))
    return venue


def assert_book_unchanged(venue: Any) -> None:
    """Mass cancels of all accounts find the two orders as they were, and all credit comes back."""
    lines = venue.daemon.lines.line_quote.tolist()
    result = venue.step(*[venue.mass_cancel(account) for account in range(4)])
    canceled = select_reports(result.reports, ReportKind.CANCELED)
    columns = (canceled[name].tolist() for name in ("account", "price_ticks", "quantity_lots"))
    assert list(zip(*columns, strict=True)) == [(0, 990, 7), (1, 1010, 7)]
    assert [venue.balance_in_device(account) for account in range(4)] == lines


def altered(request: Any, fields: dict[str, int]) -> Any:
    for field, value in fields.items():
        request[field] = value
    return request


@pytest.mark.parametrize("name", BAD_ORDERS)
def test_bad_order_is_rejected(open_venue: Open, kinds_of: Kinds, name: str) -> None:
    fields, reason = BAD_ORDERS[name]
    venue = open_book(open_venue)
    request = altered(venue.new(2, Side.BUY, 1000, 1), fields)
    assert kinds_of(venue.step(request)) == [f"REJECTED {reason}"]
    assert_book_unchanged(venue)


@pytest.mark.parametrize("name", BAD_REPLACES)
def test_bad_replace_is_rejected(open_venue: Open, kinds_of: Kinds, name: str) -> None:
    fields, reason = BAD_REPLACES[name]
    venue = open_book(open_venue)
    request = altered(venue.replace(0, 1, 991, 8), fields)
    assert kinds_of(venue.step(request)) == [f"REJECTED {reason}"]
    assert_book_unchanged(venue)


def test_orders_of_others_are_unknown(open_venue: Open) -> None:
    """Account 2 names the orders of accounts 0 and 1: the host knows no such orders of it."""
    venue = open_book(open_venue)
    result = venue.step(venue.cancel(2, 1), venue.replace(2, 2, 1000, 1), venue.cancel(0, 2))
    assert result.encoded.refusals.tolist() == [Refusal.UNKNOWN_ORDER] * 3
    assert_book_unchanged(venue)


@pytest.mark.parametrize(("price", "side"), [(512, Side.BUY), (1535, Side.SELL), (1050, Side.SELL), (950, Side.BUY)])
def test_prices_at_the_limits_are_taken(open_venue: Open, kinds_of: Kinds, price: int, side: Side) -> None:
    venue = open_book(open_venue)
    assert kinds_of(venue.step(venue.new(2, side, price, 1))) == ["ACCEPTED"]
    assert kinds_of(venue.step(venue.cancel(2, 3))) == ["CANCELED REQUESTED"]
    assert_book_unchanged(venue)
