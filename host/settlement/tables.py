"""The tables of a store, and what each of their values may be.

SQLite takes any value into a table that was not made strict, and anyone who can write the file can make one.
"""

from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    case,
    func,
    or_,
    select,
)
from sqlalchemy.dialects import sqlite

_UINT32, _INT64 = (1 << 32) - 1, (1 << 63) - 1

METADATA = MetaData()
"""Of every number, `least` and `most` in `info` are its range where that is not from zero to what 63 bits hold."""

VENUE = Table(
    "venue",
    METADATA,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("rules", Text, nullable=False),
    Column("device_sizes", Text, nullable=False),
    sqlite_strict=True,
)

LEDGER_ACCOUNTS = Table(
    "ledger_accounts",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, unique=True),
    Column("balance_quote", Integer, nullable=False, info={"least": -_INT64}),
    sqlite_strict=True,
)

BATCHES = Table(
    "batches",
    METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("time_ns", Integer, nullable=False),
    Column("requests", LargeBinary, nullable=False),
    Column("quotes", LargeBinary, nullable=False),
    Column("deposits", LargeBinary, nullable=False),
    Column("operator_commands", LargeBinary, nullable=False),
    Column("client_commands", LargeBinary, nullable=False),
    Column("client_arrivals_ns", LargeBinary, nullable=False),
    Column("reports", LargeBinary),
    Column("digest", LargeBinary),
    sqlite_strict=True,
)

TRANSFERS = Table(
    "transfers",
    METADATA,
    Column("batch", ForeignKey(BATCHES.c.sequence), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("kind", Integer, nullable=False, info={"most": _UINT32}),
    Column("source", ForeignKey(LEDGER_ACCOUNTS.c.id), nullable=False, info={"most": _UINT32}),
    Column("target", ForeignKey(LEDGER_ACCOUNTS.c.id), nullable=False, info={"most": _UINT32}),
    Column("amount_quote", Integer, CheckConstraint("amount_quote > 0"), nullable=False, info={"least": 1}),
    sqlite_strict=True,
)


def first_wrong_value(table: Table) -> Select[Any]:
    """The first value of a table that its column may not have: the column's name, the value, and the row's keys."""
    wrong = [(_is_wrong(column), column) for column in table.columns]
    query: Select[Any] = select(
        case(*((is_wrong, column.name) for is_wrong, column in wrong)),
        case(*((is_wrong, func.substr(func.quote(column), 1, 40)) for is_wrong, column in wrong)),
        *(func.quote(key) for key in table.primary_key),
    )
    return query.where(or_(*(is_wrong for is_wrong, _ in wrong))).limit(1)


def expected(column: Column[Any]) -> str:
    """In words: what a value of this column is."""
    least, most = _range(column)
    return {"text": "text", "blob": "bytes", "integer": f"a whole number from {least} to {most}"}[_sql_type(column)]


def _is_wrong(column: Column[Any]) -> ColumnElement[bool]:
    """In SQL: a value has another type than its column, or is out of its range."""
    wrong = func.typeof(column) != _sql_type(column)
    if _sql_type(column) == "integer":
        wrong = or_(wrong, ~column.between(*_range(column)))
    return wrong & column.is_not(None) if column.nullable else wrong


def _sql_type(column: Column[Any]) -> str:
    """What SQLite calls the type of a column's values."""
    return str(column.type.compile(sqlite.dialect())).lower()


def _range(column: Column[Any]) -> tuple[int, int]:
    return column.info.get("least", 0), column.info.get("most", _INT64)
