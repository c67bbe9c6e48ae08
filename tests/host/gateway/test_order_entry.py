"""Order entry against the reference model: names, tokens, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.commands import Opcode, OrderType, SelfTradePrevention, Side, TimeInForce
from bandgap.hdl.protocol.reports import REPORT_BYTES, Reason, ReportKind
from bandgap.host.device.device import Device
from bandgap.host.gateway.order_entry import REQUEST_DTYPE, ClientIds, Encoded, OrderEntry, Refusal
from bandgap.host.wire import COMMAND_DTYPES, Bytes2D, Records, as_reports, new_commands, to_bytes
from bandgap.sim.model_device import ModelTransport

SLOTS = 8


def request(kind: Opcode, client_order_id: int, account: int = 1, **fields: int) -> Records:
    one: Records = np.zeros(1, REQUEST_DTYPE)
    one["kind"], one["client_order_id"], one["account"] = kind.value, client_order_id, account
    if kind is Opcode.NEW_ORDER:
        one["side"], one["order_type"] = Side.BUY.value, OrderType.LIMIT.value
        one["time_in_force"] = TimeInForce.GTC.value
        one["self_trade_prevention"] = SelfTradePrevention.OFF.value
        one["price_ticks"], one["quantity_lots"] = 100, 5
    for name, value in fields.items():
        one[name] = value
    return one


class Bench:
    """An order entry before a model with one open instrument; instrument 1 stays halted."""

    def __init__(self) -> None:
        config = BookConfig(instruments=2, orders=SLOTS, ticks=256, accounts=4)
        self.device = Device(ModelTransport(config))
        self.entry = OrderEntry(SLOTS)
        for instrument in range(2):
            window = new_commands(Opcode.SET_INSTRUMENT, 1)
            window["header"]["instrument"], window["window_base_ticks"] = instrument, 64
            window["multiplier_quote"], window["window_log2"] = 1, 6
            window["ladder_offset"] = 64 * instrument
            self._send(to_bytes(window))
        self._send(to_bytes(new_commands(Opcode.RESUME, 1)))
        for account in range(4):
            grant = new_commands(Opcode.GRANT_CREDIT, 1)
            grant["account"], grant["amount_quote"] = account, 1_000_000
            self._send(to_bytes(grant))

    def _send(self, commands: Bytes2D) -> Bytes2D:
        self.device.number(commands)
        self.device.send(commands)
        return self.device.receive()

    @property
    def live_orders(self) -> int:
        """Orders that the entry has sent and of whose end it does not know."""
        return len(self.entry._tokens)

    def run(self, *requests: Records) -> tuple[Encoded, Records, ClientIds]:
        """Encode, send, receive and follow; the reports are read as order reports."""
        encoded = self.entry.encode(np.concatenate(requests))
        reports = self._send(encoded.commands)
        return encoded, as_reports(reports, ReportKind.ACCEPTED), self.entry.follow(reports)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def kinds(reports: Records) -> list[str]:
    return [ReportKind(value).name for value in reports["header"]["kind"].tolist()]


def test_cancel_follows_its_order_in_one_batch(bench: Bench) -> None:
    _, reports, ids = bench.run(request(Opcode.NEW_ORDER, 7), request(Opcode.CANCEL, 7))
    assert kinds(reports) == ["ACCEPTED", "CANCELED"]
    assert ids.client_order_id.tolist() == [7, 7]
    assert bench.live_orders == 0


def test_ids_belong_to_accounts(bench: Bench) -> None:
    bench.run(request(Opcode.NEW_ORDER, 7, account=1), request(Opcode.NEW_ORDER, 7, account=2, price_ticks=90))
    _, reports, _ = bench.run(request(Opcode.CANCEL, 7, account=2))
    assert (reports["account"].tolist(), reports["price_ticks"].tolist()) == ([2], [90])


def test_trade_names_taker_and_maker(bench: Bench) -> None:
    bench.run(request(Opcode.NEW_ORDER, 7))
    _, reports, ids = bench.run(request(Opcode.NEW_ORDER, 8, account=2, side=Side.SELL.value))
    assert kinds(reports) == ["ACCEPTED", "TRADE"]
    assert ids.client_order_id.tolist() == [8, 8]
    assert ids.maker_client_order_id.tolist() == [0, 7]
    assert bench.live_orders == 0


def test_refusals_name_their_request(bench: Bench) -> None:
    bench.run(request(Opcode.NEW_ORDER, 7))
    encoded, _, _ = bench.run(
        request(Opcode.CANCEL, 9), request(Opcode.NEW_ORDER, 8), request(Opcode.NEW_ORDER, 7), request(Opcode.CANCEL, 8)
    )
    assert encoded.rows.tolist() == [1, 3]
    assert encoded.refused_rows.tolist() == [0, 2]
    assert encoded.refusals.tolist() == [Refusal.UNKNOWN_ORDER, Refusal.DUPLICATE_ID]


def test_book_full_until_an_end_is_reported(bench: Bench) -> None:
    orders = [request(Opcode.NEW_ORDER, 1 + n) for n in range(SLOTS)]
    encoded, _, _ = bench.run(*orders, request(Opcode.CANCEL, 1), request(Opcode.NEW_ORDER, 100))
    assert encoded.refusals.tolist() == [Refusal.BOOK_FULL]
    encoded, reports, _ = bench.run(request(Opcode.NEW_ORDER, 100))
    assert len(encoded.refusals) == 0
    assert kinds(reports) == ["ACCEPTED"]


def test_slots_are_reused_with_another_generation(bench: Bench) -> None:
    for n in range(1, 5 * SLOTS):
        _, reports, _ = bench.run(request(Opcode.NEW_ORDER, n), request(Opcode.CANCEL, n))
        assert kinds(reports) == ["ACCEPTED", "CANCELED"]


def test_rejected_order_frees_its_slot(bench: Bench) -> None:
    for n in range(1, 3 * SLOTS):
        _, reports, ids = bench.run(request(Opcode.NEW_ORDER, n, instrument=1), request(Opcode.CANCEL, n))
        assert reports["header"]["reason"].tolist() == [Reason.HALTED.value, Reason.UNKNOWN_ORDER.value]
        assert ids.client_order_id.tolist() == [n, n]
    assert bench.live_orders == 0


def test_replace_and_cancel_take_instrument_and_side_of_their_order(bench: Bench) -> None:
    bench.run(request(Opcode.NEW_ORDER, 7, side=Side.SELL.value))
    _, reports, _ = bench.run(request(Opcode.REPLACE, 7, price_ticks=101, quantity_lots=3))
    assert kinds(reports) == ["REPLACED"]
    assert reports["header"]["side"].tolist() == [Side.SELL.value]
    _, reports, _ = bench.run(request(Opcode.REPLACE, 7, price_ticks=101, quantity_lots=3, side=Side.BUY.value))
    assert reports["header"]["reason"].tolist() == [Reason.UNKNOWN_ORDER.value]


def test_mass_cancel_ends_all_orders_of_the_account(bench: Bench) -> None:
    bench.run(*[request(Opcode.NEW_ORDER, n, account=1 + n % 2) for n in range(1, 7)])
    _, reports, ids = bench.run(request(Opcode.MASS_CANCEL, 0, account=1))
    assert kinds(reports) == ["CANCELED"] * 3 + ["DONE"]
    assert ids.client_order_id.tolist() == [2, 4, 6, 0]
    assert bench.live_orders == 3


def test_slot_stays_taken_while_a_command_that_names_it_is_unanswered(bench: Bench) -> None:
    """The cancel's rejection comes after the order's end; until then no other order may own the slot."""
    encoded = bench.entry.encode(np.concatenate([request(Opcode.NEW_ORDER, n) for n in range(1, SLOTS + 1)]))
    bench.entry.follow(bench._send(encoded.commands))
    encoded = bench.entry.encode(np.concatenate([request(Opcode.CANCEL, 3), request(Opcode.CANCEL, 3)]))
    first, second = np.split(bench._send(encoded.commands), [1])
    bench.entry.follow(first)
    assert bench.entry.encode(request(Opcode.NEW_ORDER, 99)).refusals.tolist() == [Refusal.BOOK_FULL]
    assert bench.entry.follow(second).client_order_id.tolist() == [3]
    assert bench.entry.encode(request(Opcode.NEW_ORDER, 99)).rows.tolist() == [0]


def test_generation_skips_zero_and_the_last_accepted() -> None:
    entry = OrderEntry(1)
    entry._generation[0], entry._accepted_generation[0] = 65533, 1
    seen = []
    for n in range(1, 5):
        order = entry.encode(request(Opcode.NEW_ORDER, n)).commands.view(COMMAND_DTYPES[Opcode.NEW_ORDER])[0, 0]
        seen.append(int(order["generation"]))
        answer = np.zeros((1, REPORT_BYTES), np.uint8)
        as_reports(answer, ReportKind.REJECTED)["header"]["kind"] = ReportKind.REJECTED.value
        as_reports(answer, ReportKind.REJECTED)["generation"] = order["generation"]
        entry.follow(answer)
    assert seen == [65534, 65535, 2, 3]


@pytest.mark.parametrize("bad", [request(Opcode.NEW_ORDER, 0), request(Opcode.HALT, 1), request(Opcode.CANCEL, 0)])
def test_bad_request_changes_nothing(bench: Bench, bad: Records) -> None:
    with pytest.raises(ValueError, match="request 1: "):
        bench.entry.encode(np.concatenate([request(Opcode.NEW_ORDER, 1), bad]))
    assert bench.live_orders == 0


def test_slots_of_others_are_passed_over(bench: Bench) -> None:
    other = OrderEntry(token_count=2, token_first=SLOTS - 2)
    encoded = bench.entry.encode(request(Opcode.NEW_ORDER, 7))
    reports = bench._send(encoded.commands)
    assert other.follow(reports).client_order_id.tolist() == [0]
    assert bench.entry.follow(reports).client_order_id.tolist() == [7]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([Opcode.NEW_ORDER, Opcode.NEW_ORDER, Opcode.CANCEL, Opcode.REPLACE, Opcode.MASS_CANCEL]),
            st.integers(1, 12),
            st.integers(0, 3),
            st.integers(98, 102),
            st.sampled_from([Side.BUY.value, Side.SELL.value]),
            st.integers(1, 4),
        ),
        max_size=60,
    )
)
def test_entry_agrees_with_the_book(steps: list[tuple[Opcode, int, int, int, int, int]]) -> None:
    """Whatever is asked: the orders the entry thinks live are those in the book, and none is named wrongly."""
    bench = Bench()
    for batch in (steps[n : n + 5] for n in range(0, len(steps), 5)):
        requests = [
            request(
                kind,
                0 if kind is Opcode.MASS_CANCEL else client_id,
                account,
                price_ticks=price,
                quantity_lots=quantity,
                side=side if kind is Opcode.NEW_ORDER else 0,
            )
            for kind, client_id, account, price, side, quantity in batch
        ]
        encoded, reports, ids = bench.run(*requests)
        rows = {number: row for row, number in zip(encoded.rows, encoded.commands[:, 4].tolist(), strict=True)}
        for report, named in zip(reports, ids.client_order_id.tolist(), strict=True):
            if report["header"]["kind"] in (ReportKind.ACCEPTED.value, ReportKind.REPLACED.value):
                assert named == batch[rows[int(report["header"]["command_number"]) & 0xFF]][1]
            assert report["header"]["reason"] not in (Reason.SLOT_IN_USE.value, Reason.GENERATION_USED.value)
    live = bench.live_orders
    _, reports, _ = bench.run(*[request(Opcode.MASS_CANCEL, 0, account) for account in range(4)])
    assert kinds(reports).count("CANCELED") == live
    assert bench.live_orders == 0
