"""The ready sets: the figures of the plans they come from, and that a venue and a device take them."""

from collections.abc import Callable
from typing import Any

import pytest

from bandgap.hdl.protocol.reports import ReportKind
from bandgap.host.breaker_presets import PRESETS
from bandgap.host.config import BreakerConfig
from bandgap.host.wire import select_reports

SECOND_NS = 1_000_000_000
LATE = 86_400 * SECOND_NS - 1_000 * SECOND_NS


@pytest.mark.parametrize(
    ("name", "width_ppm", "width_ticks", "late_ppm", "late_ticks"),
    [
        ("luld_tier_1", 50_000, 0, 100_000, 0),
        ("luld_tier_2", 100_000, 0, 0, 0),
        ("luld_low", 200_000, 0, 400_000, 0),
        ("luld_penny", 750_000, 15, 1_000_000, 30),
    ],
)
def test_luld_percentages_and_their_doubling(
    name: str, width_ppm: int, width_ticks: int, late_ppm: int, late_ticks: int
) -> None:
    """Doubled near the close: tier 1, and tier 2 at or below $3.00; not tier 2 above."""
    chosen = BreakerConfig.model_validate({"preset": name})
    assert (chosen.width_ppm, chosen.width_ticks) == (width_ppm, width_ticks)
    assert (chosen.late_width_ppm, chosen.late_width_ticks) == (late_ppm, late_ticks)
    assert chosen.long_bucket_us * chosen.long_buckets == 300_000_000
    assert (chosen.move_ppm, chosen.hold_us, chosen.limit_us) == (10_000, 30_000_000, 15_000_000)
    assert chosen.halt_us + chosen.call_us == 300_001_000


def test_cme_windows() -> None:
    chosen = BreakerConfig.model_validate({"preset": "cme_dynamic"})
    assert chosen.long_bucket_us * chosen.long_buckets == 3_600_000_000
    assert (chosen.long_width_ppm, chosen.policy, chosen.call_us) == (35_000, "halt", 120_000_000)


def test_the_file_goes_before_the_preset() -> None:
    chosen = BreakerConfig.model_validate({"preset": "luld_tier_1", "limit_us": 20_000_000})
    assert (chosen.limit_us, chosen.width_ppm) == (20_000_000, 50_000)


@pytest.mark.parametrize("name", PRESETS)
def test_a_venue_opens_with_every_preset(open_venue: Callable[..., Any], name: str) -> None:
    """The device takes all of its commands, at the opening and near the close."""
    venue = open_venue(breaker=BreakerConfig.model_validate({"preset": name}))
    venue.step(mark=1000)
    half = min(1000 * PRESETS[name]["width_ppm"] // 1_000_000, PRESETS[name].get("width_ticks", 1000))
    band = venue.daemon.breakers[0].band
    assert band.upper_ticks == min(1000 + half, 1535)
    late = venue.step(mark=1000, after_ns=LATE)
    moved = select_reports(late.reports, ReportKind.BAND_MOVED)
    doubled = "late_width_ppm" in PRESETS[name]
    # The watchdog has halted meanwhile, and the mark is back: the band is set anew with the call.
    assert int(moved["upper_ticks"][-1]) == min(1000 + half * (2 if doubled else 1), 1535)
