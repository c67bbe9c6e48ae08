"""`bandgap bitstream` and `bandgap flash`."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ..boards import u50
from ..boards.ecp5 import Ecp5Board
from .bitstream import (
    BITSTREAM,
    BOARDS,
    FOLDER,
    LOOPBACK,
    SEED,
    ChoiceError,
    Manifest,
    ManifestError,
    build,
    check_clock,
    clock_of,
    folder_of,
    sizes,
)
from .flash import checked
from .flash import flash as load
from .vivado import SCRIPT, write_project

_FAILED, _BAD_INPUT = 1, 2
_MINUTES = {"ecp5": "half an hour", "ecp5-small": "an hour or more"}
_MOST_MHZ = 10_000
_MOST_SEED = (1 << 31) - 1
_ALL_BOARDS = [*BOARDS, u50.NAME]

_Preset = Annotated[
    str | None,
    typer.Option(
        help=f"Sizes of the appliance, by default those that the board is delivered with; `{LOOPBACK}` is an image "
        "that echoes commands, for checking cables.",
    ),
]
_Folder = Annotated[Path, typer.Option(help="Where the bitstreams of all boards are.")]


def bitstream(
    board: Annotated[str, typer.Argument(metavar="BOARD", help=f"The board: {', '.join(_ALL_BOARDS)}.")],
    preset: _Preset = None,
    clock_mhz: Annotated[
        float | None, typer.Option(help="The core's clock; by default the board's for the preset.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=1, max=_MOST_SEED, help=f"Where the placer starts from, by default {SEED}.")
    ] = None,
    folder: _Folder = FOLDER,
) -> None:
    """Build a board's bitstream and its manifest, from the sources to the last bit.

    The same sources give the same bitstream. The tools come from the Python package index;
    `make .venv/fpga/installed` installs them. For the u50 this writes a Vivado project, whose own build script makes
    the bitstream, and checks its synthesis as far as Yosys goes; its clock is the slot's, its placer Vivado's. Exit
    status 2: the input is bad; 1: a tool is missing or failed, or the clock is too fast for the design.

    Examples:

      bandgap bitstream ecp5-evaluation

      bandgap bitstream ulx3s --preset loopback

      bandgap bitstream ulx3s --clock-mhz 36.25 --seed 7

      bandgap bitstream u50 && vivado -mode batch -source bitstreams/u50/build.tcl
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with _errors_as_exit_status(console):
        if board == u50.NAME:
            if clock_mhz is not None or seed is not None:
                raise ChoiceError(f"--clock-mhz and --seed are for boards placed here, not for the {u50.TITLE}")
            _see_place(folder / u50.NAME)
            _write_project(console, u50.PRESET if preset is None else preset, folder / u50.NAME)
            return
        known = _known(board)
        preset = known.preset if preset is None else preset
        sizes(preset)
        clock_hz = clock_of(known, preset) if clock_mhz is None else _whole_hz(clock_mhz)
        check_clock(known, clock_hz)
        target = folder_of(known.name, preset, folder)
        _see_place(target)
        console.print(f"{known.title}, {preset}: this takes {_MINUTES.get(preset, 'a few minutes')}")
        with steps(console) as step:
            placed_from = SEED if seed is None else seed
            manifest = build(known, preset, target, clock_hz=clock_hz, seed=placed_from, step=step)
    _tell(manifest, target)


def flash(
    board: Annotated[str, typer.Argument(metavar="BOARD", help=f"The board: {', '.join(BOARDS)}.")],
    preset: _Preset = None,
    volatile: Annotated[
        bool, typer.Option("--volatile", help="Into the device alone: gone when it loses its power.")
    ] = False,
    folder: _Folder = FOLDER,
) -> None:
    """Load a bitstream into a board, with openFPGALoader.

    It is refused when the host of this version would refuse the device. Exit status 2: there is no such bitstream
    or preset; 1: openFPGALoader is missing or failed.

    Examples:

      bandgap flash ecp5-evaluation

      bandgap flash ulx3s --preset loopback --volatile
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with _errors_as_exit_status(console):
        known = _known(board)
        preset = known.preset if preset is None else preset
        sizes(preset)
        manifest = checked(known.name, preset, folder)
        load(known.name, preset, folder, volatile=volatile)
    console.print(f"the {known.title} has {preset}: serial:PORT?baud={manifest.baud} is its device URL")


def _write_project(console: Console, preset: str, target: Path) -> None:
    console.print(f"{u50.TITLE}, {preset}: this takes a few minutes")
    with steps(console) as step:
        manifest = write_project(preset, target, step)
    synthesis = manifest["synthesis"]
    title = f"{target}: a Vivado project"
    table = Table(f"of {synthesis['preset']}, behind the block, by Yosys", "used", title=title)
    table.columns[1].justify = "right"
    for cell, used in synthesis["cells"].items():
        table.add_row(cell, f"{used:,}")
    table.add_row("timing", manifest["timing"])
    output = Console(highlight=False, soft_wrap=True)
    output.print(table)
    output.print(f"next: vivado -mode batch -source {target / SCRIPT}", markup=False)


def _known(board: str) -> Ecp5Board:
    if board == u50.NAME:
        raise ChoiceError(f"the {u50.TITLE} is programmed by Vivado: docs/deployment.md says how")
    if board not in BOARDS:
        raise ChoiceError(f"no board {board!r}; known: {', '.join(_ALL_BOARDS)}")
    return BOARDS[board]


def _whole_hz(clock_mhz: float) -> int:
    if 0 < clock_mhz < _MOST_MHZ and (clock_hz := Fraction(str(clock_mhz)) * 1_000_000).denominator == 1:
        return int(clock_hz)
    raise ChoiceError(f"--clock-mhz must be positive, below {_MOST_MHZ:,} and a whole number of Hz, not {clock_mhz}")


def _see_place(target: Path) -> None:
    """See that a folder is or can be made, before it takes long to have something to put there."""
    there = next(folder for folder in (target, *target.absolute().parents) if os.path.exists(folder))
    if not there.is_dir():
        raise ChoiceError(f"{target} cannot be a folder: {there} is a file; name another --folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ChoiceError(f"{target} cannot be written: {there} is not yours to write; name another --folder")


def _tell(manifest: Manifest, target: Path) -> None:
    table = Table("", "", title=str(target / BITSTREAM), show_header=False)
    table.add_row("clock", f"{manifest.clock_mhz:g} MHz; placed and routed it can keep {manifest.fmax_mhz:g} MHz")
    table.add_row("serial port", f"{manifest.baud:,} baud, {manifest.cycles_per_bit} cycles a bit")
    for cell, (used, available) in manifest.cells.items():
        table.add_row(cell, f"{used:,} of {available:,}")
    table.add_row("size", f"{manifest.bitstream_bytes:,} bytes")
    table.add_row("layout hash", manifest.layout_hash)
    console = Console(highlight=False)
    console.print(table)
    console.print("\n".join(["longest path:", *manifest.worst_path]), markup=False)


@contextmanager
def steps(console: Console) -> Iterator[Callable[[str], None]]:
    """What is under way, and for how long; a step's line stays when the next one begins.

    What stands before a colon is the step, what follows may change while it is under way.
    """
    columns = (SpinnerColumn(finished_text="-"), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:

        def step(text: str) -> None:
            name = text.partition(":")[0]
            if progress.tasks and progress.tasks[-1].description.partition(":")[0] == name:
                progress.update(progress.tasks[-1].id, description=text)
                return
            for task in progress.tasks:
                progress.update(task.id, total=1, completed=1)
            progress.add_task(text, total=None)

        yield step
        step("done")


@contextmanager
def _errors_as_exit_status(console: Console) -> Iterator[None]:
    try:
        yield
    except (ChoiceError, ManifestError) as error:
        _end(console, error, _BAD_INPUT)
    except (RuntimeError, OSError) as error:
        _end(console, error, _FAILED)


def _end(console: Console, error: Exception, status: int) -> None:
    console.print(Text(f"error: {error}", style="red"))
    sys.exit(status)
