"""Liquidation in rounds, one round a step of the daemon.

1. An account below its maintenance margin is killed: its entries are blocked, its orders canceled.
2. With the reports of that complete, its positions are known. Each round closes a slice of each, by a reduce-only
   market order, so at the band's bound at worst; what is left goes on in the next round. In an auction's call such an
   order collects; while it is open no other goes out, which together with it could close more than there is. Where a
   round has fewer slots than positions to close, those go first that have waited longest for an order: positions that
   find no counterparty keep none of the others waiting.
3. When its equity covers the initial margin of what it still holds, it is restored. When it holds nothing and
   its cash is negative, the insurance fund pays, as far as it can; an account with a deficit stays blocked.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class ClosingOrder:
    """A reduce-only market order to send: `signed_lots` are bought, or sold if negative."""

    account: int
    instrument: int
    signed_lots: int


@dataclass(frozen=True)
class Round:
    """What one round asks for.

    Attributes
    ----------
    kill : Accounts to block, ascending.
    close : Orders to send, for accounts blocked in earlier rounds.
    cover : (account, quote units) that the insurance fund pays.
    restore : Accounts to unblock, ascending.
    """

    kill: list[int] = field(default_factory=list)
    close: list[ClosingOrder] = field(default_factory=list)
    cover: list[tuple[int, int]] = field(default_factory=list)
    restore: list[int] = field(default_factory=list)


class Liquidator:
    """The accounts in liquidation, and their next round.

    Parameters
    ----------
    slice_lots : Most lots of each instrument that one closing order names.
    orders : Most closing orders that may be open at a time; the positions that come after wait for the next round.
    """

    def __init__(self, slice_lots: Sequence[int], orders: int) -> None:
        self._slice_lots = list(slice_lots)
        self._orders = orders
        self._sent = 0
        self._blocked: dict[int, int] = {}
        """Account, and how many closing orders had been sent when it was killed."""
        self._served: dict[tuple[int, int], int] = {}
        """Account and instrument, and which closing order was the last for it, counted from one."""

    @property
    def blocked(self) -> tuple[int, ...]:
        """Accounts in liquidation, those longest in it first."""
        return tuple(self._blocked)

    def next_round(
        self,
        equity_quote: _Int64,
        initial_quote: _Int64,
        maintenance_quote: _Int64,
        lots: _Int64,
        taken: Sequence[bool],
        insurance_fund_quote: int,
        open_orders: Collection[tuple[int, int]] = (),
    ) -> Round:
        """Decide a round from completed reports.

        Parameters
        ----------
        equity_quote, initial_quote, maintenance_quote : (accounts,) At the marks of now.
        lots : (accounts, instruments) Signed positions.
        taken : Whether each instrument takes closing orders: it trades, or they collect for its auction.
        insurance_fund_quote : What the fund has.
        open_orders : (account, instrument) of each closing order that is not over.
        """
        decided = Round()
        waiting: list[ClosingOrder] = []
        for account in tuple(self._blocked):
            equity = int(equity_quote[account])
            deficit = -equity if not lots[account].any() else 0
            if deficit > 0:
                paid = min(deficit, insurance_fund_quote)
                if paid:
                    decided.cover.append((account, paid))
                insurance_fund_quote -= paid
                equity += paid
            if equity >= initial_quote[account]:
                del self._blocked[account]
                self._served = {place: last for place, last in self._served.items() if place[0] != account}
                decided.restore.append(account)
            else:
                orders = self._closing_orders(account, lots[account].tolist(), taken)
                waiting.extend(one for one in orders if (account, one.instrument) not in open_orders)
        waiting.sort(key=self._waits_since)
        decided.close.extend(waiting[: self._orders - len(open_orders)])
        for order in decided.close:
            self._sent += 1
            self._served[order.account, order.instrument] = self._sent
        under = np.flatnonzero(equity_quote < maintenance_quote).tolist()
        decided.kill.extend(account for account in under if account not in self._blocked)
        decided.kill[:] = [account for account in decided.kill if account not in decided.restore]
        self._blocked.update(dict.fromkeys(decided.kill, self._sent))
        decided.restore.sort()
        return decided

    def _waits_since(self, order: ClosingOrder) -> int:
        """Behind which closing order the position waits: its last one, or that before its account was killed."""
        return self._served.get((order.account, order.instrument), self._blocked[order.account])

    def _closing_orders(self, account: int, lots: list[int], taken: Sequence[bool]) -> list[ClosingOrder]:
        return [
            ClosingOrder(account, instrument, -held if abs(held) <= most else -most if held > 0 else most)
            for instrument, (held, most, takes) in enumerate(zip(lots, self._slice_lots, taken, strict=True))
            if held and takes
        ]
