"""`bandgap`: the whole tool. Sub-commands beyond the host's own come from the entry-point group `bandgap.commands`."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
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
from bandgap.host.verification import verify as verify_store

COMMANDS_GROUP = "bandgap.commands"
"""Entry points of this group are functions that typer can make a command of, or its groups of commands (`Typer`); the
entry's name is the command's."""

_FAILED, _BAD_INPUT = 1, 2
_PATIENCE_S = 2.0
_DIGEST_BYTES = 32


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
    console = _console(stderr=True)
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
    store: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The SQLite file of a stopped venue.")],
    digest: Annotated[
        str | None,
        typer.Option(metavar="HEX", help="A digest that was kept elsewhere; the journal's chain must come to it."),
    ] = None,
) -> None:
    """Prove a store from its rules and its journal: the chain of digests, every name, transfer and balance.

    This shows that the money follows from the journal, not that the journal is what happened. For that, keep the digest
    printed here where nobody who can write the store can change it, and give it with --digest the next time.

    Examples:

      bandgap verify venue.sqlite

      bandgap verify venue.sqlite --digest "$(cat yesterday.digest)"
    """
    console = _console(stderr=True)
    kept_digest = None if digest is None else _parse_digest(digest)
    try:
        with closing(Store(store, read_only=True)) as opened:
            with _told_when_slow(console, opened.batch_count) as follow:
                verified = verify_store(opened, kept_digest, follow)
            balances = opened.balances_quote()
    except StoreError as error:
        raise _fail(console, error, _FAILED) from error
    table = Table("ledger account", "balance (quote)", title=str(store))
    for name, balance in balances.items():
        table.add_row(name, f"{balance:,}")
    table.add_section()
    table.add_row("sum", f"{sum(balances.values()):,}")
    table.columns[1].justify = "right"
    output = _console()
    output.print(table, soft_wrap=False)
    output.print(f"{verified.batches:,} batches, {verified.reports:,} reports, {verified.transfers:,} transfers")
    if verified.kept_batches is not None:
        output.print(f"the kept digest is that of the first {verified.kept_batches:,} batches")
    if verified.unfinished:
        output.print(f"batch {verified.batches} is journaled, but unfinished: nothing of it is proved, run finishes it")
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


def _console(*, stderr: bool = False) -> Console:
    """Text as it is: in rich's markup a path might mean something else."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)


def _parse_digest(text: str) -> bytes:
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != _DIGEST_BYTES:
        raise typer.BadParameter(f"{text!r} is not {2 * _DIGEST_BYTES} hexadecimal digits", param_hint="--digest")
    return digest


@contextmanager
def _told_when_slow(console: Console, batch_count: int) -> Iterator[Callable[[int], None]]:
    """A bar for what takes longer than `_PATIENCE_S`; what is yielded is to be told how many batches are done."""
    begin_s = time.monotonic()
    with ExitStack() as shown:
        progress = Progress(console=console, transient=True)
        task = progress.add_task("verify", total=batch_count)

        def follow(done: int) -> None:
            slow = time.monotonic() - begin_s >= _PATIENCE_S
            if slow and console.is_terminal and not progress.live.is_started:
                shown.enter_context(progress)
            progress.update(task, completed=done)

        yield follow


def _fail(console: Console, error: Exception, status: int) -> typer.Exit:
    console.print(f"error: {error}", style="red")
    return typer.Exit(status)
