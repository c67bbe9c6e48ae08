"""The page of figures."""

from dataclasses import replace
from pathlib import Path

import pytest

from bandgap.sim.lab.performance import CORE, PAGE, PageError, filled, number, tables
from bandgap.sim.lab.results import Figure, read_figures
from bandgap.sim.lab.unloaded import FIRST_TRADE
from bandgap.sim.timing import TIMING, Timing, read_timing, write_timing

ROOT = Path(__file__).parents[3]

CORE_FIGURES = [
    Figure(FIRST_TRADE, "ecp5", "apart", statistic, value, "cycles", "abc")
    for statistic, value in (("p50", 5), ("max", 6))
]
PLACED = Timing(
    "ecp5", "a device", 125.0, 130, 7, {"LUTs": (1_000, 2_000)}, [" 1.00   1.00  logic  x"], {"tool": "0.1"}, "abc"
)


def test_page_and_results_agree() -> None:
    page = (ROOT / PAGE).read_text()
    assert filled(page, read_figures(ROOT / CORE), read_timing(ROOT / TIMING)) == page, "run make bench or make timing"


def test_every_measured_figure_has_its_targets_on_the_page() -> None:
    assert {figure.preset for figure in read_figures(ROOT / CORE)} == {"ecp5"}
    figures = read_figures(ROOT / CORE)
    targets = tables(figures, replace(PLACED, commit=figures[0].commit))["targets"]
    assert "not measured" not in targets


def test_tables_show_what_was_measured() -> None:
    made = tables(CORE_FIGURES, PLACED)
    assert f"| {FIRST_TRADE} | apart | 5 | 6 |" in made["unloaded"]
    assert f"| {FIRST_TRADE} | 6 | 5 | **6** | cycles | must reached |" in made["targets"]
    assert f"| {FIRST_TRADE} | 48 | 35 | **48** | ns | must reached |" in made["targets"], "6 cycles at 125 MHz"
    assert "of commit `abc`, the clock of `abc`." in made["targets"]
    assert "| LUTs | 1,000 of 2,000 |" in made["clock"]
    assert tables(CORE_FIGURES, None)["clock"] == "Not placed and routed."


def test_cycles_and_clock_of_different_commits_make_no_time() -> None:
    made = tables(CORE_FIGURES, replace(PLACED, commit="def"))["targets"]
    assert f"| {FIRST_TRADE} | 48 | 35 | **-** | ns | not measured |" in made
    assert "| placed-and-routed clock | 125 | 160 | **125** | MHz | must reached |" in made
    assert "of commit `abc`, the clock of `def`." in made


def test_a_page_is_filled_and_filled_again() -> None:
    empty = "".join(f"# {name}\n<!-- {name}: generated -->\n<!-- end -->\n" for name in tables(CORE_FIGURES, None))
    once = filled(empty, CORE_FIGURES, PLACED)
    assert "**125 MHz**" in once
    assert filled(once, CORE_FIGURES, PLACED) == once
    assert filled(once, CORE_FIGURES, None) != once
    with pytest.raises(PageError, match="the page has places for"):
        filled(empty.replace("worst", "best"), CORE_FIGURES, PLACED)


def test_a_clock_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_timing(tmp_path / "timing.json") is None
    write_timing(tmp_path / "timing.json", PLACED)
    again = read_timing(tmp_path / "timing.json")
    assert again is not None
    assert tables(CORE_FIGURES, again) == tables(CORE_FIGURES, PLACED)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (6, "6"), (2.0, "2"), (1.25, "1.25"), (33.333, "33.33"), (90_621, "90,621"), (1_234.5, "1,234")],
)
def test_numbers_are_readable(value: float | None, text: str) -> None:
    assert number(value) == text
