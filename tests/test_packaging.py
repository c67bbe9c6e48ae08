"""What an installation needs is pinned, and what it offers is there."""

import re
import subprocess
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMMANDS = PROJECT["project"]["entry-points"]["bandgap.commands"]
TRANSPORTS = PROJECT["project"]["entry-points"]["bandgap.transports"]


@pytest.mark.parametrize(
    ("file", "asked"),
    [
        ("requirements.lock", PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]),
        ("requirements-fpga.lock", PROJECT["dependency-groups"]["fpga"]),
    ],
)
def test_every_dependency_is_locked_with_hashes_and_without_an_address(file: str, asked: list[str]) -> None:
    lock = (ROOT / file).read_text()
    locked = re.findall(r"^([a-z0-9._-]+)==\S+(?: ; [^\\]*)? \\\n    --hash=sha256:", lock, re.MULTILINE)
    assert len(locked) == len(re.findall(r"^[a-z0-9]", lock, re.MULTILINE))
    names = {re.split(r"[=<>]", requirement)[0] for requirement in asked}
    assert names <= set(locked)
    assert "://" not in lock


@pytest.mark.parametrize(("group", "names"), [("bandgap.commands", COMMANDS), ("bandgap.transports", TRANSPORTS)])
def test_every_entry_point_loads(group: str, names: dict[str, str]) -> None:
    installed = {point.name: point for point in entry_points(group=group)}
    assert set(installed) == set(names)
    for point in installed.values():
        assert callable(point.load())


def test_every_folder_of_sources_is_a_package() -> None:
    """And a package has an `__init__.py`, and what lies beside it is installed with it."""
    settings = PROJECT["tool"]["setuptools"]
    files = [path for wing in ("hdl", "host", "sim") for path in (ROOT / wing).rglob("*.*") if path.suffix != ".pyc"]
    folders = {path.parent for path in files}
    assert settings["packages"] == sorted(".".join(("bandgap", *path.relative_to(ROOT).parts)) for path in folders)
    assert all((folder / "__init__.py").exists() for folder in folders)
    data = {"*" + path.suffix for path in files if path.suffix != ".py"}
    assert set(settings["package-data"]["*"]) == data


def test_make_alone_lists_every_target() -> None:
    text = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets
    for target in targets[1].split():
        assert re.search(rf"^  make {target} +\S", text, re.MULTILINE), target
