"""Commands that take as long as a command can: every slot is taken, and one command has to do with all of them."""

from collections.abc import Callable

import numpy as np

from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.commands import BandPolicy, Opcode, SelfTradePrevention, Side, TimeInForce
from bandgap.hdl.protocol.reports import ReportFlags
from bandgap.host.wire import Records, new_commands, report_headers

from .probe import BASE_TICKS, Measurement, MeasurementError, Probe, latency_cycles

WORST_CASE = "worst case of a single command"
BOUND_CYCLES_A_SLOT, BOUND_CYCLES_BESIDES = 16, 64
"""No command takes longer than this, whatever the book holds: so many cycles for each slot there is, and some more."""

BOUND_CYCLES_A_CALL = 400
"""Before it, calls may end. Their trades are within what the slots take; but each walks once over all slots, a cycle
each, and takes so many more.
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


def _auctions(probe: Probe, instruments: int) -> tuple[Records, int]:
    """All levels of the books cross while they collect; the command comes when all calls are over."""
    probe.share(instruments)
    orders = probe.slots // 2 // instruments
    away = np.arange(orders)
    for instrument in range(instruments):
        probe.collect(instrument, CALL_US)
        bids = probe.orders(Side.BUY.value, probe.highest_ticks - away, 1, OWNER)
        asks = probe.orders(Side.SELL.value, BASE_TICKS + away, 1, TAKER)
        for side in (bids, asks):
            side["header"]["instrument"] = instrument
            probe.rest(side)
    probe.wait(CALL_US)
    told = ("what the auction came to", "the band", "the state")
    return new_commands(Opcode.READ_CLOCK, 1), instruments * (orders + len(told)) + 1


def _one_auction(probe: Probe) -> tuple[Records, int]:
    return _auctions(probe, 1)


def _all_auctions(probe: Probe) -> tuple[Records, int]:
    return _auctions(probe, probe.instruments)


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
    "IOC through all slots, one level": _sweep_of_one_level,
    "IOC through all slots, a level each": _sweep_of_levels,
    "IOC that cancels all slots, its own, a level each": _self_trades,
    "FOK that cannot be filled, looks at all slots, a level each": _fok_not_fillable,
    "FOK through all slots, one level": _fok_of_one_level,
    "FOK through all slots, a level each": _fok_of_levels,
    "FOK over all slots, its own but one, a level each": _fok_over_own,
    "behind an auction of all slots, a level each": _one_auction,
    "behind auctions of all instruments, all slots, a level each": _all_auctions,
}


def bound_cycles(config: BookConfig) -> int:
    """What no command of an appliance of these sizes exceeds."""
    calls = config.instruments * (config.orders + BOUND_CYCLES_A_CALL)
    return BOUND_CYCLES_A_SLOT * config.orders + BOUND_CYCLES_BESIDES + calls


def worst_cases(preset: str, accounts: int) -> list[Measurement]:
    """Cycles from each command first seen to its last report."""
    return [Measurement(WORST_CASE, name, "max", _cycles(name, Probe(preset, accounts))) for name in CASES]


def _cycles(name: str, probe: Probe) -> int:
    command, expected = CASES[name](probe)
    reports = probe.run(command)
    probe.close()
    flags = report_headers(reports)["flags"]
    if len(reports) != expected or flags[-1] != ReportFlags.LAST.value:
        raise MeasurementError(f"{name}: {len(reports)} reports, not {expected}")
    return int(latency_cycles(reports)[-1])
