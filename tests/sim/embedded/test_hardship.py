"""What the appliance must bear: stalls and resets at any moment, full pools, crowded levels, wrapping generations."""

from collections.abc import Callable, Iterator
from itertools import product
from random import Random

import numpy as np
import pytest
from script import BUY, DECREMENT, FOK, GRANTED_QUOTE, GTC, IOC, SELL, Script, assert_same, kinds

from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.commands import OrderFlags
from bandgap.hdl.protocol.registers import BY_NAME
from bandgap.hdl.protocol.reports import Reason, ReportKind
from bandgap.host.wire import as_reports, report_headers, select_reports, without_cycles
from bandgap.sim.embedded import EmbeddedTransport, open_config

EPOCH = BY_NAME["epoch"].at()
SIZES = BookConfig(instruments=2, orders=64, ticks=64, accounts=4, links=2, word_bits=8)

Open = Callable[..., EmbeddedTransport]


@pytest.fixture
def open_device() -> Iterator[Open]:
    """Opens devices of these sizes, and closes them in the end."""
    opened: list[EmbeddedTransport] = []

    def opens(**options: int) -> EmbeddedTransport:
        opened.append(open_config(SIZES, **options))
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
        left = device.restart(2)
        assert_same(left, whole[: len(left)])
        device.send(second.commands)
        assert_same(device.receive(), expected)


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
    assert len(device.restart(1)) == 0
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


@pytest.mark.parametrize("side", [BUY, SELL])
def test_all_levels_populated_trade_from_the_best_on(open_device: Open, side: int) -> None:
    script = Script(SIZES, base_ticks=113)  # rows wrap within the window
    prices = list(range(113, 113 + script.window_ticks))
    Random(2).shuffle(prices)
    for token, price in enumerate(prices):
        script.new(token, side, price)
        script.new(32 + token, side, price, instrument=1, account=1)
    limit = 113 if side == BUY else 113 + script.window_ticks - 1
    for instrument in range(2):
        script.cancel(instrument and 32, instrument, account=instrument)
        script.new(instrument and 32, 3 - side, limit, 60, instrument, account=2, time_in_force=IOC)
    trades = select_reports(script.run(open_device()), ReportKind.TRADE)
    for instrument in range(2):
        traded = trades["price_ticks"][trades["header"]["instrument"] == instrument].tolist()
        assert traded == sorted(prices[1:], reverse=side == BUY)


@pytest.mark.parametrize("by", ["cancel", "trade"])
@pytest.mark.parametrize("side", [BUY, SELL])
def test_the_best_level_empties_again_and_again(open_device: Open, side: int, by: str) -> None:
    """The next best is as far away as it can be, so the search goes through all of the bitmap each time."""
    script = Script(SIZES, base_ticks=0)
    worst, best = (0, 31) if side == BUY else (31, 0)
    for instrument in range(2):
        script.new(instrument, side, worst, 9, instrument)
    for turn in range(60):
        instrument, token = turn % 2, 2 + turn % 5
        script.new(token, side, best, 1, instrument)
        if by == "cancel":
            script.cancel(token, instrument)
        else:
            script.new(8, 3 - side, best, 1, instrument, account=1, time_in_force=IOC)
    reports = script.run(open_device(stall_seed=3))
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
