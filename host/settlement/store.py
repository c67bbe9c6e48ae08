"""The store: journal and ledger in one SQLite file.

A batch is written twice: first its inputs and commands, before any of them is sent; then, in one piece, its reports,
transfers and new balances. The second part goes to the disk together with the first part of the next batch, one wait
for the disk a batch. So whatever a killed host has sent is in the journal, journal and ledger never disagree, and a
batch whose reports were not on the disk yet is carried out again from its commands. Each finished batch carries a
SHA-256 digest over its contents and the digest before it.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    URL,
    Row,
    Select,
    Table,
    bindparam,
    create_engine,
    event,
    exists,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from bandgap.hdl.protocol.reports import REPORT_BYTES
from bandgap.host.settlement.ledger import TRANSFER_DTYPE
from bandgap.host.settlement.tables import (
    BATCHES,
    LEDGER_ACCOUNTS,
    METADATA,
    TRANSFERS,
    VENUE,
    expected,
    first_wrong_value,
)
from bandgap.host.wire import Bytes2D, without_cycles

_LOCK_WAIT_S = 1.0

_SET_BALANCE = (
    update(LEDGER_ACCOUNTS)
    .where(LEDGER_ACCOUNTS.c.id == bindparam("ledger_account"))
    .values(balance_quote=bindparam("balance"))
)


class StoreError(RuntimeError):
    """The store cannot be used, or does not hold what it should; the message says where."""


@dataclass(frozen=True)
class Batch:
    """One batch as the journal keeps it; arrays as bytes, for the daemon to read.

    Attributes
    ----------
    sequence : Its place in the journal, from zero.
    time_ns : When it began; its operator commands arrive then.
    requests, quotes, deposits : What came in from outside.
    operator_commands : Rows of 32 bytes for link 0, sent first.
    client_commands : Rows of 32 bytes for link 1.
    client_arrivals_ns : When each of these arrives, uint64.
    reports : Rows of 64 bytes; None while the batch is unfinished.
    digest : SHA-256 over all of it, its transfers and the digest before; None while the batch is unfinished.
    """

    sequence: int
    time_ns: int
    requests: bytes
    quotes: bytes
    deposits: bytes
    operator_commands: bytes
    client_commands: bytes
    client_arrivals_ns: bytes
    reports: bytes | None = None
    digest: bytes | None = None


@dataclass(frozen=True)
class Verified:
    """What a store was seen to hold.

    Attributes
    ----------
    batches, reports, transfers : How many, of finished batches.
    digest : After the last of them.
    kept_batches : How many of them the digest covers that was kept elsewhere; None where none was given.
    unfinished : Behind it stands a batch that was journaled, but not finished; nothing is known of what it comes to.
    """

    batches: int
    reports: int
    transfers: int
    digest: bytes
    kept_batches: int | None
    unfinished: bool


def first_digest(rules: str, device_sizes: str) -> bytes:
    """The digest before the first batch: over the rules of the venue and the device's sizes."""
    return _digest_of(b"", [rules.encode(), device_sizes.encode()])


def batch_digest(before: bytes, batch: Batch, reports: Bytes2D, transfers: NDArray[np.void]) -> bytes:
    """The digest of a batch: over its contents in the order of `Batch`, then its transfers.

    Cycle counters are left out of reports, so that every device that keeps the rules comes to the same digest.
    """
    numbers = np.array([batch.sequence, batch.time_ns], "<u8").tobytes()
    contents = [
        numbers,
        batch.requests,
        batch.quotes,
        batch.deposits,
        batch.operator_commands,
        batch.client_commands,
        batch.client_arrivals_ns,
        without_cycles(reports).tobytes(),
        transfers.tobytes(),
    ]
    return _digest_of(before, contents)


def _digest_of(before: bytes, contents: list[bytes]) -> bytes:
    """SHA-256 over the digest before and each content, its length (8 bytes, little-endian) before it."""
    digest = hashlib.sha256(before)
    for content in contents:
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.digest()


class Store:
    """Journal and ledger of one venue; one process at a time.

    Parameters
    ----------
    path : The SQLite file, made when it is missing, and removed again when it is closed and no venue has begun in it;
        None keeps everything in memory.
    read_only : Only read, to verify: the file must exist and stays as it is.

    Raises
    ------
    StoreError : It is no store, another process has it, or a table, a column or a value is not as it should be.
    """

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        self._path = path
        self._made = path is not None and not path.exists()
        _see_a_place(path)
        self._engine = create_engine(_url(path, read_only), connect_args={"timeout": _LOCK_WAIT_S})
        event.listen(self._engine, "connect", _see_a_database if read_only else _make_durable)
        try:
            self._connection = self._engine.connect()
        except (DBAPIError, sqlite3.Error) as error:
            self._engine.dispose()
            raise StoreError(f"{path}: {_cause(error)}") from error
        try:
            self._holds_venue = self._see_form()
        except BaseException:
            self._let_go()
            raise

    def close(self) -> None:
        """Bring everything to the disk, and let the file go."""
        with self._durably():
            pass
        self._let_go()
        if self._path is not None and self._made and not self._holds_venue:
            self._path.unlink(missing_ok=True)

    @property
    def rules(self) -> str | None:
        """The rules that the venue began with; None before it has begun."""
        return str(self._venue().rules) if self._holds_venue else None

    @property
    def batch_count(self) -> int:
        """How many batches the journal has, an unfinished one included."""
        if not self._holds_venue:
            return 0
        last: int | None = self._read(select(func.max(BATCHES.c.sequence)))[0][0]
        return 0 if last is None else last + 1

    def begin_venue(self, rules: str, device_sizes: str, ledger_accounts: list[str]) -> None:
        """Write what the venue is, the first time; afterwards, see that it is the same.

        Raises
        ------
        StoreError : The store began with other rules or on a device of other sizes; the first difference is named.
        """
        if not self._holds_venue:
            accounts = [{"id": number, "name": name, "balance_quote": 0} for number, name in enumerate(ledger_accounts)]
            with self._durably():
                self._connection.exec_driver_sql("BEGIN")  # tables, too, come all or not at all
                METADATA.create_all(self._connection)
                self._connection.execute(insert(VENUE), {"id": 1, "rules": rules, "device_sizes": device_sizes})
                self._connection.execute(insert(LEDGER_ACCOUNTS), accounts)
            self._holds_venue = True
            return
        row = self._venue()
        for what, stored, given in (("rules", row.rules, rules), ("device sizes", row.device_sizes, device_sizes)):
            if stored != given:
                raise StoreError(
                    f"the store began with other {what}: {_first_difference(stored, given)}; "
                    "restore it, or name another store"
                )

    def begin_batch(self, batch: Batch) -> None:
        """Write an unfinished batch. When this returns it is on the disk, so that its commands may be sent, and so is
        what the batch before came to."""
        with self._durably():
            self._connection.execute(insert(BATCHES), vars(batch))

    def finish_batch(
        self,
        sequence: int,
        reports: Bytes2D,
        digest: bytes,
        transfers: NDArray[np.void],
        balances_quote: NDArray[np.int64],
    ) -> None:
        """Write what a batch came to, all or nothing; on the disk with the next batch, or when the store is closed.

        Parameters
        ----------
        reports : (n, 64) All reports, as they came.
        digest : `batch_digest` of it.
        transfers : (m,) of `TRANSFER_DTYPE`.
        balances_quote : Of all ledger accounts, after the transfers.
        """
        columns = transfers[["kind", "source", "target", "amount_quote"]].tolist()
        rows = [
            {"batch": sequence, "position": n, "kind": kind, "source": source, "target": target, "amount_quote": amount}
            for n, (kind, source, target, amount) in enumerate(columns)
        ]
        touched = np.unique(np.concatenate([transfers["source"], transfers["target"]])).tolist()
        balances = [{"ledger_account": number, "balance": int(balances_quote[number])} for number in touched]
        finished = update(BATCHES).where(BATCHES.c.sequence == sequence)
        with self._all_or_nothing():
            self._connection.execute(finished.values(reports=reports.tobytes(), digest=digest))
            if rows:
                self._connection.execute(insert(TRANSFERS), rows)
                self._connection.execute(_SET_BALANCE, balances)

    def batches(self) -> Iterator[Batch]:
        """All batches in order, one at a time; only the last may be unfinished."""
        batch_count = self.batch_count
        for sequence in range(batch_count):
            rows = self._read(select(BATCHES).where(BATCHES.c.sequence == sequence))
            if len(rows) != 1:
                problem = "stands twice in" if rows else "is missing from"
                raise StoreError(f"batch {sequence} {problem} the journal")
            batch = Batch(**rows[0]._mapping)
            if batch.reports is None and sequence < batch_count - 1:
                raise StoreError(f"batch {sequence} is unfinished, but not the last")
            if (batch.reports is None) != (batch.digest is None):
                raise StoreError(f"batch {sequence} has reports or a digest, but not both")
            yield batch

    def balances_quote(self) -> dict[str, int]:
        """The balance of every ledger account, by name."""
        rows = self._read(select(LEDGER_ACCOUNTS).order_by(LEDGER_ACCOUNTS.c.id))
        for number, row in enumerate(rows):
            if row.id != number:
                raise StoreError(f"table ledger_accounts: where id {number} should be, there is {row.id}")
        return {row.name: row.balance_quote for row in rows}

    def verify(
        self,
        see: Callable[[Batch, Bytes2D, NDArray[np.void]], None] = lambda *_: None,
        kept_digest: bytes | None = None,
    ) -> Verified:
        """Recompute the chain of digests and every balance from the transfers.

        Parameters
        ----------
        see : Is given every finished batch with its reports and transfers, whose digest is right; may raise.
        kept_digest : One that was kept elsewhere, after whichever batch; the chain must come to it.

        Raises
        ------
        StoreError : The first thing that is not as it should be.
        """
        if not self._holds_venue:
            raise StoreError(f"{self._path}: {_NO_STORE}")
        venue = self._venue()
        digest = first_digest(venue.rules, venue.device_sizes)
        kept_batches = 0 if digest == kept_digest else None
        stored = self.balances_quote()
        balances = np.zeros(len(stored), np.int64)
        batches = reports = transfers = 0
        for batch in self.batches():
            if batch.reports is None:
                break
            moved = self._transfers_of(batch.sequence, len(stored))
            if len(batch.reports) % REPORT_BYTES:
                raise StoreError(f"batch {batch.sequence}: its reports end after {len(batch.reports)} bytes")
            rows = np.frombuffer(batch.reports, np.uint8).reshape(-1, REPORT_BYTES)
            digest = batch_digest(digest, batch, rows, moved)
            if digest != batch.digest:
                raise StoreError(f"batch {batch.sequence}: its digest is not that of its contents")
            np.subtract.at(balances, moved["source"], moved["amount_quote"])
            np.add.at(balances, moved["target"], moved["amount_quote"])
            see(batch, rows, moved)
            batches, reports, transfers = batches + 1, reports + len(rows), transfers + len(moved)
            if digest == kept_digest:
                kept_batches = batches
        self._see_no_stray_transfer()
        for (name, balance), computed in zip(stored.items(), balances.tolist(), strict=True):
            if balance != computed:
                raise StoreError(f"ledger account {name}: balance {balance}, but its transfers come to {computed}")
        if sum(stored.values()):
            raise StoreError(f"the ledger sums to {sum(stored.values())}, not zero")
        if kept_digest is not None and kept_batches is None:
            raise StoreError(f"after none of {batches} batches is the digest {kept_digest.hex()}")
        return Verified(batches, reports, transfers, digest, kept_batches, unfinished=self.batch_count > batches)

    def _see_form(self) -> bool:
        """Whether a venue has begun here; where anything is stored, see tables, columns and the type of every value."""
        there = [name for (name,) in self._read_plain("SELECT name FROM sqlite_master WHERE type = 'table'")]
        if not there:
            return False
        if VENUE.name not in there:
            raise StoreError(f"{self._path}: {_NO_STORE}")
        for table in METADATA.sorted_tables:
            if table.name not in there:
                raise StoreError(f"{self._path}: table {table.name} is missing")
            names = [name for (name,) in self._read_plain(f"SELECT name FROM pragma_table_info('{table.name}')")]
            for column in table.columns:
                if column.name not in names:
                    raise StoreError(f"{self._path}: table {table.name} has no column {column.name}")
            self._see_values(table)
        if not self._read(select(VENUE.c.id)):
            raise StoreError(f"{self._path}: {_NO_STORE}: table venue is empty")
        return True

    def _see_values(self, table: Table) -> None:
        """See that every value of a table is one that its column may have, whoever wrote it."""
        for row in self._read(first_wrong_value(table)):
            name, value, *keys = list(row)
            place = ", ".join(f"{key.name} {number}" for key, number in zip(table.primary_key, keys, strict=True))
            raise StoreError(
                f"{self._path}: table {table.name}, {place}: {name} is {value}, not {expected(table.c[name])}"
            )

    def _see_no_stray_transfer(self) -> None:
        finished = exists().where(BATCHES.c.sequence == TRANSFERS.c.batch, BATCHES.c.digest.is_not(None))
        for row in self._read(select(TRANSFERS).where(~finished).limit(1)):
            raise StoreError(
                f"table transfers, batch {row.batch}, position {row.position}: the journal has no such finished batch"
            )

    def _venue(self) -> Row[Any]:
        return self._read(select(VENUE))[0]

    def _let_go(self) -> None:
        self._connection.close()
        self._engine.dispose()

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Writes that are undone together when one fails, or when a signal comes between them."""
        try:
            with self._errors_named():
                yield
        except BaseException:
            self._connection.rollback()
            raise

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise StoreError(f"{self._path}: {_cause(error)}") from error

    def _read(self, query: Select[Any]) -> Sequence[Row[Any]]:
        with self._errors_named():
            return self._connection.execute(query).all()

    def _read_plain(self, statement: str) -> Sequence[Row[Any]]:
        with self._errors_named():
            return self._connection.exec_driver_sql(statement).all()

    @contextmanager
    def _durably(self) -> Iterator[None]:
        """Writes that are on the disk afterwards, together with those since the last time."""
        with self._all_or_nothing():
            yield
            self._connection.commit()

    def _transfers_of(self, sequence: int, ledger_accounts: int) -> NDArray[np.void]:
        query = select(TRANSFERS).where(TRANSFERS.c.batch == sequence).order_by(TRANSFERS.c.position)
        rows = self._read(query)
        for position, row in enumerate(rows):
            place = f"table transfers, batch {sequence}, position {row.position}"
            if row.position != position:
                raise StoreError(f"{place}: it should be {position}")
            if max(row.source, row.target) >= ledger_accounts:
                raise StoreError(f"{place}: there is no ledger account {max(row.source, row.target)}")
        return np.array([(row.kind, row.source, row.target, 0, row.amount_quote) for row in rows], TRANSFER_DTYPE)


_NO_STORE = "this is not the store of a venue"


def _see_a_place(path: Path | None) -> None:
    """See that there can be a file at this path; SQLite only says that it cannot open it."""
    if path is None:
        return
    if not path.parent.is_dir():
        raise StoreError(f"{path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise StoreError(f"{path}: this is a folder; a store is a file")


def _cause(error: DBAPIError | sqlite3.Error) -> object:
    """What SQLite says, and what to do when another process is in the way."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
        return "another process has this store; stop it first"
    return cause


def _first_difference(stored: str, given: str) -> str:
    """The first key at which two JSON documents differ, and both its values."""
    try:
        there, here = dict(_leaves(json.loads(stored))), dict(_leaves(json.loads(given)))
    except ValueError:
        return f"{stored!r} there is no JSON"
    for key in [*there, *here]:
        values = there.get(key, "nothing"), here.get(key, "nothing")
        if values[0] != values[1]:
            return f"{key or 'all of it'} is {values[0]} there, {values[1]} here"
    return "the same keys in another order"


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Key, such as `instruments[2].name`, and JSON of each value that contains no others."""
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _leaves(part, f"{key}.{name}".removeprefix("."))
    elif isinstance(value, list) and value:
        for place, part in enumerate(value):
            yield from _leaves(part, f"{key}[{place}]")
    else:
        yield key, json.dumps(value)


def _url(path: Path | None, read_only: bool) -> URL:
    """Where SQLite finds the store, and how it opens it.

    A reader of a file in WAL mode leaves a log and its index beside it, unless it is told that nobody writes. That is
    so when there is no log: a venue that runs has one, and so has one that was killed.
    """
    if path is None:
        return URL.create("sqlite")
    if not read_only:
        return URL.create("sqlite", database=str(path))
    way = {"mode": "ro"} if Path(f"{path}-wal").exists() else {"mode": "ro", "immutable": "1"}
    return URL.create("sqlite", database=path.absolute().as_uri(), query=way | {"uri": "true"})


def _see_a_database(connection: Any, _record: object) -> None:
    """A first look into the file, for a file that is no database, or another's."""
    connection.execute("PRAGMA schema_version")


def _make_durable(connection: Any, _record: object) -> None:
    """One writer alone, and no commit returns before it is on the disk."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA locking_mode = EXCLUSIVE")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()
