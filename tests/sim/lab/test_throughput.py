"""The benchmark measures what it says (how fast it is, is not tested)."""

import json
import re
from pathlib import Path

import pytest

from bandgap.sim.lab import throughput
from bandgap.sim.lab.results import read_figures, write_figures


def test_the_recorded_commands_are_played_on_a_fresh_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(throughput, "MESSAGES", 3_000)
    recorder, counted = throughput.record("ecp5")
    assert sum(counted.requests.values()) == 3_000
    assert counted.reports["ACCEPTED"] > 1_000 and counted.reports["TRADE"] > 50
    seconds, cycles = throughput.play("ecp5", recorder)
    assert seconds > 0
    commands = sum(len(sent) for sent, _, _ in recorder.sent)
    assert commands < cycles < 100 * commands
    assert throughput.play("ecp5", recorder)[1] == cycles


def test_the_figures_carry_all_that_is_needed_to_judge_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(throughput, "MESSAGES", 500)
    monkeypatch.setattr(throughput, "RUNS", 1)
    figures = throughput.measure("ecp5")
    assert {figure.statistic for figure in figures} >= {"median of 1 runs", "mean", "p50", "max"}
    for figure in figures:
        assert figure.preset == "ecp5" and re.fullmatch("[0-9a-f]{40}(-dirty)?", figure.commit)
    write_figures(tmp_path / "results" / "figures.json", figures)
    assert read_figures(tmp_path / "results" / "figures.json") == figures
    names = ["figure", "preset", "flow", "statistic", "value", "unit", "commit"]
    assert [list(row) for row in json.loads((tmp_path / "results" / "figures.json").read_text())] == [names] * len(
        figures
    )
