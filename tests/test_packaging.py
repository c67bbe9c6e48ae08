"""What an installation needs is pinned, and what it offers is there."""

import re
import subprocess
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from setuptools import find_packages

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
    packages = set(find_packages(str(ROOT), include=["hdl*", "host*", "sim*"]))
    folders = {path.parent for wing in ("hdl", "host", "sim") for path in (ROOT / wing).rglob("*.py")}
    assert {".".join(folder.relative_to(ROOT).parts) for folder in folders} == packages


def test_make_alone_lists_every_target() -> None:
    text = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets
    for target in targets[1].split():
        assert re.search(rf"^  make {target} +\S", text, re.MULTILINE), target
