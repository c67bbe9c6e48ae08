"""Commands that take as long as a command can: every slot is taken, and one command has to do with all of them."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.commands import BandPolicy, Opcode, SelfTradePrevention, Side, TimeInForce
from bandgap.hdl.protocol.reports import ReportFlags
from bandgap.host.wire import Records, new_commands, report_headers

from .probe import BASE_TICKS, MARKET, Measurement, MeasurementError, Probe, latency_cycles

WORST_CASE = "worst case of a single command"
STATED_BOUND = "stated bound"

LEAVING_CYCLES = 24
"""An order leaves once, by the command or by what is due before it. It takes longest where a window moves: 14 cycles
and a search, which is 8 in a bitmap of three levels that goes round the ring; 2 are for the passes over all slots of a
mass cancel and of the watchdog."""

WALK_CYCLES = 1
"""A slot, behind an auction that had market orders, to take back what is left of them. New ones come by commands alone,
so each instrument's slots are walked over once."""

DISCOVERY_CYCLES = 10
"""A level, to find an auction's price, whether it then trades, is extended or is only told: 8 and a search in one word
of the bitmap. Both sides have a level for each order at most; where both are exhausted at once it is 8 a level."""

WORD_CYCLES = 2
"""More for each word of the bitmap, of both sides, that such searches leave: each once, because they go one way."""

DEADLINE_CYCLES, DEADLINE_CYCLES_AN_INSTRUMENT = 700, 8
"""All else that a deadline or an operator command takes for an instrument, four calculations of a band among it, and
for each instrument there is: all timers are compared, and all limit states looked at."""

CALL_US = 1_000_000
SHORTEST_US = 1_000
"""No duration is shorter."""

BELOW_EDGE_TICKS = (1 << 16) + 1
"""A window that begins here ends, whatever its size, with the first price of the ladder's ring."""

OWNER, TAKER = 1, 2
"""Accounts: of the resting orders, and of the order that meets them."""


class Case(NamedTuple):
    """A command and the book that it comes to.

    Attributes
    ----------
    prepare : Fills a fresh book; returns the command, and how many reports it should get.
    deadlines : How many are due before it of the instrument that has most.
    """

    prepare: Callable[[Probe], tuple[Records, int]]
    deadlines: int = 0


def _one_level(probe: Probe, orders: int) -> None:
    probe.rest(probe.orders(Side.BUY.value, np.full(orders, probe.middle_ticks), 1, OWNER))


def _own_levels(probe: Probe, orders: int) -> None:
    """Each bid at its own price, the best first: whoever empties the book looks for the next best every time."""
    probe.rest(probe.orders(Side.BUY.value, probe.highest_ticks - np.arange(orders), 1, OWNER))


def _sell(
    probe: Probe, quantity_lots: int, time_in_force: TimeInForce, account: int, prevention: SelfTradePrevention
) -> Records:
    return probe.orders(Side.SELL.value, BASE_TICKS, quantity_lots, account, time_in_force, prevention)


def _auctions(probe: Probe, instruments: int, bids: int, asks: int) -> tuple[Records, int]:
    """So many bids and asks in each book, a level each, all of which cross while they collect. The first bid is a
    market order, for as many lots as the others leave. The command comes when all calls are over."""
    probe.share(instruments)
    for instrument in range(instruments):
        probe.band(instrument, BASE_TICKS, probe.highest_ticks)
        probe.collect(instrument, CALL_US)
        prices, lots = probe.highest_ticks - np.arange(bids), np.ones(bids, np.int64)
        prices[0], lots[0] = MARKET, asks - bids + 1
        for side in (
            probe.orders(Side.BUY.value, prices, lots, OWNER),
            probe.orders(Side.SELL.value, BASE_TICKS + np.arange(asks), 1, TAKER),
        ):
            side["header"]["instrument"] = instrument
            probe.rest(side)
    probe.wait(CALL_US)
    told = ("what the auction came to", "the band", "the state")
    return new_commands(Opcode.READ_CLOCK, 1), instruments * (asks + len(told)) + 1


def _auction_of_pairs(probe: Probe) -> tuple[Records, int]:
    return _auctions(probe, 1, probe.slots // 2, probe.slots // 2)


def _auction_of_one(probe: Probe) -> tuple[Records, int]:
    return _auctions(probe, 1, 1, probe.slots - 1)


def _all_auctions(probe: Probe) -> tuple[Records, int]:
    return _auctions(probe, probe.instruments, 1, probe.slots // probe.instruments - 1)


def _extensions(probe: Probe, instruments: int, times: int) -> tuple[Records, int]:
    """The first instrument's book crosses at every level, but outside its band, so that its call is extended so many
    times; then its window moves away from all but the best bid. A call of each other one ends with a market order."""
    probe.share(instruments, BELOW_EDGE_TICKS)
    edge_ticks = probe.highest_ticks
    probe.repeat(SHORTEST_US, indicative_us=0)
    for instrument in range(instruments):
        probe.band(instrument, edge_ticks, edge_ticks)
        probe.collect(instrument, CALL_US)
        if instrument:
            market = probe.orders(Side.BUY.value, MARKET, 1, OWNER)
            market["header"]["instrument"] = instrument
            probe.rest(market)
    bids = probe.slots - instruments
    away = np.append(0, 1 + np.arange(bids - 1) % (edge_ticks - probe.lowest_ticks))
    probe.rest(probe.orders(Side.BUY.value, edge_ticks - away, 1, OWNER))
    probe.rest(probe.orders(Side.SELL.value, probe.lowest_ticks, bids + 1, TAKER))
    probe.wait(CALL_US + (times - 1) * SHORTEST_US)
    command = new_commands(Opcode.MOVE_WINDOW, 1)
    command["window_base_ticks"] = edge_ticks
    told = ("what the auction came to", "the band", "the state")
    return command, probe.slots + times + (instruments - 1) * len(told)


def _extensions_beside_calls(probe: Probe) -> tuple[Records, int]:
    return _extensions(probe, probe.instruments, 1)


def _indicatives(probe: Probe, times: int) -> tuple[Records, int]:
    """In a call whose book crosses at every level, so many indicative prices are due."""
    probe.repeat(CALL_US, indicative_us=SHORTEST_US)
    probe.collect(0, CALL_US)
    _own_levels(probe, probe.slots - 1)
    probe.rest(probe.orders(Side.SELL.value, BASE_TICKS, probe.slots, TAKER))
    probe.wait(times * SHORTEST_US)
    return new_commands(Opcode.READ_CLOCK, 1), times + 1


def _mass_cancel(probe: Probe) -> tuple[Records, int]:
    """Both sides, each order at its own level, the best ones first."""
    place = np.arange(probe.slots)
    buys, away = place % 2 == 0, place // 2
    prices = np.where(buys, probe.middle_ticks - 1 - away, probe.middle_ticks + away)
    probe.rest(probe.orders(np.where(buys, Side.BUY.value, Side.SELL.value), prices, 1, OWNER))
    command = new_commands(Opcode.MASS_CANCEL, 1)
    command["account"] = OWNER
    return command, probe.slots + 1


def _mass_cancel_of_nothing(probe: Probe) -> tuple[Records, int]:
    _one_level(probe, probe.slots)
    command = new_commands(Opcode.MASS_CANCEL, 1)
    command["account"] = TAKER
    return command, 1


def _band_move(probe: Probe) -> tuple[Records, int]:
    _own_levels(probe, probe.slots - 1)
    command = new_commands(Opcode.SET_BAND, 1)
    command["lower_ticks"] = command["upper_ticks"] = command["reference_ticks"] = BASE_TICKS
    command["policy"] = BandPolicy.REJECT.value
    return command, probe.slots


def _window_move(probe: Probe) -> tuple[Records, int]:
    """The best bid stays; all others lie below the new window, whose edge is where the ladder's ring begins: each is
    sought from there on, and found when the search has gone round."""
    size_ticks = probe.highest_ticks - BASE_TICKS + 1
    edge_ticks = probe.highest_ticks // size_ticks * size_ticks
    below = np.arange(probe.slots - 1) % (edge_ticks - BASE_TICKS)
    probe.rest(probe.orders(Side.BUY.value, np.append(probe.highest_ticks, edge_ticks - 1 - below), 1, OWNER))
    command = new_commands(Opcode.MOVE_WINDOW, 1)
    command["window_base_ticks"] = edge_ticks
    return command, probe.slots


def _sweep_of_one_level(probe: Probe) -> tuple[Records, int]:
    _one_level(probe, probe.slots - 1)
    return _sell(probe, probe.slots - 1, TimeInForce.IOC, TAKER, SelfTradePrevention.OFF), probe.slots


def _sweep_of_levels(probe: Probe) -> tuple[Records, int]:
    _own_levels(probe, probe.slots - 1)
    return _sell(probe, probe.slots - 1, TimeInForce.IOC, TAKER, SelfTradePrevention.OFF), probe.slots


def _self_trades(probe: Probe) -> tuple[Records, int]:
    """Every maker is the taker's own and is canceled, then the taker's rest."""
    _own_levels(probe, probe.slots - 1)
    return _sell(probe, 1, TimeInForce.IOC, OWNER, SelfTradePrevention.CANCEL_OLDEST), probe.slots + 1


def _fok_not_fillable(probe: Probe) -> tuple[Records, int]:
    _own_levels(probe, probe.slots - 1)
    return _sell(probe, probe.slots, TimeInForce.FOK, TAKER, SelfTradePrevention.OFF), 2


def _fok_of_one_level(probe: Probe) -> tuple[Records, int]:
    _one_level(probe, probe.slots - 1)
    return _sell(probe, probe.slots - 1, TimeInForce.FOK, TAKER, SelfTradePrevention.OFF), probe.slots


def _fok_of_levels(probe: Probe) -> tuple[Records, int]:
    _own_levels(probe, probe.slots - 1)
    return _sell(probe, probe.slots - 1, TimeInForce.FOK, TAKER, SelfTradePrevention.OFF), probe.slots


def _fok_over_own(probe: Probe) -> tuple[Records, int]:
    """All but the last maker are the taker's own: passed over in the count, then canceled."""
    _own_levels(probe, probe.slots - 2)
    probe.rest(probe.orders(Side.BUY.value, BASE_TICKS, 1, TAKER))
    return _sell(probe, 1, TimeInForce.FOK, OWNER, SelfTradePrevention.CANCEL_OLDEST), probe.slots


CASES: dict[str, Case] = {
    "mass cancel of all slots, a level each": Case(_mass_cancel),
    "mass cancel of an account without orders, all slots taken": Case(_mass_cancel_of_nothing),
    "band moves below all bids, a level each": Case(_band_move),
    "window moves away from all bids but the best": Case(_window_move),
    "IOC through all slots, one level": Case(_sweep_of_one_level),
    "IOC through all slots, a level each": Case(_sweep_of_levels),
    "IOC that cancels all slots, its own, a level each": Case(_self_trades),
    "FOK that cannot be filled, looks at all slots, a level each": Case(_fok_not_fillable),
    "FOK through all slots, one level": Case(_fok_of_one_level),
    "FOK through all slots, a level each": Case(_fok_of_levels),
    "FOK over all slots, its own but one, a level each": Case(_fok_over_own),
    "behind an auction of all slots, in pairs, a level each": Case(_auction_of_pairs, 1),
    "behind an auction of a market order and all other slots, a level each": Case(_auction_of_one, 1),
    "behind auctions of all instruments, a market order each, all slots, a level each": Case(_all_auctions, 1),
    "window moves, behind a call that is extended and calls of all other instruments": Case(
        _extensions_beside_calls, 1
    ),
    "window moves, behind a call that is extended, a level each": Case(partial(_extensions, instruments=1, times=1), 1),
    "window moves, behind a call that is extended twice, a level each": Case(
        partial(_extensions, instruments=1, times=2), 2
    ),
    "behind an indicative price, a level each": Case(partial(_indicatives, times=1), 1),
    "behind ten indicative prices, a level each": Case(partial(_indicatives, times=10), 10),
}


def bound_cycles(config: BookConfig, deadlines: int) -> int:
    """What no command into an appliance at rest exceeds, whatever the book holds, while no market data is told.

    Arguments
    ---------
    config : Sizes. The bitmap has three levels at most.
    deadlines : How many are due before the command of the instrument that has most, or become due meanwhile.
    """
    once = LEAVING_CYCLES * config.orders
    if deadlines:
        once += WALK_CYCLES * config.orders * config.instruments
    # The words of all levels of the bitmap are a geometric series.
    discovery = DISCOVERY_CYCLES * config.orders + WORD_CYCLES * 2 * config.ticks // (config.word_bits - 1)
    besides = config.instruments * (DEADLINE_CYCLES + DEADLINE_CYCLES_AN_INSTRUMENT * config.instruments)
    return once + deadlines * discovery + (deadlines + 1) * besides


def worst_cases(config: BookConfig, accounts: int) -> list[Measurement]:
    """Cycles from each command first seen to its last report, and what they must not exceed."""
    return [
        Measurement(WORST_CASE, name, statistic, value)
        for name, case in CASES.items()
        for statistic, value in (
            ("max", _cycles(name, case, Probe(config, accounts))),
            (STATED_BOUND, bound_cycles(config, case.deadlines)),
        )
    ]


def _cycles(name: str, case: Case, probe: Probe) -> int:
    command, expected = case.prepare(probe)
    reports = probe.run(command)
    probe.close()
    flags = report_headers(reports)["flags"]
    if len(reports) != expected or flags[-1] != ReportFlags.LAST.value:
        raise MeasurementError(f"{name}: {len(reports)} reports, not {expected}")
    return int(latency_cycles(reports)[-1])
