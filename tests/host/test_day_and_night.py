"""Random days: whatever marks, silences and market-wide halts do to a timetable, host and device agree on what is.

And when the market is calm again, the state is that of the time of day.
"""

from collections.abc import Callable
from datetime import time
from random import Random
from typing import Any

import numpy as np
import pytest

from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.commands import Opcode, OrderType, SelfTradePrevention, Side, TimeInForce
from bandgap.hdl.protocol.reports import TradingState
from bandgap.host.config import TimetableConfig, VenueConfig
from bandgap.host.daemon import Daemon
from bandgap.host.device.transport import Transport
from bandgap.host.gateway.order_entry import REQUEST_DTYPE
from bandgap.host.oracle.oracle import Quote
from bandgap.host.settlement.store import Store
from bandgap.host.step import StepInput
from bandgap.host.timetable import Phase, Timetable
from bandgap.sim.embedded.transport import open_config
from bandgap.sim.model_device import ModelTransport

SECOND_NS = 1_000_000_000
MS_NS = 1_000_000
MINUTE_NS = 60 * SECOND_NS
DAY_NS = 86_400 * SECOND_NS

TIMETABLES = {
    "two auctions": TimetableConfig(
        days=("thursday", "friday", "sunday"),
        pre_open=time(0, 0, 10),
        opening_call=time(0, 0, 20),
        continuous=time(0, 0, 30),
        closing_call=time(0, 1),
        closed=time(0, 1, 10),
    ),
    "one auction, over midnight": TimetableConfig(
        opening_call=time(23, 59, 50), continuous=time(0), closed=time(0, 0, 50)
    ),
}
RIGHT = {
    Phase.PRE_OPEN: {TradingState.PRE_OPEN},
    Phase.OPENING_CALL: {TradingState.CALL},
    Phase.CONTINUOUS: {TradingState.TRADING, TradingState.LIMIT},
    Phase.CLOSING_CALL: {TradingState.CALL},
    Phase.CLOSED: {TradingState.CLOSED},
}

KINDS: dict[str, dict[str, Any]] = {
    "halt": {"policy": "halt"},
    "clamp": {"policy": "clamp", "limit_us": 2_000_000, "collects": True},
    "batch": {"mode": "batch", "random_end_us": 900_000},
    "window mean": {"source": "window_mean", "long_bucket_us": 500_000, "long_buckets": 10, "long_width_ppm": 30_000},
    "auction": {"source": "auction", "random_end_us": 900_000},
}


COMMON: dict[str, Any] = {
    "window_margin_ppm": 200_000,
    "instruments": 2,
    "watchdog_s": 5,
    "levels_ppm": (70_000, 130_000),
    "deposits": (10_000_000,) * 4,
}
DEVICE = BookConfig(instruments=2, orders=64, ticks=2048, accounts=8)


class Market:
    """A daemon, and what happens to it at random."""

    def __init__(self, config: VenueConfig, transport: Transport, seed: int) -> None:
        self._random = Random(seed)
        self._mark = 1000
        self._orders = 0
        self.daemon = Daemon(config, transport, Store(None))

    def wander(self) -> None:
        """A step: a second at most as a rule, with an order near the mark; now and then a silence, a jump, no mark."""
        random = self._random
        self._mark = max(2, self._mark + random.randrange(-25, 26))
        if random.random() < 0.03:
            self._mark = random.choice((30, 400, 1_000, 5_000, 20_000))
        after_ns = random.choice((MS_NS, 300 * MS_NS, SECOND_NS, SECOND_NS))
        if random.random() < 0.03:
            after_ns = random.choice((7 * SECOND_NS, 40 * SECOND_NS, DAY_NS - 30 * SECOND_NS, DAY_NS))
        mark = None if random.random() < 0.05 else self._mark
        self._step(after_ns, mark, [self._new_order(), self._mass_cancel()])

    def rest(self, after_ns: int = SECOND_NS) -> None:
        """A step in which nothing is new; the book is emptied."""
        self._step(after_ns, self._mark, [self._mass_cancel(account) for account in range(4)])

    def _step(self, after_ns: int, mark: int | None, requests: list[Any]) -> None:
        time_ns = self.daemon.time_ns + after_ns
        together = np.concatenate(requests)
        together["arrival_ns"] = time_ns + self._random.choice((0, 100 * MS_NS, 700 * MS_NS))
        quotes = [Quote(source, number, mark, time_ns) for source in range(3) for number in range(2) if mark]
        self.daemon.step(StepInput(time_ns, together, quotes))

    def _new_order(self) -> Any:
        random = self._random
        request = np.zeros(1, REQUEST_DTYPE)
        self._orders += 1
        request["kind"], request["client_order_id"] = Opcode.NEW_ORDER.value, self._orders
        request["account"], request["instrument"] = random.randrange(4), random.randrange(2)
        request["side"] = random.choice(list(Side)).value
        request["price_ticks"] = max(1, self._mark + random.randrange(-60, 61))
        request["quantity_lots"] = random.randrange(1, 9)
        request["order_type"], request["time_in_force"] = OrderType.LIMIT.value, TimeInForce.GTC.value
        request["self_trade_prevention"] = SelfTradePrevention.CANCEL_NEWEST.value
        return request

    def _mass_cancel(self, account: int | None = None) -> Any:
        request = np.zeros(1, REQUEST_DTYPE)
        request["kind"] = Opcode.MASS_CANCEL.value
        request["account"] = self._random.randrange(4) if account is None else account
        return request


def see_that_both_agree(daemon: Daemon, model: ModelTransport) -> None:
    """What the host takes for state, its end, window and band is what the device has."""
    for number, host in enumerate(daemon.breakers):
        device = model.appliance.breaker(number)
        assert device is not None
        assert host.state.value == device.state.value
        assert host.until_ns == (device.until_ns or 0)
        assert host.window.start == device.window_base_ticks
        if host.band is not None:
            assert device.band is not None
            bounds = device.band.lower_ticks, device.band.upper_ticks
            assert (host.band.lower_ticks, host.band.upper_ticks) == bounds


@pytest.mark.parametrize("name", TIMETABLES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(2))
def test_host_and_device_agree_by_day_and_night(
    make_config: Callable[..., VenueConfig], name: str, kind: str, seed: int
) -> None:
    config = make_config(timetable=TIMETABLES[name], **COMMON, **KINDS[kind])
    timetable = Timetable(TIMETABLES[name])
    model = ModelTransport(DEVICE)
    market = Market(config, model, seed)
    seen = set()
    for _ in range(3):
        for _ in range(100):
            market.wander()
            see_that_both_agree(market.daemon, model)
        # Down until a minute before midnight; then a calm day, judged when windows have followed and calls are over.
        market.rest(DAY_NS - (market.daemon.time_ns + MINUTE_NS) % DAY_NS)
        calm_since_ns = market.daemon.time_ns
        for _ in range(140):
            market.rest()
            see_that_both_agree(market.daemon, model)
            now_ns = market.daemon.time_ns
            if market.daemon.market.holds(now_ns):
                calm_since_ns = now_ns
            if now_ns < calm_since_ns + 40 * SECOND_NS:
                continue
            phase = timetable.phase(now_ns)
            right = RIGHT[phase] | RIGHT[timetable.phase(now_ns - SECOND_NS)]  # calls may end later, at random
            if kind == "batch":
                right |= {TradingState.CALL} if TradingState.TRADING in right else set()
            assert all(one.state in right for one in market.daemon.breakers), (now_ns, phase)
            seen.add(phase)
    assert seen >= {Phase.CONTINUOUS, Phase.CLOSED}
    market.daemon.close()


@pytest.mark.parametrize("name", TIMETABLES)
@pytest.mark.parametrize("kind", KINDS)
def test_gateware_comes_to_the_same_digest(make_config: Callable[..., VenueConfig], name: str, kind: str) -> None:
    config = make_config(timetable=TIMETABLES[name], **COMMON, **KINDS[kind])
    one, other = (Market(config, transport, seed=7) for transport in (ModelTransport(DEVICE), open_config(DEVICE)))
    for _ in range(100):
        one.wander()
        other.wander()
        assert one.daemon.digest == other.daemon.digest
    one.daemon.close()
    other.daemon.close()
