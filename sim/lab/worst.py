"""Commands that take as long as a command can: every slot is taken, and one command has to do with all of them."""

from collections.abc import Callable

import numpy as np

from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.commands import BandPolicy, Opcode, SelfTradePrevention, Side, TimeInForce
from bandgap.hdl.protocol.reports import ReportFlags
from bandgap.host.wire import Records, new_commands, report_headers

from .probe import BASE_TICKS, MARKET, Measurement, MeasurementError, Probe, latency_cycles

WORST_CASE = "worst case of a single command"
BOUND_CYCLES_A_SLOT, BOUND_CYCLES_BESIDES = 24, 64
"""No command into an appliance at rest takes longer than this, whatever the book holds, while no market data is told:
so many cycles for each slot there is, and some more. Words of the bitmap hold 64 lines, in three levels at most."""

BOUND_CYCLES_A_CALL = 400
"""Before it, a call of each instrument may end. Their trades are within what the slots take; but each walks once over
all slots, a cycle each, to take back what is left of market orders, and takes so many more.
"""

CALL_US = 1_000_000

OWNER, TAKER = 1, 2
"""Accounts: of the resting orders, and of the order that meets them."""

_Case = Callable[[Probe], tuple[Records, int]]
"""Fills a fresh book; returns the command, and how many reports it should get."""


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


CASES: dict[str, _Case] = {
    "mass cancel of all slots, a level each": _mass_cancel,
    "mass cancel of an account without orders, all slots taken": _mass_cancel_of_nothing,
    "band moves below all bids, a level each": _band_move,
    "window moves away from all bids but the best": _window_move,
    "IOC through all slots, one level": _sweep_of_one_level,
    "IOC through all slots, a level each": _sweep_of_levels,
    "IOC that cancels all slots, its own, a level each": _self_trades,
    "FOK that cannot be filled, looks at all slots, a level each": _fok_not_fillable,
    "FOK through all slots, one level": _fok_of_one_level,
    "FOK through all slots, a level each": _fok_of_levels,
    "FOK over all slots, its own but one, a level each": _fok_over_own,
}
BEHIND_CALLS: dict[str, _Case] = {
    "behind an auction of all slots, in pairs, a level each": _auction_of_pairs,
    "behind an auction of a market order and all other slots, a level each": _auction_of_one,
    "behind auctions of all instruments, a market order each, all slots, a level each": _all_auctions,
}


def bound_cycles(config: BookConfig, calls: bool = True) -> int:
    """What no command of an appliance of these sizes exceeds, whether it waits for `calls` that are over or not."""
    waits = config.instruments * (config.orders + BOUND_CYCLES_A_CALL) if calls else 0
    return BOUND_CYCLES_A_SLOT * config.orders + BOUND_CYCLES_BESIDES + waits


def worst_cases(config: BookConfig, accounts: int) -> list[Measurement]:
    """Cycles from each command first seen to its last report."""
    cases = CASES | BEHIND_CALLS
    return [
        Measurement(WORST_CASE, name, "max", _cycles(name, case, Probe(config, accounts)))
        for name, case in cases.items()
    ]


def _cycles(name: str, case: _Case, probe: Probe) -> int:
    command, expected = case(probe)
    reports = probe.run(command)
    probe.close()
    flags = report_headers(reports)["flags"]
    if len(reports) != expected or flags[-1] != ReportFlags.LAST.value:
        raise MeasurementError(f"{name}: {len(reports)} reports, not {expected}")
    return int(latency_cycles(reports)[-1])
