"""Depth on the device: which levels are told, when, whatever holds reports back, and the book that they add up to."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from script import BUY, DECREMENT, FOK, IOC, SELL, Script

from bandgap.hdl.config import PRESETS, BookConfig
from bandgap.hdl.protocol.commands import InstrumentFlags, Opcode, Side
from bandgap.hdl.protocol.reports import ReportFlags, ReportKind
from bandgap.host.device.transport import Bytes2D
from bandgap.host.gateway.depth import Depth
from bandgap.host.wire import COMMAND_DTYPES, as_reports, report_headers, select_reports, without_cycles
from bandgap.sim.embedded import EmbeddedTransport, open_config
from bandgap.sim.flow.random_commands import random_episodes
from bandgap.sim.lab.compare import run_device

SIZES = BookConfig(instruments=2, orders=64, ticks=64, accounts=4, links=2, word_bits=8)
STALLS = [0, 1, 2, 3]
BOTH = InstrumentFlags.TOP_OF_BOOK.value + InstrumentFlags.DEPTH.value

Open = Callable[..., EmbeddedTransport]


@pytest.fixture
def open_device() -> Iterator[Open]:
    """Opens devices of these sizes, and closes them in the end."""
    opened: list[EmbeddedTransport] = []

    def opens(stall_seed: int) -> EmbeddedTransport:
        opened.append(open_config(SIZES, stall_seed=stall_seed))
        return opened[-1]

    yield opens
    for device in opened:
        device.close()


def told(reports: Bytes2D, number: int) -> list[str]:
    """The reports of one command as short lines; behind its last one stands a bar."""
    lines = []
    headers = report_headers(reports)
    for row in np.flatnonzero(headers["command_number"] == number):
        header = headers[row]
        line = ReportKind(header["kind"]).name
        if line == "LEVEL":
            level = as_reports(reports, ReportKind.LEVEL)[row]
            line = f"{Side(header['side']).name} {level['quantity_lots']}@{level['price_ticks']}"
        lines.append(line)
        if header["flags"] & ReportFlags.LAST.value:
            lines.append("|")
    return lines


@pytest.mark.parametrize("stall_seed", STALLS)
def test_a_taker_tells_a_level_before_it_meets_the_next(open_device: Open, stall_seed: int) -> None:
    script = Script(SIZES, top_of_book=False, depth={0})
    for token, price in enumerate((104, 104, 105, 109)):
        script.new(token, SELL, price, 2)
    script.new(4, BUY, 110, 7, account=1)
    taker = len(script)
    script.new(5, BUY, 111, 3, account=1)
    rests = len(script)
    script.new(6, SELL, 111, 1, account=2, time_in_force=IOC)
    reports = script.run(open_device(stall_seed))
    assert told(reports, taker) == [
        *("ACCEPTED", "TRADE", "TRADE", "SELL 0@104", "TRADE", "SELL 0@105", "TRADE", "|"),
        "SELL 1@109",
    ]
    assert told(reports, rests) == ["ACCEPTED", "TRADE", "|", "SELL 0@109", "BUY 2@111"]
    assert told(reports, rests + 1) == ["ACCEPTED", "TRADE", "|", "BUY 1@111"]


@pytest.mark.parametrize("stall_seed", STALLS)
def test_fill_or_kill_and_self_trades_tell_what_they_change(open_device: Open, stall_seed: int) -> None:
    script = Script(SIZES, top_of_book=False, depth={0})
    script.new(0, SELL, 104, 2)
    script.new(1, SELL, 105, 2, account=1)
    script.new(2, BUY, 105, 5, account=2, time_in_force=FOK)
    killed = len(script)
    script.new(3, BUY, 105, 3, account=2, time_in_force=FOK)
    script.new(4, BUY, 107, 3, account=1, mode=DECREMENT)
    reports = script.run(open_device(stall_seed))
    assert told(reports, killed) == ["ACCEPTED", "CANCELED", "|"]
    assert told(reports, killed + 1) == ["ACCEPTED", "TRADE", "SELL 0@104", "TRADE", "|", "SELL 1@105"]
    assert told(reports, killed + 2) == ["ACCEPTED", "CANCELED", "CANCELED", "|", "SELL 0@105", "BUY 2@107"]


@pytest.mark.parametrize("stall_seed", STALLS)
def test_a_replace_tells_what_it_leaves_and_where_it_goes(open_device: Open, stall_seed: int) -> None:
    script = Script(SIZES, top_of_book=False, depth={0})
    script.new(0, BUY, 104, 5)
    first = len(script) + 1
    script.replace(0, BUY, 104, 3)  # in place
    script.replace(0, BUY, 104, 3)  # the same again
    script.replace(0, BUY, 104, 4)  # to the back of its level
    script.replace(0, BUY, 106, 4)
    script.new(1, SELL, 108, 1, account=1)
    script.new(2, SELL, 109, 1, account=1)
    script.replace(0, BUY, 110, 4)
    reports = script.run(open_device(stall_seed))
    assert [told(reports, first + place) for place in range(4)] == [
        ["REPLACED", "|", "BUY 3@104"],
        ["REPLACED", "|", "BUY 3@104"],
        ["REPLACED", "|", "BUY 4@104"],
        ["REPLACED", "|", "BUY 0@104", "BUY 4@106"],
    ]
    assert told(reports, first + 6) == [
        *("REPLACED", "BUY 0@106", "TRADE", "SELL 0@108", "TRADE", "|"),
        *("SELL 0@109", "BUY 2@110"),
    ]


@pytest.mark.parametrize("stall_seed", STALLS)
@pytest.mark.parametrize("command", ["mass_cancel", "kill"])
def test_a_sweep_tells_behind_each_order_of_the_instruments_that_are_told(
    open_device: Open, command: str, stall_seed: int
) -> None:
    script = Script(SIZES, top_of_book=False, depth={1})
    for token in range(6):
        script.new(token, BUY, 104 + token // 4, 1 + token, instrument=token % 2)
    script.new(6, BUY, 105, 9, instrument=1, account=1)
    getattr(script, command)(0)
    reports = script.run(open_device(stall_seed))
    assert told(reports, len(script)) == [
        *("CANCELED", "CANCELED", "BUY 4@104", "CANCELED", "CANCELED", "BUY 0@104"),
        *("CANCELED", "CANCELED", "BUY 9@105", "DONE", "|"),
    ]


@pytest.mark.parametrize("stall_seed", STALLS)
def test_a_band_that_moves_tells_behind_each_order(open_device: Open, stall_seed: int) -> None:
    script = Script(SIZES, top_of_book=False, depth={0})
    for token, price in enumerate((120, 118, 118, 110)):
        script.new(token, BUY, price, 1 + token)
    script.new(4, SELL, 121, 1)
    script.band(122, 131)
    asks = len(script)
    script.band(100, 110)
    reports = script.run(open_device(stall_seed))
    assert told(reports, asks) == ["CANCELED", "SELL 0@121", "BAND_MOVED", "|"]
    assert told(reports, asks + 1) == [
        *("CANCELED", "BUY 0@120", "CANCELED", "BUY 3@118", "CANCELED", "BUY 0@118"),
        *("BAND_MOVED", "|", "TRADING_STATE"),  # the bid at 110 stands at the bound
    ]


def crowd(*, depth: bool) -> Script:
    """Orders of two instruments that rest, move, trade through several levels and are swept."""
    script = Script(SIZES, depth={0, 1} if depth else ())
    for instrument in range(2):
        for token in range(16):
            script.new(16 * instrument + token, BUY, 110 + token % 5, 4, instrument, account=token % 2)
        script.new(40, SELL, 112, 30, instrument, account=2, time_in_force=IOC)
        script.replace(16 * instrument, BUY, 113, 6, instrument)
        script.new(41, SELL, 111, 50, instrument, account=3)
    script.mass_cancel(0)
    script.mass_cancel(3)
    return script


def test_depth_changes_no_other_report(open_device: Open) -> None:
    device = open_device(0)
    plain, rich = (without_cycles(crowd(depth=depth).run(device)) for depth in (False, True))
    others = rich[report_headers(rich)["kind"] != ReportKind.LEVEL.value].copy()
    assert len(others) < len(rich)
    report_headers(others)["number"] = report_headers(plain)["number"]
    assert np.array_equal(others, plain)


def test_levels_wait_for_nothing_but_the_output(open_device: Open) -> None:
    """A report leaves in every cycle that reports are taken in where several levels wait."""
    script = Script(SIZES, top_of_book=False, depth={0})
    script.new(0, BUY, 104)
    script.replace(0, BUY, 106, 1)
    exits = report_headers(script.run(open_device(0)))["exit_cycle"].tolist()
    assert exits[-1] == exits[-2] + 1


@pytest.mark.parametrize("config", [SIZES, PRESETS["formal"]], ids=["small", "formal"])
@pytest.mark.parametrize("stall_seed", [0, 5])
def test_the_best_of_the_rebuilt_book_is_the_top_of_book(config: BookConfig, stall_seed: int, seed: int) -> None:
    """Every instrument tells both, levels first."""
    device = open_config(config, stall_seed=stall_seed)
    agreed = 0
    for episode in islice(random_episodes(config, seed), 60):
        commands = episode.commands.copy()
        definitions = commands.view(COMMAND_DTYPES[Opcode.SET_INSTRUMENT])[:, 0]
        definitions["flags"][definitions["header"]["opcode"] == Opcode.SET_INSTRUMENT.value] = BOTH
        depth = Depth()
        reports = run_device(device, replace(episode, commands=commands))
        headers, tops = report_headers(reports), as_reports(reports, ReportKind.TOP_OF_BOOK)
        followed = 0
        for row in np.flatnonzero(headers["kind"] == ReportKind.TOP_OF_BOOK.value):
            depth.follow(reports[followed:row])
            instrument, top, followed = int(headers["instrument"][row]), tops[row], row
            assert depth.best(instrument, Side.BUY) == (top["bid_price_ticks"], top["bid_quantity_lots"])
            assert depth.best(instrument, Side.SELL) == (top["ask_price_ticks"], top["ask_quantity_lots"])
            agreed += 1
    device.close()
    assert agreed > 500


def test_every_quantity_fits(open_device: Open) -> None:
    """A level can hold all of the pool at the largest quantity."""
    script = Script(SIZES, base_ticks=0, depth={0})
    for token in range(SIZES.orders):
        script.new(token, SELL, 1, (1 << 32) - 1)
    levels = select_reports(script.run(open_device(0)), ReportKind.LEVEL)
    assert levels["quantity_lots"].tolist() == [(1 + token) * ((1 << 32) - 1) for token in range(SIZES.orders)]
