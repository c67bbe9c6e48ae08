"""The bench of the matching core measures what it says; how fast the core is, is not tested."""

import pytest

from bandgap.hdl.config import PRESETS
from bandgap.hdl.protocol.reports import ReportKind
from bandgap.sim.lab import loaded, unloaded
from bandgap.sim.lab.core import table
from bandgap.sim.lab.loaded import BACK_TO_BACK, CANCELED, IN_BURSTS, LATENCY, REPORTS, SUSTAINED, TAILS
from bandgap.sim.lab.probe import MeasurementError, Probe, latency_cycles, of_kind, trade_prices
from bandgap.sim.lab.results import Figure
from bandgap.sim.lab.targets import Target, targets
from bandgap.sim.lab.worst import STATED_BOUND, WORST_CASE


def test_single_commands_are_measured() -> None:
    measured = unloaded.unloaded("ecp5", 1_000, 1)
    assert {one.figure for one in measured} == {
        unloaded.RESTS,
        unloaded.CANCEL,
        unloaded.FIRST_TRADE,
        unloaded.FURTHER_FILL,
        unloaded.FURTHER_ROLLING_FILL,
        unloaded.FURTHER_LEVEL,
    }
    middle = {(one.figure, one.flow): one.value for one in measured if one.statistic == "p50"}
    most = {(one.figure, one.flow): one.value for one in measured if one.statistic == "max"}
    assert middle.keys() == most.keys()
    assert all(0 < middle[key] <= most[key] for key in middle)
    fills = [middle[key] for key in middle if key[0] in (unloaded.FURTHER_FILL, unloaded.FURTHER_ROLLING_FILL)]
    assert len(fills) == 3 and fills == sorted(set(fills)), "windows cost cycles, and their widths some more"


def test_a_sweep_trades_with_the_best_first_and_each_report_has_its_own_latency() -> None:
    probe = Probe(PRESETS["formal"], 4)
    probe.rest(probe.orders(1, [probe.middle_ticks + away for away in (1, 0, 2, 0)], 1, 0))
    gaps, ticks = unloaded._sweep(probe, 4)
    assert ticks.tolist() == [1, 1, 0]
    assert len(gaps) == 3 and (gaps > 0).all()


def test_only_reports_of_the_kind_and_number_are_measured() -> None:
    probe = Probe(PRESETS["formal"], 4)
    reports = probe.run_apart(probe.orders([1, 2], probe.middle_ticks, 1, 0))
    assert trade_prices(of_kind(reports, ReportKind.TRADE, 1)).tolist() == [probe.middle_ticks]
    assert (latency_cycles(reports) > 0).all()
    with pytest.raises(MeasurementError, match="2 reports are ACCEPTED, not 1"):
        of_kind(reports, ReportKind.ACCEPTED, 1)
    probe.close()


def test_the_same_seed_gives_the_same_figures_under_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded, "MESSAGES", 2_000)
    measured = loaded.loaded("ecp5", 1_000, 1)
    assert measured == loaded.loaded("ecp5", 1_000, 1)
    assert measured != loaded.loaded("ecp5", 1_000, 2)
    values = {(one.figure, one.flow, one.statistic): one.value for one in measured}
    for flow in BACK_TO_BACK:
        assert values[SUSTAINED, flow, "mean"] >= values[REPORTS, flow, "mean"] > 1, "one report leaves in a cycle"
        assert 80 < values[CANCELED, flow, "mean"] <= 100
    for flow in IN_BURSTS:
        tails = [values[LATENCY, flow, tail] for tail in TAILS]
        assert tails[0] > 0 and tails == sorted(tails)


@pytest.mark.parametrize(
    ("value", "more_is_better", "verdict"),
    [
        (None, False, "not measured"),
        (4, False, "strive reached"),
        (5, False, "must reached"),
        (6, False, "must reached"),
        (6.01, False, "missed"),
        (5.99, True, "must reached"),
        (3.9, True, "missed"),
    ],
)
def test_a_target_says_which_goal_is_reached(value: float | None, more_is_better: bool, verdict: str) -> None:
    must, strive = (4, 6) if more_is_better else (6, 4)
    row = Target("x", must, strive, "cycles", value, more_is_better)
    assert row.verdict == verdict
    assert table([row]).row_count == 1


def test_a_bound_that_is_stated_is_no_goal_to_be_reached() -> None:
    assert Target("x", 6, None, "cycles", 6, stated=True).verdict == "stated bound, held"
    assert Target("x", 6, None, "cycles", 7, stated=True).verdict == "stated bound, not held"
    assert Target("x", None, None, "cycles", None, stated=True).verdict == "not measured"


def test_of_the_worst_cases_the_one_nearest_to_its_bound_is_shown() -> None:
    figures = [
        Figure(WORST_CASE, "ecp5", flow, statistic, value, "cycles", "abc")
        for flow, cycles, bound in (("long", 700, 1_000), ("near", 101, 100), ("short", 1, 10))
        for statistic, value in (("max", cycles), (STATED_BOUND, bound))
    ]
    (shown,) = [row for row in targets(figures) if row.name.startswith(WORST_CASE)]
    assert (shown.name, shown.must, shown.value) == (f"{WORST_CASE}: near", 100, 101)
    assert shown.verdict == "stated bound, not held"
