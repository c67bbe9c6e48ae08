"""What the commands that run a device share: a progress bar, and errors in one line with an exit status."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from bandgap.host.device.device import DeviceError
from bandgap.host.device.transport import DeviceUrlError
from bandgap.sim.embedded import DeviceHungError

FAILED, BAD_INPUT = 1, 2
"""Exit statuses: the run or a check of it failed; what was asked for cannot be run."""


def progress_bar(console: Console) -> Progress:
    """A bar that counts; its description may be any text."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )


@contextmanager
def errors_as_exit_status(*bad_input: type[ValueError], waves: bool = False) -> Iterator[None]:
    """End the command with one line on standard error: status 2 for bad input, 1 when device, build or host fail.

    Any other error is a mistake in Bandgap: it goes on, and shows where it comes from.

    Arguments
    ---------
    bad_input : What the command raises when its input is bad, beside device URLs and files that cannot be used.
    waves : The command has the option --waves, by which to look at a device that fails.
    """
    named: tuple[type[Exception], ...] = (DeviceUrlError, OSError, *bad_input)
    try:
        yield
    except named as error:
        _end(str(error), BAD_INPUT)
    except (DeviceError, DeviceHungError) as error:
        message = f"the device failed: {error}; --waves FILE.vcd, of the embedded device, shows what it did"
        _end(message if waves else str(error), FAILED)
    except RuntimeError as error:
        _end(str(error), FAILED)


def _end(message: str, status: int) -> None:
    Console(stderr=True).print(Text(f"error: {message}", style="red"), soft_wrap=True)
    sys.exit(status)
