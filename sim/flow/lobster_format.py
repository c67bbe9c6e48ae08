"""LOBSTER message files: `time,type,order id,size,price,direction`, without a header.

What each event becomes (lobsterdata.com describes the format):

- 1, a new limit order: a new order, good till cancel.
- 2, a partial cancellation: a replace by the smaller quantity, which keeps its place.
- 3, a deletion: a cancel.
- 4, an execution: an IOC order of the other side at that price, whose id is the row's number above `AGGRESSOR_IDS`.
- 5, an execution of a hidden order; 6, a cross; 7, a halt: not orders in the book; they are counted.

A file starts in mid-session. What it tells of an order from before its start becomes a cancel of that order, which the
book answers: unknown. Prices are in units of 1/10,000 dollar; a tick is a cent.
"""

import csv
from collections.abc import Iterator
from typing import TextIO

from bandgap.hdl.protocol.commands import Opcode, OrderType, SelfTradePrevention, Side, TimeInForce

from .row import WORD_LIMIT, Request, Row, RowError, request, whole_number

AGGRESSOR_IDS = 10**15
UNITS_A_TICK = 100

NEW, REDUCE, DELETE, EXECUTE = 1, 2, 3, 4
NOT_IN_THE_BOOK = {5: "hidden execution", 6: "cross trade", 7: "trading halt"}

_SIDES = {"1": Side.BUY, "-1": Side.SELL}
_FIELDS = 6
_DAY_NS = 86_400 * 10**9


class LobsterFormat:
    """Reader of LOBSTER message files; see `bandgap.sim.flow.file.Format`."""

    def __init__(self) -> None:
        self.instruments = ["LOBSTER"]
        self.notes: dict[str, int] = {}
        self._open_lots: dict[int, int] = {}
        self._time_ns = 0

    def rows(self, stream: TextIO) -> Iterator[Row]:
        """See `Format.rows`."""
        lines = csv.reader(stream, strict=True)
        try:
            for number, fields in enumerate(lines, 1):
                request = self._request(number, fields)
                if request is not None:
                    yield number, request
        except (ValueError, csv.Error) as error:
            raise RowError(max(1, lines.line_num), str(error)) from error

    def _request(self, number: int, fields: list[str]) -> Request | None:
        if len(fields) != _FIELDS:
            raise ValueError(f"{len(fields)} fields, not {_FIELDS}")
        time_ns = _nanoseconds(fields[0])
        if time_ns < self._time_ns:
            raise ValueError(f"time goes back: {fields[0]}")
        self._time_ns = time_ns
        event = whole_number(fields[1], "type", 1, 8)
        if event in NOT_IN_THE_BOOK:
            note = NOT_IN_THE_BOOK[event]
            self.notes[note] = self.notes.get(note, 0) + 1
            return None
        order = whole_number(fields[2], "order id", 1, AGGRESSOR_IDS)
        lots = whole_number(fields[3], "size", 1, WORD_LIMIT)
        price_ticks, rest = divmod(whole_number(fields[4], "price", 1, WORD_LIMIT), UNITS_A_TICK)
        if rest:
            raise ValueError(f"price is not a whole number of cents: {fields[4]}")
        if fields[5] not in _SIDES:
            raise ValueError(f"direction is {fields[5]!r}, not 1 or -1")
        side = _SIDES[fields[5]]
        if event == NEW:
            self._open_lots[order] = lots
            return self._new(order, side, price_ticks, lots, TimeInForce.GTC)
        left = self._open_lots.pop(order, None)
        if left is not None and left > lots and event != DELETE:
            self._open_lots[order] = left - lots
        if left is not None and event == EXECUTE:
            taker = Side.SELL if side is Side.BUY else Side.BUY
            return self._new(AGGRESSOR_IDS + number, taker, price_ticks, lots, TimeInForce.IOC)
        if left is not None and left > lots and event == REDUCE:
            return request(
                kind=Opcode.REPLACE,
                client_order_id=order,
                arrival_ns=time_ns,
                side=side,
                price_ticks=price_ticks,
                quantity_lots=left - lots,
            )
        return request(kind=Opcode.CANCEL, client_order_id=order, arrival_ns=time_ns)

    def _new(self, order: int, side: Side, price_ticks: int, lots: int, time_in_force: TimeInForce) -> Request:
        return request(
            kind=Opcode.NEW_ORDER,
            client_order_id=order,
            arrival_ns=self._time_ns,
            side=side,
            order_type=OrderType.LIMIT,
            time_in_force=time_in_force,
            self_trade_prevention=SelfTradePrevention.OFF,
            price_ticks=price_ticks,
            quantity_lots=lots,
        )


def _nanoseconds(text: str) -> int:
    """Seconds after midnight with up to nine decimals."""
    whole, _, decimals = text.partition(".")
    if len(decimals) > 9:
        raise ValueError(f"time has more than nine decimals: {text!r}")
    return whole_number(whole + decimals.ljust(9, "0"), "time", 0, _DAY_NS)
