"""`bandgap replay`: bring your own flow."""

import csv
import gzip
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Literal, TextIO
from urllib.parse import quote

import typer
from rich.console import Console

from bandgap.host.device.device import Device
from bandgap.host.device.transport import open_transport
from bandgap.sim.command_line import FAILED, errors_as_exit_status, keep_apart, progress_bar
from bandgap.sim.flow.file import FlowError, FlowFile
from bandgap.sim.summary import lines_of, print_summary, speed_line
from bandgap.sim.whole_file import whole_file

from .report_rows import COLUMNS, DETAILS
from .session import PRICE_LIMIT, ReplayError, ReplaySession


def replay(
    file: Annotated[Path, typer.Argument(help="CSV, CSV.gz or LOBSTER message file.", metavar="FILE")],
    device: Annotated[Literal["embedded", "model"], typer.Option(help="What matches the flow.")] = "embedded",
    preset: Annotated[
        Literal["ecp5-small", "ecp5", "ultrascale"], typer.Option(help="Sizes of the device.")
    ] = "ultrascale",
    reports: Annotated[
        Path | None, typer.Option(help="Write every answer to this CSV file (.gz compresses).", metavar="OUT.csv")
    ] = None,
    details: Annotated[bool, typer.Option("--details", help=f"Also write {', '.join(DETAILS)}.")] = False,
    window_base: Annotated[
        int | None,
        typer.Option(min=0, max=PRICE_LIMIT - 1, help="Lowest price that can rest, in ticks.", metavar="TICKS"),
    ] = None,
    waves: Annotated[Path | None, typer.Option(help="Write waves, .vcd or .fst.", metavar="FILE")] = None,
) -> None:
    """Replay an order flow through a device.

    Columns: command,client_order_id,side,price_ticks,quantity,time_in_force; where wanted also account, instrument,
    post_only, self_trade_prevention. The file is checked whole before anything runs. Exit status 2: the input is bad;
    1: the device cannot be built or failed, a file cannot be written to its end, or the run did not end in balance.

    Examples:

      bandgap replay orders.csv.gz --reports reports.csv

      bandgap replay orders.csv --device model --preset ecp5 --details --reports reports.csv.gz

      bandgap replay AAPL_2012-06-21_message_10.csv --waves aapl.vcd
    """
    console = Console(highlight=False)
    if waves is not None and device != "embedded":
        raise typer.BadParameter("only the embedded device writes waves", param_hint="--waves")
    keep_apart({"FILE": file, "--reports": reports, "--waves": waves})
    with errors_as_exit_status(FlowError, ReplayError, waves=True):
        flow = FlowFile(file)
        survey = flow.survey()
        url = f"{device}:{preset}" + (f"?waves={quote(str(waves))}" if waves else "")
        with closing(Device(open_transport(url))) as opened, _writer(reports) as output:
            session = ReplaySession(opened, survey, window_base)
            writer = csv.writer(output, lineterminator="\n") if output else None
            width = len(COLUMNS + DETAILS) if details else len(COLUMNS)
            if writer:
                writer.writerow((COLUMNS + DETAILS)[:width])
            started_s = time.perf_counter()
            with progress_bar(console) as progress:
                task = progress.add_task(file.name, total=survey.requests)
                for chunk in flow.chunks():
                    rows = session.run(chunk)
                    if writer:
                        writer.writerows(row[:width] for row in rows)
                    progress.advance(task, len(chunk.rows))
            wall_s = time.perf_counter() - started_s
            checks = session.settle()
    lines = [*lines_of(session.statistics), speed_line(session.statistics, wall_s)]
    lines += [("not orders", f"{count:,}", note) for note, count in survey.notes.items()]
    print_summary(console, f"{file.name} on {device}:{preset}", lines, checks)
    if not all(passed for _, passed, _ in checks):
        sys.exit(FAILED)


@contextmanager
def _writer(path: Path | None) -> Iterator[TextIO | None]:
    """A text file that takes its name when it is complete; None without a path."""
    if path is None:
        yield None
        return
    with whole_file(path) as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
                with TextIOWrapper(packed, encoding="utf-8", newline="") as text:
                    yield text
        else:
            with TextIOWrapper(raw, encoding="utf-8", newline="") as text:
                yield text
