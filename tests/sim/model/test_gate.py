"""The gate: window, band, trading state, credit, kill, watchdog, market data, epochs."""

from typing import Any

import pytest

from bandgap.hdl.protocol.commands import BandPolicy, ExpiryAction, Opcode, OrderType, Side, TimeInForce
from bandgap.sim.model import Appliance

MULTIPLIER = 1_000
START = 1_000_000_000
IOC = {"time_in_force": TimeInForce.IOC.value}

# Window


@pytest.mark.parametrize(("price", "rests"), [(99, False), (100, True), (107, True), (108, False)])
def test_window_bounds_what_can_rest(market: Any, price: int, rests: bool) -> None:
    answer = f"ACCEPTED #0 1@{price}" if rests else "REJECTED OUTSIDE_WINDOW"
    assert market.sell(0, 1, price) == [answer]


def test_window_wraps_in_the_ladder_without_aliasing(market: Any) -> None:
    """Window 100 to 107 of eight rows: 103 rests in row 7, 104 in row 0; the best is still the best."""
    for token, price in enumerate(range(100, 108)):
        market.buy(token, 1, price)
    assert market.book(Side.BUY) == [f"#{price - 100} 1@{price}" for price in range(107, 99, -1)]


def test_window_may_end_at_the_highest_price(market: Any) -> None:
    market.set_instrument(1, ladder_offset=8, window_base_ticks=2**32 - 8, multiplier_quote=1)
    market.resume()
    market.grant(0, 2**40)
    assert market.buy(0, 1, 2**32 - 1, instrument=1) == [f"ACCEPTED #0 1@{2**32 - 1}"]


def test_setting_an_instrument_anew_halts_it_and_takes_its_band(market: Any) -> None:
    market.set_band(102, 104)
    market.halt(0)
    assert market.set_instrument(0, window_base_ticks=200) == ["DONE 0"]
    assert market.buy(0, 1, 200) == ["REJECTED HALTED"]
    market.resume(0)
    assert market.buy(0, 1, 207) == ["ACCEPTED #0 1@207"]


# Band


def test_band_bounds_aggression_not_patience(market: Any) -> None:
    assert market.set_band(102, 104) == ["BAND_MOVED 102-104"]
    assert market.buy(0, 1, 105) == ["REJECTED OUTSIDE_BAND"]
    assert market.sell(1, 1, 101) == ["REJECTED OUTSIDE_BAND"]
    assert market.buy(0, 1, 101) == ["ACCEPTED #0 1@101"]
    assert market.sell(1, 1, 105) == ["ACCEPTED #1 1@105"]


def test_band_may_clamp(market: Any) -> None:
    market.set_band(102, 104, BandPolicy.CLAMP)
    assert market.buy(0, 1, 2**32 - 1) == ["ACCEPTED #0 1@104", "LIMIT LIMIT instrument 0"]
    assert market.sell(1, 2, 0) == ["ACCEPTED #1 2@102", "TRADE 1@104 #1 left 1 #0 left 0"]
    assert market.replace(1, Side.SELL, 1, 0) == ["REPLACED #1 1@102"]
    assert market.balance() == START - (104 + 2 * 102) * MULTIPLIER


def test_moving_the_band_cancels_what_could_trade_outside(market: Any) -> None:
    for token, price in enumerate((105, 106, 106)):
        market.buy(token, 1, price)
    assert market.set_band(101, 105) == [
        "CANCELED BAND_MOVED #1 1 left 0",
        "CANCELED BAND_MOVED #2 1 left 0",
        "BAND_MOVED 101-105",
        "LIMIT LIMIT instrument 0",
    ]
    assert market.book(Side.BUY) == ["#0 1@105"]
    assert market.balance() == START - 105 * MULTIPLIER
    market.cancel(0)
    for token, price in enumerate((103, 102, 104)):
        market.sell(token + 3, 1, price)
    assert market.set_band(104, 105) == [
        "CANCELED BAND_MOVED #4 1 left 0",
        "CANCELED BAND_MOVED #3 1 left 0",
        "BAND_MOVED 104-105",
        "LIMIT LIMIT instrument 0",
    ]


def test_band_can_be_set_while_halted(market: Any) -> None:
    market.buy(0, 1, 106)
    market.halt()
    assert market.set_band(101, 105)[0] == "CANCELED BAND_MOVED #0 1 left 0"


# Trading state


def test_halt_and_resume_report_only_what_they_change(market: Any) -> None:
    market.set_instrument(1, ladder_offset=8)
    assert market.halt() == ["HALTED OPERATOR instrument 0", "DONE 1"]
    assert market.halt() == ["DONE 0"]
    assert market.resume() == ["TRADING OPERATOR instrument 0", "TRADING OPERATOR instrument 1", "DONE 2"]
    assert market.fields[-1]["instrument"] == "255"
    assert market.halt(1) == ["HALTED OPERATOR instrument 1", "DONE 1"]
    assert market.resume(0) == ["DONE 0"]


# Credit


def test_entry_reserves_and_cancel_returns(market: Any) -> None:
    market.buy(0, 10, 102)
    assert market.balance() == START - 10 * 102 * MULTIPLIER
    market.replace(0, Side.BUY, 4, 102)
    assert market.balance() == START - 4 * 102 * MULTIPLIER
    market.replace(0, Side.BUY, 6, 103)
    assert market.balance() == START - 6 * 103 * MULTIPLIER
    market.cancel(0)
    assert market.balance() == START


def test_fill_returns_nothing_not_even_the_better_price(market: Any) -> None:
    market.sell(1, 2, 100, account=1)
    market.buy(0, 5, 105)
    market.cancel(0)
    assert market.balance(0) == START - 2 * 105 * MULTIPLIER
    assert market.balance(1) == START - 2 * 100 * MULTIPLIER


@pytest.mark.parametrize("how", [IOC, {"time_in_force": TimeInForce.FOK.value}])
def test_what_is_canceled_at_once_returns_at_once(market: Any, how: dict[str, int]) -> None:
    market.buy(0, 5, 105, **how)
    assert market.balance() == START


def test_market_order_reserves_at_its_bound(market: Any) -> None:
    market.set_band(101, 106)
    market.sell(1, 1, 102, account=1)
    market.buy(0, 3, 0, order_type=OrderType.MARKET.value, **IOC)
    assert market.balance() == START - 106 * MULTIPLIER


def test_balance_may_be_used_to_the_last_unit(market: Any) -> None:
    market.grant(0, 102 * MULTIPLIER - START)
    assert market.buy(0, 1, 103) == ["REJECTED CREDIT"]
    assert market.buy(0, 1, 102) == ["ACCEPTED #0 1@102"]
    assert market.balance() == 0


def test_negative_balance_blocks_entry_but_not_a_smaller_order(market: Any) -> None:
    market.buy(0, 5, 102)
    market.grant(0, -START)
    assert market.balance() < 0
    assert market.buy(1, 1, 102) == ["REJECTED CREDIT"]
    assert market.replace(0, Side.BUY, 6, 102) == ["REJECTED CREDIT"]
    assert market.replace(0, Side.BUY, 4, 103) == ["REPLACED #0 4@103"]


def test_replace_needs_only_the_difference(market: Any) -> None:
    market.buy(0, 5, 102)
    market.grant(0, 103 * MULTIPLIER - market.balance())
    assert market.replace(0, Side.BUY, 7, 102) == ["REJECTED CREDIT"]
    assert market.replace(0, Side.BUY, 6, 102) == ["REPLACED #0 6@102"]
    assert market.balance() == MULTIPLIER


def test_reserve_at_its_limit(market: Any) -> None:
    market.halt()
    market.set_instrument(0, window_base_ticks=2**16, multiplier_quote=2**14)
    market.resume()
    market.grant(0, 2**50)
    assert market.buy(0, 2**16, 2**16) == ["REJECTED CREDIT"]
    assert market.buy(0, 2**16 - 1, 2**16) == [f"ACCEPTED #0 {2**16 - 1}@{2**16}"]
    assert market.replace(0, Side.BUY, 2**16, 2**16) == ["REJECTED CREDIT"]


def test_self_trade_prevention_returns_both_reserves(market: Any) -> None:
    market.sell(1, 3, 101)
    market.buy(0, 5, 103, self_trade_prevention=5, **IOC)
    assert market.balance() == START


def test_reduce_only_order_neither_reserves_nor_returns(market: Any) -> None:
    market.buy(0, 5, 102, reduce_only=True)
    market.replace(0, Side.BUY, 50, 103)
    assert market.balance() == START
    market.cancel(0)
    assert market.balance() == START


def test_grant_answers_with_the_balance(market: Any) -> None:
    market.grant(2, -2 * START)
    assert (market.fields[0]["account"], market.fields[0]["balance_quote"]) == ("2", str(-START))


# Kill


def test_killed_account_is_cleared_and_blocked_until_restored(market: Any) -> None:
    market.buy(0, 5, 102)
    market.sell(3, 5, 104)
    market.buy(1, 5, 102, account=1)
    assert market.kill(0) == [
        "CANCELED ACCOUNT_KILLED #0 5 left 0",
        "CANCELED ACCOUNT_KILLED #3 5 left 0",
        "DONE 2",
    ]
    assert market.buy(0, 5, 102, generation=2) == ["REJECTED KILLED"]
    assert market.buy(0, 5, 102, generation=2, reduce_only=True) == ["ACCEPTED #0 5@102"]
    assert market.replace(0, Side.BUY, 4, 102, generation=2) == ["REJECTED KILLED"]
    assert market.cancel(0, generation=2) == ["CANCELED REQUESTED #0 5 left 0"]
    assert market.account_command(Opcode.RESTORE_ACCOUNT, 0) == ["DONE 0"]
    assert market.buy(0, 5, 102, generation=3) == ["ACCEPTED #0 5@102"]


# Watchdog and time


def test_watchdog_halts_at_its_deadline(market: Any) -> None:
    market.buy(0, 5, 102)
    assert market.heartbeat(50) == ["DONE 0"]
    assert market.advance(49) == []
    assert market.advance(60) == ["HALTED WATCHDOG instrument 0", "DONE 0"]
    assert {(fields["time_ns"], fields["link"], fields["command_number"]) for fields in market.fields} == {
        ("50", "0", "0")
    }
    assert market.fields[-1]["flags"] == "LAST"
    assert market.book(Side.BUY) == ["#0 5@102"]
    assert market.advance(10**9) == [], "it is disarmed"
    assert market.resume()[0] == "TRADING OPERATOR instrument 0"


def test_watchdog_may_cancel_everything(market: Any) -> None:
    market.buy(4, 5, 102)
    market.buy(1, 5, 102, account=1)
    market.heartbeat(50, ExpiryAction.HALT_AND_CANCEL)
    assert market.advance(50) == [
        "HALTED WATCHDOG instrument 0",
        "CANCELED WATCHDOG #1 5 left 0",
        "CANCELED WATCHDOG #4 5 left 0",
        "DONE 2",
    ]
    assert market.balance(0) == market.balance(1) == START


def test_heartbeat_in_time_moves_the_deadline(market: Any) -> None:
    market.heartbeat(50)
    market.time_ns = 49
    market.heartbeat(50)
    assert market.advance(98) == []
    assert market.appliance.next_deadline_ns == 99
    market.heartbeat(0)
    assert market.appliance.next_deadline_ns is None


def test_due_timer_acts_before_the_command(market: Any) -> None:
    market.heartbeat(50)
    market.time_ns = 50
    assert market.buy(0, 1, 102) == ["HALTED WATCHDOG instrument 0", "DONE 0", "REJECTED HALTED"]
    assert [fields["command_number"] for fields in market.fields] == ["0", "0", str(market.number)]


def test_heartbeat_that_comes_at_the_deadline_comes_too_late(market: Any) -> None:
    market.heartbeat(50)
    market.time_ns = 50
    assert market.heartbeat(50) == ["HALTED WATCHDOG instrument 0", "DONE 0", "DONE 0"]


def test_clock_is_in_the_header(market: Any) -> None:
    market.time_ns = 2**40
    assert market.send(Opcode.READ_CLOCK) == ["DONE 0"]
    assert market.fields[0]["time_ns"] == str(2**40)


def test_time_never_runs_backwards(market: Any) -> None:
    market.advance(10)
    with pytest.raises(ValueError, match="time runs backwards, from 10 ns to 9 ns"):
        market.advance(9)


# Top of book


@pytest.fixture
def watched(market: Any) -> Any:
    """The market with top-of-book reports on for instrument 0."""
    market.halt()
    market.set_instrument(0, top_of_book=True)
    market.resume()
    return market


def test_top_of_book_follows_the_answer(watched: Any) -> None:
    assert watched.buy(0, 5, 102) == ["ACCEPTED #0 5@102", "TOP instrument 0 5@102 0@0"]
    assert [fields["flags"] for fields in watched.fields] == ["LAST", "-"]
    assert watched.fields[1]["command_number"] == str(watched.number)
    assert watched.buy(1, 2, 102)[-1] == "TOP instrument 0 7@102 0@0"
    assert watched.sell(2, 9, 104)[-1] == "TOP instrument 0 7@102 9@104"
    assert watched.sell(3, 8, 101)[-1] == "TOP instrument 0 0@0 1@101"


def test_top_of_book_is_silent_when_the_best_stays(watched: Any) -> None:
    watched.buy(0, 5, 102)
    assert watched.buy(1, 5, 101) == ["ACCEPTED #1 5@101"]
    assert watched.buy(2, 5, 101, **IOC) == ["ACCEPTED #2 5@101", "CANCELED IMMEDIATE_REST #2 5 left 0"]
    assert watched.replace(0, Side.BUY, 5, 102) == ["REPLACED #0 5@102"]
    assert watched.buy(3, 5, 108) == ["REJECTED OUTSIDE_WINDOW"]


def test_top_of_book_of_several_instruments_in_order(watched: Any) -> None:
    watched.set_instrument(2, ladder_offset=8, top_of_book=True)
    watched.resume()
    watched.buy(0, 1, 100, instrument=2)
    watched.buy(1, 1, 100)
    assert watched.account_command(Opcode.MASS_CANCEL, 0)[-3:] == [
        "DONE 2",
        "TOP instrument 0 0@0 0@0",
        "TOP instrument 2 0@0 0@0",
    ]


def test_top_of_book_after_a_timer(watched: Any) -> None:
    watched.buy(0, 1, 100)
    watched.heartbeat(50, ExpiryAction.HALT_AND_CANCEL)
    assert watched.advance(70)[-1] == "TOP instrument 0 0@0 0@0"
    assert watched.fields[-1]["time_ns"] == "50"


# Epochs


def test_reset_starts_anew_but_keeps_token_ranges_and_time(market: Any) -> None:
    market.appliance.set_token_range(1, 0, 8)
    market.buy(0, 1, 102)
    market.kill(1)
    market.heartbeat(50)
    market.advance(20)
    market.appliance.reset(2)
    assert market.state() == ([[]] * 6, [0] * 4, None)
    assert market.buy(0, 1, 102) == ["REJECTED WRONG_EPOCH"]
    assert market.fields[0]["number"] == "0"
    assert market.fields[0]["epoch"] == "2"
    assert market.fields[0]["time_ns"] == "20"
    assert market.buy(0, 1, 102, epoch=2) == ["REJECTED UNKNOWN_INSTRUMENT"]
    market.set_instrument(0, epoch=2)
    market.resume(epoch=2)
    market.grant(1, START, epoch=2)
    assert market.buy(0, 1, 102, epoch=2, account=1, link=1) == ["ACCEPTED #0 1@102"]


@pytest.mark.parametrize("epoch", [0, -1, 65_536])
def test_epoch_is_16_bits_and_not_zero(market: Any, epoch: int) -> None:
    with pytest.raises(ValueError, match=f"an epoch is 1 to 65535, not {epoch}"):
        market.appliance.reset(epoch)


def test_reports_are_numbered_without_gaps() -> None:
    appliance = Appliance(instruments=1, orders=2, ticks=8, accounts=2, smallest_window_ticks=4)
    reports = [appliance.execute(0, 0, bytes(32))[0] for _ in range(3)]
    assert [report[4:8] for report in reports] == [bytes([number, 0, 0, 0]) for number in range(3)]
