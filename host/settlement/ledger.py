"""Double-entry ledger: money only moves, from one account of the ledger to another, in whole quote units."""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class TransferKind(IntEnum):
    """Why money moved."""

    DEPOSIT = 1
    """From outside to an account, or to the insurance fund."""
    REALISED_PROFIT = 2
    """Between an account and its instrument's clearing: to the account for a profit, from it for a loss."""
    FEE = 3
    """From an account to the venue."""
    INSURANCE = 4
    """From the insurance fund to an account that has less than nothing."""


TRANSFER_DTYPE = np.dtype(
    [("kind", "<u4"), ("source", "<u4"), ("target", "<u4"), ("pad", "<u4"), ("amount_quote", "<i8")]
)
"""One transfer: `amount_quote`, more than zero, moves from `source` to `target` (numbers of ledger accounts)."""

EXTERNAL, FEES, INSURANCE = range(3)
"""Numbers of the ledger accounts that a venue has once: the world outside, the venue's income, the insurance fund."""

_FIRST_CLEARING = 3


class Ledger:
    """Balances of all ledger accounts, and the transfers of the batch at hand.

    The clearing account of an instrument pays what is realised and takes what is lost; its balance plus the entry
    values of all positions in the instrument is always zero.

    Parameters
    ----------
    instruments, accounts : Names, in the device's order.

    Attributes
    ----------
    names : Of all ledger accounts, by number.
    first_cash : Number of the first trading account's; the others' follow.
    balances_quote : Of all ledger accounts, by number; int64. Their sum is zero.
    clearing_quote : The part of it that is the instruments' clearing, in their order (a view).
    cash_quote : The part of it that belongs to trading accounts, in their order (a view).
    """

    def __init__(self, instruments: Sequence[str], accounts: Sequence[str]) -> None:
        self.names = ["external", "fees", "insurance"]
        self.names += [f"clearing:{name}" for name in instruments]
        self.first_cash = len(self.names)
        self.names += [f"cash:{name}" for name in accounts]
        self.balances_quote = np.zeros(len(self.names), np.int64)
        self.clearing_quote = self.balances_quote[_FIRST_CLEARING : self.first_cash]
        self.cash_quote = self.balances_quote[self.first_cash :]
        self._transfers: list[tuple[int, int, int, int, int]] = []

    @property
    def insurance_fund_quote(self) -> int:
        """What the insurance fund has."""
        return int(self.balances_quote[INSURANCE])

    def deposit(self, account: int, amount_quote: int) -> None:
        """Money comes in from outside for a trading account."""
        self._move(TransferKind.DEPOSIT, EXTERNAL, self.first_cash + account, amount_quote)

    def fund_insurance(self, amount_quote: int) -> None:
        """Money comes in from outside for the insurance fund."""
        self._move(TransferKind.DEPOSIT, EXTERNAL, INSURANCE, amount_quote)

    def realise(self, account: int, instrument: int, profit_quote: int) -> None:
        """An account takes its profit from its instrument's clearing, or pays its loss to it."""
        clearing, cash = _FIRST_CLEARING + instrument, self.first_cash + account
        source, target = (clearing, cash) if profit_quote > 0 else (cash, clearing)
        self._move(TransferKind.REALISED_PROFIT, source, target, abs(profit_quote))

    def charge(self, account: int, fee_quote: int) -> None:
        """An account pays a fee."""
        self._move(TransferKind.FEE, self.first_cash + account, FEES, fee_quote)

    def cover(self, account: int, amount_quote: int) -> None:
        """The insurance fund pays for an account."""
        self._move(TransferKind.INSURANCE, INSURANCE, self.first_cash + account, amount_quote)

    def take_transfers(self) -> NDArray[np.void]:
        """The transfers since the last call, (n,) of `TRANSFER_DTYPE`, in order."""
        taken = np.array(self._transfers, TRANSFER_DTYPE)
        self._transfers = []
        return taken

    def _move(self, kind: TransferKind, source: int, target: int, amount_quote: int) -> None:
        if amount_quote:
            self.balances_quote[source] -= amount_quote
            self.balances_quote[target] += amount_quote
            self._transfers.append((kind, source, target, 0, amount_quote))
