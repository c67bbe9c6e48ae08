"""The venue of the demo: four perpetuals, people with more or less money, five oracle sources."""

from pathlib import Path

import numpy as np

from bandgap.host.config import AccountConfig, BreakerConfig, InstrumentConfig, OracleConfig, VenueConfig
from bandgap.sim.flow.crowd import Population
from bandgap.sim.flow.flash_crash import LYING_SOURCE, SOURCES, STALLED_SOURCE

ACCOUNTS = 128
START_TICKS = {"BTC-PERP": 9_600, "ETH-PERP": 6_800, "SOL-PERP": 10_500, "BNB-PERP": 7_000}
MULTIPLIERS_QUOTE = {"BTC-PERP": 10, "ETH-PERP": 5, "SOL-PERP": 2, "BNB-PERP": 1}
WINDOW_TICKS = 2_048

MAKER_DEPOSIT_QUOTE = 2_000_000_000
SELLER_DEPOSIT_QUOTE = 1_000_000_000
INVESTOR_DEPOSITS_QUOTE = 10_000_000, 100_000_000
SPECULATOR_DEPOSITS_QUOTE = 20_000, 500_000
"""Investors' and speculators' deposits lie between these, every order of magnitude as likely."""

BREAKER = BreakerConfig(
    width_ppm=15_000,
    policy="clamp",
    limit_us=2_000_000,
    halt_us=5_000_000,
    call_us=3_000_000,
    extension_us=1_000_000,
    random_end_us=500_000,
    indicative_us=250_000,
    auction_width_ppm=7_500,
)
"""A limit state of two seconds becomes a halt of five, then a call of three and up to half a second more."""

INSURANCE_FUND_QUOTE = 50_000_000
NS_A_SECOND = 10**9


def source_name(source: int) -> str:
    """What the report calls an oracle source."""
    return {LYING_SOURCE: "liar", STALLED_SOURCE: "sleeper"}.get(source, f"honest-{source + 1}")


def demo_venue(seed: int, device: str, store: Path) -> VenueConfig:
    """The venue; deposits follow from the seed.

    Arguments
    ---------
    seed : Of the deposits.
    device : Device URL.
    store : Where journal and ledger go.
    """
    random = np.random.default_rng(seed)
    people = Population.of(ACCOUNTS)

    def deposits(owners: range, between: tuple[int, int]) -> list[int]:
        low, high = np.log(between)
        return [int(amount) for amount in np.exp(random.uniform(low, high, len(owners)))]

    accounts = [(f"maker-{n}", MAKER_DEPOSIT_QUOTE) for n in people.makers]
    accounts += [
        (f"investor-{n}", amount)
        for n, amount in zip(people.investors, deposits(people.investors, INVESTOR_DEPOSITS_QUOTE), strict=True)
    ]
    accounts += [
        (f"speculator-{n}", amount)
        for n, amount in zip(people.speculators, deposits(people.speculators, SPECULATOR_DEPOSITS_QUOTE), strict=True)
    ]
    accounts.append((f"seller-{people.seller}", SELLER_DEPOSIT_QUOTE))
    return VenueConfig(
        device=device,
        store=store,
        insurance_fund_quote=INSURANCE_FUND_QUOTE,
        oracle=OracleConfig(
            sources=tuple(source_name(source) for source in range(SOURCES)),
            quorum=3,
            staleness_ns=3 * NS_A_SECOND,
            max_deviation_ppm=50_000,
        ),
        instruments=tuple(
            InstrumentConfig(
                name=name,
                window_base_ticks=start_ticks - WINDOW_TICKS // 2,
                window_ticks=WINDOW_TICKS,
                multiplier_quote=MULTIPLIERS_QUOTE[name],
                initial_margin_ppm=50_000,
                maintenance_margin_ppm=30_000,
                breaker=BREAKER,
                maker_fee_ppm=50,
                taker_fee_ppm=300,
            )
            for name, start_ticks in START_TICKS.items()
        ),
        accounts=tuple(AccountConfig(name=name, deposit_quote=amount) for name, amount in accounts),
    )
