"""A venue that is killed: run as a program by `test_recovery.py`, which also reads its flow.

    python killed_venue.py STORE DEVICE POINT

carries the flow on from what STORE holds, and kills its own process (SIGKILL) when it crosses the border between the
daemon and store or device for the POINT-th time; with POINT 0 it goes on to the end.
"""

import os
import signal
import sys
from collections.abc import Callable
from datetime import time
from pathlib import Path
from typing import Any

import numpy as np

from bandgap.hdl.protocol.commands import Opcode, OrderType, SelfTradePrevention, Side, TimeInForce
from bandgap.host.config import (
    AccountConfig,
    BreakerConfig,
    InstrumentConfig,
    MarketHaltConfig,
    OracleConfig,
    TimetableConfig,
    VenueConfig,
)
from bandgap.host.daemon import Daemon
from bandgap.host.device.transport import Transport, open_transport
from bandgap.host.gateway.order_entry import REQUEST_DTYPE
from bandgap.host.oracle.oracle import Quote
from bandgap.host.settlement.store import Store
from bandgap.host.step import Deposit, StepInput

STEPS = 12
REQUESTS = 150
ACCOUNTS = 12
STEP_NS = 1_000_000_000

DAY = TimetableConfig(
    opening_call=time(0, 0, 2),
    continuous=time(0, 0, 3, 500_000),
    closing_call=time(0, 0, 9),
    closed=time(0, 0, 11, 500_000),
)
"""Of one of the two instruments: the flow lasts from closed to closed."""

CONFIG = VenueConfig(
    watchdog_ns=STEP_NS + STEP_NS // 5,
    insurance_fund_quote=1_000_000,
    market_halt=MarketHaltConfig(levels_ppm=(70_000, 900_000), halt_us=1_100_000),
    oracle=OracleConfig(sources=("alpha", "beta"), quorum=1, staleness_ns=10 * STEP_NS, max_deviation_ppm=100_000),
    instruments=tuple(
        InstrumentConfig(
            name=f"PERP-{n}",
            window_base_ticks=512,
            window_ticks=1024,
            window_margin_ppm=300_000,
            multiplier_quote=10,
            initial_margin_ppm=50_000,
            maintenance_margin_ppm=25_000,
            breaker=BreakerConfig(
                width_ppm=20_000,
                policy="halt",
                halt_us=1_500_000,
                call_us=700_000,
                extension_us=500_000,
                random_end_us=300_000,
                indicative_us=200_000,
            ),
            maker_fee_ppm=100,
            taker_fee_ppm=500,
            timetable=(None, DAY)[n],
            liquidation_slice_lots=20,
        )
        for n in range(2)
    ),
    accounts=tuple(AccountConfig(name=f"account-{n}", deposit_quote=60_000) for n in range(ACCOUNTS)),
)


def flow() -> list[StepInput]:
    """A short market: orders around a falling mark, so that bands move, breakers trip and accounts are liquidated."""
    random = np.random.default_rng(20231225)
    steps = []
    for step in range(STEPS):
        time_ns = (step + 1) * STEP_NS
        mark = 1000 - 25 * max(0, step - 3)
        requests: Any = np.zeros(REQUESTS, REQUEST_DTYPE)
        kinds = random.choice(
            [Opcode.NEW_ORDER.value, Opcode.CANCEL.value, Opcode.REPLACE.value], REQUESTS, p=[0.7, 0.2, 0.1]
        )
        new, priced = kinds == Opcode.NEW_ORDER.value, kinds != Opcode.CANCEL.value
        ids = 1 + step * REQUESTS + np.arange(REQUESTS)
        requests["kind"] = kinds
        requests["client_order_id"] = np.where(new, ids, np.maximum(1, ids - random.integers(1, 40, REQUESTS)))
        requests["account"] = requests["client_order_id"] % ACCOUNTS
        requests["instrument"] = np.where(new, random.integers(0, 2, REQUESTS), 0)
        requests["side"] = np.where(new, random.choice([Side.BUY.value, Side.SELL.value], REQUESTS), 0)
        requests["price_ticks"] = np.where(priced, mark + random.integers(-12, 13, REQUESTS), 0)
        requests["quantity_lots"] = np.where(priced, random.integers(1, 30, REQUESTS), 0)
        requests["order_type"] = np.where(new, OrderType.LIMIT.value, 0)
        requests["time_in_force"] = np.where(new, TimeInForce.GTC.value, 0)
        requests["self_trade_prevention"] = np.where(new, SelfTradePrevention.CANCEL_NEWEST.value, 0)
        requests["arrival_ns"] = time_ns + np.sort(random.integers(0, STEP_NS, REQUESTS))
        quotes = [Quote(source, instrument, mark, time_ns) for source in range(2) for instrument in range(2)]
        deposits = [Deposit(step % ACCOUNTS, 500)] if step % 4 == 1 else []
        steps.append(StepInput(time_ns, requests, quotes, deposits))
    return steps


def state(daemon: Daemon) -> dict[str, Any]:
    """All that must survive: balances, positions, credit lines, liquidations, and the journal's last digest."""
    return {
        "balances": dict(zip(daemon.ledger.names, daemon.ledger.balances_quote.tolist(), strict=True)),
        "lots": daemon.positions.lots.tolist(),
        "entry_value_quote": daemon.positions.entry_value_quote.tolist(),
        "line_quote": daemon.lines.line_quote.tolist(),
        "blocked": list(daemon.liquidator.blocked),
        "sequence": daemon.sequence,
        "digest": daemon.digest.hex(),
    }


def carry_on(daemon: Daemon) -> None:
    """The steps that are not in the journal yet."""
    for given in flow()[daemon.sequence :]:
        daemon.step(given)


class Borders:
    """Counts the calls that cross the daemon's borders, before and after each, and calls `die` at one of them."""

    def __init__(self, point: int, die: Callable[[], None]) -> None:
        self._left, self._die = point, die

    def watch(self, owner: object, *names: str) -> None:
        for name in names:
            setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            self._cross()
            result = call(*arguments)
            self._cross()
            return result

        return counted

    def _cross(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._die()


def finish(store: Store, transport: Transport) -> dict[str, Any]:
    """Carry the flow on from what the store holds to its end; the state there."""
    daemon = Daemon(CONFIG, transport, store)
    carry_on(daemon)
    reached = state(daemon)
    daemon.close()
    return reached


def finish_unless_killed(store: Store, transport: Transport, point: int, die: Callable[[], None]) -> None:
    """As `finish`, but `die` is called when a border of the daemon is crossed for the `point`-th time."""
    borders = Borders(point, die)
    borders.watch(store, "begin_venue", "begin_batch", "finish_batch")
    borders.watch(transport, "send", "receive")
    finish(store, transport)


def kill() -> None:
    """End this process as nothing else does."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(path: str, device: str, point: str) -> None:
    finish_unless_killed(Store(Path(path)), open_transport(device), int(point), kill)


if __name__ == "__main__":
    main(*sys.argv[1:])
