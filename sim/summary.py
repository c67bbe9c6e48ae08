"""The table at the end of a run."""

from collections import Counter

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .statistics import QUANTILES, FlowStatistics
from .timing import placed

Line = tuple[str, str, str]
"""What is told, its value, and a remark."""


Check = tuple[str, bool, str]
"""What is claimed, whether it holds, and a remark."""


def clock_note() -> str:
    """What the latencies mean, and where the clock comes from that turns cycles into nanoseconds."""
    timing = placed()
    note = "from an order command first seen to its last report"
    return f"{note}; {timing.clock_mhz} MHz is what {timing.preset}, placed and routed, can keep" if timing else note


def lines_of(statistics: FlowStatistics) -> list[Line]:
    """What every run tells: messages, trades, rejects, latencies."""
    messages = sum(statistics.requests.values())
    lines = [
        ("messages", f"{messages:,}", _parts(statistics.requests)),
        ("reports", f"{sum(statistics.reports.values()):,}", _parts(statistics.reports)),
        ("trades", f"{statistics.reports['TRADE']:,}", f"{statistics.traded_lots:,} lots"),
        ("canceled", f"{sum(statistics.cancels.values()):,}", _parts(statistics.cancels)),
        ("rejected", f"{sum(statistics.rejects.values()):,}", _parts(statistics.rejects)),
    ]
    timing = placed()
    for name, fraction in QUANTILES.items() if statistics.latencies.measured else ():
        cycles = statistics.latencies.quantile(fraction)
        duration = f"{timing.nanoseconds(cycles):,} ns at {timing.clock_mhz} MHz" if timing else ""
        lines.append((f"latency {name}", f"{cycles:,} cycles", duration))
    if statistics.latencies.measured:
        lines.append(("", "", clock_note()))
    return lines


def speed_line(statistics: FlowStatistics, wall_s: float) -> Line:
    """How many messages a second were simulated; `wall_s` is what they took on this computer, in seconds."""
    messages = sum(statistics.requests.values())
    return "speed", f"{messages / wall_s:,.0f} messages/s", f"{wall_s:.1f} s on this computer"


def print_summary(console: Console, title: str, lines: list[Line], checks: list[Check]) -> None:
    """Print the table, then each check with a tick or a cross; no text is taken for markup."""
    table = Table(title=Text(title, style="table.title"), box=box.SIMPLE_HEAD, show_header=False, title_justify="left")
    for _ in ("what", "value", "remark"):
        table.add_column()
    table.columns[0].style = "bold"
    table.columns[1].justify = "right"
    for line in lines:
        table.add_row(*map(Text, line))
    console.print(table)
    for claim, passed, remark in checks:
        mark = Text.assemble(("✔", "green"), f" {claim} ", (f"({remark})", "dim"))
        cross = Text.assemble((f"✘ {claim}", "bold red"), f" ({remark})")
        console.print(mark if passed else cross)


def _parts(counts: Counter[str]) -> str:
    """Counts by name, most frequent first."""
    return ", ".join(f"{name.lower().replace('_', ' ')} {count:,}" for name, count in counts.most_common())
