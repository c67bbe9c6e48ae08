"""Verification: a store proved from its own rules and journal, without a device and whoever wrote it.

The rules name the ledger's accounts. Rules, journaled deposits and the trades of journaled reports say every transfer
but the insurance fund's, which may only pay what an account without positions owes. What is not seen here: that the
reports are what a device answers to the journaled commands, and that the commands follow from what came in. That takes
a device: a venue that starts carries its journal out again.
"""

from collections.abc import Callable
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.protocol.reports import ReportKind
from bandgap.host.books import Books
from bandgap.host.config import MONEY_LIMIT_QUOTE, ConfigError, VenueConfig
from bandgap.host.settlement.ledger import EXTERNAL, TransferKind
from bandgap.host.settlement.store import Batch, Store, StoreError, Verified
from bandgap.host.step import StepInput, StepInputError
from bandgap.host.wire import Bytes2D, Records, select_reports


def verify(store: Store, kept_digest: bytes | None = None, follow: Callable[[int], None] = lambda _: None) -> Verified:
    """Prove a store: the names of its accounts, every transfer and balance, and the chain of digests.

    Parameters
    ----------
    kept_digest : One that was kept elsewhere, after whichever batch; the chain must come to it.
    follow : Is told, batch by batch, how many are proved.

    Raises
    ------
    StoreError : The first thing that is not as it should be.
    """
    if store.rules is None:
        return store.verify()
    try:
        config = VenueConfig.from_rules(store.rules)
    except ConfigError as error:
        raise StoreError(f"table venue, {error}") from error
    books = Books(config)
    for number, (name, stored) in enumerate(zip_longest(books.ledger.names, store.balances_quote())):
        if stored != name:
            raise StoreError(f"ledger account {number}: {stored or 'none'} is stored, the rules say {name or 'none'}")

    def see(batch: Batch, reports: Bytes2D, transfers: NDArray[np.void]) -> None:
        _see_batch(books, batch, reports, transfers)
        follow(batch.sequence + 1)

    return store.verify(see, kept_digest)


def _see_batch(books: Books, batch: Batch, reports: Bytes2D, transfers: NDArray[np.void]) -> None:
    """Book a batch, and see that its transfers are those that follow from it."""
    try:
        with np.errstate(over="raise"):
            due = _book(books, batch, select_reports(reports, ReportKind.TRADE), transfers)
    except StepInputError as error:
        raise StoreError(f"batch {batch.sequence}: {error}") from error
    except (OverflowError, FloatingPointError) as error:
        raise StoreError(f"batch {batch.sequence}: its money is more than 64 bits hold") from error
    for position, (stored, follows) in enumerate(zip_longest(transfers.tolist(), due.tolist())):
        if stored != follows:
            told, told_due = (_describe(move, books.ledger.names) for move in (stored, follows))
            raise StoreError(
                f"batch {batch.sequence}, transfer {position}: {told} is stored, {told_due} follows from the journal"
            )


def _book(books: Books, batch: Batch, trades: Records, stored: NDArray[np.void]) -> NDArray[np.void]:
    """All transfers that follow from a batch, in order; the insurance fund's are due to the accounts that have them."""
    ledger, accounts = books.ledger, len(books.ledger.cash_quote)
    _see_known(batch, trades, books)
    if batch.sequence == 0:
        books.begin()
    given = StepInput.from_bytes(batch.time_ns, batch.requests, batch.quotes, batch.deposits)
    for deposit in given.deposits:
        if not (deposit.account < accounts and deposit.amount_quote > 0):
            raise StoreError(f"batch {batch.sequence}: {deposit}: the account is unknown or the amount not positive")
        ledger.deposit(deposit.account, deposit.amount_quote)
    if -ledger.balances_quote[EXTERNAL] >= MONEY_LIMIT_QUOTE:
        raise StoreError(f"batch {batch.sequence}: all deposits together reach {MONEY_LIMIT_QUOTE}")
    deposits = ledger.take_transfers()
    for move in stored[len(deposits) :]:
        if move["kind"] != TransferKind.INSURANCE:
            break
        _cover(books, int(move["target"]) - ledger.first_cash)
    covers = ledger.take_transfers()
    books.book(trades)
    return np.concatenate([deposits, covers, ledger.take_transfers()])


def _cover(books: Books, account: int) -> None:
    """The insurance fund pays what an account without positions owes, as far as it can."""
    if 0 <= account < len(books.ledger.cash_quote) and not books.positions.lots[account].any():
        owed_quote = -int(books.ledger.cash_quote[account])
        books.ledger.cover(account, max(0, min(owed_quote, books.ledger.insurance_fund_quote)))


def _see_known(batch: Batch, trades: Records, books: Books) -> None:
    """See that trades are of the venue's instruments and accounts."""
    accounts, instruments = books.positions.lots.shape
    for what, numbers, there_are in (
        ("instrument", trades["header"]["instrument"], instruments),
        ("account", trades["account"], accounts),
        ("account", trades["maker_account"], accounts),
    ):
        if (numbers >= there_are).any():
            raise StoreError(f"batch {batch.sequence}: a trade of {what} {numbers.max()}, there are {there_are}")


def _describe(transfer: tuple[int, int, int, int, int] | None, names: list[str]) -> str:
    if transfer is None:
        return "no transfer"
    kind, source, target, _, amount_quote = transfer
    why = TransferKind(kind).name if kind in list(TransferKind) else f"kind {kind}"
    return f"{why} of {amount_quote} from {names[source]} to {names[target]}"
