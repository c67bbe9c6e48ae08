"""The longest that a command can take, on a device of 256 slots; the full size is measured by `make bench`."""

import pytest

from bandgap.hdl.config import PRESETS, BookConfig
from bandgap.sim.lab.probe import MeasurementError, Probe
from bandgap.sim.lab.worst import CASES, STATED_BOUND, WORST_CASE, bound_cycles, worst_cases

CONFIG = BookConfig(instruments=2, orders=256, ticks=2_048, accounts=16)
"""So many slots that it is they that count, not what is allowed beside them."""


def test_no_command_takes_longer_than_stated() -> None:
    figures = worst_cases(CONFIG, 4)
    assert {one.figure for one in figures} == {WORST_CASE}
    values = {(one.flow, one.statistic): one.value for one in figures}
    assert list(values) == [(name, statistic) for name in CASES for statistic in ("max", STATED_BOUND)]
    for name, case in CASES.items():
        assert values[name, STATED_BOUND] == bound_cycles(CONFIG, case.deadlines)
        assert 0 < values[name, "max"] <= values[name, STATED_BOUND], name


def test_the_bound_grows_with_every_deadline_that_is_due() -> None:
    bounds = [bound_cycles(PRESETS["ecp5"], deadlines) for deadlines in range(4)]
    assert bounds == [202_720, 356_808, 445_360, 533_912]


def test_a_case_that_is_not_what_it_says_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "IOC through all slots, one level"
    case = CASES[name]
    monkeypatch.setitem(CASES, name, case._replace(prepare=lambda probe: (case.prepare(probe)[0], 3)))
    with pytest.raises(MeasurementError, match="IOC through all slots, one level: 256 reports, not 3"):
        worst_cases(CONFIG, 4)


def test_a_probe_fills_no_slot_twice_and_rests_only_what_rests() -> None:
    probe = Probe(PRESETS["formal"], 4)
    probe.rest(probe.orders(1, probe.middle_ticks, 1, [0, 1, 2]))
    with pytest.raises(MeasurementError, match="an order that was to rest did not"):
        probe.rest(probe.orders(2, probe.middle_ticks, 1, 3))
    with pytest.raises(ValueError, match="the appliance has 8 slots, not 9"):
        probe.orders(1, probe.middle_ticks, 1, [0] * 5)
    probe.close()
