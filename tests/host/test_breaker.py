"""The breaker's decisions, by hand: window 512 to 1535, half width 5 %, steps of a quarter of it, halts of 100 ns."""

import pytest

from bandgap.host.breaker import Band, Breaker, BreakerMove, HaltCause


def breaker(**settings: int) -> Breaker:
    chosen = {"window_base_ticks": 512, "window_ticks": 1024, "width_ppm": 50_000, "step_ppm": 250_000, "halt_ns": 100}
    return Breaker(**(chosen | settings))


def opened(mark: int = 1000, **settings: int) -> Breaker:
    one = breaker(**settings)
    one.decide(mark, 0)
    one.follow(trading=True, by_watchdog=False)
    return one


def test_opens_with_the_first_mark() -> None:
    one = breaker()
    assert one.decide(None, 0) == BreakerMove()
    assert one.decide(1000, 1) == BreakerMove(band=Band(950, 1050, 1000), resume=True)
    assert one.cause is HaltCause.OPENING


@pytest.mark.parametrize(("mark", "moves"), [(1012, False), (1013, True), (988, False), (987, True)])
def test_band_follows_in_steps(mark: int, moves: bool) -> None:
    move = opened().decide(mark, 1)
    assert (move.band is not None, move.resume, move.halt) == (moves, False, False)


@pytest.mark.parametrize(("mark", "bounds"), [(520, (512, 546)), (1530, (1454, 1535))])
def test_band_is_cut_at_the_window(mark: int, bounds: tuple[int, int]) -> None:
    band = breaker().decide(mark, 0).band
    assert band is not None and (band.lower_ticks, band.upper_ticks) == bounds


def test_band_is_a_tick_wide_at_least() -> None:
    assert breaker(width_ppm=1).decide(1000, 0).band == Band(999, 1001, 1000)


@pytest.mark.parametrize("mark", [None, 511, 1536])
def test_halts_without_a_price_inside_the_window(mark: int | None) -> None:
    one = opened()
    assert one.decide(mark, 1) == BreakerMove(halt=True)
    assert one.cause is HaltCause.ORACLE
    one.follow(trading=False, by_watchdog=False)
    assert one.decide(mark, 2) == BreakerMove()
    assert one.decide(1000, 3) == BreakerMove(band=Band(950, 1050, 1000), resume=True)


@pytest.mark.parametrize(("price", "trips"), [(951, False), (950, True), (1049, False), (1050, True)])
def test_trade_at_a_bound_trips(price: int, trips: bool) -> None:
    one = opened()
    assert one.trade(price, 10) is trips
    assert one.decide(1000, 11).halt is trips


def test_halt_lasts_from_the_first_trade_at_the_bound() -> None:
    one = opened()
    assert one.trade(950, 10)
    assert not one.trade(950, 50)
    assert one.decide(940, 60) == BreakerMove(halt=True)
    one.follow(trading=False, by_watchdog=False)
    assert one.decide(940, 109) == BreakerMove()
    assert one.decide(940, 110) == BreakerMove(band=Band(893, 987, 940), resume=True)
    assert one.cause is HaltCause.BREAKER


def test_trip_waits_for_a_price_too() -> None:
    one = opened()
    one.trade(950, 10)
    one.decide(940, 60)
    one.follow(trading=False, by_watchdog=False)
    assert one.decide(None, 120) == BreakerMove()
    assert one.decide(940, 121).resume


def test_watchdog_is_remembered_and_left_at_once() -> None:
    one = opened()
    one.follow(trading=False, by_watchdog=True)
    assert one.cause is HaltCause.WATCHDOG
    assert one.decide(1000, 1).resume
