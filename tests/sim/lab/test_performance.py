"""The page of figures."""

import subprocess
from pathlib import Path

import pytest

from bandgap.sim.lab import clocked as clocked_module
from bandgap.sim.lab.clocked import CLOCK, FIRST_TRADE_TIME, SUSTAINED_RATE, WORST_CASE_TIME, clocked
from bandgap.sim.lab.loaded import BACK_TO_BACK, SUSTAINED
from bandgap.sim.lab.performance import CORE, PAGE, PageError, filled, number, tables
from bandgap.sim.lab.results import Figure, read_figures, same_gateware
from bandgap.sim.lab.unloaded import FIRST_TRADE
from bandgap.sim.lab.worst import STATED_BOUND, WORST_CASE
from bandgap.sim.timing import TIMING, Timing, read_timing, write_timing

ROOT = Path(__file__).parents[3]

ONE_INSTRUMENT = next(iter(BACK_TO_BACK))
CYCLES = [
    Figure(FIRST_TRADE, "ecp5", "apart", "p50", 5, "cycles", "abc"),
    Figure(FIRST_TRADE, "ecp5", "apart", "max", 6, "cycles", "abc"),
    Figure(SUSTAINED, "ecp5", ONE_INSTRUMENT, "mean", 1.6, "cycles a command", "abc"),
    Figure(WORST_CASE, "ecp5", "a sweep", "max", 250_000, "cycles", "abc"),
    Figure(WORST_CASE, "ecp5", "a sweep", STATED_BOUND, 300_000, "cycles", "abc"),
]
PLACED = Timing(
    "ecp5", "a device", 125.0, 130, 7, {"LUTs": (1_000, 2_000)}, [" 1.00   1.00  logic  x"], {"tool": "0.1"}, "def"
)


@pytest.fixture
def same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every commit has the same gateware."""
    monkeypatch.setattr(clocked_module, "same_gateware", lambda one, other: True)


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every commit has another gateware."""
    monkeypatch.setattr(clocked_module, "same_gateware", lambda one, other: False)


def test_page_and_results_agree() -> None:
    page = (ROOT / PAGE).read_text()
    assert filled(page, read_figures(ROOT / CORE), read_timing(ROOT / TIMING)) == page, "run make bench or make timing"


def test_every_measured_figure_has_its_targets_on_the_page(same: None) -> None:
    figures = read_figures(ROOT / CORE)
    assert {figure.preset for figure in figures} == {"ecp5"}
    assert "not measured" not in tables(clocked(figures, PLACED), None)["targets"]


def test_the_clock_among_the_figures_is_the_one_on_disk() -> None:
    timing = read_timing(ROOT / TIMING)
    assert timing is not None
    clocks = [(one.value, one.commit) for one in read_figures(ROOT / CORE) if one.figure == CLOCK]
    assert clocks == [(timing.clock_mhz, timing.commit)], "run make bench or make timing"


def test_cycles_are_told_in_time_at_the_clock(same: None) -> None:
    figures = clocked(CYCLES, PLACED)
    assert figures[: len(CYCLES)] == CYCLES
    assert [(one.figure, one.statistic, one.value, one.unit, one.commit) for one in figures[len(CYCLES) :]] == [
        (CLOCK, "max", 125, "MHz", "def"),
        (FIRST_TRADE_TIME, "p50", 40, "ns", "abc"),
        (FIRST_TRADE_TIME, "max", 48, "ns", "abc"),
        (SUSTAINED_RATE, "mean", 78.125, "M commands/s", "abc"),
        (WORST_CASE_TIME, "max", 2, "ms", "abc"),
        (WORST_CASE_TIME, STATED_BOUND, 2.4, "ms", "abc"),
    ]
    assert clocked(figures, PLACED) == figures
    assert clocked(figures, None) == CYCLES


def test_tables_show_what_was_measured(same: None) -> None:
    made = tables(clocked(CYCLES, PLACED), PLACED)
    assert f"| {FIRST_TRADE} | apart | 5 | 6 |" in made["unloaded"]
    assert f"| {FIRST_TRADE} | 6 | 5 | **6** | cycles | must reached |" in made["targets"]
    assert f"| {FIRST_TRADE} | 48 | 35 | **48** | ns | must reached |" in made["targets"], "6 cycles at 125 MHz"
    assert "| sustained, one instrument | 62 | 120 | **78.12** | M commands/s | must reached |" in made["targets"]
    assert f"| {WORST_CASE}: a sweep | 300,000 | - | **250,000** | cycles | stated bound, held |" in made["targets"]
    assert "| a sweep | 250,000 | 300,000 | 2 |" in made["worst"]
    assert "of commit `abc`, the clock of `def`." in made["targets"]
    assert "| LUTs | 1,000 of 2,000 |" in made["clock"]
    assert tables(CYCLES, None)["clock"] == "Not placed and routed."
    assert "of commit `abc`, the clock of none." in tables(CYCLES, None)["targets"]


def test_cycles_and_clock_of_different_gateware_make_no_time(other: None) -> None:
    made = tables(clocked(CYCLES, PLACED), PLACED)["targets"]
    assert f"| {FIRST_TRADE} | 48 | 35 | **-** | ns | not measured |" in made
    assert "| placed-and-routed clock | 125 | 160 | **125** | MHz | must reached |" in made
    assert "of commit `abc`, the clock of `def`." in made


def test_gateware_is_the_same_unless_more_than_its_tools_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=x", "-c", "user.email=x@y", "-c", "commit.gpgsign=false", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init")
    commits = []
    for place, file in enumerate(("hdl/engine.py", "hdl/tools/flash.py", "sim/lab.py", "hdl/engine.py")):
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(place))
        git("add", ".")
        git("commit", "--message", file)
        commits.append(git("rev-parse", "HEAD"))
    first, *_, last_but_one, last = commits
    assert same_gateware(first, last_but_one) and same_gateware(last_but_one, first)
    assert not same_gateware(first, last)
    assert not same_gateware(first, f"{first}-dirty"), "what changed is not known"
    assert not same_gateware(first, "0" * 40), "nor is a commit that is not there"


def test_a_page_is_filled_and_filled_again() -> None:
    empty = "".join(f"# {name}\n<!-- {name}: generated -->\n<!-- end -->\n" for name in tables(CYCLES, None))
    once = filled(empty, CYCLES, PLACED)
    assert "**125 MHz**" in once
    assert filled(once, CYCLES, PLACED) == once
    assert filled(once, CYCLES, None) != once
    with pytest.raises(PageError, match="the page has places for"):
        filled(empty.replace("worst", "best"), CYCLES, PLACED)


def test_a_clock_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_timing(tmp_path / "timing.json") is None
    write_timing(tmp_path / "timing.json", PLACED)
    again = read_timing(tmp_path / "timing.json")
    assert again is not None
    assert tables(CYCLES, again) == tables(CYCLES, PLACED)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (6, "6"), (2.0, "2"), (1.25, "1.25"), (33.333, "33.33"), (90_621, "90,621"), (1_234.5, "1,234")],
)
def test_numbers_are_readable(value: float | None, text: str) -> None:
    assert number(value) == text
