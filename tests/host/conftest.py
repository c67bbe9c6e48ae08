"""A small venue on any device, for the tests of the host."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from devices import DEVICE, TRANSPORTS

from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.commands import Opcode, OrderType, SelfTradePrevention, Side, TimeInForce
from bandgap.hdl.protocol.reports import Reason, ReportKind
from bandgap.host.config import (
    AccountConfig,
    BreakerConfig,
    InstrumentConfig,
    MarketHaltConfig,
    OracleConfig,
    VenueConfig,
)
from bandgap.host.daemon import Daemon
from bandgap.host.device import operator
from bandgap.host.device.transport import Transport
from bandgap.host.gateway.order_entry import REQUEST_DTYPE
from bandgap.host.oracle.oracle import Quote
from bandgap.host.settlement.store import Store
from bandgap.host.step import StepInput, StepResult
from bandgap.host.wire import Records, as_reports, select_reports

SECOND_NS = 1_000_000_000
SECOND_US = 1_000_000


def venue_config(
    deposits: tuple[int, ...] = (1_000_000,) * 4,
    instruments: int = 1,
    insurance: int = 50_000,
    levels_ppm: tuple[int, ...] = (),
    watchdog_s: int = 60,
    **instrument: Any,
) -> VenueConfig:
    """Instruments around 1000 ticks at 10 quote units a tick and lot; accounts with the deposits given.

    Settings that `BreakerConfig` has go there, the others to `InstrumentConfig`.
    """
    settings: dict[str, Any] = {
        "window_base_ticks": 512,
        "window_ticks": 1024,
        "multiplier_quote": 10,
        "initial_margin_ppm": 100_000,
        "maintenance_margin_ppm": 50_000,
        "maker_fee_ppm": 100,
        "taker_fee_ppm": 500,
        "liquidation_slice_lots": 50,
    }
    breaker: dict[str, Any] = {
        "width_ppm": 50_000,
        "policy": "reject",
        "limit_us": 0,
        "halt_us": 10 * SECOND_US,
        "call_us": 3 * SECOND_US,
        "extension_us": 3 * SECOND_US,
        "indicative_us": 0,
    }
    breaker |= {name: value for name, value in instrument.items() if name in BreakerConfig.model_fields}
    settings["breaker"] = BreakerConfig(**breaker)
    settings |= {name: value for name, value in instrument.items() if name not in breaker}
    return VenueConfig(
        device="model:",
        watchdog_ns=watchdog_s * SECOND_NS,
        insurance_fund_quote=insurance,
        oracle=OracleConfig(
            sources=("alpha", "beta", "gamma"), quorum=2, staleness_ns=30 * SECOND_NS, max_deviation_ppm=100_000
        ),
        market_halt=MarketHaltConfig(levels_ppm=levels_ppm),
        instruments=tuple(InstrumentConfig(name=f"PERP-{n}", **settings) for n in range(instruments)),
        accounts=tuple(AccountConfig(name=f"account-{n}", deposit_quote=d) for n, d in enumerate(deposits)),
    )


class Venue:
    """A daemon whose time passes a second a step, with short ways to ask and to look."""

    def __init__(self, config: VenueConfig, transport: Transport, store: Store) -> None:
        self.config = config
        self.daemon = Daemon(config, transport, store)
        self.next_id = 1

    def new(self, account: int, side: Side, price_ticks: int, lots: int, **fields: int) -> Records:
        """A good-till-cancel limit order, unless `fields` say otherwise."""
        request: Records = np.zeros(1, REQUEST_DTYPE)
        request["kind"] = Opcode.NEW_ORDER.value
        request["account"], request["side"], request["price_ticks"] = account, side.value, price_ticks
        request["quantity_lots"], request["client_order_id"] = lots, self.next_id
        request["order_type"], request["time_in_force"] = OrderType.LIMIT.value, TimeInForce.GTC.value
        request["self_trade_prevention"] = SelfTradePrevention.CANCEL_NEWEST.value
        for name, value in fields.items():
            request[name] = value
        self.next_id += 1
        return request

    def cancel(self, account: int, client_order_id: int) -> Records:
        request: Records = np.zeros(1, REQUEST_DTYPE)
        request["kind"], request["account"] = Opcode.CANCEL.value, account
        request["client_order_id"] = client_order_id
        return request

    def replace(self, account: int, client_order_id: int, price_ticks: int, lots: int) -> Records:
        request: Records = np.zeros(1, REQUEST_DTYPE)
        request["kind"], request["account"] = Opcode.REPLACE.value, account
        request["client_order_id"] = client_order_id
        request["price_ticks"], request["quantity_lots"] = price_ticks, lots
        return request

    def mass_cancel(self, account: int) -> Records:
        request: Records = np.zeros(1, REQUEST_DTYPE)
        request["kind"], request["account"] = Opcode.MASS_CANCEL.value, account
        return request

    def step(
        self,
        *requests: Records,
        mark: int | None = None,
        after_ns: int = SECOND_NS,
        arriving_after_ns: int = 0,
        **given: Any,
    ) -> StepResult:
        """One step; with a mark, all sources quote it for all instruments. Requests arrive so long behind its begin."""
        time_ns = self.daemon.time_ns + after_ns
        together = np.concatenate(requests) if requests else np.zeros(0, REQUEST_DTYPE)
        together["arrival_ns"] = time_ns + arriving_after_ns
        if mark is not None:
            given["quotes"] = [
                Quote(source, instrument, mark, time_ns)
                for source in range(len(self.config.oracle.sources))
                for instrument in range(len(self.config.instruments))
            ]
        return self.daemon.step(StepInput(time_ns, together, **given))

    def ruin_account_0(self) -> None:
        """It buys 120 lots at 1000, which are sold at 860, and owes more than a fund of 7 covers.

        The venue is fresh, of `deposits=(150_000, 10_000_000), insurance=7, width_ppm=30_000` and closes whole
        positions.
        """
        self.step(mark=1000)
        self.step(self.new(1, Side.SELL, 1000, 120), self.new(0, Side.BUY, 1000, 100))
        self.step(self.new(0, Side.BUY, 1000, 20))
        self.step(mark=880)
        self.step(self.new(1, Side.BUY, 860, 500))
        self.step()
        assert self.step().liquidation.cover == [(0, 7)]

    def cash(self, account: int) -> int:
        return int(self.daemon.ledger.cash_quote[account])

    def balance_in_device(self, account: int) -> int:
        """The account's buying power, as the device answers a grant of nothing."""
        device, grant = self.daemon.device, operator.grant_credit([account], [0])
        device.number(grant)
        device.send(grant)
        (done,) = select_reports(device.receive(), ReportKind.DONE)
        return int(done["balance_quote"])

    def balances(self) -> dict[str, int]:
        ledger = self.daemon.ledger
        return dict(zip(ledger.names, ledger.balances_quote.tolist(), strict=True))


def kinds(result: StepResult, account: int | None = None) -> list[str]:
    """Names of the kinds of a step's order reports (with the reason of rejections), of one account or all."""
    named = []
    for row in as_reports(result.reports, ReportKind.ACCEPTED):
        kind = ReportKind(int(row["header"]["kind"]))
        of_order = kind in (ReportKind.ACCEPTED, ReportKind.REJECTED, ReportKind.CANCELED, ReportKind.REPLACED)
        if (of_order or kind is ReportKind.TRADE) and account in (None, int(row["account"])):
            reason = f" {Reason(int(row['header']['reason'])).name}" if row["header"]["reason"] else ""
            named.append(kind.name + reason)
    return named


@pytest.fixture
def open_venue(request: pytest.FixtureRequest) -> Iterator[Callable[..., Venue]]:
    """Open a venue on the model, or on the device that the test's parameter names; it is closed after the test."""
    open_device = TRANSPORTS[getattr(request, "param", "model")]
    with ExitStack() as opened:

        def make(
            store: Store | None = None, device: BookConfig = DEVICE, transport: Transport | None = None, **config: Any
        ) -> Venue:
            venue = Venue(venue_config(**config), transport or open_device(opened, device), store or Store(None))
            opened.callback(venue.daemon.close)
            return venue

        yield make


@pytest.fixture
def kinds_of() -> Callable[..., list[str]]:
    return kinds


@pytest.fixture
def trades_of() -> Callable[[StepResult], list[tuple[int, int, int, int]]]:
    """(price, lots, taker, maker) of each trade of a step."""

    def of(result: StepResult) -> list[tuple[int, int, int, int]]:
        rows = select_reports(result.reports, ReportKind.TRADE)
        names = ("price_ticks", "quantity_lots", "account", "maker_account")
        return list(zip(*(rows[name].tolist() for name in names), strict=True))

    return of


@pytest.fixture
def make_config() -> Callable[..., VenueConfig]:
    return venue_config
