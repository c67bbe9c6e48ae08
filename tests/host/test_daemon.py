"""The daemon at its edges: bad input, devices and stores that do not fit, journals that do not agree."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from devices import DEVICE, Liar
from numpy.typing import NDArray

from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.commands import Side
from bandgap.hdl.protocol.reports import TradingState
from bandgap.host.config import ConfigError
from bandgap.host.daemon import Daemon
from bandgap.host.device import operator
from bandgap.host.oracle.oracle import Quote
from bandgap.host.recovery import DaemonError, JournalMismatchError, see_same_commands
from bandgap.host.settlement.store import Batch, Store, StoreError
from bandgap.host.step import Deposit, StepInput, StepInputError, StepResult
from bandgap.host.wire import Bytes2D
from bandgap.sim.model_device import ModelTransport

BUY, SELL = Side.BUY, Side.SELL
SECOND_NS = 1_000_000_000

Open = Callable[..., Any]
Kinds = Callable[..., list[str]]
Trades = Callable[[StepResult], list[tuple[int, int, int, int]]]


BAD_INPUTS = {
    "time": (lambda v: StepInput(v.daemon.time_ns - 1), "the last one ended"),
    "arrival": (lambda v: StepInput(v.daemon.time_ns, v.new(0, BUY, 1000, 1)), "arrivals of requests"),
    "account": (lambda v: StepInput(0, v.new(4, BUY, 1000, 1, arrival_ns=10**10)), "last one ended"),
    "unknown account": (
        lambda v: StepInput(v.daemon.time_ns, v.new(4, BUY, 1000, 1, arrival_ns=v.daemon.time_ns)),
        "request 0: no account 4, there are 4",
    ),
    "kind": (
        lambda v: StepInput(v.daemon.time_ns, v.new(0, BUY, 1000, 1, kind=18, arrival_ns=v.daemon.time_ns)),
        "request 0: kind 18",
    ),
    "id": (
        lambda v: StepInput(v.daemon.time_ns, v.new(0, BUY, 1, 1, client_order_id=0, arrival_ns=v.daemon.time_ns)),
        "client order id is zero",
    ),
    "source": (lambda v: StepInput(v.daemon.time_ns, quotes=[Quote(3, 0, 5, 0)]), "no oracle source 3"),
    "instrument": (lambda v: StepInput(v.daemon.time_ns, quotes=[Quote(0, 1, 5, 0)]), "no instrument 1"),
    "price": (lambda v: StepInput(v.daemon.time_ns, quotes=[Quote(0, 0, 0, 0)]), "price 0 of source 0"),
    "future": (lambda v: StepInput(v.daemon.time_ns, quotes=[Quote(0, 0, 5, 10**12)]), "from 1000000000000 ns"),
    "too much": (
        lambda v: StepInput(v.daemon.time_ns, deposits=[Deposit(0, 1 << 59), Deposit(1, 1 << 59)]),
        "all deposits reach 1152921504606846976",
    ),
    "deposit": (lambda v: StepInput(v.daemon.time_ns, deposits=[Deposit(0, 0)]), "not positive"),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_input_changes_nothing(open_venue: Open, name: str) -> None:
    venue = open_venue()
    first = venue.step(mark=1000)
    make, message = BAD_INPUTS[name]
    with pytest.raises(StepInputError, match=message):
        venue.daemon.step(make(venue))
    assert venue.daemon.sequence == first.sequence + 1
    assert venue.step().marks_ticks == (1000,)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"instruments": 3}, "needs 3 instruments, the device has 2"),
        ({"deposits": (1,) * 17}, "needs 17 accounts, the device has 16"),
        ({"window_ticks": 4096}, "needs 4096 ticks, the device has 2048"),
    ],
)
def test_venue_that_does_not_fit_the_device(open_venue: Open, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_venue(**config)


def test_device_with_one_link_is_refused(open_venue: Open) -> None:
    with pytest.raises(ConfigError, match="needs 2 links"):
        open_venue(device=BookConfig(instruments=2, orders=64, ticks=2048, accounts=8, links=1))


class Witness(ModelTransport):
    """A model that looks into the journal whenever commands are sent, from when it is told to."""

    def __init__(self, store: Store) -> None:
        super().__init__(DEVICE)
        self._store = store
        self.looks = False
        self.seen = 0

    def send(self, commands: Bytes2D, arrival_ns: NDArray[np.uint64] | None = None, link: int = 0) -> None:
        if self.looks:
            *_, last = self._store.batches()
            journaled = last.client_commands if link else last.operator_commands
            assert (last.reports, journaled) == (None, commands.tobytes())
            self.seen += len(commands)
        super().send(commands, arrival_ns, link)


def test_commands_are_in_the_journal_before_they_are_sent(open_venue: Open, make_config: Open) -> None:
    store = Store(None)
    witness = Witness(store)
    venue = open_venue()
    daemon = Daemon(make_config(), witness, store)
    witness.looks = True
    order = venue.new(0, BUY, 1000, 1, arrival_ns=5)
    daemon.step(StepInput(5, order, [Quote(source, 0, 1000, 5) for source in range(3)]))
    assert witness.seen > 1
    daemon.close()


def test_restart_finds_a_device_that_answers_otherwise(open_venue: Open, tmp_path: Any) -> None:
    path = tmp_path / "venue.sqlite"
    venue = open_venue(Store(path))
    venue.step(mark=1000)
    venue.daemon.close()
    store = Store(path)
    with pytest.raises(JournalMismatchError, match=r"batch 0, report 1: [0-9a-f]{128} now, [0-9a-f]{128} journaled"):
        Daemon(venue.config, Liar(DEVICE, report=1, byte=40), store)
    store.close()


class Restless(ModelTransport):
    """A model whose time goes on by itself before the clients' commands come, or before its reports are taken."""

    before_commands_ns = before_reports_ns = 0

    def send(self, commands: Bytes2D, arrival_ns: NDArray[np.uint64] | None = None, link: int = 0) -> None:
        if link and arrival_ns is not None:
            arrival_ns = arrival_ns + np.uint64(self.before_commands_ns)
        super().send(commands, arrival_ns, link)

    def receive(self) -> Bytes2D:
        self.advance(self.appliance.time_ns + self.before_reports_ns)
        return super().receive()


@pytest.mark.parametrize(
    ("before_commands_ns", "before_reports_ns", "message"),
    [(1, 0, "was 2000000001 ns, not 2000000000 ns"), (0, 60 * SECOND_NS, "was 62000000000 ns, not 2000000000 ns")],
)
def test_time_that_is_not_the_journal_s_settles_nothing(
    open_venue: Open, tmp_path: Any, before_commands_ns: int, before_reports_ns: int, message: str
) -> None:
    """A command that arrives later, and a watchdog that acts before its step is over."""
    path, device = tmp_path / "venue.sqlite", Restless(DEVICE)
    venue = open_venue(Store(path), transport=device)
    venue.step(mark=1000)
    device.before_commands_ns, device.before_reports_ns = before_commands_ns, before_reports_ns
    with pytest.raises(DaemonError, match=f"batch 1: the device's time {message}: this host stood still"):
        venue.step(venue.new(0, BUY, 1000, 1))
    venue.daemon.close()
    again = open_venue(Store(path))
    assert again.daemon.sequence == 2
    assert again.daemon.time_ns == 2 * SECOND_NS


def test_restart_under_other_rules_is_refused(open_venue: Open, tmp_path: Any) -> None:
    path = tmp_path / "venue.sqlite"
    open_venue(Store(path)).daemon.close()
    with pytest.raises(StoreError, match="the store began with other rules"):
        open_venue(Store(path), taker_fee_ppm=501)


def test_rules_may_be_written_otherwise_where_they_say_the_same(open_venue: Open, tmp_path: Any) -> None:
    """As an older version wrote them: without a key that has its default now, and in another order."""
    path = tmp_path / "venue.sqlite"
    venue = open_venue(Store(path))
    venue.daemon.close()
    rules = json.loads(venue.config.rules())
    assert rules.pop("timetable") is None
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE venue SET rules = ?", (json.dumps(dict(reversed(rules.items()))),))
    connection.close()
    venue = open_venue(Store(path))
    venue.step(mark=1000)
    digest = venue.daemon.digest
    venue.daemon.close()
    again = open_venue(Store(path))
    assert (again.daemon.sequence, again.daemon.digest) == (1, digest)
    again.daemon.close()
    with pytest.raises(StoreError, match="began with other rules: insurance_fund_quote is 50000 there, 50001 here"):
        open_venue(Store(path), insurance=50_001)


COMMANDS = np.concatenate([operator.halt(0), operator.resume(0), operator.halt(1)]).tobytes()


@pytest.mark.parametrize(
    ("decided", "message"),
    [
        (
            {"operator_commands": COMMANDS[:64]},
            f"operator_commands, number 2: none now, HALT {COMMANDS[64:].hex()}",
        ),
        (
            {"operator_commands": COMMANDS[:32] + COMMANDS[64:] + COMMANDS[64:]},
            f"operator_commands, number 1: HALT {COMMANDS[64:].hex()} now, RESUME {COMMANDS[32:64].hex()} journaled",
        ),
        (
            {"client_commands": COMMANDS[:32]},
            f"client_commands, number 0: HALT {COMMANDS[:32].hex()} now, none",
        ),
        (
            {"client_commands": bytes(32)},
            f"client_commands, number 0: no command {bytes(32).hex()} now, none",
        ),
        ({"client_arrivals_ns": bytes([1, 1] + [0] * 6)}, "client_arrivals_ns, number 0: 257 ns now, 5 ns journaled"),
    ],
)
def test_first_command_that_differs_is_named(decided: dict[str, bytes], message: str) -> None:
    journaled = Batch(7, 0, b"", b"", b"", COMMANDS, b"", bytes([5] + [0] * 7))
    with pytest.raises(JournalMismatchError, match=f"^batch 7, {message}"):
        see_same_commands(replace(journaled, **decided), journaled)


def test_restart_on_a_device_of_other_sizes_is_refused(open_venue: Open, tmp_path: Any) -> None:
    path = tmp_path / "venue.sqlite"
    open_venue(Store(path)).daemon.close()
    with pytest.raises(StoreError, match="other device sizes"):
        open_venue(Store(path), device=BookConfig(instruments=2, orders=128, ticks=2048, accounts=8))


def test_mark_that_positions_cannot_be_valued_at_is_none(open_venue: Open, tmp_path: Any) -> None:
    """2^31 lots at one quote unit a tick would be worth about 2^63 at 2^32 - 1 ticks; nobody holds PERP-0."""
    lots, high = 1 << 31, (1 << 32) - 1
    config = {"deposits": (1 << 58,) * 2, "instruments": 2, "multiplier_quote": 1}
    path = tmp_path / "venue.sqlite"
    venue = open_venue(Store(path), **config)
    venue.step(mark=1000)
    venue.step(venue.new(0, BUY, 1000, lots, instrument=1), venue.new(1, SELL, 1000, lots, instrument=1))
    assert venue.daemon.positions.lots.tolist() == [[0, lots], [0, -lots]]
    equity = venue.daemon.ledger.cash_quote.tolist()
    halted = venue.step(mark=high)
    assert halted.marks_ticks == (high, None)
    assert [(change.instrument, change.trading) for change in halted.trading_changes] == [(0, False), (1, False)]
    assert venue.daemon.margin.equity_quote.tolist() == equity
    venue.daemon.close()
    again = open_venue(Store(path), **config)
    assert again.daemon.sequence == 3
    called = again.step(mark=1000)
    assert called.marks_ticks == (1000, 1000)
    assert [change.state for change in called.trading_changes] == [TradingState.CALL] * 2


def test_position_worth_too_much_at_the_last_mark_stops_the_venue(open_venue: Open) -> None:
    """No fill of a venue comes to it: 2^50 lots at 1000 ticks of 10 quote units are worth about 2^63."""
    venue = open_venue()
    venue.step(mark=1000)
    venue.daemon.positions.lots[0, 0] = 1 << 50
    with pytest.raises(DaemonError, match="batch 1: PERP-0: a position of 1125899906842624 lots at mark 1000 is worth"):
        venue.step()


def test_rejected_operator_command_stops_the_venue(open_venue: Open) -> None:
    """Behind the daemon's back the window is moved, so that its next band lies outside."""
    venue = open_venue()
    venue.step(mark=1000)
    window = operator.set_instrument(
        0, window_base_ticks=64, window_ticks=64, ladder_offset=0, multiplier_quote=10, top_of_book=False, depth=False
    )
    commands = np.concatenate([operator.halt(), window])
    venue.daemon.device.number(commands)
    venue.daemon.device.send(commands)
    venue.daemon.device.receive()
    with pytest.raises(DaemonError, match="batch 1: the device rejects SET_BAND: OUTSIDE_WINDOW: host and device dis"):
        venue.step(mark=1100)


def test_liquidations_take_turns_behind_a_restart_too(open_venue: Open, tmp_path: Any) -> None:
    """Six accounts with 120 lots each and nobody who buys share the four slots for closing orders."""
    config = {"deposits": (150_000,) * 6 + (100_000_000,), "width_ppm": 30_000}
    path = tmp_path / "venue.sqlite"
    venue = open_venue(Store(path), **config)
    venue.step(mark=1000)
    for lots in (100, 20):
        venue.step(venue.new(6, SELL, 1000, 6 * lots), *[venue.new(account, BUY, 1000, lots) for account in range(6)])
    assert venue.step(mark=880).liquidation.kill == list(range(6))
    served = []
    for _ in range(3):
        served.append([order.account for order in venue.step().liquidation.close])
        venue.daemon.close()
        venue = open_venue(Store(path), **config)
    assert served == [[0, 1, 2, 3], [4, 5, 0, 1], [2, 3, 4, 5]]


def test_instrument_that_the_device_rejects_leaves_no_venue_in_the_store(open_venue: Open, tmp_path: Any) -> None:
    """No register tells the smallest window; corrected, the venue begins in the same store."""
    path = tmp_path / "venue.sqlite"
    store = Store(path)
    with pytest.raises(ConfigError, match=r"PERP-0 \(MALFORMED\): window_base_ticks 512, window_ticks 2, "):
        open_venue(store, window_ticks=2)
    store.close()
    assert open_venue(Store(path)).step(mark=1000).sequence == 0
