"""Cross margin of linear perpetuals: equity, requirements, and the credit an account may be given.

With lots n, mark price P, multiplier m and initial margin rate r of each instrument:

    equity  = cash + sum(n P m - entry value)
    initial = ceil(sum(|n| P m r))        maintenance likewise
    free    = equity - initial

The device knows no margin: it reserves the full value (quantity x limit x multiplier) of what an account enters. How
much value it may let in follows from what a lot can cost at worst. A fill at price p changes `free` by

    a buy:   (P - p) m - P m r - f p m        a sell:   (p - P) m - P m r - f p m        (f: fee rate)

or better, if it closes a position. Orders have limits, and trade at prices, within a reach [L, U]: the band while an
instrument trades, the whole window while orders may collect in a call, where the window alone bounds limits, and an
auction band that widens with each extension is cut off at last (`Breaker.reach`). What a lot costs per unit of the
value reserved for it is dearest for a buy with limit and price U, and for a sell with limit L that trades there: a
buy never trades above its limit, and a sell that trades above it, as in an auction, gains more than its fee grows. So

    cost = max((U - P + r P + f U) / U, (P - L + r P + f L) / L)

and while all reserves together stay within free / cost (cost: the largest of all instruments with a band), no order
of fills at these marks takes the account below its initial margin. The tests prove this on random flows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_PPM = 1_000_000

VALUE_LIMIT_QUOTE = 1 << 60
"""Value of one position and sum of an account's positions stay below this, so that 64 bits hold every step."""

MARKED_LIMIT_QUOTE = VALUE_LIMIT_QUOTE // 4
"""A mark at which positions are worth more is not taken; what is filled before the next one then stays below
`VALUE_LIMIT_QUOTE`, but for deposits that no currency has."""

CREDIT_LIMIT_QUOTE = 1 << 60
"""No account is given more credit than this; the device's own limit is above it."""

_Int64 = NDArray[np.int64]


class ValueLimitError(ValueError):
    """Positions are worth more than the arithmetic holds; `instrument` is the one whose are worth most."""

    def __init__(self, instrument: int, lots: int, mark_ticks: int) -> None:
        super().__init__(f"a position of {lots} lots at mark {mark_ticks} is worth too much to compute")
        self.instrument = instrument


@dataclass(frozen=True)
class InstrumentRates:
    """What margin needs to know of an instrument: quote units per tick and lot, and rates in parts per million."""

    multiplier_quote: int
    initial_margin_ppm: int
    maintenance_margin_ppm: int
    fee_ppm: int


@dataclass(frozen=True)
class MarginState:
    """Of each account, in quote units: equity, initial and maintenance margin; (accounts,) int64 each."""

    equity_quote: _Int64
    initial_quote: _Int64
    maintenance_quote: _Int64


def can_be_valued(mark_ticks: int, most_lots: int, multiplier_quote: int, instruments: int) -> bool:
    """Whether margin can be worked out at a mark: it is refused where one position would be worth too much.

    Parameters
    ----------
    most_lots : The largest position in the instrument, long or short.
    instruments : How many there are; each has an equal share of `MARKED_LIMIT_QUOTE`, so that none depends on another.
    """
    return most_lots * mark_ticks * multiplier_quote < MARKED_LIMIT_QUOTE // instruments


def assess(
    cash_quote: _Int64,
    lots: _Int64,
    entry_value_quote: _Int64,
    marks_ticks: Sequence[int],
    rates: Sequence[InstrumentRates],
) -> MarginState:
    """Value all accounts at the marks.

    Parameters
    ----------
    cash_quote : (accounts,)
    lots, entry_value_quote : (accounts, instruments), as `Positions` keeps them.
    marks_ticks : Mark price of each instrument; zero where there is none yet (and so no position).
    rates : Of each instrument.

    Raises
    ------
    ValueLimitError : A position's value, or an account's, reaches `VALUE_LIMIT_QUOTE`.
    """
    lot_values = [mark * rate.multiplier_quote for mark, rate in zip(marks_ticks, rates, strict=True)]
    largest = np.abs(lots).max(axis=0, initial=0).tolist()
    worth = [most * value for most, value in zip(largest, lot_values, strict=True)]
    if sum(worth) >= VALUE_LIMIT_QUOTE:
        dearest = worth.index(max(worth))
        raise ValueLimitError(dearest, largest[dearest], marks_ticks[dearest])
    values = lots * np.array(lot_values, np.int64)
    equity = cash_quote + (values - entry_value_quote).sum(axis=1)
    exposure = np.abs(values)
    return MarginState(
        equity,
        _share_rounded_up(exposure, [rate.initial_margin_ppm for rate in rates]),
        _share_rounded_up(exposure, [rate.maintenance_margin_ppm for rate in rates]),
    )


def _share_rounded_up(values: _Int64, rates_ppm: Sequence[int]) -> _Int64:
    """ceil(sum(value x rate)) of each row; whole millions and rests apart, so that no product leaves 64 bits."""
    rates = np.array(rates_ppm, np.int64)
    whole, rest = np.divmod(values, _PPM)
    total: _Int64 = (whole * rates).sum(axis=1) - (-(rest * rates).sum(axis=1) // _PPM)
    return total


def cost_ppm(mark_ticks: int, lower_ticks: int, upper_ticks: int, initial_margin_ppm: int, fee_ppm: int) -> int:
    """The most that one unit of reserved value can cost in free equity, in parts per million, rounded up (see above).

    Parameters
    ----------
    lower_ticks, upper_ticks : The reach.
    fee_ppm : The larger of the maker's and the taker's fee.
    """
    margin = mark_ticks * initial_margin_ppm
    buy = (upper_ticks - mark_ticks) * _PPM + margin + fee_ppm * upper_ticks
    sell = (mark_ticks - lower_ticks) * _PPM + margin + fee_ppm * lower_ticks
    return max(-(-buy // upper_ticks), -(-sell // lower_ticks))


def credit_target(free_quote: _Int64, cost: int) -> _Int64:
    """The value each account may have reserved: floor(free / cost), nothing where nothing is free.

    Parameters
    ----------
    free_quote : (accounts,) Equity less initial margin.
    cost : Largest `cost_ppm` of the instruments that can trade.
    """
    whole, rest = np.divmod(np.maximum(free_quote, 0), cost)
    limited = np.minimum(whole, CREDIT_LIMIT_QUOTE // _PPM)
    return np.where(whole == limited, limited * _PPM + rest * _PPM // cost, CREDIT_LIMIT_QUOTE)
