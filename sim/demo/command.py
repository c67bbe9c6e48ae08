"""`bandgap demo`: see it happen."""

import math
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

from bandgap.host.daemon import Daemon
from bandgap.host.device.transport import open_transport
from bandgap.host.settlement.store import Store
from bandgap.sim.command_line import FAILED, errors_as_exit_status, keep_apart
from bandgap.sim.flow.flash_crash import flash_crash
from bandgap.sim.summary import Line, lines_of, print_summary, speed_line
from bandgap.sim.whole_file import whole_file

from .checks import check_bands, check_journal, check_ledger, check_model
from .live import LiveView
from .page import clock, count_limit_states, length, write_page
from .session import Recording, run
from .venue import ACCOUNTS, START_TICKS, demo_venue

SLOWEST_PACE = 0.001


def demo(
    messages: Annotated[int, typer.Option(min=1, max=10_000_000, help="Requests that participants send.")] = 200_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same session.")] = 1,
    preset: Annotated[Literal["ecp5", "ultrascale"], typer.Option(help="Sizes of the device.")] = "ecp5",
    device: Annotated[
        Literal["embedded", "model"], typer.Option(help="The gateware, or the reference model, which has no clock.")
    ] = "embedded",
    pace: Annotated[
        float,
        typer.Option(
            min=0, help="Simulated seconds that a terminal shows a second while a breaker acts; 0: all it can."
        ),
    ] = 20,
    report: Annotated[Path, typer.Option(help="Where the HTML report goes.", metavar="FILE")] = Path("demo.html"),
    waves: Annotated[
        Path | None, typer.Option(help="Write waves, .vcd (2 GB for 200 messages) or .fst (50 MB).", metavar="FILE")
    ] = None,
) -> None:
    """Run a market through the hardware book: calm, flash crash, recovery; then prove that it came out right.

    Four perpetuals and 128 accounts on the embedded device, behind the same daemon that runs a venue. In the crash
    prices come to their bounds: limit states become halts, halts auction calls, and auctions reopen. Exit status 2:
    the input is bad; 1: the device cannot be built or failed, the report cannot be written to its end, or a check
    did not pass.

    Examples:

      bandgap demo

      bandgap demo --messages 20000 --seed 7 --report crash.html

      bandgap demo --messages 200 --waves demo.vcd
    """
    console = Console(highlight=False)
    if pace and not SLOWEST_PACE <= pace < math.inf:
        raise typer.BadParameter(f"0, or from {SLOWEST_PACE} on, not {pace}", param_hint="--pace")
    if waves and device == "model":
        raise typer.BadParameter("only the embedded device writes waves", param_hint="--waves")
    keep_apart({"--report": report, "--waves": waves})
    with errors_as_exit_status(waves=True), whole_file(report) as page, tempfile.TemporaryDirectory() as folder:
        url = f"{device}:{preset}" + (f"?waves={quote(str(waves))}" if waves else "")
        session = flash_crash(seed, messages, list(START_TICKS.values()), ACCOUNTS)
        venue = demo_venue(seed, url, Path(folder) / "venue.sqlite")
        with closing(open_transport(url)) as transport, closing(Store(venue.store)) as store:
            daemon = Daemon(venue, transport, store)
            with LiveView(console, list(START_TICKS), messages, pace) as view:
                started_s = time.perf_counter()
                recording = run(daemon, session, view.follow)
                wall_s = time.perf_counter() - started_s
        with console.status("checking"):
            checks = [
                check_ledger(venue.store),
                check_bands(venue),
                check_model(venue, preset, recording.book_at_end),
                check_journal(venue, f"{device}:{preset}", daemon),
            ]
        lines = lines_of(recording.statistics) + _story(recording, [one.name for one in venue.instruments])
        title = f"{messages:,} messages through {device}:{preset}, seed {seed}"
        write_page(page, title, venue, session, recording, lines, checks)
    print_summary(console, title, [*lines, speed_line(recording.statistics, wall_s)], checks)
    console.print(Text(f"report: {report}"), soft_wrap=True)
    if not all(passed for _, passed, _ in checks):
        sys.exit(FAILED)


def _story(recording: Recording, names: list[str]) -> list[Line]:
    """What the breakers did, and liquidations, for the summary."""
    trips = [stop for stop in recording.stops if stop.halted_ns is not None]
    told = "\n".join(
        f"{names[stop.instrument]} at {clock(stop.from_ns)} for {length(stop.from_ns, stop.to_ns)} ({stop.cause.value})"
        for stop in trips
    )
    auctions = [one for track in recording.tape.tracks for one in track.auctions if one.trades]
    extended = sum(phase.extensions for track in recording.tape.tracks for phase in track.phases)
    volume = f"{sum(one.volume_lots for one in auctions):,} lots; calls were extended {extended} times"
    closed = f"{recording.closing_orders} closing orders, insurance fund paid {recording.covered_quote:,}"
    return [
        ("limit states", str(count_limit_states(recording)), f"{len(recording.stops) - len(trips)} went by"),
        ("halts", str(len(trips)), told),
        ("auctions", str(len(auctions)), volume),
        ("liquidations", str(len(recording.liquidations)), closed),
    ]
