"""The placed-and-routed clock, as `docs/results` keeps it; `sim/lab/place.py` measures it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

TIMING = Path("docs/results/timing.json")
_CHECKOUT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Timing:
    """What placing and routing came to.

    Attributes
    ----------
    preset, device : What was placed and routed into what.
    clock_mhz : The clock that the result can keep.
    constraint_mhz : The clock that was asked for.
    seed : Where the placer started from.
    cells : Of each kind of cell, how many are used and how many there are.
    worst_path : The path that bounds the clock, a line for each signal of the design on it, with the time until then.
    tools : Version of each tool.
    commit : See `source_commit`.
    """

    preset: str
    device: str
    clock_mhz: float
    constraint_mhz: float
    seed: int
    cells: dict[str, tuple[int, int]]
    worst_path: list[str]
    tools: dict[str, str]
    commit: str

    def nanoseconds(self, cycles: int) -> int:
        """Duration of `cycles` at the clock that the result can keep, rounded."""
        return round(cycles * 1_000 / self.clock_mhz)


def read_timing(path: Path) -> Timing | None:
    """What was written; None when nothing was."""
    return Timing(**json.loads(path.read_text())) if path.exists() else None


def placed() -> Timing | None:
    """What this checkout holds of the last `make timing`; None where it holds nothing."""
    return read_timing(_CHECKOUT / TIMING)


def write_timing(path: Path, timing: Timing) -> None:
    """Write it as one JSON object."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(timing), indent=2) + "\n")
