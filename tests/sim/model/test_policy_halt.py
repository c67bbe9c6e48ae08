"""The band policy that clamps and halts."""

from typing import Any

import pytest

from bandgap.hdl.protocol.commands import BandPolicy, OrderType, TimeInForce

MARKET = {"order_type": OrderType.MARKET.value, "time_in_force": TimeInForce.IOC.value}
IOC = {"time_in_force": TimeInForce.IOC.value}
MS = 1_000_000


@pytest.fixture
def halting(market: Any) -> Any:
    """Band 102 to 105, policy *halt*, a limit state of 5 ms, a halt of 2 ms."""
    market.set_breaker(limit=5_000, halt=2_000)
    market.set_band(102, 105, BandPolicy.HALT)
    return market


def test_policy_halt_clamps_and_halts_after_a_millisecond(halting: Any) -> None:
    assert halting.buy(0, 1, 107) == ["ACCEPTED #0 1@105", "LIMIT LIMIT instrument 0 until 1000000"]
    assert halting.advance(MS - 1) == []
    assert halting.advance(MS) == ["HALTED LIMIT instrument 0 until 3000000"]


def test_nothing_takes_a_trip_back(halting: Any) -> None:
    halting.buy(0, 1, 107)
    assert halting.cancel(0) == ["CANCELED REQUESTED #0 1 left 0", "TRADING LIMIT instrument 0 until 1000000"]
    halting.set_band(102, 106, BandPolicy.REJECT)
    assert halting.buy(1, 1, 106)[1] == "LIMIT LIMIT instrument 0 until 1000000"
    assert halting.advance(MS) == ["HALTED LIMIT instrument 0 until 3000000"]


@pytest.mark.parametrize(
    ("order", "trips"),
    [
        ({"price_ticks": 105, **IOC}, True),
        ({"price_ticks": 107, **IOC}, True),
        ({"price_ticks": 0, **MARKET}, True),
        ({"price_ticks": 104, **IOC}, False),
        ({"price_ticks": 105, "time_in_force": TimeInForce.FOK.value}, False),
    ],
    ids=str,
)
def test_what_is_left_of_an_immediate_order_at_the_bound_trips(
    halting: Any, order: dict[str, int], trips: bool
) -> None:
    halting.buy(0, 2, **{"price": order.pop("price_ticks"), **order})
    assert halting.advance(MS) == (["HALTED LIMIT instrument 0 until 3000000"] if trips else [])


def test_an_immediate_order_that_is_filled_does_not_trip(halting: Any) -> None:
    halting.sell(0, 1, 104)
    halting.buy(1, 1, 105, **IOC)
    assert halting.advance(MS) == []


def test_other_policies_do_not_trip(halting: Any) -> None:
    halting.set_band(102, 105, BandPolicy.CLAMP)
    halting.buy(0, 1, 107, **IOC)
    assert halting.advance(MS) == []
