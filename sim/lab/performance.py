"""The tables of `docs/performance.md`, made of the measured figures in `docs/results`."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from bandgap.sim.timing import TIMING, Timing, read_timing

from .clocked import CLOCK, WORST_CASE_TIME
from .loaded import CANCELED, LATENCY, REPORTS, SUSTAINED, TAILS
from .results import Figure, read_figures
from .targets import targets
from .unloaded import CANCEL, FIRST_TRADE, FURTHER_FILL, FURTHER_LEVEL, FURTHER_ROLLING_FILL, RESTS
from .worst import STATED_BOUND, WORST_CASE

PAGE = Path("docs/performance.md")
CORE = Path("docs/results/core.json")

_BLOCK = re.compile(r"(<!-- (?P<name>\w+): generated -->\n).*?(<!-- end -->)", re.DOTALL)


class PageError(ValueError):
    """The page lacks a table, or has a place for one that does not exist."""


def number(value: float | None) -> str:
    """A value as the tables show it."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1_000 or value == int(value) else f"{value:.4g}"


def filled(page: str, core: Sequence[Figure], timing: Timing | None) -> str:
    """The page with its tables made anew. Each stands between `<!-- NAME: generated -->` and `<!-- end -->`.

    Raises
    ------
    PageError : The page and the tables do not fit.
    """
    made = tables(core, timing)
    named = [found["name"] for found in _BLOCK.finditer(page)]
    if sorted(named) != sorted(made):
        raise PageError(f"the page has places for {sorted(named)}, the tables are {sorted(made)}")
    return _BLOCK.sub(lambda found: f"{found[1]}{made[found['name']]}\n{found[3]}", page)


def update(page: Path = PAGE) -> None:
    """Make the page's tables anew from the results on disk."""
    page.write_text(filled(page.read_text(), read_figures(CORE), read_timing(TIMING)))


def tables(core: Sequence[Figure], timing: Timing | None) -> dict[str, str]:
    """Every table by its name, in Markdown."""

    def of(figure: str, flow: str, statistic: str) -> str:
        found = (one.value for one in core if (one.figure, one.flow, one.statistic) == (figure, flow, statistic))
        return number(next(found, None))

    def flows(figure: str) -> list[str]:
        return list(dict.fromkeys(one.flow for one in core if one.figure == figure))

    singles = (RESTS, CANCEL, FIRST_TRADE, FURTHER_FILL, FURTHER_ROLLING_FILL, FURTHER_LEVEL)
    return {
        "targets": _targets(core),
        "unloaded": _markdown(
            ("cycles", "sent", "p50", "max"),
            (
                (figure, flow, of(figure, flow, "p50"), of(figure, flow, "max"))
                for figure in singles
                for flow in flows(figure)
            ),
        ),
        "sustained": _markdown(
            ("flow", "cycles a command", "reports a command", "orders that end canceled, %"),
            (
                (flow, *(of(figure, flow, "mean") for figure in (SUSTAINED, REPORTS, CANCELED)))
                for flow in flows(SUSTAINED)
            ),
        ),
        "latency": _markdown(
            ("cycles", *TAILS), ((flow, *(of(LATENCY, flow, tail) for tail in TAILS)) for flow in flows(LATENCY))
        ),
        "worst": _markdown(
            ("command", "cycles to its last report", "stated bound", "ms at the clock"),
            (
                (
                    flow,
                    of(WORST_CASE, flow, "max"),
                    of(WORST_CASE, flow, STATED_BOUND),
                    of(WORST_CASE_TIME, flow, "max"),
                )
                for flow in flows(WORST_CASE)
            ),
        ),
        "clock": _clock(timing) if timing else "Not placed and routed.",
    }


def _targets(core: Sequence[Figure]) -> str:
    made = _markdown(
        ("figure", "must", "strive", "measured", "unit", ""),
        (
            (row.name, number(row.must), number(row.strive), f"**{number(row.value)}**", row.unit, row.verdict)
            for row in targets(core)
        ),
    )
    clocks, cycles = (
        ", ".join(f"`{commit}`" for commit in sorted({one.commit for one in core if (one.figure == CLOCK) == is_clock}))
        for is_clock in (True, False)
    )
    return f"{made}\n\nCycles are of commit {cycles}, the clock of {clocks or 'none'}."


def _clock(timing: Timing) -> str:
    rows = [
        ("clock", f"**{number(timing.clock_mhz)} MHz**"),
        ("device", timing.device),
        ("preset", timing.preset),
        *((cell, f"{used:,} of {there:,}") for cell, (used, there) in timing.cells.items()),
        ("asked for", f"{number(timing.constraint_mhz)} MHz, seed {timing.seed}"),
        ("tools", ", ".join(f"{tool} {version}" for tool, version in timing.tools.items())),
        ("commit", f"`{timing.commit}`"),
    ]
    path = "\n".join(timing.worst_path)
    return f"{_markdown(('', ''), rows)}\n\nThe worst path:\n\n```\n{path}\n```"


def _markdown(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
