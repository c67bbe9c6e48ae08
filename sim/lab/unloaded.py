"""Latency of single commands, sent one at a time into an appliance at rest."""

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.config import PRESETS
from bandgap.hdl.protocol.commands import Side, TimeInForce
from bandgap.hdl.protocol.reports import ReportKind
from bandgap.host.wire import report_headers

from .probe import BASE_TICKS, Measurement, Probe, latency_cycles, of_kind, trade_prices

SAMPLES = 1_000
RESTING = 4_000
MAKERS = 1_000
SPACINGS_TICKS = (1, 7, 65, 1_025)
"""How far apart levels lie: neighbours, in one occupancy word, in different words, in different words of words."""

WIDTH_TICKS = 4_000
"""Of rolling windows: wider than anything that trades."""

RESTS = "new order that rests: accepted"
CANCEL = "cancel: canceled"
FIRST_TRADE = "marketable order: first trade"
FURTHER_FILL = "each further fill, same level"
FURTHER_ROLLING_FILL = "each further fill, same level, rolling windows"
FURTHER_LEVEL = "each further level emptied"

_BUY, _SELL = Side.BUY.value, Side.SELL.value


def unloaded(preset: str, accounts: int, seed: int) -> list[Measurement]:
    """All of them."""
    return [*_single(preset, accounts, seed), *_same_level(preset, accounts), *_levels(preset, accounts)]


def _single(preset: str, accounts: int, seed: int) -> list[Measurement]:
    """New orders, cancels and marketable orders around a book with orders at many levels.

    Resting orders leave some ticks around the middle free: some of the new orders become the best.
    """
    random = np.random.default_rng(seed)
    probe = Probe(PRESETS[preset], accounts)

    def passive(count: int, nearest_ticks: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Sides, and prices that do not cross."""
        buys = random.integers(2, size=count, dtype=np.int64)
        away = random.integers(nearest_ticks, (probe.highest_ticks - BASE_TICKS) // 4, count)
        prices = np.where(buys, probe.middle_ticks - 1 - away, probe.middle_ticks + away)
        return np.where(buys, _BUY, _SELL), prices

    def owners(count: int) -> NDArray[np.int64]:
        return random.integers(accounts, size=count)

    probe.rest(probe.orders(*passive(RESTING, 16), random.integers(1, 4, RESTING), owners(RESTING)))
    new = probe.orders(*passive(SAMPLES, 0), random.integers(1, 4, SAMPLES), owners(SAMPLES))
    accepted = of_kind(probe.run_apart(new), ReportKind.ACCEPTED, SAMPLES)
    canceled = of_kind(probe.run_apart(probe.cancels(random.permutation(new))), ReportKind.CANCELED, SAMPLES)
    buys = random.integers(2, size=SAMPLES, dtype=np.int64)
    limits = np.where(buys, probe.highest_ticks, BASE_TICKS)
    takers = probe.orders(np.where(buys, _BUY, _SELL), limits, 1, owners(SAMPLES), TimeInForce.IOC)
    trades = of_kind(probe.run_apart(takers), ReportKind.TRADE, SAMPLES)
    probe.close()
    flow = f"{SAMPLES:,} apart, {RESTING:,} resting"
    return [
        Measurement(figure, flow, statistic, value)
        for figure, reports in ((RESTS, accepted), (CANCEL, canceled), (FIRST_TRADE, trades))
        for statistic, value in _middle_and_most(latency_cycles(reports))
    ]


def _same_level(preset: str, accounts: int) -> list[Measurement]:
    """One order that trades with many at one price, in an instrument with rolling windows as well."""
    measured = []
    for figure, flow, width_ticks in (
        (FURTHER_FILL, f"{MAKERS:,} makers", None),
        (FURTHER_ROLLING_FILL, f"{MAKERS:,} makers, no widths", 0),
        (FURTHER_ROLLING_FILL, f"{MAKERS:,} makers, widths", WIDTH_TICKS),
    ):
        probe = Probe(PRESETS[preset], accounts)
        if width_ticks is not None:
            probe.roll(width_ticks)
        probe.rest(probe.orders(_BUY, probe.middle_ticks, 1, np.arange(MAKERS) % accounts))
        gaps, _ = _sweep(probe, MAKERS)
        measured += [Measurement(figure, flow, *of) for of in _middle_and_most(gaps)]
    return measured


def _levels(preset: str, accounts: int) -> list[Measurement]:
    """One order that trades with one at each of many prices."""
    measured = []
    for spacing in SPACINGS_TICKS:
        probe = Probe(PRESETS[preset], accounts)
        levels = min(MAKERS, (probe.highest_ticks - BASE_TICKS) // spacing)
        prices = probe.highest_ticks - spacing * np.arange(levels)
        probe.rest(probe.orders(_BUY, prices, 1, np.arange(levels) % accounts))
        gaps, ticks = _sweep(probe, levels)
        assert (ticks == spacing).all()
        flow = f"{levels:,} levels, tick distance {spacing:,}"
        measured += [Measurement(FURTHER_LEVEL, flow, *of) for of in _middle_and_most(gaps)]
    return measured


def _sweep(probe: Probe, makers: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Sell to all resting bids with one order; cycles and ticks from each trade to the next."""
    taker = probe.orders(_SELL, BASE_TICKS, makers, 0, TimeInForce.IOC)
    trades = of_kind(probe.run(taker), ReportKind.TRADE, makers)
    probe.close()
    exits, prices = report_headers(trades)["exit_cycle"], trade_prices(trades)
    return exits[1:] - exits[:-1], prices[:-1] - prices[1:]


def _middle_and_most(cycles: NDArray[np.uint32]) -> list[tuple[str, float]]:
    return [("p50", int(np.percentile(cycles, 50, method="inverted_cdf"))), ("max", int(cycles.max()))]
