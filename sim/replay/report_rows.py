"""Reports as rows of a CSV file, in the words of the client who sent the flow."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.protocol.commands import Opcode, Side
from bandgap.hdl.protocol.reports import Reason, ReportKind
from bandgap.host.gateway.order_entry import ClientIds, Encoded, Refusal
from bandgap.host.wire import Bytes2D, as_reports, report_headers
from bandgap.sim.flow.file import Chunk

COLUMNS = ("row", "report", "client_order_id", "side", "price_ticks", "quantity", "maker_client_order_id")
DETAILS = ("instrument", "account", "reason", "remaining", "maker_account", "maker_remaining", "latency_cycles")

REJECT_NAMES = {
    Opcode.NEW_ORDER.value: "new_rejected",
    Opcode.CANCEL.value: "cancel_rejected",
    Opcode.REPLACE.value: "replace_rejected",
}
_KIND_NAMES = {
    kind.value: kind.name.lower()
    for kind in (ReportKind.ACCEPTED, ReportKind.TRADE, ReportKind.CANCELED, ReportKind.REPLACED)
}
_SIDE_NAMES = {side.value: side.name.lower() for side in Side} | {0: ""}
_REASON_NAMES = {reason.value: reason.name.lower() for reason in Reason} | {0: ""}
_REFUSAL_NAMES = {refusal.value: refusal.name.lower() for refusal in Refusal}

Column = NDArray[np.object_]


def report_rows(
    chunk: Chunk, encoded: Encoded, reports: Bytes2D, causes: NDArray[np.intp], ids: ClientIds, instruments: list[str]
) -> list[tuple[Any, ...]]:
    """The answers to one chunk of requests, by data row; columns `COLUMNS`, then `DETAILS`.

    A rejected cancel or replace names its order alone, a rejected new order also what it wanted.

    Arguments
    ---------
    chunk : The requests.
    encoded : What became of them at order entry.
    reports : (n, 64) What the device answered.
    causes : (n,) The request that caused each report, an index into the chunk.
    ids : Client order ids of the reports.
    instruments : Names.
    """
    from_device = _device_columns(chunk, reports, causes, ids, instruments)
    from_host = _refusal_columns(chunk, encoded, instruments)
    columns = [np.concatenate(pair) for pair in zip(from_device, from_host, strict=True)]
    order = np.argsort(columns[0].astype(np.int64), kind="stable")
    return list(zip(*(column[order].tolist() for column in columns), strict=True))


def _device_columns(
    chunk: Chunk, reports: Bytes2D, causes: NDArray[np.intp], ids: ClientIds, instruments: list[str]
) -> list[Column]:
    headers = report_headers(reports)
    orders = as_reports(reports, ReportKind.ACCEPTED)
    trades = as_reports(reports, ReportKind.TRADE)
    requests = chunk.requests[causes]
    kinds = headers["kind"]
    trade = kinds == ReportKind.TRADE.value
    rejected = kinds == ReportKind.REJECTED.value
    bare = rejected & (requests["kind"] != Opcode.NEW_ORDER.value)
    names = np.where(rejected, _translate(requests["kind"], REJECT_NAMES), _translate(kinds, _KIND_NAMES))
    order_ids = np.where(rejected, requests["client_order_id"], ids.client_order_id)
    return [
        chunk.rows[causes].astype(object),
        names,
        order_ids.astype(object),
        _where(~trade & ~bare, _translate(headers["side"], _SIDE_NAMES)),
        _where(~bare, orders["price_ticks"]),
        _where(~bare & (kinds != ReportKind.CANCELED.value), orders["quantity_lots"]),
        _where(trade, ids.maker_client_order_id),
        _instrument_names(headers["instrument"], instruments),
        orders["account"].astype(object),
        _translate(headers["reason"], _REASON_NAMES),
        _where(~rejected, orders["remaining_lots"]),
        _where(trade, trades["maker_account"]),
        _where(trade, trades["maker_remaining_lots"]),
        (headers["exit_cycle"] - headers["entry_cycle"]).astype(object),
    ]


def _refusal_columns(chunk: Chunk, encoded: Encoded, instruments: list[str]) -> list[Column]:
    requests = chunk.requests[encoded.refused_rows]
    new = requests["kind"] == Opcode.NEW_ORDER.value
    empty = np.full(len(requests), "", object)
    return [
        chunk.rows[encoded.refused_rows].astype(object),
        _translate(requests["kind"], REJECT_NAMES),
        requests["client_order_id"].astype(object),
        _where(new, _translate(requests["side"], _SIDE_NAMES)),
        _where(new, requests["price_ticks"]),
        _where(new, requests["quantity_lots"]),
        empty,
        _instrument_names(requests["instrument"], instruments),
        requests["account"].astype(object),
        _translate(encoded.refusals, _REFUSAL_NAMES),
        empty,
        empty,
        empty,
        empty,
    ]


def _translate(values: NDArray[np.uint8], names: dict[int, str]) -> Column:
    table = np.full(256, "", object)
    table[list(names)] = list(names.values())
    translated: Column = table[values]
    return translated


def _instrument_names(indices: NDArray[np.uint8], instruments: list[str]) -> Column:
    return _translate(indices, dict(enumerate(instruments)))


def _where(mask: NDArray[np.bool_], values: NDArray[Any]) -> Column:
    """Values where the mask holds, else empty text."""
    column = np.full(len(values), "", object)
    column[mask] = values[mask]
    return column
