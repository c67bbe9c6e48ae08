"""What becomes of a file while it is written, and of what stood in its place."""

import os
import resource
import stat
from pathlib import Path

import pytest

from bandgap.sim.whole_file import OutputFileError, whole_file


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    (tmp_path / "out.csv.part").write_text("another's")
    with whole_file(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert (tmp_path / "out.csv.part").read_text() == "another's"
    assert len(list(tmp_path.iterdir())) == 2


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="halfway"), whole_file(path) as file:
        file.write(b"new")
        raise RuntimeError("halfway")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_its_target_is_written(tmp_path: Path, there: bool) -> None:
    link, target = tmp_path / "link.csv", tmp_path / "folder" / "target.csv"
    target.parent.mkdir()
    if there:
        target.write_text("old")
    link.symlink_to(target)
    with whole_file(link) as file:
        file.write(b"new")
    assert link.readlink() == target
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with whole_file(pipe) as file:
        file.write(b"new")
    assert os.read(reader, 100) == b"new"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "it is a folder"),
        ("nowhere/out.csv", r"there is no folder .*/nowhere$"),
        ("dangling.csv", r"there is no folder /nowhere$"),
        ("file/out.csv", "Not a directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_place_where_no_file_can_be_is_named(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling.csv").symlink_to("/nowhere/out.csv")
    path = tmp_path / name
    with pytest.raises(OutputFileError, match=f"^{path} cannot be written: {why}"), whole_file(path):
        pass
    assert {entry.name for entry in tmp_path.iterdir()} == {"file", "dangling.csv"}


def test_a_file_that_cannot_be_written_to_its_end_is_named(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(OSError, match=f"File too large: '{path}'"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
        try:
            with whole_file(path) as file:
                file.write(bytes(2_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
