"""The store: what is written is there, and whatever is changed behind its back is found."""

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import event

from bandgap.hdl.protocol.reports import REPORT_BYTES
from bandgap.host.settlement.ledger import TRANSFER_DTYPE, Ledger
from bandgap.host.settlement.store import Batch, Store, StoreError, Verified, batch_digest, first_digest

RULES, SIZES = '{"rules":1}', '{"sizes":1}'


def batch(sequence: int) -> Batch:
    return Batch(sequence, 1000 + sequence, b"requests", b"quotes", b"deposits", b"operator", b"client", b"arrivals")


def write(store: Store, batches: int) -> bytes:
    """A venue with deposits and fees in every batch; its last digest."""
    ledger = Ledger(["BTC"], ["alice", "bob"])
    store.begin_venue(RULES, SIZES, ledger.names)
    digest = first_digest(RULES, SIZES)
    for sequence in range(batches):
        store.begin_batch(batch(sequence))
        ledger.deposit(sequence % 2, 100 + sequence)
        ledger.charge(0, 1)
        transfers = ledger.take_transfers()
        reports = np.zeros((sequence, REPORT_BYTES), np.uint8)
        digest = batch_digest(digest, batch(sequence), reports, transfers)
        store.finish_batch(sequence, reports, digest, transfers, ledger.balances_quote)
    return digest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "venue.sqlite"


def test_batches_come_back_as_they_were_written(path: Path) -> None:
    store = Store(path)
    write(store, 3)
    store.begin_batch(batch(3))
    store.close()
    store = Store(path)
    *finished, last = store.batches()
    assert [replace(one, reports=None, digest=None) for one in finished] == [batch(n) for n in range(3)]
    assert [len(one.reports or b"") for one in finished] == [0, 64, 128]
    assert last == batch(3)
    store.close()


def test_verify_counts_and_ends_at_the_last_digest(path: Path) -> None:
    store = Store(path)
    digest = write(store, 3)
    store.begin_batch(batch(3))
    verified = store.verify()
    assert verified == Verified(3, 3, 6, digest, kept_batches=None, unfinished=True)
    assert store.balances_quote() == {
        "external": -303,
        "fees": 3,
        "insurance": 0,
        "clearing:BTC": 0,
        "cash:alice": 199,
        "cash:bob": 101,
    }
    store.close()


def test_digest_by_hand() -> None:
    """SHA-256 over the digest before, then each content with its length before it; cycle counters are zero."""
    reports = np.arange(64, dtype=np.uint8).reshape(1, 64)
    transfers = np.array([(1, 2, 3, 0, 4)], TRANSFER_DTYPE)
    quiet = bytearray(range(64))
    quiet[20:28] = bytes(8)
    text = b"before"
    for content in (
        (5).to_bytes(8, "little") + (1005).to_bytes(8, "little"),
        b"requests",
        b"quotes",
        b"deposits",
        b"operator",
        b"client",
        b"arrivals",
        bytes(quiet),
        b"".join(n.to_bytes(4, "little") for n in (1, 2, 3, 0)) + (4).to_bytes(8, "little"),
    ):
        text += len(content).to_bytes(8, "little") + content
    assert batch_digest(b"before", batch(5), reports, transfers) == hashlib.sha256(text).digest()


TAMPERINGS = {
    "UPDATE batches SET requests = x'00' WHERE sequence = 1": "batch 1: its digest",
    "UPDATE batches SET reports = zeroblob(192) WHERE sequence = 2": "batch 2: its digest",
    "UPDATE batches SET client_commands = x'' WHERE sequence = 0": "batch 0: its digest",
    "UPDATE batches SET time_ns = 5 WHERE sequence = 1": "batch 1: its digest",
    "UPDATE transfers SET amount_quote = 7 WHERE batch = 1 AND position = 0": "batch 1: its digest",
    "DELETE FROM transfers WHERE batch = 2 AND position = 1": "batch 2: its digest",
    "UPDATE ledger_accounts SET balance_quote = balance_quote + 1 WHERE name = 'cash:bob'": "cash:bob: balance 102",
    "DELETE FROM batches WHERE sequence = 1": "batch 1 is missing",
    "UPDATE batches SET reports = NULL WHERE sequence = 1": "batch 1 is unfinished, but not the last",
    "UPDATE venue SET rules = 'others'": "batch 0: its digest",
    "UPDATE batches SET reports = zeroblob(100) WHERE sequence = 2": "batch 2: its reports end after 100 bytes",
    "DELETE FROM venue": "not the store of a venue",
    "DROP TABLE venue": "not the store of a venue",
    "DROP TABLE transfers": "table transfers is missing",
    "ALTER TABLE batches DROP COLUMN quotes": "table batches has no column quotes",
    "UPDATE batches SET digest = NULL WHERE sequence = 2": "batch 2 has reports or a digest, but not both",
    "UPDATE transfers SET batch = 3 WHERE batch = 2": "batch 2: its digest",
    "INSERT INTO transfers VALUES (3, 0, 2, 4, 1, 9)": "batch 3, position 0: the journal has no such finished batch",
    "INSERT INTO transfers VALUES (-3, 0, 2, 4, 1, 9)": "batch -3, position 0: batch is -3, not a whole number from 0",
    "UPDATE transfers SET position = 5 WHERE position = 1 AND batch = 0": "batch 0, position 5: it should be 1",
    "UPDATE transfers SET source = -1 WHERE batch = 1": "batch 1, position 0: source is -1, not a whole number from 0",
    "UPDATE transfers SET target = 6 WHERE batch = 1": "batch 1, position 0: there is no ledger account 6",
    "DELETE FROM ledger_accounts WHERE id = 2": "where id 2 should be, there is 3",
    "DELETE FROM ledger_accounts WHERE id = 5": "there is no ledger account 5",
}

WRONG_TYPES = {
    "UPDATE batches SET requests = 'abc' WHERE sequence = 1": "table batches, sequence 1: requests is 'abc', not bytes",
    "UPDATE batches SET quotes = NULL WHERE sequence = 1": "table batches, sequence 1: quotes is NULL, not bytes",
    "UPDATE batches SET reports = 7 WHERE sequence = 1": "table batches, sequence 1: reports is 7, not bytes",
    "UPDATE batches SET time_ns = 'zz' WHERE sequence = 2": "sequence 2: time_ns is 'zz', not a whole number from 0 to",
    "UPDATE transfers SET kind = 'x' WHERE batch = 0": "table transfers, batch 0, position 0: kind is 'x', not a whole",
    "UPDATE transfers SET amount_quote = 0.5 WHERE batch = 0": "amount_quote is 0.5, not a whole number from 1 to 9",
    "UPDATE ledger_accounts SET name = x'00' WHERE id = 1": "table ledger_accounts, id 1: name is X'00', not text",
    "UPDATE venue SET rules = NULL": "table venue, id 1: rules is NULL, not text",
}
"""What a table takes that was made without a look at types, as before or by others."""


@contextmanager
def tampering(path: Path) -> Iterator[sqlite3.Connection]:
    """A store of three batches, open to anyone who can write the file."""
    store = Store(path)
    write(store, 3)
    store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        yield connection


@pytest.mark.parametrize("statement", TAMPERINGS)
def test_tampering_is_found(path: Path, statement: str) -> None:
    with tampering(path) as connection:
        connection.execute(statement)
    with pytest.raises(StoreError, match=TAMPERINGS[statement]), closing(Store(path)) as opened:
        opened.verify()


@pytest.mark.parametrize("statement", WRONG_TYPES)
def test_value_of_another_type_is_found(path: Path, statement: str) -> None:
    with tampering(path) as connection:
        without_types(connection)
        connection.execute(statement)
    for read_only in (False, True):
        with pytest.raises(StoreError, match=re.escape(WRONG_TYPES[statement])):
            Store(path, read_only=read_only)


def without_types(connection: sqlite3.Connection) -> None:
    """Make every table anew as one that takes any value."""
    for name in ("venue", "ledger_accounts", "batches", "transfers"):
        connection.execute(f"ALTER TABLE {name} RENAME TO strict_{name}")
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM strict_{name}")
        connection.execute(f"DROP TABLE strict_{name}")


def test_tables_made_without_types_still_are_a_store(path: Path) -> None:
    store = Store(path)
    digest = write(store, 3)
    store.close()
    with sqlite3.connect(path) as connection:
        without_types(connection)
    connection.close()
    with closing(Store(path, read_only=True)) as opened:
        assert opened.verify().digest == digest


def test_row_that_stands_twice_is_found(path: Path) -> None:
    store = Store(path)
    write(store, 3)
    store.close()
    with sqlite3.connect(path) as connection:
        without_types(connection)
        connection.execute("INSERT INTO batches SELECT * FROM batches WHERE sequence = 1")
    connection.close()
    with closing(Store(path)) as opened, pytest.raises(StoreError, match="batch 1 stands twice in the journal"):
        opened.verify()


def test_new_tables_take_no_value_of_another_type(path: Path) -> None:
    store = Store(path)
    write(store, 1)
    store.close()
    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError, match="cannot store TEXT"):
        connection.execute("UPDATE batches SET requests = 'abc'")
    connection.close()


def test_store_without_a_venue_leaves_no_file(path: Path) -> None:
    Store(path).close()
    assert list(path.parent.iterdir()) == []
    path.touch()
    Store(path).close()
    assert path.exists()


def test_database_of_others_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE songs (title)")
    connection.close()
    with pytest.raises(StoreError, match=r"venue\.sqlite: this is not the store of a venue"):
        Store(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("songs",)]
    connection.close()


def test_place_where_no_file_can_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"none/venue.sqlite: there is no folder {tmp_path}/none; make it first"):
        Store(tmp_path / "none" / "venue.sqlite")
    with pytest.raises(StoreError, match="this is a folder; a store is a file"):
        Store(tmp_path)


def test_venue_begins_in_one_piece(path: Path) -> None:
    """When its accounts cannot be written, no table is there either, and it can begin another time."""
    store = Store(path)
    with pytest.raises(StoreError, match="UNIQUE"):
        store.begin_venue(RULES, SIZES, ["external", "external"])
    store.close()
    assert not path.exists()
    store = Store(path)
    write(store, 1)
    store.close()


def test_damage_is_found_wherever_it_is(path: Path) -> None:
    """Each page of the file in turn is overwritten; only one that holds nothing may be overlooked."""
    store = Store(path)
    digest = write(store, 3)
    store.close()
    page, content = 4096, path.read_bytes()
    found = 0
    for place in range(0, len(content), page):
        path.write_bytes(content[:place] + b"\xff" * page + content[place + page :])
        try:
            with closing(Store(path, read_only=True)) as damaged:
                assert damaged.verify().digest == digest
        except StoreError:
            found += 1
    assert found >= len(content) // page - 1


def test_commits_wait_for_the_disk(path: Path) -> None:
    store = Store(path)
    asked = [store._connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "journal_mode")]
    assert asked == [2, "wal"]
    store.close()


def test_what_a_batch_came_to_goes_to_the_disk_with_the_next(path: Path, tmp_path: Path) -> None:
    """Seen through a copy of the file and its log, as a killed process would leave them."""
    store = Store(path)
    write(store, 2)

    def finished_on_disk(name: str) -> list[bool]:
        copy = tmp_path / name
        for suffix in ("", "-wal"):
            Path(f"{copy}{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
        left_behind = Store(copy)
        finished = [batch.reports is not None for batch in left_behind.batches()]
        left_behind.close()
        return finished

    assert finished_on_disk("before") == [True, False]
    store.begin_batch(batch(2))
    assert finished_on_disk("after") == [True, True, False]
    store.close()


def test_store_belongs_to_one_process(path: Path) -> None:
    store = Store(path)
    write(store, 1)
    for read_only in (False, True):
        with pytest.raises(StoreError, match=r"venue.sqlite: another process has this store; stop it first$"):
            Store(path, read_only=read_only)
    store.close()


def test_other_rules_are_refused(path: Path) -> None:
    store = Store(path)
    write(store, 1)
    with pytest.raises(StoreError, match="other rules: rules is 1 there, nothing here; restore it, or name another st"):
        store.begin_venue("{}", SIZES, [])
    with pytest.raises(StoreError, match="other device sizes: sizes is 1 there, 2 here"):
        store.begin_venue(RULES, '{"sizes":2}', [])
    store.close()


BEGAN_WITH = '{"quorum":2,"instruments":[{"name":"BTC","fee":1},{"name":"ETH","fee":1}],"accounts":[]}'

OTHER_RULES = {
    "number": (BEGAN_WITH.replace('"fee":1}]', '"fee":3}]'), "instruments[1].fee is 1 there, 3 here"),
    "first of two": (BEGAN_WITH.replace('"fee":1', '"fee":3'), "instruments[0].fee is 1 there, 3 here"),
    "text": (BEGAN_WITH.replace("BTC", "XBT"), 'instruments[0].name is "BTC" there, "XBT" here'),
    "more": (BEGAN_WITH.replace("[]", '["bob"]'), "accounts is [] there, nothing here"),
    "fewer": (BEGAN_WITH.replace(',{"name":"ETH","fee":1}', ""), 'instruments[1].name is "ETH" there, nothing here'),
    "new key": (BEGAN_WITH.replace("}]", '}],"depth":5'), "depth is nothing there, 5 here"),
    "type": (BEGAN_WITH.replace("2", "2.0"), "quorum is 2 there, 2.0 here"),
    "order": (BEGAN_WITH.replace('"name":"BTC","fee":1', '"fee":1,"name":"BTC"'), "the same keys in another order"),
}


@pytest.mark.parametrize("what", OTHER_RULES)
def test_first_difference_of_rules_is_named(path: Path, what: str) -> None:
    rules, difference = OTHER_RULES[what]
    store = Store(path)
    store.begin_venue(BEGAN_WITH, SIZES, ["external"])
    with pytest.raises(StoreError) as caught:
        store.begin_venue(rules, SIZES, ["external"])
    assert f"rules: {difference}; restore it" in str(caught.value)
    store.close()


def test_spoiled_rules_are_an_error(path: Path) -> None:
    store = Store(path)
    store.begin_venue("spoiled", SIZES, ["external"])
    with pytest.raises(StoreError, match="'spoiled' there is no JSON"):
        store.begin_venue(RULES, SIZES, ["external"])
    store.close()


@pytest.mark.parametrize("killed", [False, True])
def test_reading_leaves_the_file_as_it_is(path: Path, tmp_path: Path, killed: bool) -> None:
    """Also that of a killed venue, whose last batches are in the log beside it."""
    store = Store(path)
    digest = write(store, 3)
    store.begin_batch(batch(3))
    left = {name: Path(f"{path}{name}").read_bytes() for name in ("", "-wal")}
    store.close()
    folder = tmp_path / "a folder?"
    folder.mkdir()
    copy = folder / "50%#"
    left = left if killed else {"": path.read_bytes()}
    for name, content in left.items():
        Path(f"{copy}{name}").write_bytes(content)
    store = Store(copy, read_only=True)
    assert store.verify().digest == digest
    store.close()
    assert {name: Path(f"{copy}{name}").read_bytes() for name in left} == left
    assert killed or list(folder.iterdir()) == [copy]


@pytest.mark.parametrize("content", [b"", b"this is no database, but long enough to be taken for one" * 20])
def test_other_files_are_no_store(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match="not"):
        Store(path, read_only=True).verify()
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_half_a_batch_is_never_seen(path: Path) -> None:
    """When the balances cannot be written, neither reports nor transfers are."""
    store = Store(path)
    write(store, 1)
    store.begin_batch(batch(1))
    transfers = np.array([(1, 0, 99, 0, 4)], TRANSFER_DTYPE)
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        store.finish_batch(1, np.zeros((1, REPORT_BYTES), np.uint8), b"digest", transfers, np.zeros(100, np.int64))
    *_, last = store.batches()
    assert last == batch(1)
    assert store.verify().transfers == 2
    store.close()


def test_signal_within_a_batch_undoes_it(path: Path) -> None:
    store = Store(path)
    write(store, 1)
    store.begin_batch(batch(1))

    def interrupt(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("UPDATE ledger_accounts"):
            raise KeyboardInterrupt

    event.listen(store._engine, "before_cursor_execute", interrupt)
    transfers = np.array([(1, 0, 1, 0, 4)], TRANSFER_DTYPE)
    with pytest.raises(KeyboardInterrupt):
        store.finish_batch(1, np.zeros((1, REPORT_BYTES), np.uint8), b"digest", transfers, np.zeros(100, np.int64))
    store.close()
    store = Store(path, read_only=True)
    *_, last = store.batches()
    assert last == batch(1)
    store.close()
