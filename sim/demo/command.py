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
from rich.text import Text

from bandgap.host.breaker import HaltCause
from bandgap.host.daemon import Daemon
from bandgap.host.device.transport import open_transport
from bandgap.host.settlement.store import Store
from bandgap.sim.command_line import FAILED, errors_as_exit_status, progress_bar
from bandgap.sim.flow.flash_crash import flash_crash
from bandgap.sim.lab.summary import Line, lines_of, print_summary, speed_line
from bandgap.sim.whole_file import whole_file

from .checks import check_journal, check_ledger, check_model
from .page import clock, length, write_page
from .session import Recording, run
from .venue import ACCOUNTS, START_TICKS, demo_venue


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

    Four perpetuals and 128 accounts on the embedded device, behind the same daemon that runs a venue. Exit status 2:
    the input is bad; 1: the device cannot be built or failed, or a check did.

    Examples:

      bandgap demo

      bandgap demo --messages 20000 --seed 7 --report crash.html

      bandgap demo --messages 200 --waves demo.vcd
    """
    console = Console(highlight=False)
    with errors_as_exit_status(), whole_file(report) as unfinished, tempfile.TemporaryDirectory() as folder:
        url = f"embedded:{preset}" + (f"?waves={quote(str(waves))}" if waves else "")
        session = flash_crash(seed, messages, list(START_TICKS.values()), ACCOUNTS)
        venue = demo_venue(seed, url, Path(folder) / "venue.sqlite")
        with closing(open_transport(url)) as transport, closing(Store(venue.store)) as store:
            daemon = Daemon(venue, transport, store)
            with progress_bar(console) as progress:
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
        write_page(unfinished, title, venue, session, recording, lines, checks)
    print_summary(console, title, [*lines, speed_line(recording.statistics, wall_s)], checks)
    console.print(Text(f"report: {report}"), soft_wrap=True)
    if not all(passed for _, passed, _ in checks):
        sys.exit(FAILED)


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
