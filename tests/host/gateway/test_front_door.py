"""The front door on a loopback socket, before a venue on the model."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bandgap.hdl.protocol import commands
from bandgap.host.config import VenueConfig
from bandgap.host.gateway import front_door, messages
from bandgap.host.gateway.front_door import LINE_BYTES, FrontDoor, Intake
from bandgap.host.step import StepInput

WAIT_S = 120

ORDER = {
    "type": "new",
    "account": "account-0",
    "client_order_id": 1,
    "instrument": "PERP-0",
    "side": "buy",
    "price_ticks": 1000,
    "quantity_lots": 5,
}


class Client:
    """One connection that writes lines and reads answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    def say(self, *lines: Any) -> None:
        for line in lines:
            self.writer.write((line if isinstance(line, str) else json.dumps(line)).encode() + b"\n")

    async def hear(self, count: int) -> list[dict[str, Any]]:
        lines = [await asyncio.wait_for(self._reader.readline(), WAIT_S) for _ in range(count)]
        return [json.loads(line) for line in lines]

    async def ended(self) -> bool:
        """Whether the connection ends without another word."""
        try:
            return await asyncio.wait_for(self._reader.read(), WAIT_S) == b""
        except ConnectionResetError:
            return True


class Hall:
    """A front door, the venue behind it, and clients before it; steps are made when the test says so."""

    def __init__(self, venue: Any) -> None:
        self.venue = venue
        config: VenueConfig = venue.config
        open_port = config.gateway.model_copy(update={"port": 0})
        self.door = FrontDoor(config.model_copy(update={"gateway": open_port}))
        self._port = 0

    async def open(self) -> None:
        self._port = await self.door.open()
        self.venue.step(mark=1000)

    async def client(self) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self._port))

    async def step(self, messages_expected: int, after_ns: int = 1) -> None:
        """Take in so many messages, in one or more steps."""
        taken = 0
        while taken < messages_expected:
            intake = await self.door.take(WAIT_S)
            assert intake.requests or intake.quotes, "nothing came in"
            taken += len(intake.requests) + len(intake.quotes)
            time_ns = self.venue.daemon.time_ns + after_ns
            requests = self.door.requests(intake, time_ns)
            result = self.venue.daemon.step(StepInput(time_ns, requests, self.door.quotes(intake, time_ns)))
            self.door.answer(requests, result)

    def pass_by(self, mark: int | None = None) -> None:
        """A step in which no message comes."""
        result = self.venue.step(mark=mark)
        self.door.answer(self.door.requests(Intake([], []), result.time_ns), result)


@pytest.fixture
def in_hall(open_venue: Callable[..., Any]) -> Callable[..., None]:
    """Run a scene in a hall, and close it afterwards."""

    def run(scene: Callable[[Hall], Awaitable[None]], **config: Any) -> None:
        async def whole() -> None:
            hall = Hall(open_venue(**config))
            await hall.open()
            try:
                await scene(hall)
            finally:
                await hall.door.close()

        asyncio.run(whole())

    return run


def test_orders_trade_and_both_sides_are_told(in_hall: Any) -> None:
    async def scene(hall: Hall) -> None:
        buyer, seller = await hall.client(), await hall.client()
        buyer.say(ORDER)
        await hall.step(1)
        (accepted,) = await buyer.hear(1)
        assert accepted.pop("time_ns") > 0
        assert accepted == {
            "account": "account-0",
            "type": "accepted",
            "client_order_id": 1,
            "instrument": "PERP-0",
            "side": "buy",
            "price_ticks": 1000,
            "quantity_lots": 5,
            "remaining_lots": 5,
        }
        seller.say(ORDER | {"account": "account-1", "side": "sell", "client_order_id": 9, "quantity_lots": 3})
        await hall.step(1)
        (maker,) = await buyer.hear(1)
        _, taker = await seller.hear(2)
        for answer, order_id, role, side, remaining in ((maker, 1, "maker", "buy", 2), (taker, 9, "taker", "sell", 0)):
            assert (answer["type"], answer["client_order_id"], answer["role"]) == ("trade", order_id, role)
            assert (answer["side"], answer["quantity_lots"], answer["remaining_lots"]) == (side, 3, remaining)

    in_hall(scene)


def test_both_sides_of_an_auction_are_told(in_hall: Any) -> None:
    """Nobody takes there; the lots that are left of the bid are told as everywhere."""

    async def scene(hall: Hall) -> None:
        buyer, seller = await hall.client(), await hall.client()
        hall.venue.step(after_ns=31_000_000_000)
        hall.venue.step(mark=1000)
        buyer.say(ORDER)
        await hall.step(1)
        await buyer.hear(1)
        seller.say(ORDER | {"account": "account-1", "side": "sell", "client_order_id": 9, "quantity_lots": 3})
        await hall.step(1)
        await seller.hear(1)
        buyer.say({"type": "mass_cancel", "account": "account-2"})
        await hall.step(1, after_ns=4_000_000_000)
        (bought,), (sold,) = await buyer.hear(1), await seller.hear(1)
        for answer, order_id, side, remaining in ((bought, 1, "buy", 2), (sold, 9, "sell", 0)):
            assert (answer["type"], answer["client_order_id"], answer["role"]) == ("trade", order_id, "auction")
            assert (answer["side"], answer["quantity_lots"], answer["remaining_lots"]) == (side, 3, remaining)
            assert answer["price_ticks"] == 1000

    in_hall(scene)


async def holder_of_120_lots(hall: Hall) -> tuple[Client, Client]:
    """The clients of account 0, which buys 120 lots at 1000, and of account 1, which sells them."""
    holder, other = await hall.client(), await hall.client()
    for number, lots in ((1, 100), (2, 20)):
        order = ORDER | {"client_order_id": number, "quantity_lots": lots}
        other.say(order | {"account": "account-1", "side": "sell"})
        await hall.step(1)
        holder.say(order)
        await hall.step(1, after_ns=1_000_000_000)
    return holder, other


def test_liquidated_account_is_told(in_hall: Any) -> None:
    """Account 0 buys 120 lots at 1000; at the mark 880 it is blocked, and sold into a bid at 860 in slices of 50."""

    async def scene(hall: Hall) -> None:
        holder, other = await holder_of_120_lots(hall)
        holder.say(ORDER | {"client_order_id": 3, "price_ticks": 855, "quantity_lots": 1})
        await hall.step(1)
        assert [answer["type"] for answer in await holder.hear(5)] == ["accepted", "trade"] * 2 + ["accepted"]
        await other.hear(4)

        hall.pass_by(mark=880)
        blocked, canceled = await holder.hear(2)
        assert blocked == {"account": "account-0", "type": "blocked", "time_ns": hall.venue.daemon.time_ns}
        assert (canceled["type"], canceled["reason"]) == ("canceled", "account_killed")
        other.say(ORDER | {"account": "account-1", "client_order_id": 3, "price_ticks": 860, "quantity_lots": 500})
        await hall.step(1)
        await other.hear(1)
        for lots in (50, 50, 20):
            hall.pass_by()
            (closed,), (bought,) = await holder.hear(1), await other.hear(1)
            assert closed.pop("time_ns") > 0
            assert closed == {
                "account": "account-0",
                "type": "liquidation_trade",
                "instrument": "PERP-0",
                "side": "sell",
                "price_ticks": 860,
                "quantity_lots": lots,
                "remaining_lots": 0,
                "role": "taker",
            }
            assert (bought["type"], bought["client_order_id"], bought["role"]) == ("trade", 3, "maker")
        hall.pass_by()
        covered, restored = await holder.hear(2)
        assert (covered["type"], covered["amount_quote"]) == ("covered", 18_000 + 600 + 516)
        assert restored == {"account": "account-0", "type": "restored", "time_ns": hall.venue.daemon.time_ns}

    in_hall(scene, deposits=(150_000, 10_000_000), width_ppm=30_000)


def test_closing_order_that_collects_is_told_as_one_of_an_auction(in_hall: Any) -> None:
    """As in `test_one_closing_order_at_a_time_waits_for_the_auction`: 40 of 50 lots are sold at 854."""

    async def scene(hall: Hall) -> None:
        holder, other = await holder_of_120_lots(hall)
        await holder.hear(4)
        hall.venue.step(after_ns=31_000_000_000)
        hall.pass_by(mark=880)
        other.say(ORDER | {"account": "account-1", "client_order_id": 3, "price_ticks": 870, "quantity_lots": 40})
        await hall.step(1, after_ns=1_000_000_000)
        hall.pass_by()
        hall.pass_by()
        blocked, closed = await holder.hear(2)
        assert blocked["type"] == "blocked"
        told = {key: closed[key] for key in ("type", "role", "side", "price_ticks", "quantity_lots", "remaining_lots")}
        assert told == {
            "type": "liquidation_trade",
            "role": "auction",
            "side": "sell",
            "price_ticks": 854,
            "quantity_lots": 40,
            "remaining_lots": 10,
        }

    in_hall(scene, deposits=(150_000, 10_000_000), width_ppm=30_000)


def test_cancel_replace_and_mass_cancel(in_hall: Any) -> None:
    async def scene(hall: Hall) -> None:
        client = await hall.client()
        account = {"account": "account-0"}
        client.say(
            ORDER,
            {"type": "replace", **account, "client_order_id": 1, "price_ticks": 999, "quantity_lots": 2},
            {"type": "cancel", **account, "client_order_id": 1},
            ORDER | {"client_order_id": 2},
            {"type": "mass_cancel", **account},
        )
        await hall.step(5)
        answers = await client.hear(6)
        assert [answer["type"] for answer in answers] == [
            "accepted",
            "replaced",
            "canceled",
            "accepted",
            "canceled",
            "done",
        ]
        assert answers[2]["reason"] == "requested"
        assert answers[5]["canceled_orders"] == 1

    in_hall(scene)


def test_host_and_device_say_no(in_hall: Any) -> None:
    async def scene(hall: Hall) -> None:
        client = await hall.client()
        client.say({"type": "cancel", "account": "account-0", "client_order_id": 5}, ORDER | {"price_ticks": 1051})
        await hall.step(2)
        answers = {answer["type"]: answer for answer in await client.hear(2)}
        assert answers["refused"]["reason"] == "unknown_order"
        assert answers["rejected"]["reason"] == "outside_band"

    in_hall(scene)


def test_quotes_move_the_mark(in_hall: Any) -> None:
    async def scene(hall: Hall) -> None:
        client = await hall.client()
        for source in ("alpha", "beta", "gamma"):
            client.say({"type": "quote", "source": source, "instrument": "PERP-0", "price_ticks": 1040})
        await hall.step(3)
        client.say(ORDER | {"price_ticks": 1090, "quantity_lots": 1})
        await hall.step(1)
        assert [answer["type"] for answer in await client.hear(1)] == ["accepted"]

    in_hall(scene)


BAD_LINES = {
    "no json": ("{", "Invalid JSON"),
    "no object": ("[]", ""),
    "unknown type": ('{"type":"buy"}', "does not match any of the expected tags"),
    "missing key": (json.dumps({"type": "cancel", "account": "account-0"}), "client_order_id: Field required"),
    "unknown key": (json.dumps(ORDER | {"colour": "red"}), "colour: Extra inputs"),
    "repeated key": (
        '{"type":"cancel","account":"account-0","account":"account-1","client_order_id":1}',
        "account: stands there 2 times",
    ),
    "repeated key, escaped": (
        '{"type":"mass_cancel","account":"account-0","\\u0061ccount":"account-0"}',
        "account: stands there 2 times",
    ),
    "repeated key, nested": ('{"type":"mass_cancel","account":' + "[" * 2000 + ',"account":"account-0"}', ""),
    "zero quantity": (json.dumps(ORDER | {"quantity_lots": 0}), "quantity_lots: "),
    "too much": (json.dumps(ORDER | {"quantity_lots": 2**32}), "quantity_lots: "),
    "text for a number": (json.dumps(ORDER | {"quantity_lots": "5"}), "quantity_lots: Input should be a valid integer"),
    "price zero": (json.dumps(ORDER | {"price_ticks": 0}), "price_ticks: "),
    "no price": (json.dumps({k: v for k, v in ORDER.items() if k != "price_ticks"}), "a limit order needs price_ticks"),
    "market with price": (
        json.dumps(ORDER | {"order_type": "market", "time_in_force": "ioc"}),
        "a market order has no price_ticks",
    ),
    "post-only ioc": (json.dumps(ORDER | {"post_only": True, "time_in_force": "ioc"}), "a post_only order is"),
    "id zero": (json.dumps(ORDER | {"client_order_id": 0}), "client_order_id: "),
    "unknown account": (json.dumps(ORDER | {"account": "nobody"}), "account 'nobody' is unknown"),
    "unknown instrument": (json.dumps(ORDER | {"instrument": "GOLD"}), "instrument 'GOLD' is unknown"),
    "unknown source": (
        json.dumps({"type": "quote", "source": "delta", "instrument": "PERP-0", "price_ticks": 1}),
        "source 'delta' is unknown",
    ),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_bad_line_is_answered_and_the_next_one_taken(in_hall: Any, name: str) -> None:
    line, message = BAD_LINES[name]

    async def scene(hall: Hall) -> None:
        client = await hall.client()
        client.say(line, ORDER)
        await hall.step(1)
        error, accepted = await client.hear(2)
        assert (error["type"], error["line"]) == ("error", 1)
        assert message in error["message"]
        assert accepted["type"] == "accepted"

    in_hall(scene)


def test_endless_line_ends_the_connection(in_hall: Any) -> None:
    async def scene(hall: Hall) -> None:
        client = await hall.client()
        client.say("x" * 3 * LINE_BYTES)
        (error,) = await client.hear(1)
        assert error == {"type": "error", "line": 1, "message": f"longer than {LINE_BYTES} bytes"}
        other = await hall.client()
        other.say(ORDER)
        await hall.step(1)
        assert [answer["type"] for answer in await other.hear(1)] == ["accepted"]

    in_hall(scene)


def test_client_that_does_not_read_is_disconnected(in_hall: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(hall: Hall) -> None:
        deaf, other = await hall.client(), await hall.client()
        monkeypatch.setattr(front_door, "UNREAD_BYTES", -1)
        deaf.say(ORDER)
        await hall.step(1)
        assert await deaf.ended()
        monkeypatch.undo()
        other.say({"type": "mass_cancel", "account": "account-0"})
        await hall.step(1)
        assert [answer["type"] for answer in await other.hear(2)] == ["canceled", "done"]

    in_hall(scene)


def test_reading_waits_while_the_venue_is_busy(in_hall: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_door, "PENDING_MESSAGES", 2)

    async def scene(hall: Hall) -> None:
        client = await hall.client()
        client.say(*[ORDER | {"client_order_id": 1 + n, "quantity_lots": 1} for n in range(9)])
        order_ids = []
        while len(order_ids) < 9:
            intake = await hall.door.take(WAIT_S)
            assert 1 <= len(intake.requests) <= 1 + 2
            order_ids += [request.client_order_id for request in intake.requests]
        assert order_ids == list(range(1, 10))

    in_hall(scene)


def test_newest_connection_of_an_account_is_told(in_hall: Any) -> None:
    async def scene(hall: Hall) -> None:
        first, second = await hall.client(), await hall.client()
        first.say(ORDER)
        await hall.step(1)
        await first.hear(1)
        second.say({"type": "cancel", "account": "account-0", "client_order_id": 1})
        await hall.step(1)
        assert [answer["type"] for answer in await second.hear(1)] == ["canceled"]

    in_hall(scene)


def test_client_that_left_leaves_its_orders(in_hall: Any) -> None:
    async def scene(hall: Hall) -> None:
        first = await hall.client()
        first.say(ORDER)
        await hall.step(1)
        await first.hear(1)
        first.writer.close()
        second = await hall.client()
        second.say({"type": "mass_cancel", "account": "account-0"})
        await hall.step(1)
        assert [answer["type"] for answer in await second.hear(2)] == ["canceled", "done"]

    in_hall(scene)


def test_closing_ends_every_connection(in_hall: Any) -> None:
    async def scene(hall: Hall) -> None:
        client = await hall.client()
        client.say(ORDER)
        await hall.step(1)
        await client.hear(1)
        await hall.door.close()
        assert await client.ended()

    in_hall(scene)


@pytest.mark.parametrize(
    "spoken", [messages.Side, messages.OrderType, messages.TimeInForce, messages.SelfTradePrevention]
)
def test_every_member_of_the_protocol_has_a_name(spoken: Any) -> None:
    protocol = getattr(commands, spoken.__name__)
    assert {member.name: member.code for member in spoken} == {member.name: member.value for member in protocol}
