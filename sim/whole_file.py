"""Files that are there whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """An empty file beside `path`, to be written; it takes the name `path` at the end, and goes when there is an error.

    Raises
    ------
    OSError : There is no place for it; known at once, before anything is computed.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder")
    unfinished = path.with_name(path.name + ".part")
    unfinished.touch()
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
