"""Positions in linear perpetuals, at average entry price."""

from collections.abc import Sequence

import numpy as np


class Positions:
    """What each account holds of each instrument.

    Parameters
    ----------
    accounts : How many accounts.
    multipliers_quote : Of each instrument, quote units that one lot is worth per tick.

    Attributes
    ----------
    lots : (accounts, instruments) int64, signed; short is negative.
    entry_value_quote : (accounts, instruments) int64, signed like `lots`: what the open lots cost.
    """

    def __init__(self, accounts: int, multipliers_quote: Sequence[int]) -> None:
        self._multipliers_quote = list(multipliers_quote)
        self.lots = np.zeros((accounts, len(multipliers_quote)), np.int64)
        self.entry_value_quote = np.zeros_like(self.lots)

    def trade(self, account: int, instrument: int, signed_lots: int, price_ticks: int) -> int:
        """Book one side of a trade; the realised profit in quote units, negative for a loss.

        Lots that close part of a position take its entry value with them in proportion, rounded down; the remainder
        stays with the open lots, so nothing is lost: over all accounts, entry values grow by exactly what is realised.

        Parameters
        ----------
        signed_lots : Bought lots, negative for sold ones.
        """
        place = account, instrument
        lots, entry_quote = int(self.lots[place]), int(self.entry_value_quote[place])
        tick_value_quote = price_ticks * self._multipliers_quote[instrument]
        closed = min(abs(lots), abs(signed_lots)) if lots * signed_lots < 0 else 0
        closed_entry_quote = entry_quote * closed // abs(lots) if closed else 0
        closed_value_quote = (closed if lots > 0 else -closed) * tick_value_quote
        realised_quote = closed_value_quote - closed_entry_quote
        self.lots[place] = lots + signed_lots
        self.entry_value_quote[place] = entry_quote + signed_lots * tick_value_quote + realised_quote
        return realised_quote
