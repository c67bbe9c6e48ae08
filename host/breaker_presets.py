"""Ready parameter sets for `BreakerConfig`, after the rules of known markets.

**Limit Up-Limit Down**, the plan that holds for US shares: National Market System Plan to Address Extraordinary
Market Volatility, sections V to VII and Appendix A, as the SEC made it permanent with the Eighteenth Amendment
(Release No. 34-85623 of April 11, 2019, 84 FR 16086). The plan text that luldplan.com shows as in force goes to the
Twentieth Amendment (April 21, 2020), which concerns the quarterly reports.

- The reference is the mean of the last five minutes' trades; it is replaced when it would move by 1 % and the present
  one has stood for 30 s.
- Above $3.00 a price may be 5 % (tier 1: S&P 500, Russell 1000, some funds) or 10 % (tier 2: all other shares) away
  from it, from $0.75 to $3.00 20 %, below $0.75 the lesser of $0.15 and 75 %. Yesterday's close decides which.
- In the last 25 minutes before the close these are doubled: all of tier 1, and of tier 2 what is at or below $3.00.
  The Eighteenth Amendment ended the doubling for tier 2 above $3.00, and that after the opening for all.
- A limit state of 15 s leads to a pause of five minutes, in which orders collect: a call here, behind the shortest
  halt there is. The auction that ends it may trade 5 % beyond the band, and with each extension of five minutes 5 %
  more (the listing exchanges' auction collars, since the Twelfth Amendment).

A tick is a cent here. `luld_low` is for closes of $0.75 to $3.00, `luld_penny` for those below, of either tier. Where
the percentages are doubled, late widths say so; the session says when (`SessionConfig`). The late band of a penny
share is at most 100 %, not 150 %, because the device knows no more.

**CME Group's dynamic circuit breakers** (the exchange's pages "Dynamic Circuit Breakers" and "Understanding Price
Limits and Circuit Breakers"): a price may be 3.5 % away from the highest and the lowest trade of the last 60 minutes
(equity index futures overnight; other products have other shares); where it would go further, trading turns at once
into a pre-opening of two minutes, and begins again with an empty window. Velocity logic is the same within seconds;
how far and how long is the product's own, 1 % in 5 s here. The static band is wide and left alone: a daily limit of 7
%.
"""

from typing import Any

_MINUTE_US = 60_000_000

_LULD = {
    "policy": "clamp",
    "source": "window_mean",
    "move_ppm": 10_000,
    "hold_us": 30_000_000,
    "limit_us": 15_000_000,
    "halt_us": 1_000,
    "call_us": 5 * _MINUTE_US,
    "extension_us": 5 * _MINUTE_US,
    "indicative_us": 1_000_000,
    "auction_width_ppm": 50_000,
    "long_bucket_us": 5_000_000,
    "long_buckets": 60,
}
_WIDTHS = {
    "luld_tier_1": {"width_ppm": 50_000, "late_width_ppm": 100_000},
    "luld_tier_2": {"width_ppm": 100_000},
    "luld_low": {"width_ppm": 200_000, "late_width_ppm": 400_000},
    "luld_penny": {
        "width_ppm": 750_000,
        "width_ticks": 15,
        "late_width_ppm": 1_000_000,
        "late_width_ticks": 30,
    },
}

PRESETS: dict[str, dict[str, Any]] = {name: _LULD | width for name, width in _WIDTHS.items()} | {
    "cme_dynamic": {
        "width_ppm": 70_000,
        "policy": "halt",
        "source": "host",
        "step_ppm": 999_999,
        "halt_us": 1_000,
        "call_us": 2 * _MINUTE_US,
        "extension_us": 2 * _MINUTE_US,
        "indicative_us": 1_000_000,
        "auction_width_ppm": 35_000,
        "short_width_ppm": 10_000,
        "short_bucket_us": 500_000,
        "short_buckets": 10,
        "long_width_ppm": 35_000,
        "long_bucket_us": _MINUTE_US,
        "long_buckets": 60,
    }
}
"""The sets by name."""
