"""Files that are there whole or not at all."""

import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class OutputFileError(OSError):
    """A file cannot be opened for writing; the message names it and says why."""


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """Where a command's output is opened: what goes wrong becomes an `OutputFileError`."""
    try:
        yield
    except OSError as error:
        why = error.strerror
        if isinstance(error, FileNotFoundError):
            why = f"there is no folder {_target(path).parent}"
        elif isinstance(error, FileExistsError):
            why = "it is there already; remove it, or name another"
        elif isinstance(error, IsADirectoryError):
            why = "it is a folder"
        raise OutputFileError(f"{path} cannot be written: {why}") from error


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to be written. It takes the name `path` when it is whole; an error leaves there what was there before.

    A symbolic link stays, and what it points to is written. What is no regular file, such as /dev/stdout, is written
    as it comes.

    Raises
    ------
    OutputFileError : There is no place for it; known at once, before anything is computed.
    OSError : It cannot be written to its end; the error names `path`.
    """
    target = _target(path)
    # Beside the target: within one file system alone a file takes another's name in one go.
    unfinished = target.parent / f"bandgap-{secrets.token_hex(8)}.part"
    with opening(path):
        in_place = path.exists() and not path.is_file()
        raw = _NamedFile(path, path, "w") if in_place else _NamedFile(unfinished, path, "x")
    try:
        with io.BufferedWriter(raw) as file:
            yield file
        if not in_place:
            unfinished.replace(target)
    finally:
        if not in_place:
            unfinished.unlink(missing_ok=True)


def _target(path: Path) -> Path:
    """The name at which a link ends; any other as it is."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else path


class _NamedFile(io.FileIO):
    """A file at `place` whose errors in writing call it `name`."""

    def __init__(self, place: Path, name: Path, mode: str) -> None:
        super().__init__(place, mode)
        self._name = name

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._name)) from error
