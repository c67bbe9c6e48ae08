"""What names the gateware."""

import shutil
from pathlib import Path

import pytest

from bandgap.hdl import build
from bandgap.hdl.build import build_identity
from bandgap.hdl.config import PRESETS


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the gateware's sources, of which the identity is."""
    copy = tmp_path / "hdl"
    shutil.copytree(Path(build.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(build, "__file__", str(copy / "build.py"))
    return copy


def change(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("config.py", '"""Sizes of an appliance', '"""The sizes of\n\nan appliance'),
        ("beats.py", "RESERVE_BITS = 46\n", "RESERVE_BITS = 46  # see below\n\n"),
        ("tools/flash.py", 'LOADER = "openFPGALoader"', 'LOADER = "another"'),
    ],
)
def test_words_and_tools_are_not_the_gateware(sources: Path, name: str, before: str, after: str) -> None:
    identity = build_identity(PRESETS["formal"])
    change(sources / name, before, after)
    assert build_identity(PRESETS["formal"]) == identity


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("beats.py", "RESERVE_BITS = 46\n", "RESERVE_BITS = 47\n"),
        ("protocol/registers.py", '"magic"', '"magic#"'),
        ("config.py", "        if not 1 <= self.links", "    if not 1 <= self.links"),
    ],
)
def test_code_is_the_gateware(sources: Path, name: str, before: str, after: str) -> None:
    identity = build_identity(PRESETS["formal"])
    change(sources / name, before, after)
    assert build_identity(PRESETS["formal"]) != identity


def test_each_configuration_has_its_own() -> None:
    assert len({build_identity(config) for config in [None, *PRESETS.values()]}) == len(PRESETS) + 1
