"""The daemon's story: every figure here is worked out by hand.

It is told on the model, on the embedded device, and on one behind its serial gateware and a pseudo-terminal; over PCIe
within a simulation, by `tests/cocotb/scenario_bench.py`.
"""

from collections.abc import Callable
from datetime import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from devices import TRANSPORTS

from bandgap.hdl.protocol.commands import OrderFlags, OrderType, Side, TimeInForce
from bandgap.hdl.protocol.reports import ReportKind, TradingState
from bandgap.host.breaker import Band, HaltCause
from bandgap.host.config import TimetableConfig
from bandgap.host.gateway.order_entry import Refusal
from bandgap.host.liquidation.liquidator import ClosingOrder
from bandgap.host.oracle.oracle import Quote
from bandgap.host.settlement.store import Store
from bandgap.host.step import Deposit, StepResult
from bandgap.host.wire import select_reports

BUY, SELL = Side.BUY, Side.SELL
SECOND_NS = 1_000_000_000
SECOND_US = 1_000_000

Open = Callable[..., Any]
Kinds = Callable[..., list[str]]
Trades = Callable[[StepResult], list[tuple[int, int, int, int]]]

pytestmark = pytest.mark.parametrize("open_venue", TRANSPORTS, indirect=True)


def test_first_step_founds_the_venue(open_venue: Open) -> None:
    venue = open_venue(deposits=(700, 300), insurance=50)
    venue.step()
    assert venue.balances() == {
        "external": -1_050,
        "fees": 0,
        "insurance": 50,
        "clearing:PERP-0": 0,
        "cash:account-0": 700,
        "cash:account-1": 300,
    }


def test_no_trading_before_a_mark_price(open_venue: Open, kinds_of: Kinds) -> None:
    venue = open_venue()
    assert kinds_of(venue.step(venue.new(0, BUY, 1000, 1))) == ["REJECTED HALTED"]
    changes = venue.step(mark=1000).trading_changes
    assert [(change.trading, change.cause) for change in changes] == [(True, HaltCause.OPENING)]
    assert kinds_of(venue.step(venue.new(0, BUY, 1000, 1))) == ["ACCEPTED"]


def test_trade_becomes_positions_fees_and_profit(open_venue: Open, trades_of: Trades) -> None:
    """Account 1 buys 20 lots of account 0 at 1010 and sells them to it at 1020; a lot is worth 10 a tick."""
    venue = open_venue()
    venue.step(mark=1000)
    result = venue.step(venue.new(0, SELL, 1010, 20), venue.new(1, BUY, 1015, 20))
    assert trades_of(result) == [(1010, 20, 1, 0)]
    assert venue.daemon.positions.lots[:2, 0].tolist() == [-20, 20]
    value = 20 * 1010 * 10
    assert venue.balances()["fees"] == value * 100 // 1_000_000 + value * 500 // 1_000_000 == 20 + 101
    assert (venue.cash(0), venue.cash(1)) == (1_000_000 - 20, 1_000_000 - 101)

    venue.step(venue.new(0, BUY, 1020, 20), venue.new(1, SELL, 1020, 20))
    assert venue.daemon.positions.lots[:2, 0].tolist() == [0, 0]
    profit = 20 * (1020 - 1010) * 10
    assert venue.cash(1) == 1_000_000 - 101 - 102 + profit
    assert venue.cash(0) == 1_000_000 - 20 - 20 - profit
    assert venue.balances()["clearing:PERP-0"] == 0
    assert sum(venue.balances().values()) == 0


def test_open_profit_is_equity_not_cash(open_venue: Open) -> None:
    venue = open_venue()
    venue.step(mark=1000)
    venue.step(venue.new(0, SELL, 1000, 10), venue.new(1, BUY, 1000, 10))
    cash = venue.cash(1)
    venue.step(mark=1005)
    assert venue.cash(1) == cash
    assert venue.daemon.margin.equity_quote[1] == cash + 10 * 5 * 10
    assert venue.daemon.margin.initial_quote[1] == 10 * 1005 * 10 // 10
    assert venue.daemon.margin.maintenance_quote[1] == 10 * 1005 * 10 // 20


def test_client_is_told_its_own_ids(open_venue: Open) -> None:
    venue = open_venue()
    venue.step(mark=1000)
    result = venue.step(
        venue.new(0, SELL, 1000, 5, client_order_id=77),
        venue.new(1, BUY, 1000, 5, client_order_id=88),
        venue.cancel(1, 99),
    )
    trade = np.flatnonzero(result.reports[:, 0] == ReportKind.TRADE.value)
    assert result.ids.client_order_id[trade].tolist() == [88]
    assert result.ids.maker_client_order_id[trade].tolist() == [77]
    assert result.encoded.refused_rows.tolist() == [2]
    assert result.encoded.refusals.tolist() == [Refusal.UNKNOWN_ORDER]


def test_clients_cannot_send_reduce_only(open_venue: Open, kinds_of: Kinds) -> None:
    venue = open_venue()
    venue.step(mark=1000)
    result = venue.step(venue.new(0, BUY, 1000, 1, flags=OrderFlags.REDUCE_ONLY.value))
    assert kinds_of(result) == ["REJECTED NOT_PRIVILEGED"]


def test_credit_ends_and_comes_back(open_venue: Open, kinds_of: Kinds) -> None:
    """A seller at the lower bound 950 of the band 950 to 1050 at mark 1000 costs, of each unit reserved,
    (50 + 100 + 0.475) / 950 = 158,395 ppm: 100,000 free carry 631,333, a sixteenth less is granted: 591,875."""
    venue = open_venue(deposits=(100_000, 100_000))
    venue.step(mark=1000)
    assert venue.daemon.lines.line_quote.tolist() == [591_875, 591_875]
    result = venue.step(venue.new(0, BUY, 1000, 59), venue.new(0, BUY, 1000, 1))
    assert kinds_of(result) == ["ACCEPTED", "REJECTED CREDIT"]
    result = venue.step(venue.cancel(0, 1), venue.new(0, BUY, 1000, 59))
    assert kinds_of(result) == ["CANCELED REQUESTED", "ACCEPTED"]


def test_deposit_raises_credit(open_venue: Open, kinds_of: Kinds) -> None:
    venue = open_venue(deposits=(1_000, 1_000))
    venue.step(mark=1000)
    assert kinds_of(venue.step(venue.new(0, BUY, 1000, 1))) == ["REJECTED CREDIT"]
    result = venue.step(venue.new(0, BUY, 1000, 1), deposits=[Deposit(0, 9_000)])
    assert kinds_of(result) == ["ACCEPTED"]
    assert venue.balances()["external"] == -(2_000 + 50_000 + 9_000)


def test_band_follows_the_mark_in_steps(open_venue: Open) -> None:
    """Half width 50 at 1000: the band follows from 13 ticks on, a quarter of it (12.5) rounded up by the ticks."""
    venue = open_venue()
    venue.step(mark=1000)
    assert len(select_reports(venue.step(mark=1012).reports, ReportKind.BAND_MOVED)) == 0
    (moved,) = select_reports(venue.step(mark=1013).reports, ReportKind.BAND_MOVED)
    assert [int(moved[f"{name}_ticks"]) for name in ("lower", "reference", "upper")] == [963, 1013, 1063]


def test_band_stays_inside_the_window(open_venue: Open) -> None:
    venue = open_venue()
    venue.step(mark=1520)
    assert venue.daemon.breakers[0].band.upper_ticks == 1535


def states_of(result: StepResult) -> list[tuple[TradingState, HaltCause, int]]:
    """State, cause and second of each trading change."""
    return [(change.state, change.cause, change.time_ns // SECOND_NS) for change in result.trading_changes]


def test_limit_state_becomes_a_halt_a_call_and_an_auction(open_venue: Open, kinds_of: Kinds, trades_of: Trades) -> None:
    """The offer at 900 is clamped to the bound 950 and stands there: limit state from second 2 on, halt at 4, call at
    14, auction at 17.

    The mark falls to 940. In the limit state the band stays where it is; in the halt it follows, to 893 and 987. Bids
    in the call may be anywhere in the window. At 950, the lowest price at which any of the 10 lots on offer trade,
    account 0 buys 5 and account 2 buys 3; both sides pay the maker's fee.
    """
    venue = open_venue(
        deposits=(10_000_000,) * 3, policy="clamp", limit_us=2_000_000, auction_width_ppm=20_000, watchdog_s=11
    )
    venue.step(mark=1000)
    limit = venue.step(venue.new(1, SELL, 900, 10))
    assert states_of(limit) == [(TradingState.LIMIT, HaltCause.OPENING, 2)]
    assert venue.step(mark=940).trading_changes == ()
    assert venue.daemon.breakers[0].band.reference_ticks == 1000

    halted = venue.step(venue.new(0, BUY, 960, 1), mark=940)
    assert states_of(halted) == [(TradingState.HALTED, HaltCause.BREAKER, 4)]
    assert halted.trading_changes[0].until_ns == 14 * SECOND_NS
    assert kinds_of(halted) == ["REJECTED HALTED"]
    venue.step(mark=940)
    assert venue.daemon.breakers[0].band.reference_ticks == 940

    called = venue.step(mark=940, after_ns=9 * SECOND_NS)
    assert states_of(called) == [(TradingState.CALL, HaltCause.BREAKER, 14)]
    collected = venue.step(venue.new(0, BUY, 1100, 5), venue.new(2, BUY, 950, 3))
    assert kinds_of(collected) == ["ACCEPTED", "ACCEPTED"]
    cash = [venue.cash(account) for account in range(3)]
    auction = venue.step(after_ns=2 * SECOND_NS)
    assert states_of(auction) == [(TradingState.TRADING, HaltCause.BREAKER, 17)]
    assert trades_of(auction) == [(950, 5, 0, 1), (950, 3, 2, 1)]
    assert venue.daemon.positions.lots[:3, 0].tolist() == [5, -8, 3]
    fees = [5 * 950 * 10 * 100 // 1_000_000, 4 + 2, 3 * 950 * 10 * 100 // 1_000_000]
    assert [venue.cash(account) for account in range(3)] == [had - fee for had, fee in zip(cash, fees, strict=True)]
    assert venue.daemon.breakers[0].band.reference_ticks == 950


def test_all_instruments_halt_when_the_index_falls(open_venue: Open, kinds_of: Kinds) -> None:
    """7 % below the first marks: 900 s by one command, which the device ends by a call."""
    venue = open_venue(instruments=2, levels_ppm=(70_000, 130_000), watchdog_s=2_000, width_ppm=100_000)
    venue.step(mark=1000)
    assert venue.step(mark=931).trading_changes == ()
    halted = venue.step(venue.new(0, BUY, 930, 1), mark=930)
    assert halted.index_ppm == -70_000
    assert states_of(halted) == [(TradingState.HALTED, HaltCause.MARKET, 3)] * 2
    assert {change.until_ns for change in halted.trading_changes} == {903 * SECOND_NS}
    assert kinds_of(halted) == ["REJECTED HALTED"]
    assert venue.step(mark=930).trading_changes == ()
    assert states_of(venue.step(mark=900, after_ns=899 * SECOND_NS)) == [(TradingState.CALL, HaltCause.MARKET, 903)] * 2
    for_good = venue.step(mark=860)
    assert states_of(for_good) == [(TradingState.HALTED, HaltCause.MARKET, 904)] * 2
    assert {change.until_ns for change in for_good.trading_changes} == {0}
    assert venue.step(mark=1000, after_ns=1_000 * SECOND_NS).trading_changes == ()
    next_session = venue.step(mark=1000, after_ns=86_400 * SECOND_NS)
    assert [change.state for change in next_session.trading_changes] == [TradingState.CALL] * 2


def test_calls_end_at_random_and_the_journal_tells_when(open_venue: Open) -> None:
    """No two calls alike, and the device has been told each end before."""

    def lengths() -> list[int]:
        venue = open_venue(random_end_us=2_000_000)
        venue.step(mark=1000)
        measured = []
        for _ in range(4):
            venue.step(after_ns=31 * SECOND_NS)
            (called,) = venue.step(mark=1000).trading_changes
            measured.append(called.until_ns - called.time_ns)
            venue.step(after_ns=6 * SECOND_NS)
        return measured

    drawn = lengths()
    assert len(set(drawn)) == 4
    assert all(3 * SECOND_NS <= length <= 5 * SECOND_NS for length in drawn)
    assert lengths() == drawn


def test_one_closing_order_at_a_time_waits_for_the_auction(open_venue: Open, trades_of: Trades) -> None:
    """The market order collects in the call, at the band's bound 854; a second one would close more than a slice.

    Account 0 has 120 lots from 1000. The call begins at the mark 880. A bid of 40 lots at 870 meets 50 on offer: offers
    are left over at every price, so the lowest one is the auction's.
    """
    venue = open_venue(deposits=(150_000, 10_000_000), width_ppm=30_000)
    venue.step(mark=1000)
    venue.step(venue.new(1, SELL, 1000, 100), venue.new(0, BUY, 1000, 100))
    venue.step(venue.new(1, SELL, 1000, 20), venue.new(0, BUY, 1000, 20))
    venue.step(after_ns=31 * SECOND_NS)
    called = venue.step(mark=880)
    assert [change.state for change in called.trading_changes] == [TradingState.CALL]
    assert called.liquidation.kill == [0]
    assert venue.step(venue.new(1, BUY, 870, 40)).liquidation.close == [ClosingOrder(0, 0, -50)]
    assert venue.step().liquidation.close == []
    auction = venue.step()
    assert auction.liquidation.close == []
    assert [change.state for change in auction.trading_changes] == [TradingState.TRADING]
    assert trades_of(auction) == [(854, 40, 1, 0)]
    assert venue.daemon.positions.lots[0, 0] == 80
    assert venue.step().liquidation.close == [ClosingOrder(0, 0, -50)]


def test_no_quorum_halts_until_there_is_one(open_venue: Open) -> None:
    venue = open_venue()
    venue.step(mark=1000)
    stale = venue.step(after_ns=31 * SECOND_NS)
    assert stale.marks_ticks == (None,)
    assert [(c.trading, c.cause) for c in stale.trading_changes] == [(False, HaltCause.ORACLE)]
    time_ns = venue.daemon.time_ns
    assert venue.step(quotes=[Quote(0, 0, 1000, time_ns)]).trading_changes == ()
    reopened = venue.step(quotes=[Quote(1, 0, 1000, time_ns)])
    second = reopened.trading_changes[0].time_ns // SECOND_NS
    assert states_of(reopened) == [(TradingState.CALL, HaltCause.ORACLE, second)]
    traded = venue.step(after_ns=3 * SECOND_NS)
    assert states_of(traded) == [(TradingState.TRADING, HaltCause.ORACLE, second + 3)]


def test_silent_host_is_halted_by_the_device_and_resumes(open_venue: Open, kinds_of: Kinds) -> None:
    venue = open_venue()
    venue.step(mark=1000)
    late = venue.step(venue.new(0, BUY, 1000, 1), mark=1000, after_ns=61 * SECOND_NS)
    assert [(c.trading, c.cause) for c in late.trading_changes] == [(False, HaltCause.WATCHDOG)]
    assert kinds_of(late) == ["REJECTED HALTED"]
    reopened = venue.step(venue.new(0, BUY, 1000, 1))
    assert [(c.state, c.cause) for c in reopened.trading_changes] == [(TradingState.CALL, HaltCause.WATCHDOG)]
    assert kinds_of(reopened) == ["ACCEPTED"], "it collects"


def test_liquidation_from_kill_to_restore(open_venue: Open, kinds_of: Kinds, trades_of: Trades) -> None:
    """Account 0 holds 120 lots from 1000 with 150,000: the mark 880 leaves 6,000 less fees, under 5 % of 1,056,000.

    It is blocked and its resting order canceled; then slices of 50 are sold into account 1's bid at 860, at most down
    to the bound; it ends 18,000 under water (140 ticks x 10 x 120 = 168,000) and the fund pays.
    """
    venue = open_venue(deposits=(150_000, 10_000_000), width_ppm=30_000)
    venue.step(mark=1000)
    venue.step(venue.new(1, SELL, 1000, 100), venue.new(0, BUY, 1000, 100))
    venue.step(venue.new(1, SELL, 1000, 20), venue.new(0, BUY, 1000, 20), venue.new(0, BUY, 855, 1))
    assert venue.daemon.positions.lots[0, 0] == 120
    fee = 600 + 0

    killed = venue.step(mark=880)
    assert killed.liquidation.kill == [0]
    assert kinds_of(killed, account=0) == ["CANCELED ACCOUNT_KILLED"]
    assert venue.cash(0) == 150_000 - fee

    waiting = venue.step(venue.new(1, BUY, 860, 500), venue.new(0, BUY, 880, 1))
    assert waiting.liquidation.close == [ClosingOrder(0, 0, -50)]
    assert kinds_of(waiting, account=0) == ["ACCEPTED", "CANCELED IMMEDIATE_REST", "REJECTED KILLED"]

    for lots in (50, 50, 20):
        closing = venue.step()
        assert closing.liquidation.close == [ClosingOrder(0, 0, -lots)]
        assert trades_of(closing) == [(860, lots, 0, 1)]
    fee += 215 + 215 + 86
    assert venue.cash(0) == 150_000 - fee - 168_000

    deficit = 18_000 + fee
    covered = venue.step()
    assert covered.liquidation.cover == [(0, deficit)]
    assert covered.liquidation.restore == [0]
    assert venue.cash(0) == 0
    assert venue.balances()["insurance"] == 50_000 - deficit
    assert venue.daemon.liquidator.blocked == ()


def test_empty_fund_leaves_the_account_blocked(open_venue: Open, kinds_of: Kinds) -> None:
    venue = open_venue(deposits=(150_000, 10_000_000), width_ppm=30_000, insurance=7, liquidation_slice_lots=500)
    venue.ruin_account_0()
    assert venue.cash(0) < 0
    assert venue.balances()["insurance"] == 0
    assert kinds_of(venue.step(venue.new(0, BUY, 880, 1))) == ["REJECTED KILLED"]
    assert venue.step(deposits=[Deposit(0, 100_000)]).liquidation.restore == [0]
    assert kinds_of(venue.step(venue.new(0, BUY, 880, 1))) == ["ACCEPTED"]


def test_two_instruments_share_the_ladder_and_margin(open_venue: Open, trades_of: Trades) -> None:
    venue = open_venue(instruments=2)
    venue.step(mark=1000)
    result = venue.step(
        venue.new(0, SELL, 1000, 5, instrument=1), venue.new(1, BUY, 1000, 5, instrument=0), venue.new(1, BUY, 1000, 5)
    )
    assert trades_of(result) == []
    result = venue.step(venue.new(1, BUY, 1000, 5, instrument=1))
    assert trades_of(result) == [(1000, 5, 1, 0)]
    assert venue.daemon.positions.lots[:2].tolist() == [[0, -5], [0, 5]]


def test_market_and_fill_or_kill_orders_pass_through(open_venue: Open, kinds_of: Kinds) -> None:
    venue = open_venue()
    venue.step(mark=1000)
    venue.step(venue.new(0, SELL, 1001, 5))
    market = {"order_type": OrderType.MARKET.value, "time_in_force": TimeInForce.IOC.value}
    result = venue.step(
        venue.new(1, BUY, 1001, 9, time_in_force=TimeInForce.FOK.value), venue.new(1, BUY, 0, 9, **market)
    )
    assert kinds_of(result) == ["ACCEPTED", "CANCELED NOT_FILLABLE", "ACCEPTED", "TRADE", "CANCELED IMMEDIATE_REST"]


def test_device_holds_what_the_lines_say(open_venue: Open) -> None:
    """After all orders are canceled, an account's balance in the device is its line."""
    venue = open_venue()
    venue.step(mark=1000)
    venue.step(venue.new(0, SELL, 1001, 7), venue.new(0, SELL, 1003, 5), venue.new(1, BUY, 1005, 9))
    venue.step(venue.new(1, SELL, 990, 3), venue.new(2, BUY, 999, 8), mark=1004)
    lines = venue.daemon.lines.line_quote.tolist()
    reserved_2 = 8 * 999 * 10 - 3 * 999 * 10
    assert venue.balance_in_device(2) == lines[2] - reserved_2
    assert venue.balance_in_device(1) == lines[1]


DAY = TimetableConfig(
    pre_open=time(0, 0, 10),
    opening_call=time(0, 0, 20),
    continuous=time(0, 0, 30),
    closing_call=time(0, 0, 40),
    closed=time(0, 0, 50),
)
"""A day of a minute: between the last entry and the first one of the next day it is closed."""


def test_a_day_by_the_timetable(open_venue: Open, kinds_of: Kinds, trades_of: Trades) -> None:
    """The device enters each state at its time, not when the host next asks; the next day it does so again.

    The opening auction: 5 lots bid at 1010 meet 8 offered at 1005. Offers are left over at each price at which all 5
    trade, so the lowest one is it. In the closing auction what is left of them trades at 1005, the one price of both.
    """
    venue = open_venue(timetable=DAY, watchdog_s=100_000, deposits=(1_000_000,) * 3)
    opened = venue.step(mark=1000)
    assert states_of(opened) == [(TradingState.CLOSED, HaltCause.TIMETABLE, 1)]
    assert kinds_of(venue.step(venue.new(0, BUY, 1010, 5))) == ["REJECTED HALTED"]

    pre_open = venue.step(venue.new(0, BUY, 1010, 5), mark=1000, after_ns=9 * SECOND_NS)
    assert states_of(pre_open) == [(TradingState.PRE_OPEN, HaltCause.TIMETABLE, 10)]
    assert kinds_of(pre_open) == ["ACCEPTED"]
    assert kinds_of(venue.step(venue.new(1, SELL, 1005, 8))) == ["ACCEPTED"]
    called = venue.step(mark=1000, after_ns=9 * SECOND_NS)
    assert states_of(called) == [(TradingState.CALL, HaltCause.TIMETABLE, 20)]
    assert called.trading_changes[0].until_ns == 30 * SECOND_NS
    auction = venue.step(mark=1000, after_ns=11 * SECOND_NS)
    assert states_of(auction) == [(TradingState.TRADING, HaltCause.TIMETABLE, 30)]
    assert trades_of(auction) == [(1005, 5, 0, 1)]

    assert trades_of(venue.step(venue.new(2, BUY, 1005, 1))) == [(1005, 1, 2, 1)]
    closing = venue.step(venue.new(2, BUY, 1005, 2), mark=1005, after_ns=8 * SECOND_NS)
    assert states_of(closing) == [(TradingState.CALL, HaltCause.TIMETABLE, 40)]
    assert trades_of(closing) == []
    closed = venue.step(venue.new(2, BUY, 1005, 2), mark=1005, after_ns=10 * SECOND_NS)
    assert states_of(closed) == [(TradingState.CLOSED, HaltCause.TIMETABLE, 50)]
    assert trades_of(closed) == [(1005, 2, 2, 1)]
    assert kinds_of(closed)[-1] == "REJECTED HALTED"

    next_day = venue.step(mark=1005, after_ns=86_400 * SECOND_NS - 10 * SECOND_NS)
    assert states_of(next_day) == [
        (TradingState.PRE_OPEN, HaltCause.TIMETABLE, 86_410),
        (TradingState.CALL, HaltCause.TIMETABLE, 86_420),
        (TradingState.TRADING, HaltCause.TIMETABLE, 86_430),
        (TradingState.CALL, HaltCause.TIMETABLE, 86_440),
    ]


@pytest.mark.parametrize(
    ("down_s", "back_s", "states"),
    [
        (31, 32, [(TradingState.CALL, 40), (TradingState.CLOSED, 50)]),
        (31, 35, [(TradingState.HALTED, 33), (TradingState.CALL, 36), (TradingState.TRADING, 38)]),
        (31, 47, [(TradingState.HALTED, 33), (TradingState.CALL, 48), (TradingState.CLOSED, 50)]),
        (31, 55, [(TradingState.HALTED, 33), (TradingState.CLOSED, 56)]),
        (5, 15, [(TradingState.PRE_OPEN, 16), (TradingState.CALL, 20), (TradingState.TRADING, 30)]),
        (5, 31, [(TradingState.CALL, 32), (TradingState.TRADING, 34)]),
        (5, 60, []),
    ],
)
def test_restarted_venue_comes_up_in_the_phase_that_it_is(
    open_venue: Open, tmp_path: Path, down_s: int, back_s: int, states: list[tuple[TradingState, int]]
) -> None:
    """On a fresh device, from the journal; behind more than the watchdog's 2 s the timetable has to be set again.

    The first step back is when the watchdog's deed is heard of, so a second later the host leads on, by a call of 2 s
    into continuous trading.
    """
    path = tmp_path / "venue.sqlite"
    venue = open_venue(Store(path), timetable=DAY, watchdog_s=2, call_us=2 * SECOND_US)
    while venue.daemon.time_ns < down_s * SECOND_NS:
        venue.step(mark=1000)
    venue.daemon.close()

    back = open_venue(Store(path), timetable=DAY, watchdog_s=2, call_us=2 * SECOND_US)
    changes = list(back.step(mark=1000, after_ns=(back_s - down_s) * SECOND_NS).trading_changes)
    while len(changes) < len(states) or back.daemon.time_ns < (back_s + 5) * SECOND_NS:
        changes += back.step(mark=1000).trading_changes
    assert [(one.state, one.time_ns // SECOND_NS) for one in changes[: len(states)]] == states
    if not states:
        assert changes == []


def test_window_moves_with_the_reference(open_venue: Open, kinds_of: Kinds) -> None:
    """The margin is a quarter, 256 ticks: at 1290 the window 512..1535 moves to 778..1801."""
    venue = open_venue(window_margin_ppm=250_000)
    venue.step(mark=1000)
    entered = venue.step(venue.new(0, BUY, 600, 1), venue.new(0, BUY, 990, 1), venue.new(1, SELL, 1790, 1))
    assert kinds_of(entered) == ["ACCEPTED", "ACCEPTED", "REJECTED OUTSIDE_WINDOW"]
    moved = venue.step(venue.new(1, SELL, 1790, 1), venue.new(0, BUY, 777, 1), mark=1290)
    assert kinds_of(moved) == ["CANCELED WINDOW_MOVED", "ACCEPTED", "REJECTED OUTSIDE_WINDOW"]
    assert venue.daemon.breakers[0].band == Band(1226, 1354, 1290)
    assert kinds_of(venue.step(venue.cancel(0, 2))) == ["CANCELED REQUESTED"]


def test_window_follows_a_mark_that_has_left_it(open_venue: Open, kinds_of: Kinds) -> None:
    """A halt, a step for each window on the way to 2488..3511, and a call; what rested far below is cancelled."""
    venue = open_venue(window_margin_ppm=250_000)
    venue.step(mark=1000)
    venue.step(venue.new(0, BUY, 990, 1), venue.new(1, SELL, 1535, 1))
    halted = venue.step(mark=3000)
    assert states_of(halted) == [(TradingState.HALTED, HaltCause.ORACLE, 3)]
    assert kinds_of(venue.step(mark=3000)) == ["CANCELED WINDOW_MOVED", "CANCELED BAND_MOVED"]
    assert kinds_of(venue.step(mark=3000)) == []
    called = venue.step(venue.new(0, BUY, 3000, 1), mark=3000)
    assert states_of(called) == [(TradingState.CALL, HaltCause.ORACLE, 6)]
    assert kinds_of(called) == ["ACCEPTED"]
    assert venue.daemon.breakers[0].band == Band(2850, 3150, 3000)
