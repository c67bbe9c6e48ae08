"""Our own format: a header, then one request a line.

Columns `command,client_order_id,side,price_ticks,quantity,time_in_force` must be there; `account`, `instrument`,
`post_only` and `self_trade_prevention` may be. A cancel needs its client order id alone, and what else it names is not
used; a replace names its side, its new price and its new open quantity, and stays in the instrument of its order.
"""

import csv
from collections.abc import Iterator
from typing import TextIO, TypeVar

from bandgap.hdl.protocol.commands import Opcode, OrderFlags, OrderType, SelfTradePrevention, Side, TimeInForce

from .row import ID_LIMIT, WORD_LIMIT, Request, Row, RowError, request, whole_number

REQUIRED = ("command", "client_order_id", "side", "price_ticks", "quantity", "time_in_force")
OPTIONAL = ("account", "instrument", "post_only", "self_trade_prevention")

COMMANDS = {"new": Opcode.NEW_ORDER, "cancel": Opcode.CANCEL, "replace": Opcode.REPLACE}
SIDES = {side.name.lower(): side for side in Side}
TIMES_IN_FORCE = {time_in_force.name.lower(): time_in_force for time_in_force in TimeInForce}
SELF_TRADE_PREVENTIONS = {mode.name.lower(): mode for mode in SelfTradePrevention}
FLAGS = {"0": OrderFlags(0), "false": OrderFlags(0), "1": OrderFlags.POST_ONLY, "true": OrderFlags.POST_ONLY}

MOST_INSTRUMENTS = 254

T = TypeVar("T")


class CsvFormat:
    """Reader of our own format; see `bandgap.sim.flow.file.Format`."""

    def __init__(self) -> None:
        self.instruments: list[str] = []
        self.notes: dict[str, int] = {}
        self._indices: dict[str, int] = {}

    def rows(self, stream: TextIO) -> Iterator[Row]:
        """See `Format.rows`."""
        lines = csv.reader(stream, strict=True)
        try:
            header = next(lines, [])
            width = len(header)
            columns = self._columns(header)
            for number, fields in enumerate(lines, 1):
                if len(fields) != width:
                    raise ValueError(f"{len(fields)} fields where the header has {width}")
                yield number, self._request(fields, columns)
        except (ValueError, csv.Error) as error:
            raise RowError(max(1, lines.line_num), str(error)) from error

    @staticmethod
    def _columns(header: list[str]) -> list[int]:
        """Place of each column, required ones first; -1 for an optional one that is absent."""
        if len(set(header)) != len(header):
            raise ValueError("a column appears twice")
        if missing := [name for name in REQUIRED if name not in header]:
            raise ValueError(f"the header lacks {', '.join(missing)}")
        if unknown := [name for name in header if name not in REQUIRED + OPTIONAL]:
            raise ValueError(f"unknown column {', '.join(map(repr, unknown))}; known: {', '.join(REQUIRED + OPTIONAL)}")
        return [header.index(name) if name in header else -1 for name in REQUIRED + OPTIONAL]

    def _request(self, fields: list[str], columns: list[int]) -> Request:
        command, identity, side, price, quantity, time_in_force, account, instrument, post_only, prevention = (
            fields[column] if column >= 0 else "" for column in columns
        )
        kind = _member(command, "command", COMMANDS)
        client_order_id = whole_number(identity, "client_order_id", 1, ID_LIMIT)
        owner = whole_number(account, "account", 0, WORD_LIMIT) if account else 0
        # A cancel or replace that names no instrument is no reason to have a nameless one.
        index = self._instrument(instrument) if instrument or kind is Opcode.NEW_ORDER else 0
        if kind is Opcode.CANCEL:
            return request(kind=kind, client_order_id=client_order_id, account=owner, instrument=index)
        order_side = _member(side, "side", SIDES)
        price_ticks = whole_number(price, "price_ticks", 0, WORD_LIMIT)
        quantity_lots = whole_number(quantity, "quantity", 0, WORD_LIMIT)
        if kind is Opcode.REPLACE:
            return request(
                kind=kind,
                client_order_id=client_order_id,
                account=owner,
                instrument=index,
                side=order_side,
                price_ticks=price_ticks,
                quantity_lots=quantity_lots,
            )
        return request(
            kind=kind,
            client_order_id=client_order_id,
            account=owner,
            instrument=index,
            side=order_side,
            order_type=OrderType.LIMIT,
            time_in_force=_member(time_in_force, "time_in_force", TIMES_IN_FORCE),
            self_trade_prevention=_member(prevention or "off", "self_trade_prevention", SELF_TRADE_PREVENTIONS),
            flags=_member(post_only or "0", "post_only", FLAGS),
            price_ticks=price_ticks,
            quantity_lots=quantity_lots,
        )

    def _instrument(self, name: str) -> int:
        index = self._indices.get(name)
        if index is None:
            index = len(self.instruments)
            if index == MOST_INSTRUMENTS:
                raise ValueError(f"more than {MOST_INSTRUMENTS} instruments; {name!r} is one too many")
            self._indices[name] = index
            self.instruments.append(name)
        return index


def _member(text: str, name: str, members: dict[str, T]) -> T:
    if text not in members:
        raise ValueError(f"{name} is {text!r}, not one of {', '.join(members)}")
    return members[text]
