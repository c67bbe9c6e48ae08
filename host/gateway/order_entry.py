"""Order entry: client order ids live on the host, the device knows tokens and generations.

Requests name an order by (account, client order id); commands name its slot. Many commands are in flight before
their reports come back, so a cancel follows its order at once. Memory is bounded by the slots: an id is forgotten
when its order's end has been reported.
"""

from collections import deque
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.protocol.commands import Opcode
from bandgap.hdl.protocol.reports import Reason, ReportKind
from bandgap.host.wire import (
    Bytes2D,
    Records,
    as_reports,
    empty_commands,
    new_commands,
    report_headers,
    to_bytes,
)

REQUEST_DTYPE = np.dtype(
    [
        ("kind", "u1"),
        ("instrument", "u1"),
        ("side", "u1"),
        ("order_type", "u1"),
        ("time_in_force", "u1"),
        ("self_trade_prevention", "u1"),
        ("flags", "u1"),
        ("reserved", "u1"),
        ("account", "<u4"),
        ("price_ticks", "<u4"),
        ("client_order_id", "<u8"),
        ("arrival_ns", "<u8"),
        ("quantity_lots", "<u4"),
        ("expected_quantity_lots", "<u4"),
    ]
)
"""One client request.

`kind` is the opcode `NEW_ORDER`, `CANCEL`, `REPLACE` or `MASS_CANCEL`; the other fields mean what they mean in that
command and hold the values of `hdl.protocol` enums. `client_order_id` is not zero, except in a mass cancel, which has
none. Instrument and side of a cancel or replace are those of the order it names and need not be filled in; a replace
may name the side (the device rejects another than the order's). `arrival_ns` is when the request arrives.
"""

_KINDS = (Opcode.NEW_ORDER, Opcode.CANCEL, Opcode.REPLACE, Opcode.MASS_CANCEL)
_NEW_ORDER, _MASS_CANCEL = Opcode.NEW_ORDER.value, Opcode.MASS_CANCEL.value

_FREE, _SENT, _ACCEPTED, _ENDED = range(4)
"""Life of a slot: free, its new order is in flight, accepted, over but with commands still in flight."""

_COPIED_FIELDS = {
    Opcode.NEW_ORDER: (
        "price_ticks",
        "quantity_lots",
        "account",
        "side",
        "order_type",
        "time_in_force",
        "self_trade_prevention",
        "flags",
    ),
    Opcode.CANCEL: ("account",),
    Opcode.REPLACE: ("price_ticks", "quantity_lots", "account", "expected_quantity_lots"),
    Opcode.MASS_CANCEL: ("account",),
}


class RequestError(ValueError):
    """A request can be no command; the message says which and why."""


class Refusal(IntEnum):
    """Why the host answered a request itself; no command was made of it."""

    BOOK_FULL = 1
    """No slot is free for a new order."""
    UNKNOWN_ORDER = 2
    """The account has no live order of this id: never seen, or its end has been reported."""
    DUPLICATE_ID = 3
    """The account has a live order of this id, or one whose end has not been reported yet."""


@dataclass(frozen=True)
class Encoded:
    """What became of a batch of requests.

    Attributes
    ----------
    commands : (n, 32) uint8, in the order of the requests; epoch and number are zero (`Device.number` fills them).
    rows : (n,) The request that each command came from.
    refused_rows : (m,) The requests that the host answered itself, ascending.
    refusals : (m,) `Refusal` of each of them.
    """

    commands: Bytes2D
    rows: NDArray[np.intp]
    refused_rows: NDArray[np.intp]
    refusals: NDArray[np.uint8]


@dataclass(frozen=True)
class ClientIds:
    """The client order ids that a batch of reports speaks of; zero where a report names no order of this entry.

    Attributes
    ----------
    client_order_id : (n,) uint64, of the order; in a trade, of the taker.
    maker_client_order_id : (n,) uint64, in a trade, of the maker.
    """

    client_order_id: NDArray[np.uint64]
    maker_client_order_id: NDArray[np.uint64]


class OrderEntry:
    """Turns requests into commands and follows the reports.

    Parameters
    ----------
    token_count : How many slots this entry may use.
    token_first : The first of them.
    """

    def __init__(self, token_count: int, token_first: int = 0) -> None:
        self._first = token_first
        self._count = token_count
        self._free = deque(range(token_count))
        self._tokens: dict[tuple[int, int], int] = {}
        self._keys: list[tuple[int, int]] = [(0, 0)] * token_count
        self._state = np.full(token_count, _FREE, np.uint8)
        self._in_flight = np.zeros(token_count, np.int64)
        self._generation = np.zeros(token_count, np.uint16)
        self._accepted_generation = np.zeros(token_count, np.uint16)
        self._client_order_id = np.zeros(token_count, np.uint64)
        self._instrument = np.zeros(token_count, np.uint8)
        self._side = np.zeros(token_count, np.uint8)

    def encode(self, requests: Records) -> Encoded:
        """Make commands of requests, in order.

        Parameters
        ----------
        requests : (n,) of `REQUEST_DTYPE`.

        Raises
        ------
        RequestError : A request has an unknown kind or the client order id zero; nothing was changed.
        """
        self.check(requests)
        tokens, refused = self._name_slots(requests)
        sent = tokens >= 0
        rows = np.flatnonzero(sent)
        self._begin_orders(requests, tokens, sent & (requests["kind"] == _NEW_ORDER))
        commands = empty_commands(len(requests))
        for opcode in _KINDS:
            of_kind = np.flatnonzero(sent & (requests["kind"] == opcode.value))
            if len(of_kind):
                commands[of_kind] = to_bytes(self._encode_kind(opcode, requests[of_kind], tokens[of_kind]))
        refused_rows = np.array([row for row, _ in refused], np.intp)
        refusals = np.array([refusal for _, refusal in refused], np.uint8)
        return Encoded(commands[rows], rows, refused_rows, refusals)

    def follow(self, reports: Bytes2D) -> ClientIds:
        """Learn from reports which orders have ended, and name the client's order in each of them.

        Parameters
        ----------
        reports : (n, 64) uint8, all the device's reports, in order; those of other slots are passed over.
        """
        headers = report_headers(reports)
        kinds = headers["kind"]
        orders = as_reports(reports, ReportKind.ACCEPTED)
        trades = as_reports(reports, ReportKind.TRADE)
        accepted, rejected = kinds == ReportKind.ACCEPTED.value, kinds == ReportKind.REJECTED.value
        canceled, traded = kinds == ReportKind.CANCELED.value, kinds == ReportKind.TRADE.value
        replaced = kinds == ReportKind.REPLACED.value

        slots, own = self._own_slots(orders["token"], orders["generation"])
        own &= accepted | rejected | canceled | traded | replaced
        maker_slots, maker_own = self._own_slots(trades["maker_token"], trades["maker_generation"])
        maker_own &= traded
        ids = ClientIds(
            np.where(own, self._client_order_id[slots], 0), np.where(maker_own, self._client_order_id[maker_slots], 0)
        )

        begun = slots[own & accepted]
        self._state[begun] = _ACCEPTED
        self._accepted_generation[begun] = self._generation[begun]
        requested = canceled & (headers["reason"] == Reason.REQUESTED.value)
        np.subtract.at(self._in_flight, slots[own & (accepted | rejected | replaced | requested)], 1)

        never_began = own & rejected & (self._state[slots] == _SENT)
        gone = own & (canceled | traded) & (orders["remaining_lots"] == 0)
        maker_gone = maker_own & (trades["maker_remaining_lots"] == 0)
        self._end_orders(np.unique(np.concatenate([slots[never_began | gone], maker_slots[maker_gone]])))
        self._free_slots(np.unique(np.concatenate([slots[own], maker_slots[maker_own]])))
        return ids

    def open_orders(self) -> set[tuple[int, int]]:
        """(account, instrument) of every order that is not known to be over."""
        slots = np.flatnonzero((self._state == _SENT) | (self._state == _ACCEPTED)).tolist()
        return {(self._keys[slot][0], int(self._instrument[slot])) for slot in slots}

    @staticmethod
    def check(requests: Records) -> None:
        kinds = requests["kind"]
        unknown = np.flatnonzero(~np.isin(kinds, [opcode.value for opcode in _KINDS]))
        if len(unknown):
            raise RequestError(
                f"request {unknown[0]}: kind {kinds[unknown[0]]} is not one of {[o.name for o in _KINDS]}"
            )
        nameless = np.flatnonzero((requests["client_order_id"] == 0) & (kinds != _MASS_CANCEL))
        if len(nameless):
            raise RequestError(f"request {nameless[0]}: client order id is zero")

    def _name_slots(self, requests: Records) -> tuple[NDArray[np.intp], list[tuple[int, Refusal]]]:
        """The slot of each request (0 for a mass cancel, -1 for a refused one), taking free ones for new orders."""
        tokens, free = self._tokens, self._free
        named: list[int] = []
        refused: list[tuple[int, Refusal]] = []
        keys = zip(requests["account"].tolist(), requests["client_order_id"].tolist(), strict=True)
        for row, (kind, key) in enumerate(zip(requests["kind"].tolist(), keys, strict=True)):
            token = tokens.get(key, -1)
            if kind == _NEW_ORDER:
                if token >= 0:
                    refused.append((row, Refusal.DUPLICATE_ID))
                    token = -1
                elif not free:
                    refused.append((row, Refusal.BOOK_FULL))
                else:
                    token = tokens[key] = free.popleft()
                    self._keys[token] = key
            elif kind == _MASS_CANCEL:
                token = 0
            elif token < 0:
                refused.append((row, Refusal.UNKNOWN_ORDER))
            named.append(token)
        return np.array(named, np.intp), refused

    def _begin_orders(self, requests: Records, tokens: NDArray[np.intp], new: NDArray[np.bool_]) -> None:
        """Remember the new orders, with a generation that is not zero and not the last accepted in the slot.

        Zero is left out so that no order's report can be taken for the echo of another command's reserved bytes.
        """
        slots, orders = tokens[new], requests[new]
        generation = self._generation[slots]
        for _ in range(3):
            unusable = (generation == self._generation[slots]) | (generation == 0)
            unusable |= generation == self._accepted_generation[slots]
            generation = np.where(unusable, generation + np.uint16(1), generation)
        self._generation[slots] = generation
        self._state[slots] = _SENT
        self._client_order_id[slots] = orders["client_order_id"]
        self._instrument[slots] = orders["instrument"]
        self._side[slots] = orders["side"]

    def _encode_kind(self, opcode: Opcode, requests: Records, slots: NDArray[np.intp]) -> Records:
        commands = new_commands(opcode, len(requests))
        for field in _COPIED_FIELDS[opcode]:
            commands[field] = requests[field]
        if opcode is Opcode.MASS_CANCEL:
            return commands
        commands["header"]["instrument"] = self._instrument[slots]
        commands["token"] = slots + self._first
        commands["generation"] = self._generation[slots]
        if opcode is Opcode.REPLACE:
            commands["side"] = np.where(requests["side"] == 0, self._side[slots], requests["side"])
        np.add.at(self._in_flight, slots, 1)
        return commands

    def _own_slots(
        self, tokens: NDArray[np.uint16], generations: NDArray[np.uint16]
    ) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Slots, and which of them are this entry's with the generation it sent (the others are slot 0)."""
        slots = tokens.astype(np.intp) - self._first
        own = (slots >= 0) & (slots < self._count)
        slots = np.where(own, slots, 0)
        return slots, own & (generations == self._generation[slots]) & (generations != 0)

    def _end_orders(self, slots: NDArray[np.intp]) -> None:
        self._state[slots] = _ENDED
        for slot in slots.tolist():
            del self._tokens[self._keys[slot]]

    def _free_slots(self, slots: NDArray[np.intp]) -> None:
        """Slots whose order is over are free once every command that names them has been answered."""
        free = slots[(self._state[slots] == _ENDED) & (self._in_flight[slots] == 0)]
        self._state[free] = _FREE
        self._free.extend(free.tolist())
