"""Credit lines: how much value the device holds for each account, and the differences to grant.

An account's **line** is its balance in the device plus what its resting orders have reserved there. Entering,
canceling and replacing orders move value between the two and leave the line as it is; a fill uses up the reserve of the
lots filled, at their order's limit; a grant adds to the line. So the line follows from grants and fills alone.
"""

import numpy as np
from numpy.typing import NDArray

_Int64 = NDArray[np.int64]


class CreditLines:
    """The line of each account.

    Parameters
    ----------
    accounts : How many accounts.
    orders : Slots in the device.
    reduce_only_tokens : Orders in the slots below this are reduce-only: they reserve nothing.

    Attributes
    ----------
    line_quote : (accounts,) int64, in quote units.
    """

    def __init__(self, accounts: int, orders: int, reduce_only_tokens: int) -> None:
        self.line_quote = np.zeros(accounts, np.int64)
        self._reduce_only_tokens = reduce_only_tokens
        self._limits_ticks = [0] * orders

    def entered(self, token: int, limit_ticks: int) -> None:
        """An order was accepted or replaced, with this effective limit."""
        self._limits_ticks[token] = limit_ticks

    def filled(self, account: int, token: int, lots: int, multiplier_quote: int) -> None:
        """Lots of the order in this slot traded: their reserve is used up."""
        if token >= self._reduce_only_tokens:
            self.line_quote[account] -= lots * self._limits_ticks[token] * multiplier_quote

    def grants(self, target_quote: _Int64) -> tuple[NDArray[np.intp], _Int64]:
        """Bring the lines to their targets: the accounts to grant to, ascending, and the signed amounts.

        A line above its target is always lowered. So that not every tick moves every line, it is lowered to a sixteenth
        below the target, and raised to there when it is more than an eighth below; none is above its target afterwards.

        Parameters
        ----------
        target_quote : (accounts,) What each line may be at most, not negative.
        """
        due = (self.line_quote > target_quote) | (self.line_quote < target_quote - target_quote // 8)
        accounts = np.flatnonzero(due)
        amounts = (target_quote - target_quote // 16 - self.line_quote)[accounts]
        self.line_quote[accounts] += amounts
        return accounts, amounts
