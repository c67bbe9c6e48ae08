"""What the matching core reaches: `python -m bandgap.sim.lab.core` measures it, writes it down and prints it."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from bandgap.hdl.config import PRESETS
from bandgap.sim.timing import TIMING, read_timing

from .clocked import clocked
from .loaded import loaded
from .performance import CORE, PAGE, number, update
from .results import Figure, source_commit, write_figures
from .targets import HELD, MISSED, MUST_REACHED, NOT_HELD, STRIVE_REACHED, Target, targets
from .unloaded import unloaded
from .worst import worst_cases

PRESET = "ecp5"
ACCOUNTS = 1_000
SEED = 1

_COLOURS = {
    STRIVE_REACHED: "green",
    MUST_REACHED: "yellow",
    MISSED: "red",
    HELD: "green",
    NOT_HELD: "red",
}


def measure(preset: str) -> list[Figure]:
    """All cycles of one preset: the same sources give the same figures."""
    commit = source_commit()
    measured = [
        *unloaded(preset, ACCOUNTS, SEED),
        *loaded(preset, ACCOUNTS, SEED),
        *worst_cases(PRESETS[preset], ACCOUNTS),
    ]
    return [Figure(one.figure, preset, one.flow, one.statistic, one.value, one.unit, commit) for one in measured]


def table(rows: Sequence[Target]) -> Table:
    """Targets and what was measured, to be printed."""
    printed = Table(title="matching core", box=box.SIMPLE_HEAD, title_justify="left")
    printed.add_column("figure")
    for name in ("must", "strive", "measured"):
        printed.add_column(name, justify="right", no_wrap=True)
    printed.add_column("unit", no_wrap=True)
    printed.add_column(min_width=14)
    for row in rows:
        colour = _COLOURS.get(row.verdict, "dim")
        values = [number(value) for value in (row.must, row.strive, row.value)]
        printed.add_row(row.name, *values, row.unit, f"[{colour}]{row.verdict}[/]")
    return printed


def main() -> None:
    """Measure, write down, bring the page up to date, and print."""
    figures = clocked(measure(PRESET), read_timing(TIMING))
    write_figures(CORE, figures)
    update(PAGE)
    console = Console()
    console.print(table(targets(figures)))
    console.print(f"written to {CORE} and {PAGE}")


if __name__ == "__main__":
    main()
