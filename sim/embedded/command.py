"""`bandgap device`: an embedded appliance for other processes."""

import os
import signal
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from bandgap.hdl.config import PRESETS
from bandgap.sim.command_line import errors_as_exit_status

from .pty_server import PtyServer
from .serial_device import open_serial_device

device = typer.Typer(help="Appliances for other processes.", no_args_is_help=True, rich_markup_mode="rich")


@device.command()
def serve(
    pty: Annotated[bool, typer.Option("--pty", help="Behind a pseudo-terminal.")] = False,
    preset: Annotated[Literal["formal", "ecp5", "ultrascale"], typer.Option(help="Sizes of the device.")] = "ecp5",
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
    with errors_as_exit_status():
        if not pty:
            raise ValueError("a device is served behind a pseudo-terminal: add --pty")
        with closing(open_serial_device(PRESETS[preset])) as served, closing(PtyServer(served)) as server:
            stop = _stop_descriptor()
            if link is not None:
                link.symlink_to(server.port)
            try:
                console.print(f"serial:{link or server.port}")
                server.serve(stop)
            finally:
                if link is not None:
                    link.unlink()


def _stop_descriptor() -> int:
    """A file descriptor that can be read once SIGTERM or SIGINT has come."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return readable
