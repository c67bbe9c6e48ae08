"""The front door: newline-delimited JSON over TCP on a loopback address.

Each line is one message of `messages.py`. Every line is answered: a line that cannot be taken by
`{"type": "error", "line": n, "message": ...}`, a request by what the host or the device says to it. The connection that
last sent a request for an account is told everything that happens to the account's orders, and what its liquidation
does. `docs/venue.md` lists all messages.

Buffers are bounded: when requests come faster than the venue takes them, reading waits; a client that does not
read what it is told is disconnected, and so is one that sends a line longer than `LINE_BYTES`.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from bandgap.hdl.protocol.commands import Opcode, OrderFlags, Side
from bandgap.hdl.protocol.reports import Reason, ReportKind
from bandgap.host.config import VenueConfig
from bandgap.host.gateway import messages
from bandgap.host.gateway.order_entry import REQUEST_DTYPE, Refusal
from bandgap.host.oracle.oracle import Quote
from bandgap.host.step import StepResult
from bandgap.host.wire import Records, as_reports

LINE_BYTES = 4096
PENDING_MESSAGES = 4096
UNREAD_BYTES = 1 << 20

_ORDER_KINDS = (ReportKind.ACCEPTED, ReportKind.REJECTED, ReportKind.CANCELED, ReportKind.REPLACED)


class ListenError(RuntimeError):
    """The address cannot be listened on; the message says why."""


class UnknownNameError(ValueError):
    """A message names an account, instrument or source that the venue does not have."""


@dataclass(frozen=True)
class Intake:
    """What came in since the last step, in order of arrival."""

    requests: list[messages.Request]
    quotes: list[messages.OracleQuote]


class FrontDoor:
    """Takes messages in and hands answers out.

    Parameters
    ----------
    config : The venue, whose names the messages use.
    """

    def __init__(self, config: VenueConfig) -> None:
        self._gateway = config.gateway
        self._account_names = [account.name for account in config.accounts]
        self._instrument_names = [instrument.name for instrument in config.instruments]
        self._accounts = {name: number for number, name in enumerate(self._account_names)}
        self._instruments = {name: number for number, name in enumerate(self._instrument_names)}
        self._sources = {name: number for number, name in enumerate(config.oracle.sources)}
        self._pending: asyncio.Queue[messages.Message] = asyncio.Queue(PENDING_MESSAGES)
        self._writers: dict[int, asyncio.StreamWriter] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        """Begin to listen; the port.

        Raises
        ------
        ListenError : Another program has the port, or this one may not.
        """
        host, port = self._gateway.host, self._gateway.port
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=LINE_BYTES)
        except OSError as error:
            raise ListenError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        opened: int = self._server.sockets[0].getsockname()[1]
        return opened

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def take(self, timeout_s: float) -> Intake:
        """What has come in, waiting for the first message at most `timeout_s`."""
        intake = Intake([], [])
        try:
            message: messages.Message = await asyncio.wait_for(self._pending.get(), timeout_s)
        except TimeoutError:
            return intake
        while True:
            if isinstance(message, messages.OracleQuote):
                intake.quotes.append(message)
            else:
                intake.requests.append(message)
            if self._pending.empty():
                return intake
            message = self._pending.get_nowait()

    def requests(self, intake: Intake, arrival_ns: int) -> Records:
        """The intake's requests, (n,) of `REQUEST_DTYPE`."""
        requests: Records = np.zeros(len(intake.requests), REQUEST_DTYPE)
        for request, message in zip(requests, intake.requests, strict=True):
            request["account"] = self._accounts[message.account]
            request["arrival_ns"] = arrival_ns
            if isinstance(message, messages.NewOrder):
                request["kind"] = Opcode.NEW_ORDER.value
                request["instrument"] = self._instruments[message.instrument]
                request["client_order_id"] = message.client_order_id
                request["side"] = message.side.code
                request["price_ticks"] = message.price_ticks or 0
                request["quantity_lots"] = message.quantity_lots
                request["order_type"] = message.order_type.code
                request["time_in_force"] = message.time_in_force.code
                request["self_trade_prevention"] = message.self_trade_prevention.code
                request["flags"] = OrderFlags.POST_ONLY.value if message.post_only else 0
            elif isinstance(message, messages.Replace):
                request["kind"] = Opcode.REPLACE.value
                request["client_order_id"] = message.client_order_id
                request["price_ticks"] = message.price_ticks
                request["quantity_lots"] = message.quantity_lots
                request["expected_quantity_lots"] = message.expected_quantity_lots or 0
            elif isinstance(message, messages.Cancel):
                request["kind"] = Opcode.CANCEL.value
                request["client_order_id"] = message.client_order_id
            else:
                request["kind"] = Opcode.MASS_CANCEL.value
        return requests

    def quotes(self, intake: Intake, time_ns: int) -> list[Quote]:
        """The intake's quotes, said at `time_ns`."""
        return [
            Quote(self._sources[quote.source], self._instruments[quote.instrument], quote.price_ticks, time_ns)
            for quote in intake.quotes
        ]

    def answer(self, requests: Records, result: StepResult) -> None:
        """Tell every account what has happened to it, and to its requests and orders."""
        for account, answer in self._liquidations(result):
            self._tell(account, answer)
        encoded = result.encoded
        for row, refusal in zip(encoded.refused_rows.tolist(), encoded.refusals.tolist(), strict=True):
            order_id = int(requests["client_order_id"][row])
            refused: dict[str, Any] = {
                "type": "refused",
                "client_order_id": order_id,
                "reason": Refusal(refusal).name.lower(),
            }
            self._tell(int(requests["account"][row]), refused)
        for account, answer in self._answers(result):
            self._tell(account, answer)

    @staticmethod
    def _liquidations(result: StepResult) -> Iterator[tuple[int, dict[str, Any]]]:
        """Account and answer for each that is covered, restored or blocked from this step on."""
        decided = result.liquidation
        for account, amount_quote in decided.cover:
            yield account, {"type": "covered", "amount_quote": amount_quote, "time_ns": result.time_ns}
        for kind, accounts in (("restored", decided.restore), ("blocked", decided.kill)):
            for account in accounts:
                yield account, {"type": kind, "time_ns": result.time_ns}

    def _answers(self, result: StepResult) -> Iterator[tuple[int, dict[str, Any]]]:
        """Account and answer for each report that speaks of its order, a closing one too, or ends a mass cancel."""
        orders = as_reports(result.reports, ReportKind.ACCEPTED)
        trades = as_reports(result.reports, ReportKind.TRADE)
        dones = as_reports(result.reports, ReportKind.DONE)
        ids = zip(result.ids.client_order_id.tolist(), result.ids.maker_client_order_id.tolist(), strict=True)
        closing = result.closing_ids.client_order_id != 0
        maker_closing = result.closing_ids.maker_client_order_id != 0
        last_number = result.first_number + len(result.encoded.commands)
        for row, (order_id, maker_order_id) in enumerate(ids):
            order, header = orders[row], orders[row]["header"]
            kind = ReportKind(int(header["kind"]))
            if kind is ReportKind.TRADE:
                trade = trades[row]
                auction = not header["side"]  # the buyer stands in the taker's place
                taker_side = Side.BUY if auction else Side(int(header["side"]))
                maker_side = Side.SELL if taker_side is Side.BUY else Side.BUY
                taker, maker = ("auction", "auction") if auction else ("taker", "maker")
                if order_id or closing[row]:
                    yield int(trade["account"]), self._describe("trade", trade, order_id, taker_side, taker)
                if maker_order_id or maker_closing[row]:
                    answer = self._describe("trade", trade, maker_order_id, maker_side, maker)
                    answer["remaining_lots"] = int(trade["maker_remaining_lots"])
                    yield int(trade["maker_account"]), answer
            elif kind in _ORDER_KINDS and order_id:
                answer = self._describe(kind.name.lower(), order, order_id, header["side"])
                if header["reason"]:
                    answer["reason"] = Reason(int(header["reason"])).name.lower()
                yield int(order["account"]), answer
            elif kind is ReportKind.DONE and result.first_number <= header["command_number"] < last_number:
                yield int(order["account"]), {"type": "done", "canceled_orders": int(dones[row]["count"])}

    def _describe(self, kind: str, report: Any, order_id: int, side: Any, role: str | None = None) -> dict[str, Any]:
        """The answer for an order's report; zero for the id of a closing order, which only trades are told of."""
        order = {"type": kind, "client_order_id": order_id} if order_id else {"type": "liquidation_trade"}
        answer = {
            **order,
            "instrument": self._instrument_names[report["header"]["instrument"]],
            "side": Side(side).name.lower(),
            "price_ticks": int(report["price_ticks"]),
            "quantity_lots": int(report["quantity_lots"]),
            "remaining_lots": int(report["remaining_lots"]),
            "time_ns": int(report["header"]["time_ns"]),
        }
        return answer if role is None else answer | {"role": role}

    def _tell(self, account: int, answer: dict[str, Any]) -> None:
        if writer := self._writers.get(account):
            _write(writer, {"account": self._account_names[account], **answer})

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._read_lines(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            self._writers = {account: owner for account, owner in self._writers.items() if owner is not writer}
            writer.close()

    async def _read_lines(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        while True:
            number += 1
            try:
                line = await reader.readline()
            except ValueError:
                _write(writer, {"type": "error", "line": number, "message": f"longer than {LINE_BYTES} bytes"})
                return
            if not line:
                return
            try:
                message = messages.read_message(line)
                self._know_names(message)
            except ValueError as error:
                _write(writer, {"type": "error", "line": number, "message": _explain(error)})
                continue
            if not isinstance(message, messages.OracleQuote):
                self._writers[self._accounts[message.account]] = writer
            await self._pending.put(message)

    def _know_names(self, message: messages.Message) -> None:
        for field, known in (
            ("account", self._accounts),
            ("instrument", self._instruments),
            ("source", self._sources),
        ):
            name = getattr(message, field, None)
            if name is not None and name not in known:
                raise UnknownNameError(f"{field} {name!r} is unknown")


def _write(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    """Hand over an answer, or end the connection of a client that does not read."""
    if writer.transport.get_write_buffer_size() > UNREAD_BYTES:
        writer.transport.abort()
    elif not writer.is_closing():
        writer.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")


def _explain(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    text = problem["msg"].removeprefix("Value error, ")
    return f"{place}: {text}" if place else text
