"""`bandgap`: the whole tool. Sub-commands beyond the host's own come from the entry-point group `bandgap.commands`."""

import asyncio
import signal
from contextlib import ExitStack, closing
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bandgap.host.clock import VenueClock
from bandgap.host.config import ConfigError, load_config
from bandgap.host.daemon import Daemon
from bandgap.host.device.transport import DeviceUrlError, TransportError, open_transport
from bandgap.host.gateway.front_door import ListenError
from bandgap.host.progress import RecoveryProgress
from bandgap.host.recovery import DaemonError, StoodStillError
from bandgap.host.service import serve
from bandgap.host.settlement.store import Store, StoreError

COMMANDS_GROUP = "bandgap.commands"
"""Entry points of this group are functions that typer can make a command of, or its groups of commands (`Typer`); the
entry's name is the command's."""

_FAILED, _BAD_INPUT = 1, 2


def run(
    config: Annotated[Path, typer.Option(help="The venue file (TOML).")],
) -> None:
    """Run a venue until SIGTERM or Ctrl-C; a store that exists is recovered first.

    Orders and oracle quotes come in as JSON lines at the address that the venue file names. Exit status 2: the venue
    file is bad or asks for what the device does not take, the store is bad, of another venue, or cannot be carried out
    again as it was; 1: the device cannot be opened or the venue failed, and a restart may help.

    Examples:

      bandgap run --config docs/examples/venue.toml

      echo '{"type":"mass_cancel","account":"alice"}' | nc -q1 127.0.0.1 7171
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    # Until the venue serves, which then ends by itself between two steps, SIGTERM is Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ExitStack() as opened:
            try:
                venue = load_config(config)
                store = opened.enter_context(closing(Store(venue.store)))
                transport = opened.enter_context(closing(open_transport(venue.device)))
            except (ConfigError, DeviceUrlError, StoreError) as error:
                raise _fail(console, error, _BAD_INPUT) from error
            try:
                daemon = Daemon(venue, transport, store, RecoveryProgress(console).follow)
            except StoodStillError:
                raise
            except (ConfigError, StoreError, DaemonError) as error:  # the journal comes to the same each time
                raise _fail(console, error, _BAD_INPUT) from error
            if daemon.sequence:
                console.print(f"recovered {daemon.sequence} batches from {venue.store}")
            asyncio.run(serve(venue, daemon, VenueClock(daemon.time_ns), console))
    except KeyboardInterrupt:
        pass
    except (DaemonError, TransportError, StoreError, ListenError) as error:
        raise _fail(console, error, _FAILED) from error
    console.print("stopped")


def verify(
    store: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The SQLite file of a venue.")],
) -> None:
    """Check a store: the journal's chain of digests, every balance, and that the ledger sums to zero.

    Examples:

      bandgap verify venue.sqlite
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        with closing(Store(store, read_only=True)) as opened:
            verified, balances = opened.verify(), opened.balances_quote()
    except StoreError as error:
        raise _fail(console, error, _FAILED) from error
    table = Table("ledger account", "balance (quote)", title=str(store))
    for name, balance in balances.items():
        table.add_row(name, f"{balance:,}")
    table.add_section()
    table.add_row("sum", f"{sum(balances.values()):,}")
    table.columns[1].justify = "right"
    output = Console(highlight=False)
    output.print(table)
    output.print(f"{verified.batches:,} batches, {verified.reports:,} reports, {verified.transfers:,} transfers")
    output.print(f"digest {verified.digest.hex()}")


def build_app() -> typer.Typer:
    """The tool with all its sub-commands."""
    app = typer.Typer(
        name="bandgap",
        help="An open matching appliance: an FPGA order book with a circuit breaker in hardware, and its host.",
        no_args_is_help=True,
        rich_markup_mode="rich",
        add_completion=False,
        pretty_exceptions_show_locals=False,
    )
    app.command("run")(run)
    app.command("verify")(verify)
    for point in sorted(entry_points(group=COMMANDS_GROUP), key=lambda one: one.name):
        try:
            command = point.load()
        except ImportError as error:
            Console(stderr=True).print(f"command {point.name} is missing: {error}", style="yellow", markup=False)
            continue
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=point.name)
        else:
            app.command(point.name)(command)
    return app


def main() -> None:
    """Entry point of the console script."""
    build_app()()


def _fail(console: Console, error: Exception, status: int) -> typer.Exit:
    console.print(f"error: {error}", style="red", markup=False)
    return typer.Exit(status)
