"""The ledger: every transfer has two sides."""

from hypothesis import given
from hypothesis import strategies as st

from bandgap.host.settlement.ledger import EXTERNAL, FEES, INSURANCE, Ledger, TransferKind


def ledger() -> Ledger:
    return Ledger(["BTC", "ETH"], ["alice", "bob"])


def test_accounts_are_numbered_as_named() -> None:
    names = ["external", "fees", "insurance", "clearing:BTC", "clearing:ETH", "cash:alice", "cash:bob"]
    assert ledger().names == names


def test_each_movement_has_its_two_sides() -> None:
    books = ledger()
    books.deposit(0, 100)
    books.fund_insurance(50)
    books.realise(1, 0, 30)
    books.realise(0, 0, -30)
    books.charge(0, 5)
    books.cover(1, 7)
    assert books.balances_quote.tolist() == [-150, 5, 43, 0, 0, 65, 37]
    transfers = books.take_transfers()
    assert transfers[["kind", "source", "target", "amount_quote"]].tolist() == [
        (TransferKind.DEPOSIT, EXTERNAL, 5, 100),
        (TransferKind.DEPOSIT, EXTERNAL, INSURANCE, 50),
        (TransferKind.REALISED_PROFIT, 3, 6, 30),
        (TransferKind.REALISED_PROFIT, 5, 3, 30),
        (TransferKind.FEE, 5, FEES, 5),
        (TransferKind.INSURANCE, INSURANCE, 6, 7),
    ]


def test_nothing_moves_for_nothing() -> None:
    books = ledger()
    books.deposit(0, 0)
    books.realise(0, 1, 0)
    books.charge(1, 0)
    assert len(books.take_transfers()) == 0


def test_transfers_are_taken_once() -> None:
    books = ledger()
    books.deposit(0, 1)
    assert len(books.take_transfers()) == 1
    assert len(books.take_transfers()) == 0


def test_views_follow_the_balances() -> None:
    books = ledger()
    books.realise(1, 1, 9)
    assert books.clearing_quote.tolist() == [0, -9]
    assert books.cash_quote.tolist() == [0, 9]


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(-(2**40), 2**40)), max_size=50))
def test_balances_are_the_sums_of_transfers(profits: list[tuple[int, int, int]]) -> None:
    books = ledger()
    for profit in profits:
        books.realise(*profit)
    sums = [0] * len(books.names)
    for transfer in books.take_transfers():
        assert transfer["amount_quote"] > 0
        sums[transfer["source"]] -= int(transfer["amount_quote"])
        sums[transfer["target"]] += int(transfer["amount_quote"])
    assert books.balances_quote.tolist() == sums
    assert sum(sums) == 0
