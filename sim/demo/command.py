"""`bandgap demo`: see it happen."""

import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bandgap.host.breaker import HaltCause
from bandgap.host.daemon import Daemon
from bandgap.host.device.transport import open_transport
from bandgap.host.settlement.store import Store
from bandgap.sim.embedded import BuildError
from bandgap.sim.flow.flash_crash import flash_crash
from bandgap.sim.lab.summary import Line, lines_of, print_summary, speed_line

from .checks import check_journal, check_ledger, check_model
from .page import clock, length, write_page
from .session import Recording, run
from .venue import ACCOUNTS, START_TICKS, demo_venue

CHECK_FAILED, BAD_INPUT = 1, 2


def demo(
    messages: Annotated[int, typer.Option(min=1, help="Requests that participants send.")] = 200_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same session.")] = 1,
    preset: Annotated[Literal["ecp5", "ultrascale"], typer.Option(help="Sizes of the device.")] = "ecp5",
    report: Annotated[Path, typer.Option(help="Where the HTML report goes.", metavar="FILE")] = Path("demo.html"),
    waves: Annotated[
        Path | None, typer.Option(help="Write waves, .vcd (2 GB for 200 messages) or .fst (50 MB).", metavar="FILE")
    ] = None,
) -> None:
    """Run a market through the hardware book: calm, flash crash, recovery; then prove that it came out right.

    Four perpetuals and 128 accounts on the embedded device, behind the same daemon that runs a venue. Exit status 1: a
    check failed; 2: the input is bad.

    Examples:

      bandgap demo

      bandgap demo --messages 20000 --seed 7 --report crash.html

      bandgap demo --messages 200 --waves demo.vcd
    """
    console = Console(highlight=False)
    url = f"embedded:{preset}" + (f"?waves={quote(str(waves))}" if waves else "")
    session = flash_crash(seed, messages, list(START_TICKS.values()), ACCOUNTS)
    with tempfile.TemporaryDirectory() as folder:
        venue = demo_venue(seed, url, Path(folder) / "venue.sqlite")
        try:
            with report.open("a"):  # a report that cannot be written is known before the run
                transport = open_transport(url)
        except (OSError, ValueError, BuildError) as error:
            Console(stderr=True).print(f"error: {error}", style="red", markup=False)
            sys.exit(BAD_INPUT)
        with closing(Daemon(venue, transport, Store(venue.store))) as daemon, _progress(console) as progress:
            task = progress.add_task("session", total=messages)
            started_s = time.perf_counter()
            recording = run(daemon, session, lambda carried: progress.advance(task, carried))
            wall_s = time.perf_counter() - started_s
        with console.status("checking"):
            checks = [
                check_ledger(venue.store),
                check_model(venue, preset, recording.book_at_end),
                check_journal(venue, preset, daemon),
            ]
        lines = lines_of(recording.statistics) + _story(recording, [one.name for one in venue.instruments])
        title = f"{messages:,} messages through embedded:{preset}, seed {seed}"
        write_page(report, title, venue, session, recording, lines, checks)
    print_summary(console, title, [*lines, speed_line(recording.statistics, wall_s)], checks)
    console.print(f"report: {report}")
    if not all(passed for _, passed, _ in checks):
        sys.exit(CHECK_FAILED)


def _story(recording: Recording, names: list[str]) -> list[Line]:
    """Halts and liquidations for the summary."""
    trips = [halt for halt in recording.halts if halt.cause is HaltCause.BREAKER]
    others = [halt for halt in recording.halts if halt.cause is not HaltCause.BREAKER]
    lines = [
        (
            what,
            str(len(halts)),
            "\n".join(
                f"{names[halt.instrument]} at {clock(halt.from_ns)} for {length(halt.from_ns, halt.to_ns)}"
                for halt in halts
            ),
        )
        for what, halts in (("breaker trips", trips), ("other halts", others))
        if halts or what == "breaker trips"
    ]
    closed = f"{recording.closing_orders} closing orders, insurance fund paid {recording.covered_quote:,}"
    return [*lines, ("liquidations", str(len(recording.liquidations)), closed)]


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    )
