"""What the appliance must bear: stalls and resets at any moment, full pools, crowded levels, wrapping generations."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from random import Random

import numpy as np
import pytest
from script import BUY, DECREMENT, FOK, GRANTED_QUOTE, GTC, IOC, SELL, Script, assert_same, kinds

from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.commands import (
    ALL_INSTRUMENTS,
    Opcode,
    OrderFlags,
    ReferenceSource,
    ScheduledState,
    TradingMode,
)
from bandgap.hdl.protocol.registers import BY_NAME
from bandgap.hdl.protocol.reports import Reason, ReportKind, TradingState
from bandgap.host.device.transport import Bytes2D
from bandgap.host.wire import as_reports, report_headers, select_reports, without_cycles
from bandgap.sim.embedded import EmbeddedTransport, open_config
from bandgap.sim.flow.episode import Episode
from bandgap.sim.lab.compare import run_device
from bandgap.sim.model_device import ModelTransport

EPOCH = BY_NAME["epoch"].at()
SIZES = BookConfig(instruments=2, orders=64, ticks=64, accounts=4, links=2, word_bits=8)
DEEP = BookConfig(instruments=1, orders=128, ticks=64, accounts=4, links=2, word_bits=4)
"""Three levels of occupancy words, as the large presets have; the other has two."""

LADDERS = pytest.mark.parametrize("config", [SIZES, DEEP], ids=["two levels", "three levels"])

STRIDE = 13
"""Of a long script every so many cycles are tried: a prime, so that no rhythm of the script keeps in step with it."""

Open = Callable[..., EmbeddedTransport]


@pytest.fixture
def open_device() -> Iterator[Open]:
    """Opens devices, and closes them in the end."""
    opened: list[EmbeddedTransport] = []

    def opens(config: BookConfig = SIZES, **options: int) -> EmbeddedTransport:
        opened.append(open_config(config, **options))
        return opened[-1]

    yield opens
    for device in opened:
        device.close()


def busy(epoch: int = 1) -> Script:
    """A short time of everything: resting, trading, replacing, canceling, self-trades, bands, mass cancels."""
    script = Script(SIZES, epoch, depth={0})
    for instrument in range(2):
        script.band(100, 131, instrument)
        for token in range(8):
            price = 104 + 3 * (token % 4)
            script.new(8 * instrument + token, BUY, price, 4, instrument, account=token % 2)
        script.new(30, SELL, 104, 14, instrument, account=2, time_in_force=IOC)
        script.replace(8 * instrument + 1, BUY, 109, 6, instrument, account=1)
        script.new(31, SELL, 105, 9, instrument, account=0, mode=DECREMENT)
        script.new(32 + instrument, SELL, 107, 50, instrument, account=3, time_in_force=FOK)
        script.new(34 + instrument, SELL, 120, 2, instrument, account=3)
        script.cancel(8 * instrument + 4, instrument, account=0)
        script.band(100, 106, instrument)
        script.mass_cancel(1)
    script.mass_cancel(0)
    script.mass_cancel(3)
    return script


class Breaking:
    """An auction and a limit state are prepared; then time leaps, and timers act among all else that there is.

    Attributes
    ----------
    commands : What prepares, and what comes after the leap.
    """

    LEAP_NS = 3_500_000

    def __init__(self, epoch: int = 1) -> None:
        script = Script(SIZES, epoch, depth={0, 1})
        for instrument in range(2):
            script.add(
                Opcode.SET_BREAKER,
                instrument,
                limit_us=1_500,
                halt_us=1_000,
                call_us=1_000,
                extension_us=1_000,
                indicative_us=1_000,
                mode=TradingMode.CONTINUOUS.value,
            )
            script.add(
                Opcode.SET_DYNAMIC_BAND,
                instrument,
                short_width_ticks=9,
                short_bucket_us=1_000,
                short_buckets=4,
                long_width_ticks=14,
                long_bucket_us=1_000,
                long_buckets=8,
            )
            script.add(Opcode.SET_REFERENCE_RULE, instrument, width_ticks=9, source=ReferenceSource.LAST_TRADES.value)
            script.band(106, 124, instrument)
        script.add(Opcode.CALL, 0, duration_us=2_000)
        for token in range(12):  # they stand crossed
            side, price = (BUY, 112 + token % 7) if token % 2 else (SELL, 110 + token % 5)
            script.new(token, side, price, 1 + token % 4, account=token % 3)
        script.add(Opcode.SET_CALL_END, 1, extra_us=3_000)
        for token in range(16, 22):
            script.new(token, BUY, 107 + token % 6, 2, 1, account=token % 3)
        script.new(22, BUY, 124, 3, 1, account=1)  # at the bound: it becomes a halt, and the halt a call
        self._leap = len(script)
        for token in range(24, 34):  # instrument 0 trades again, 1 collects
            script.new(token, SELL if token % 3 else BUY, 108 + token % 9, 1 + token % 3, 1, account=token % 4)
            script.new(token + 12, SELL if token % 2 else BUY, 108 + token % 8, 2, account=token % 4, mode=DECREMENT)
        script.add(Opcode.SET_CALL_END, 1)  # so the call is over
        script.replace(16, BUY, 115, 3, 1, account=1)
        script.new(50, SELL, 107, 30, account=3, time_in_force=IOC)
        script.new(51, BUY, 118, 40, 1, account=3, time_in_force=FOK)
        script.new(52, BUY, 119, 40, 1, account=2, time_in_force=IOC)
        script.band(110, 121, 1)
        for instrument in range(2):
            script.add(Opcode.MOVE_WINDOW, instrument, window_base_ticks=109)
        script.kill(1)
        script.add(Opcode.SET_SCHEDULE, 0, at_ns=1, state=ScheduledState.PRE_OPEN.value)  # long past: at once
        for token in range(53, 60):
            script.new(token, SELL if token % 2 else BUY, 113 + token % 3, 4, account=3 * (token % 2))
        script.add(Opcode.HALT, ALL_INSTRUMENTS, duration_us=1_000)
        script.mass_cancel(0)
        script.add(Opcode.RESUME, ALL_INSTRUMENTS)
        self._script = script
        self.commands = script.commands[: self._leap], script.commands[self._leap :]

    def episode(self, begin_ns: int) -> Episode:
        """All of it, from a time on."""
        arrivals_ns = np.full(len(self._script), begin_ns, np.uint64)
        arrivals_ns[self._leap :] += np.uint64(self.LEAP_NS)
        return replace(self._script.episode(), arrivals_ns=arrivals_ns, end_ns=begin_ns + self.LEAP_NS)

    def expected(self, begin_ns: int) -> Bytes2D:
        """What the model reports."""
        return run_device(ModelTransport(SIZES), self.episode(begin_ns))

    def prepare(self, device: EmbeddedTransport, begin_ns: int) -> Bytes2D:
        """Send what comes before the leap, in a new epoch; its reports."""
        device.write_register(EPOCH, 1)
        device.send(self.commands[0], np.full(self._leap, begin_ns, np.uint64))
        return device.receive()

    def length_cycles(self, device: EmbeddedTransport) -> int:
        """How many cycles a device is busy from the leap on."""
        begin_ns = device.time_ns
        self.prepare(device, begin_ns)
        started = device.cycles
        device.advance(begin_ns + self.LEAP_NS)
        device.send(self.commands[1])
        device.receive()
        return device.cycles - started


def length_cycles(device: EmbeddedTransport, script: Script) -> int:
    """How many cycles a device is busy with a script, its resetting left out."""
    started = device.cycles
    device.send(script.commands)
    device.receive()
    return device.cycles - started


# Stalls


@pytest.mark.parametrize("stall_cycles", [1, 2, 3, 7, 40, 1_000])
def test_reports_held_back_at_any_moment_come_out_the_same(open_device: Open, stall_cycles: int) -> None:
    device, script = open_device(), busy()
    expected, commands = without_cycles(script.run(device)), script.commands
    device.write_register(EPOCH, 1)
    for moment in range(length_cycles(device, script)):
        device.write_register(EPOCH, 1)
        before = device.offer(commands, moment)
        during = device.offer(commands[before:], stall_cycles, take_reports=False)
        device.send(commands[before + during :])
        assert_same(device.receive(), expected)


def test_the_breaking_script_has_it_all(open_device: Open) -> None:
    reports = run_device(open_device(), Breaking().episode(0))
    expected = Breaking().expected(0)
    assert_same(reports, expected)
    assert {*kinds(expected)} == {*ReportKind} - {ReportKind.TOP_OF_BOOK, ReportKind.LEVEL}
    changes = select_reports(expected, ReportKind.TRADING_STATE)
    assert {*changes["state"].tolist()} == {state.value for state in TradingState if state is not TradingState.CLOSED}
    by_timer = changes["header"]["command_number"] == 0
    assert {*changes["header"]["reason"][by_timer].tolist()} == {
        reason.value for reason in (Reason.LIMIT, Reason.HALT_OVER, Reason.CALL_OVER, Reason.SCHEDULE)
    }


@pytest.mark.parametrize("stall_cycles", [3, 300])
def test_reports_held_back_while_timers_act_come_out_the_same(open_device: Open, stall_cycles: int) -> None:
    device, script = open_device(), Breaking()
    for moment in range(stall_cycles % STRIDE, script.length_cycles(device), STRIDE):
        begin_ns = device.time_ns + Breaking.LEAP_NS
        reports = [script.prepare(device, begin_ns)]
        _, commands = script.commands
        before = device.offer(commands, moment, time_ns=begin_ns + Breaking.LEAP_NS)
        during = device.offer(commands[before:], stall_cycles, take_reports=False)
        device.send(commands[before + during :])
        reports.append(device.receive())
        assert_same(np.concatenate(reports), script.expected(begin_ns))


def test_a_replace_knows_whether_it_takes_when_best_price_and_side_change_before_it(open_device: Open) -> None:
    """The best ask vanishes and is sought; meanwhile the order to be replaced comes into a slot that held a sell.

    An order of the same account stands between the two and waits for its balance, so that the replace waits as well.
    """
    device = open_device()
    for first, second in product(range(6), repeat=2):
        script = Script(SIZES, top_of_book=False)
        script.new(0, SELL, 104, account=1)
        script.new(1, SELL, 120, account=1)
        script.new(2, SELL, 125, account=2)
        script.cancel(2, account=2)
        before = len(script)
        script.cancel(0, account=1)
        script.new(2, BUY, 100, account=3)
        script.new(3, BUY, 100, account=3)
        script.replace(2, BUY, 110, 1, account=3)
        device.write_register(EPOCH, 1)
        device.send(script.commands[:before])
        device.offer(script.commands[:0], 30)  # all of it is in place
        for place, distance in enumerate((first, second, 0, 0), before):
            device.send(script.commands[place : place + 1])
            device.offer(script.commands[:0], distance)
        assert_same(device.receive(), script.expected())


def test_commands_that_come_at_any_distance_are_answered_the_same(open_device: Open) -> None:
    device, script = open_device(), busy()
    expected = without_cycles(script.run(device))
    for distance in range(12):
        device.write_register(EPOCH, 1)
        for place in range(len(script)):
            device.send(script.commands[place : place + 1])
            device.offer(script.commands[:0], distance)
        assert_same(device.receive(), expected)


# Resets


@pytest.mark.parametrize("take_reports", [True, False])
def test_a_reset_in_any_cycle_leaves_nothing_behind(open_device: Open, take_reports: bool) -> None:
    """And commands that follow at once, while memories clear, wait for it."""
    device, first, second = open_device(), busy(epoch=1), busy(epoch=2)
    whole, expected = first.expected(), second.expected()
    device.write_register(EPOCH, 1)
    for moment in range(length_cycles(device, first) + 3):
        device.write_register(EPOCH, 1)
        device.offer(first.commands, moment, take_reports=take_reports)
        left, taken = device.restart(2, second.commands)
        assert_same(left, whole[: len(left)])
        assert taken == 0  # what a link holds ready must not be lost in the reset
        device.send(second.commands)
        assert_same(device.receive(), expected)


@pytest.mark.parametrize("take_reports", [True, False])
def test_a_reset_while_timers_act_leaves_nothing_behind(open_device: Open, take_reports: bool) -> None:
    """No auction, no state and no deadline: the second epoch's leap goes beyond those of the first."""
    device, first, second = open_device(), Breaking(epoch=1), Breaking(epoch=2)
    for moment in range(6 * take_reports, first.length_cycles(device) + 3, STRIDE):
        begin_ns = device.time_ns + Breaking.LEAP_NS
        prepared = first.prepare(device, begin_ns)
        device.offer(first.commands[1], moment, take_reports=take_reports, time_ns=begin_ns + Breaking.LEAP_NS)
        again = second.episode(device.time_ns)
        left, taken = device.restart(2, again.commands)
        assert_same(left, first.expected(begin_ns)[len(prepared) :][: len(left)])
        assert taken == 0
        device.send(again.commands, again.arrivals_ns)
        assert_same(device.receive(), second.expected(int(again.arrivals_ns[0])))


def test_a_reset_in_any_cycle_of_a_reset_begins_it_again(open_device: Open) -> None:
    device, script = open_device(), busy(epoch=2)
    script.run(device)
    expected = script.expected()
    for moment in range(2 * SIZES.orders + 10):
        device.restart(1)
        device.offer(busy(epoch=1).commands, moment)
        device.restart(2)
        device.send(script.commands)
        assert_same(device.receive(), expected)


def test_no_command_is_answered_while_memories_clear(open_device: Open) -> None:
    device, script = open_device(), busy()
    device.restart(1)
    device.offer(script.commands, SIZES.orders // 2)
    assert len(device.restart(1)[0]) == 0
    device.send(script.commands)
    assert_same(device.receive(), script.expected())


@pytest.mark.parametrize("memory_seed", range(1, 21))
def test_what_memories_hold_at_first_does_not_matter(open_device: Open, memory_seed: int) -> None:
    busy().run(open_device(memory_seed=memory_seed))


# Crowds


def test_a_full_pool_says_so_and_takes_the_next_when_one_leaves(open_device: Open) -> None:
    script = Script(SIZES)
    for token in range(SIZES.orders):
        script.new(token, BUY, 100 + token % 32, instrument=token % 2)
    begin = len(script)
    for token in range(SIZES.orders):
        script.new(token, SELL, 100)
    for token in range(SIZES.orders):
        script.cancel(token, instrument=token % 2)
        script.new(token, SELL, 131, instrument=1)
    reports = script.run(open_device())
    answers = report_headers(reports)["command_number"] > begin
    found = kinds(reports[answers])
    assert found[: SIZES.orders] == [ReportKind.REJECTED] * SIZES.orders
    rejected = select_reports(reports, ReportKind.REJECTED)
    assert set(rejected["header"]["reason"][: SIZES.orders].tolist()) == {Reason.SLOT_IN_USE.value}


def test_all_orders_in_one_level_trade_in_their_order(open_device: Open) -> None:
    script = Script(SIZES)
    tokens = list(range(SIZES.orders))
    Random(1).shuffle(tokens)
    taker, *makers = tokens
    for token in makers:
        script.new(token, SELL, 110)
    gone = [makers[0], makers[-1], *makers[20:30:3], makers[1]]
    for token in gone:  # the head, the tail, some of the middle, the head again
        script.cancel(token)
    back = makers[5]
    script.replace(back, SELL, 110, 2)  # loses its place
    script.new(taker, BUY, 110, SIZES.orders, account=1, time_in_force=IOC)
    trades = select_reports(script.run(open_device()), ReportKind.TRADE)
    assert trades["maker_token"].tolist() == [token for token in makers if token not in {*gone, back}] + [back]


@LADDERS
@pytest.mark.parametrize("side", [BUY, SELL])
def test_all_levels_populated_trade_from_the_best_on(open_device: Open, config: BookConfig, side: int) -> None:
    script = Script(config, base_ticks=113)  # rows wrap within the window
    levels = script.window_ticks
    prices = list(range(113, 113 + levels))
    Random(2).shuffle(prices)
    for token, price in enumerate(prices):
        for instrument in range(config.instruments):
            script.new(instrument * levels + token, side, price, 1, instrument, instrument)
    limit = 113 if side == BUY else 113 + levels - 1
    for instrument in range(config.instruments):
        script.cancel(instrument * levels, instrument, account=instrument)
        script.new(instrument * levels, 3 - side, limit, 2 * levels, instrument, account=2, time_in_force=IOC)
    trades = select_reports(script.run(open_device(config)), ReportKind.TRADE)
    for instrument in range(config.instruments):
        traded = trades["price_ticks"][trades["header"]["instrument"] == instrument].tolist()
        assert traded == sorted(prices[1:], reverse=side == BUY)


@LADDERS
def test_both_sides_of_all_levels_cross_in_a_call_and_trade_at_its_end(open_device: Open, config: BookConfig) -> None:
    script = Script(config, base_ticks=113)
    levels = script.window_ticks
    prices = list(range(113, 113 + levels))
    script.add(Opcode.SET_BREAKER, call_us=1_000, extension_us=1_000, mode=TradingMode.CONTINUOUS.value)
    script.add(Opcode.CALL, duration_us=1_000)
    orders = list(product((BUY, SELL), prices))
    Random(4).shuffle(orders)
    for token, (side, price) in enumerate(orders):
        script.new(token, side, price, account=side % 2)
    episode = replace(script.episode(), end_ns=1_000_000)
    reports = run_device(open_device(config), episode)
    assert_same(reports, run_device(ModelTransport(config), episode))
    trades = select_reports(reports, ReportKind.TRADE)
    assert select_reports(reports, ReportKind.UNCROSSED)["trades"].tolist() == [len(trades)] == [levels // 2]
    buys, sells = ([orders[token] for token in trades[field].tolist()] for field in ("token", "maker_token"))
    assert buys == [(BUY, price) for price in reversed(prices[levels // 2 :])]
    assert sells == [(SELL, price) for price in prices[: levels // 2]]


@LADDERS
@pytest.mark.parametrize("by", ["cancel", "trade"])
@pytest.mark.parametrize("side", [BUY, SELL])
def test_the_best_level_empties_again_and_again(open_device: Open, config: BookConfig, side: int, by: str) -> None:
    """The next best is as far away as it can be, so the search goes through all of the bitmap each time."""
    script = Script(config, base_ticks=0)
    worst, best = (0, script.window_ticks - 1) if side == BUY else (script.window_ticks - 1, 0)
    for instrument in range(config.instruments):
        script.new(instrument, side, worst, 9, instrument)
    for turn in range(60):
        instrument, token = turn % config.instruments, 2 + turn % 5
        script.new(token, side, best, 1, instrument)
        if by == "cancel":
            script.cancel(token, instrument)
        else:
            script.new(8, 3 - side, best, 1, instrument, account=1, time_in_force=IOC)
    reports = script.run(open_device(config, stall_seed=3))
    tops = select_reports(reports, ReportKind.TOP_OF_BOOK)
    field = "bid_price_ticks" if side == BUY else "ask_price_ticks"
    assert tops[field].tolist()[-120:] == [best, worst] * 60


def test_generations_wrap_around(open_device: Open) -> None:
    script = Script(SIZES)
    for generation in range(1, (1 << 16) + 3):
        script.new(5, BUY, 110, generation=generation & 0xFFFF)
        script.cancel(5)
    script.new(5, BUY, 110, generation=2)  # the last one accepted there
    reports = script.run(open_device())
    canceled = select_reports(reports, ReportKind.CANCELED)
    assert len(canceled) == (1 << 16) + 2
    assert canceled["generation"][[0, 65_534, 65_535, 65_536]].tolist() == [1, 65_535, 0, 1]
    assert as_reports(reports, ReportKind.REJECTED)["header"]["reason"][-1] == Reason.GENERATION_USED.value


def test_a_mass_cancel_of_a_full_pool_answers_in_ascending_token(open_device: Open) -> None:
    script = Script(SIZES)
    tokens = list(range(SIZES.orders))
    Random(3).shuffle(tokens)
    for token in tokens:
        script.new(token, SELL, 100 + token % 32, instrument=token % 2, account=1)
    script.mass_cancel(1)
    script.new(0, BUY, 131, time_in_force=GTC)  # waits behind it and finds nothing
    canceled = select_reports(script.run(open_device()), ReportKind.CANCELED)
    assert canceled["token"].tolist() == sorted(tokens)


def test_cycle_counters_follow_the_clock(open_device: Open) -> None:
    """Commands that come one by one, far apart: each is seen at once, and its reports leave one after the other."""
    device, script = open_device(), busy()
    device.write_register(EPOCH, 1)
    offset = None
    for place in range(len(script)):
        sent_cycle = device.cycles
        device.send(script.commands[place : place + 1])
        headers = report_headers(device.receive())
        entries, exits = headers["entry_cycle"].astype(np.int64), headers["exit_cycle"].astype(np.int64)
        offset = sent_cycle - entries[0] if offset is None else offset
        assert (entries == sent_cycle - offset).all()
        assert (np.diff(exits) > 0).all()
        assert entries[0] < exits[0] < entries[0] + device.cycles - sent_cycle


def test_a_post_only_order_keeps_its_place_in_a_halted_book_that_stands_crossed(open_device: Open) -> None:
    """What a call has collected stays behind a halt: the order would trade, but a replace in place never does."""
    script = Script(SIZES)
    script.new(0, BUY, 110, 5, flags=OrderFlags.POST_ONLY.value)
    script.call(1_000_000)
    script.new(1, SELL, 105, 5, account=1)
    script.halt()
    begin = len(script)
    script.replace(0, BUY, 110, 3)
    reports = script.run(open_device())
    assert kinds(reports[report_headers(reports)["command_number"] > begin]) == [ReportKind.REPLACED]


def test_orders_at_any_distance_spend_a_balance_once(open_device: Open) -> None:
    """What one order takes is gone for the next, also where it has not reached the account yet."""
    device = open_device()
    price_ticks, quantity_lots = 127, (1 << 20) - 1  # a balance of three such orders is surely enough for one
    for affordable, distance in product(range(1, 5), range(9)):
        script = Script(SIZES, top_of_book=False)
        script.grant(1, affordable * price_ticks * quantity_lots - GRANTED_QUOTE)
        before = len(script)
        for token in range(6):
            script.new(token, BUY, price_ticks, quantity_lots, account=1)
        device.write_register(EPOCH, 1)
        device.send(script.commands[:before])
        device.offer(script.commands[:0], 30)  # all of it is in place
        for place in range(before, len(script)):
            device.send(script.commands[place : place + 1])
            device.offer(script.commands[:0], distance)
        reports = device.receive()
        assert_same(reports, script.expected())
        assert kinds(reports).count(ReportKind.ACCEPTED) == affordable


@pytest.mark.parametrize("link", [SIZES.links, 255])
def test_what_comes_by_a_link_that_there_is_not_is_malformed(open_device: Open, link: int) -> None:
    """A wire's format has room for more links than a device has; the last link's slots are not theirs."""
    device, script = open_device(), Script(SIZES)
    script.new(0, BUY, 110, 5)
    device.write_register(EPOCH, 1)
    device.send(script.commands)
    device.receive()
    refused = Script(SIZES)
    before = len(refused)
    refused.new(1, BUY, 110, 5)
    refused.cancel(0)
    refused.grant(1, -GRANTED_QUOTE)
    refused.halt()
    for place in range(before, len(refused)):
        assert device.offer(refused.commands[place : place + 1], 200, link=link) == 1
        (report,) = select_reports(device.receive(), ReportKind.REJECTED)
        assert (report["header"]["reason"], report["header"]["link"]) == (Reason.MALFORMED.value, link)
    goes_on = len(script)
    script.new(1, SELL, 110, 5, account=1)
    device.send(script.commands[goes_on:])
    assert kinds(device.receive())[:2] == [ReportKind.ACCEPTED, ReportKind.TRADE]
