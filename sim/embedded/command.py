"""`bandgap device`: an embedded appliance for other processes, and the way to any device checked."""

import os
import signal
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from bandgap.hdl.config import PRESETS
from bandgap.host.device.check import check_way
from bandgap.host.device.serial import SerialTransport
from bandgap.host.device.transport import open_transport
from bandgap.sim.command_line import errors_as_exit_status, progress_bar
from bandgap.sim.whole_file import opening

from .pty_server import PtyServer
from .serial_device import open_serial_device

device = typer.Typer(
    help="Appliances for other processes, and the way to a device.", no_args_is_help=True, rich_markup_mode="rich"
)


@device.command()
def serve(
    pty: Annotated[bool, typer.Option("--pty", help="Behind a pseudo-terminal.")] = False,
    preset: Annotated[
        Literal["formal", "ecp5-small", "ecp5", "ultrascale", "loopback"],
        typer.Option(help="Sizes of the device; `loopback` echoes commands."),
    ] = "ecp5",
    link: Annotated[
        Path | None, typer.Option(help="A name for the terminal: a symbolic link, removed in the end.", metavar="PATH")
    ] = None,
) -> None:
    """Serve an embedded appliance, its serial gateware included, until SIGTERM or Ctrl-C.

    The name of its terminal is printed; a host opens it as it opens a board's, any number of times. Exit status 2: the
    input is bad; 1: the device cannot be built.

    Examples:

      bandgap device serve --pty --link /tmp/bandgap

      bandgap run --config venue.toml     # with device = "serial:/tmp/bandgap"
    """
    console = Console(highlight=False, soft_wrap=True)
    if not pty:
        raise typer.BadParameter("add --pty: a device is served behind a pseudo-terminal")
    with errors_as_exit_status():
        with closing(open_serial_device(PRESETS.get(preset))) as served, closing(PtyServer(served)) as server:
            stop = _stop_descriptor()
            if link is not None:
                with opening(link):
                    link.symlink_to(server.port)
            try:
                console.print(f"serial:{link or server.port}")
                server.serve(stop)
            finally:
                if link is not None:
                    link.unlink()


@device.command()
def check(
    url: Annotated[str, typer.Argument(help="The device.", metavar="URL")],
    messages: Annotated[int, typer.Option(min=1, help="How many commands to send.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="What the commands are made of.")] = 1,
) -> None:
    """Check the way to a device: send commands of random bytes, and compare what comes back.

    The loopback image returns each command whole. An appliance rejects each and returns a part; its book stays as it
    is, but a host that uses it loses its session. Exit status 2: the URL is malformed; 1: the device cannot be opened
    now, or something came back wrong, or nothing.

    Examples:

      bandgap device check serial:/dev/ttyUSB0

      bandgap device serve --pty --preset loopback --link /tmp/bandgap & bandgap device check serial:/tmp/bandgap
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with errors_as_exit_status(), closing(open_transport(url)) as transport:
        with progress_bar(console) as progress:
            task = progress.add_task("commands", total=messages)
            checked = check_way(transport, messages, seed, lambda count: progress.advance(task, count))
        table = Table("", "", title=url, show_header=False)
        for name, value in (
            ("device", checked.image),
            ("commands", f"{checked.messages:,}"),
            ("wrong or missing answers", f"{checked.wrong:,}"),
            *(
                (
                    ("frames that came damaged", f"{transport.damaged:,}"),
                    ("messages sent again", f"{transport.repeated:,}"),
                )
                if isinstance(transport, SerialTransport)
                else ()
            ),
            ("rate", f"{checked.messages / checked.seconds:,.0f} commands a second"),
            ("round trip, median", f"{1e3 * checked.round_trip_s:.2f} ms"),
        ):
            table.add_row(name, value)
        table.columns[1].justify = "right"
        Console(highlight=False).print(table)
        if checked.wrong:
            on_a_line = isinstance(transport, SerialTransport)
            then = "check cable and connectors" if on_a_line else "reset the device, then look at its slot and at dmesg"
            raise RuntimeError(f"what came back is not what was sent: {then}")


def _stop_descriptor() -> int:
    """A file descriptor that can be read once SIGTERM or SIGINT has come."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return readable
