"""The longest that a command can take, on a device of eight slots; the full size is measured by `make bench`."""

import pytest

from bandgap.hdl.config import PRESETS
from bandgap.sim.lab.probe import MeasurementError, Probe
from bandgap.sim.lab.worst import CASES, WORST_CASE, bound_cycles, worst_cases


def test_no_command_takes_longer_than_stated() -> None:
    measured = worst_cases("formal", 4)
    assert [one.flow for one in measured] == list(CASES)
    for one in measured:
        assert one.figure == WORST_CASE
        assert 0 < one.value <= bound_cycles(PRESETS["formal"]), one.flow


def test_a_case_that_is_not_what_it_says_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "IOC through all slots, one level"
    command = CASES[name]
    monkeypatch.setitem(CASES, name, lambda probe: (command(probe)[0], 3))
    with pytest.raises(MeasurementError, match="IOC through all slots, one level: 8 reports, not 3"):
        worst_cases("formal", 4)


def test_a_probe_fills_no_slot_twice_and_rests_only_what_rests() -> None:
    probe = Probe("formal", 4)
    probe.rest(probe.orders(1, probe.middle_ticks, 1, [0, 1, 2]))
    with pytest.raises(MeasurementError, match="an order that was to rest did not"):
        probe.rest(probe.orders(2, probe.middle_ticks, 1, 3))
    with pytest.raises(ValueError, match="the appliance has 8 slots, not 9"):
        probe.orders(1, probe.middle_ticks, 1, [0] * 5)
    probe.close()
