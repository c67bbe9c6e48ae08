"""A store proves itself: what is forged in it is found without a device, also where the chain is made to fit."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandgap.hdl.protocol.commands import Side
from bandgap.hdl.protocol.reports import REPORT_BYTES, ReportKind
from bandgap.host.settlement.ledger import TRANSFER_DTYPE
from bandgap.host.settlement.store import Batch, Store, StoreError, batch_digest, first_digest
from bandgap.host.step import Deposit
from bandgap.host.verification import verify
from bandgap.host.wire import as_reports, report_headers

Open = Callable[..., Any]
BUY, SELL = Side.BUY, Side.SELL
VENUE = {"deposits": (150_000, 10_000_000), "insurance": 7, "width_ppm": 30_000, "liquidation_slice_lots": 500}


@pytest.fixture
def path(open_venue: Open, tmp_path: Path) -> Path:
    """A store of eight batches with deposits, trades, fees, and a liquidation that the fund pays for."""
    path = tmp_path / "venue.sqlite"
    venue = open_venue(Store(path), **VENUE)
    venue.ruin_account_0()
    venue.step(deposits=[Deposit(0, 100_000)])
    venue.daemon.close()
    return path


def execute(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount, f"nothing to change: {statement}"
    connection.close()


def make_consistent(path: Path) -> None:
    """Recompute all balances and the chain of digests, as whoever forges a store would."""
    with sqlite3.connect(path) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute(
            "UPDATE ledger_accounts SET balance_quote ="
            " (SELECT COALESCE(SUM(amount_quote), 0) FROM transfers WHERE target = id)"
            " - (SELECT COALESCE(SUM(amount_quote), 0) FROM transfers WHERE source = id)"
        )
        digest = first_digest(*connection.execute("SELECT rules, device_sizes FROM venue").fetchone())
        for row in connection.execute("SELECT * FROM batches WHERE reports IS NOT NULL ORDER BY sequence").fetchall():
            moves = connection.execute(
                "SELECT kind, source, target, 0, amount_quote FROM transfers WHERE batch = ? ORDER BY position",
                (row["sequence"],),
            )
            reports = np.frombuffer(row["reports"], np.uint8).reshape(-1, REPORT_BYTES)
            digest = batch_digest(digest, Batch(**row), reports, np.array([*map(tuple, moves)], TRANSFER_DTYPE))
            connection.execute("UPDATE batches SET digest = ? WHERE sequence = ?", (digest, row["sequence"]))
    connection.close()


def change_trade(path: Path, **fields: int) -> None:
    """Write other values into the first trade of the journal."""
    with sqlite3.connect(path) as connection:
        for sequence, content in connection.execute("SELECT sequence, reports FROM batches ORDER BY sequence"):
            reports = np.frombuffer(content, np.uint8).reshape(-1, REPORT_BYTES).copy()
            trades = np.flatnonzero(report_headers(reports)["kind"] == ReportKind.TRADE.value)
            if len(trades):
                trade = as_reports(reports, ReportKind.TRADE)[trades[0]]
                for name, value in fields.items():
                    (trade["header"] if name == "instrument" else trade)[name] = value
                connection.execute("UPDATE batches SET reports = ? WHERE sequence = ?", (reports.tobytes(), sequence))
                break
    connection.close()
    make_consistent(path)


def make_last_unfinished(path: Path) -> None:
    execute(
        path,
        "UPDATE batches SET reports = NULL, digest = NULL WHERE sequence = 7",
        "DELETE FROM transfers WHERE batch = 7",
    )
    make_consistent(path)


def verified(path: Path, **options: Any) -> Any:
    with closing(Store(path, read_only=True)) as store:
        return verify(store, **options)


def test_honest_store_is_proved(path: Path) -> None:
    seen: list[int] = []
    proof = verified(path, follow=seen.append)
    assert (proof.batches, proof.kept_batches, proof.unfinished) == (8, None, False)
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8]
    digest = proof.digest
    make_consistent(path)
    assert verified(path).digest == digest


FORGERIES = {
    "INSERT INTO transfers VALUES (0, 3, 1, 0, 4, 5)": (
        "batch 0, transfer 3: DEPOSIT of 5 from external to cash:account-0 is stored, no transfer follows"
    ),
    "UPDATE transfers SET amount_quote = 150001 WHERE batch = 0 AND target = 4": (
        "DEPOSIT of 150001 from external to cash:account-0 is stored, "
        "DEPOSIT of 150000 from external to cash:account-0 follows from the journal"
    ),
    "UPDATE transfers SET target = 5 WHERE batch = 7": "batch 7, transfer 0: DEPOSIT of 100000 from external to cash:a",
    "DELETE FROM transfers WHERE batch = 7": "no transfer is stored, DEPOSIT of 100000 from external to cash:account-0",
    "UPDATE batches SET deposits = x'' WHERE sequence = 7": "batch 7, transfer 0: DEPOSIT of 100000",
    "UPDATE transfers SET amount_quote = amount_quote - 1 WHERE batch = 1 AND kind = 3 AND source = 4": (
        "batch 1, transfer 0: FEE of 499 from cash:account-0 to fees is stored, FEE of 500 from cash:account-0 to fees"
    ),
    "UPDATE transfers SET target = 5, source = 4 WHERE batch = 5 AND kind = 2": (
        "batch 5, transfer 0: REALISED_PROFIT of 168000 from cash:account-0 to cash:account-1 is stored, REALISED_PROFI"
    ),
    "UPDATE transfers SET target = 5 WHERE kind = 4": "INSURANCE of 7 from insurance to cash:account-1 is stored, no t",
    "UPDATE transfers SET amount_quote = 6 WHERE kind = 4": "to cash:account-0 is stored, INSURANCE of 7 from insur",
    "UPDATE transfers SET target = 2, source = 4 WHERE kind = 4": "from cash:account-0 to insurance is stored, no tr",
    "UPDATE transfers SET kind = 9 WHERE kind = 4": "batch 6, transfer 0: kind 9 of 7 from insurance to cash:account-0",
    "UPDATE batches SET deposits = x'00' WHERE sequence = 7": (
        "batch 7: deposits: 1 bytes are no whole number of records of 16"
    ),
    "UPDATE batches SET requests = x'00' WHERE sequence = 3": "batch 3: requests: 1 bytes are no whole number of recor",
    "UPDATE batches SET quotes = x'00' WHERE sequence = 3": "batch 3: quotes: 1 bytes are no whole number of records",
    "UPDATE batches SET deposits = x'02000000000000000100000000000000' WHERE sequence = 7": (
        "batch 7: Deposit(account=2, amount_quote=1): the account is unknown or the amount not positive"
    ),
    "UPDATE batches SET deposits = x'01000000000000000000000000000010' WHERE sequence = 7": (
        f"batch 7: all deposits together reach {1 << 60}"
    ),
    "UPDATE batches SET reports = x'' WHERE sequence = 1": "FEE of 500 from cash:account-0 to fees is stored, no tr",
    "UPDATE venue SET rules = replace(rules, '\"taker_fee_ppm\":500', '\"taker_fee_ppm\":400')": (
        "batch 1, transfer 0: FEE of 500 from cash:account-0 to fees is stored, FEE of 400 from cash:account-0 to fees"
    ),
    "UPDATE venue SET rules = replace(rules, 'account-0', 'mallory')": (
        "ledger account 4: cash:account-0 is stored, the rules say cash:mallory"
    ),
    "UPDATE venue SET rules = '{}'": "table venue, rules: oracle: Field required",
    "UPDATE venue SET rules = 'x'": "table venue, rules: venue: Invalid JSON",
    "UPDATE ledger_accounts SET name = CASE id WHEN 4 THEN 'cash:account-9' ELSE name END": (
        "ledger account 4: cash:account-9 is stored, the rules say cash:account-0"
    ),
    "INSERT INTO ledger_accounts VALUES (6, 'cash:mallory', 0)": (
        "ledger account 6: cash:mallory is stored, the rules say none"
    ),
}


@pytest.mark.parametrize("statement", FORGERIES)
def test_forgery_is_found(path: Path, statement: str) -> None:
    execute(path, statement)
    make_consistent(path)
    with pytest.raises(StoreError, match=re.escape(FORGERIES[statement])):
        verified(path)


def test_names_that_have_changed_places_are_found(path: Path) -> None:
    execute(
        path,
        "UPDATE ledger_accounts SET name = 'x' WHERE id = 4",
        "UPDATE ledger_accounts SET name = 'cash:account-0' WHERE id = 5",
        "UPDATE ledger_accounts SET name = 'cash:account-1' WHERE id = 4",
    )
    with pytest.raises(StoreError, match="ledger account 4: cash:account-1 is stored, the rules say cash:account-0"):
        verified(path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"account": 1, "maker_account": 0}, "batch 1, transfer 0: FEE of 500 from cash:account-0 to fees is stored"),
        ({"price_ticks": 999}, "batch 1, transfer 0: FEE of 500 from cash:account-0 to fees is stored, FEE of 499"),
        ({"account": 2}, "batch 1: a trade of account 2, there are 2"),
        ({"maker_account": 7}, "batch 1: a trade of account 7, there are 2"),
        ({"instrument": 1}, "batch 1: a trade of instrument 1, there are 1"),
        (
            {"price_ticks": 2**32 - 1, "quantity_lots": 2**32 - 1},
            "batch 1: its money is more than 64 bits hold",
        ),
    ],
)
def test_forged_trade_is_found(path: Path, fields: dict[str, int], message: str) -> None:
    change_trade(path, **fields)
    with pytest.raises(StoreError, match=message):
        verified(path)


def test_chain_must_come_to_a_kept_digest(path: Path) -> None:
    with closing(Store(path, read_only=True)) as store:
        digests = [batch.digest for batch in store.batches()]
    assert [verified(path, kept_digest=digest).kept_batches for digest in digests] == [1, 2, 3, 4, 5, 6, 7, 8]
    execute(path, "UPDATE batches SET quotes = x'' WHERE sequence = 3")
    make_consistent(path)
    assert verified(path).batches == 8
    assert verified(path, kept_digest=digests[2]).kept_batches == 3
    for digest in digests[3:]:
        with pytest.raises(StoreError, match=f"after none of 8 batches is the digest {(digest or b'').hex()}"):
            verified(path, kept_digest=digest)


def test_unfinished_batch_is_told(path: Path) -> None:
    execute(
        path,
        "UPDATE batches SET reports = NULL, digest = NULL WHERE sequence = 7",
        "DELETE FROM transfers WHERE batch = 7",
    )
    make_consistent(path)
    proof = verified(path)
    assert (proof.batches, proof.unfinished) == (7, True)


DAMAGES = [
    "UPDATE ledger_accounts SET name = 'cash:account-9' WHERE id = 4",
    "UPDATE ledger_accounts SET balance_quote = 1 WHERE id = 2",
    "UPDATE transfers SET amount_quote = 499 WHERE batch = 1 AND position = 0",
    "UPDATE batches SET requests = x'00' WHERE sequence = 3",
    "UPDATE batches SET quotes = x'00' WHERE sequence = 3",
    "UPDATE batches SET reports = substr(reports, 1, 100) WHERE sequence = 3",
    "UPDATE batches SET client_arrivals_ns = x'00' WHERE sequence = 1",
    "DELETE FROM transfers WHERE batch = 7",
]


@pytest.mark.parametrize("statement", DAMAGES)
def test_venue_does_not_start_from_a_store_that_is_not_right(path: Path, open_venue: Open, statement: str) -> None:
    execute(path, statement)
    before = path.read_bytes()
    with closing(Store(path)) as store, pytest.raises(StoreError):
        open_venue(store, **VENUE)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "UPDATE batches SET time_ns = 1 WHERE sequence = 7",
            "batch 7: step at 1 ns, but the last one ended at",
        ),
        ("UPDATE batches SET quotes = x'00' WHERE sequence = 7", "batch 7: quotes: 1 bytes are no whole number"),
        (
            "UPDATE batches SET quotes = x'0000000000000000e803000000000000ffffffffffffff00' WHERE sequence = 7",
            "batch 7: .*72057594037927935",
        ),
    ],
)
def test_venue_does_not_start_from_input_that_it_never_took(
    path: Path, open_venue: Open, statement: str, message: str
) -> None:
    """In an unfinished batch, of which the chain says nothing."""
    make_last_unfinished(path)
    execute(path, statement)
    assert verified(path).unfinished
    with closing(Store(path)) as store, pytest.raises(StoreError, match=message):
        open_venue(store, **VENUE)
