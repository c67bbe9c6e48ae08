"""Depth: which levels are told, and when."""

from itertools import islice
from typing import Any

import numpy as np
import pytest

from bandgap.hdl.config import PRESETS, BookConfig
from bandgap.hdl.protocol.commands import (
    ExpiryAction,
    InstrumentFlags,
    Opcode,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from bandgap.hdl.protocol.reports import REPORT_BYTES, ReportKind
from bandgap.host.gateway.depth import Depth
from bandgap.sim.flow.random_commands import random_episodes
from bandgap.sim.model.commands import Side as ModelSide
from bandgap.sim.model_device import open_model

SMALL = BookConfig(instruments=3, orders=32, ticks=32, accounts=8, links=3, word_bits=4)
IOC = {"time_in_force": TimeInForce.IOC.value}


def mode(prevention: SelfTradePrevention) -> dict[str, int]:
    return {"self_trade_prevention": prevention.value}


@pytest.fixture
def watched(market: Any) -> Any:
    """The market with depth on for instrument 0, and instrument 1 in the ladder's other rows without."""
    market.halt()
    market.set_instrument(0, depth=True)
    market.set_instrument(1, ladder_offset=8)
    market.resume()
    return market


def test_a_level_follows_the_answer(watched: Any) -> None:
    assert watched.buy(0, 5, 102) == ["ACCEPTED #0 5@102", "LEVEL BUY 5@102"]
    assert [fields["flags"] for fields in watched.fields] == ["LAST", "-"]
    level = watched.fields[1]
    assert (level["command_number"], level["instrument"]) == (str(watched.number), "0")
    assert watched.buy(1, 2, 102)[1:] == ["LEVEL BUY 7@102"]
    assert watched.sell(2, 9, 104)[1:] == ["LEVEL SELL 9@104"]
    assert watched.cancel(0)[1:] == ["LEVEL BUY 2@102"]
    assert watched.cancel(1)[1:] == ["LEVEL BUY 0@102"]


def test_a_level_that_nothing_touches_is_not_told(watched: Any) -> None:
    watched.sell(0, 5, 104)
    assert watched.buy(1, 5, 103, **IOC) == ["ACCEPTED #1 5@103", "CANCELED IMMEDIATE_REST #1 5 left 0"]
    assert watched.buy(1, 5, 108) == ["REJECTED OUTSIDE_WINDOW"]
    assert watched.buy(1, 6, 104, generation=2, time_in_force=TimeInForce.FOK.value)[1:] == [
        "CANCELED NOT_FILLABLE #1 6 left 0"
    ]


def test_trades_at_one_level_are_told_together(watched: Any) -> None:
    for token in range(3):
        watched.sell(token, 2, 104)
    assert watched.buy(3, 5, 104)[-2:] == ["TRADE 1@104 #3 left 0 #2 left 1", "LEVEL SELL 1@104"]
    assert len(watched.fields) == 5


def test_a_taker_tells_a_level_before_it_meets_the_next(watched: Any) -> None:
    for token, price in enumerate((104, 105, 106)):
        watched.sell(token, 2, price)
    assert watched.buy(3, 5, 107) == [
        "ACCEPTED #3 5@107",
        "TRADE 2@104 #3 left 3 #0 left 0",
        "LEVEL SELL 0@104",
        "TRADE 2@105 #3 left 1 #1 left 0",
        "LEVEL SELL 0@105",
        "TRADE 1@106 #3 left 0 #2 left 1",
        "LEVEL SELL 1@106",
    ]
    assert [fields["flags"] for fields in watched.fields] == ["-"] * 5 + ["LAST", "-"]


def test_a_taker_that_comes_to_rest_tells_two_levels_in_the_end(watched: Any) -> None:
    watched.sell(0, 2, 104)
    assert watched.buy(1, 5, 105)[1:] == ["TRADE 2@104 #1 left 3 #0 left 0", "LEVEL SELL 0@104", "LEVEL BUY 3@105"]
    assert [fields["flags"] for fields in watched.fields] == ["-", "LAST", "-", "-"]


def test_what_is_left_of_an_ioc_is_canceled_before_its_last_level_is_told(watched: Any) -> None:
    watched.sell(0, 2, 104)
    assert watched.buy(1, 5, 105, **IOC)[2:] == ["CANCELED IMMEDIATE_REST #1 3 left 0", "LEVEL SELL 0@104"]


def test_self_trade_prevention_changes_levels_as_trades_do(watched: Any) -> None:
    watched.sell(0, 2, 104)
    watched.sell(1, 2, 105, account=1)
    watched.sell(2, 2, 106)
    assert watched.buy(3, 5, 107, **mode(SelfTradePrevention.CANCEL_OLDEST)) == [
        "ACCEPTED #3 5@107",
        "CANCELED SELF_TRADE #0 2 left 0",
        "LEVEL SELL 0@104",
        "TRADE 2@105 #3 left 3 #1 left 0",
        "LEVEL SELL 0@105",
        "CANCELED SELF_TRADE #2 2 left 0",
        "LEVEL SELL 0@106",
        "LEVEL BUY 3@107",
    ]
    watched.sell(4, 4, 107, **mode(SelfTradePrevention.CANCEL_NEWEST))
    assert [fields["kind"] for fields in watched.fields] == ["ACCEPTED", "CANCELED"]
    assert watched.sell(5, 1, 107, **mode(SelfTradePrevention.DECREMENT))[1:] == [
        "CANCELED SELF_TRADE #3 1 left 2",
        "CANCELED SELF_TRADE #5 1 left 0",
        "LEVEL BUY 2@107",
    ]


def test_a_replace_in_place_tells_its_level(watched: Any) -> None:
    watched.buy(0, 5, 102)
    assert watched.replace(0, Side.BUY, 3, 102)[1:] == ["LEVEL BUY 3@102"]
    assert watched.replace(0, Side.BUY, 3, 102)[1:] == ["LEVEL BUY 3@102"]  # touched, though it stays as it was


def test_a_replace_to_the_back_of_its_level_tells_it_once(watched: Any) -> None:
    watched.buy(0, 5, 102)
    assert watched.replace(0, Side.BUY, 6, 102)[1:] == ["LEVEL BUY 6@102"]


def test_a_replace_tells_what_it_leaves_first(watched: Any) -> None:
    watched.buy(0, 5, 102)
    assert watched.replace(0, Side.BUY, 5, 103)[1:] == ["LEVEL BUY 0@102", "LEVEL BUY 5@103"]


def test_a_replace_that_takes_tells_what_it_leaves_before_its_first_trade(watched: Any) -> None:
    watched.buy(0, 5, 102)
    watched.sell(1, 2, 104)
    watched.sell(2, 2, 105)
    assert watched.replace(0, Side.BUY, 5, 106) == [
        "REPLACED #0 5@106",
        "LEVEL BUY 0@102",
        "TRADE 2@104 #0 left 3 #1 left 0",
        "LEVEL SELL 0@104",
        "TRADE 2@105 #0 left 1 #2 left 0",
        "LEVEL SELL 0@105",
        "LEVEL BUY 1@106",
    ]
    assert [fields["flags"] for fields in watched.fields] == ["-"] * 4 + ["LAST", "-", "-"]


@pytest.mark.parametrize("opcode", [Opcode.MASS_CANCEL, Opcode.KILL_ACCOUNT])
def test_a_sweep_tells_behind_each_order(watched: Any, opcode: Opcode) -> None:
    for token, price in enumerate((102, 101, 102)):
        watched.buy(token, 1 + token, price)
    watched.buy(3, 9, 102, account=1)
    watched.buy(4, 9, 102, instrument=1)
    reason = "MASS_CANCEL" if opcode is Opcode.MASS_CANCEL else "ACCOUNT_KILLED"
    assert watched.account_command(opcode, 0) == [
        f"CANCELED {reason} #0 1 left 0",
        "LEVEL BUY 12@102",
        f"CANCELED {reason} #1 2 left 0",
        "LEVEL BUY 0@101",
        f"CANCELED {reason} #2 3 left 0",
        "LEVEL BUY 9@102",
        f"CANCELED {reason} #4 9 left 0",
        "DONE 4",
    ]


def test_a_band_that_moves_tells_behind_each_order(watched: Any) -> None:
    watched.buy(0, 1, 103)
    watched.buy(1, 1, 103)
    watched.sell(2, 1, 104)
    assert watched.set_band(105, 106)[:2] == ["CANCELED BAND_MOVED #2 1 left 0", "LEVEL SELL 0@104"]
    assert watched.set_band(100, 102) == [
        "CANCELED BAND_MOVED #0 1 left 0",
        "LEVEL BUY 1@103",
        "CANCELED BAND_MOVED #1 1 left 0",
        "LEVEL BUY 0@103",
        "BAND_MOVED 100-102",
    ]


def test_a_timer_tells_behind_each_order(watched: Any) -> None:
    watched.buy(0, 1, 100)
    watched.heartbeat(50, ExpiryAction.HALT_AND_CANCEL)
    assert watched.advance(70)[2:] == ["CANCELED WATCHDOG #0 1 left 0", "LEVEL BUY 0@100", "DONE 1"]
    assert watched.fields[3]["time_ns"] == "50"


def test_levels_come_before_the_top_of_book(watched: Any) -> None:
    watched.halt()
    watched.set_instrument(0, depth=True, top_of_book=True)
    watched.resume()
    watched.sell(0, 2, 104)
    assert watched.buy(1, 5, 105)[2:] == [
        "LEVEL SELL 0@104",
        "LEVEL BUY 3@105",
        "TOP instrument 0 3@105 0@0",
    ]


def test_depth_can_be_switched_off_again(watched: Any) -> None:
    watched.halt()
    watched.set_instrument(0)
    watched.resume()
    assert watched.buy(0, 5, 102) == ["ACCEPTED #0 5@102"]


@pytest.mark.parametrize("config", [SMALL, PRESETS["formal"], PRESETS["ecp5"]], ids=["small", "formal", "ecp5"])
def test_the_book_rebuilt_from_levels_is_the_book_after_every_command(config: BookConfig, seed: int) -> None:
    """`random_episodes` switches the depth of each instrument at random."""
    model = open_model(config)
    told_levels = 0
    for episode in islice(random_episodes(config, seed), 40):
        depth, followed = Depth(), set()
        model.reset(episode.epoch)
        for link, (first, count) in enumerate(episode.token_ranges):
            model.set_token_range(link, first, count)
        rows = zip(episode.arrivals_ns.tolist(), episode.links.tolist(), episode.commands, strict=True)
        for time_ns, link, command in rows:
            sent = model.execute(time_ns, link, command.tobytes())
            reports = np.frombuffer(b"".join(sent), np.uint8).reshape(-1, REPORT_BYTES)
            if command[0] == Opcode.SET_INSTRUMENT.value and reports[-1, 0] == ReportKind.DONE.value:
                switch = followed.add if command[21] & InstrumentFlags.DEPTH.value else followed.discard
                switch(int(command[1]))
            depth.follow(reports)
            told_levels += int((reports[:, 0] == ReportKind.LEVEL.value).sum())
            for instrument in followed:
                for side in Side:
                    expected = model.book.depth(instrument, ModelSide(side.value))
                    assert list(depth.levels(instrument, side).items()) == list(expected.items())
    assert told_levels > 1_000
