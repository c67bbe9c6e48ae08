"""What the commands that run a device share: a progress bar, and errors in one line with an exit status."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from bandgap.host.device.device import DeviceError
from bandgap.host.device.transport import DeviceUrlError
from bandgap.sim.embedded import DeviceHungError
from bandgap.sim.whole_file import OutputFileError

FAILED, BAD_INPUT = 1, 2
"""Exit statuses: the run or a check of it failed; what was asked for cannot be run."""

STANDARD_OUTPUT = Path("/dev/stdout")


def progress_bar(console: Console) -> Progress:
    """A bar that counts; its description may be any text."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def keep_apart(files: Mapping[str, Path | None]) -> None:
    """See that no file of a command is written over another one, nor over what its standard output goes to.

    Arguments
    ---------
    files : Those that it reads or writes, by its argument or option for each.

    Raises
    ------
    typer.BadParameter : Two are the same file.
    """
    named = {**files, "the standard output": STANDARD_OUTPUT}
    for (name, path), (other_name, other) in combinations(named.items(), 2):
        if path is not None and other is not None and _same_file(path, other):
            raise typer.BadParameter(f"{name} and {other_name} are the same file, {path}: name another one")


def _same_file(path: Path, other: Path) -> bool:
    """Whether two names are of one regular file; a terminal or a pipe may have any number."""
    try:
        return path.samefile(other) and path.is_file()
    except OSError:  # one of them is not there yet
        return os.path.realpath(path) == os.path.realpath(other)


@contextmanager
def errors_as_exit_status(*bad_input: type[ValueError], waves: bool = False) -> Iterator[None]:
    """End the command with one line on standard error: status 2 for bad input, 1 when device, build or host fail.

    Any other error is a mistake in Bandgap: it goes on, and shows where it comes from.

    Arguments
    ---------
    bad_input : What the command raises when its input is bad, beside device URLs and files that cannot be opened for
        writing.
    waves : The command has the option --waves, by which to look at a device that fails.
    """
    named: tuple[type[Exception], ...] = (DeviceUrlError, OutputFileError, *bad_input)
    try:
        yield
    except named as error:
        _end(str(error), BAD_INPUT)
    except (DeviceError, DeviceHungError) as error:
        message = f"the device failed: {error}; --waves FILE.vcd, of the embedded device, shows what it did"
        _end(message if waves else str(error), FAILED)
    except (RuntimeError, OSError) as error:
        _end(str(error), FAILED)


def _end(message: str, status: int) -> None:
    Console(stderr=True).print(Text(f"error: {message}", style="red"), soft_wrap=True)
    sys.exit(status)
