"""Measured figures, as `docs/results` keeps them."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One measured number and all that is needed to judge it.

    Attributes
    ----------
    figure : What was measured.
    preset : Sizes of the device.
    flow : What was sent to it.
    statistic : Which of many values this is, such as `p99` or `max`.
    value, unit : The number.
    commit : See `source_commit`.
    """

    figure: str
    preset: str
    flow: str
    statistic: str
    value: float
    unit: str
    commit: str


def source_commit(*folders: str) -> str:
    """The commit of the sources; `-dirty` follows it where gateware, simulation or these folders differ from it."""
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", "hdl", "sim", *folders)
    return _git("rev-parse", "HEAD") + ("-dirty" if changes else "")


def same_gateware(one: str, other: str) -> bool:
    """Whether the gateware is the same in two commits, each as `source_commit` has it; hdl/tools only builds it.

    Of a commit with changes, or one that is not in this repository, that is not known: then it is not.
    """
    compare = ["git", "diff", "--quiet", one, other, "--", "hdl", ":(exclude)hdl/tools"]
    return subprocess.run(compare, check=False, capture_output=True).returncode == 0


def write_figures(path: Path, figures: Sequence[Figure]) -> None:
    """Write figures as a JSON list of objects."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")


def read_figures(path: Path) -> list[Figure]:
    """What `write_figures` wrote."""
    return [Figure(**row) for row in json.loads(path.read_text())]


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()
