"""What the matching core is to reach, and whether it does."""

from collections.abc import Sequence
from dataclasses import dataclass

from bandgap.hdl.config import PRESETS
from bandgap.sim.timing import Timing

from .loaded import BACK_TO_BACK, SUSTAINED
from .results import Figure
from .unloaded import CANCEL, FIRST_TRADE, FURTHER_FILL, FURTHER_LEVEL, RESTS
from .worst import WORST_CASE, bound_cycles

_ONE, _EIGHT = BACK_TO_BACK


@dataclass(frozen=True)
class Target:
    """One row of the table.

    Attributes
    ----------
    name : What is to be reached.
    must, strive : The goals; None where there is nothing to strive for.
    unit : Of all three.
    value : What was measured; None where it was not.
    more_is_better : Whether a larger value is better.
    """

    name: str
    must: float
    strive: float | None
    unit: str
    value: float | None
    more_is_better: bool = False

    @property
    def verdict(self) -> str:
        """Which goal is reached."""
        if self.value is None:
            return "not measured"
        if self.strive is not None and self._reaches(self.strive):
            return "strive reached"
        return "must reached" if self._reaches(self.must) else "missed"

    def _reaches(self, goal: float) -> bool:
        assert self.value is not None
        return self.value >= goal if self.more_is_better else self.value <= goal


def targets(core: Sequence[Figure], timing: Timing | None) -> list[Target]:
    """All rows, from the figures of `core` and the placed and routed clock.

    Times and rates follow from both when they are of the same commit: a cycle takes 1,000 / MHz nanoseconds.
    """

    def most(figure: str, flow: str | None = None) -> float | None:
        """The largest value of a figure, over all flows or in one."""
        values = [
            one.value
            for one in core
            if one.figure == figure and flow in (None, one.flow) and one.statistic in ("max", "mean")
        ]
        return max(values, default=None)

    first_trade, sustained = most(FIRST_TRADE), most(SUSTAINED, _ONE)
    clock_mhz = timing.clock_mhz if timing else None
    fitting_mhz = clock_mhz if timing and {timing.commit} == {one.commit for one in core} else None
    trade_ns = first_trade * 1_000 / fitting_mhz if first_trade and fitting_mhz else None
    rate = fitting_mhz / sustained if sustained and fitting_mhz else None
    return [
        Target(RESTS, 6, 4, "cycles", most(RESTS)),
        Target(CANCEL, 6, 4, "cycles", most(CANCEL)),
        Target(FIRST_TRADE, 6, 5, "cycles", first_trade),
        Target(FURTHER_FILL, 2, 1, "cycles", most(FURTHER_FILL)),
        Target(FURTHER_LEVEL, 3, 1, "cycles", most(FURTHER_LEVEL)),
        Target("sustained, one instrument", 2.0, 1.25, "cycles/command", sustained),
        Target("sustained, eight instruments", 1.5, 1.15, "cycles/command", most(SUSTAINED, _EIGHT)),
        Target(WORST_CASE, bound_cycles(PRESETS["ecp5"]), None, "cycles", most(WORST_CASE)),
        Target("placed-and-routed clock", 125, 160, "MHz", clock_mhz, more_is_better=True),
        Target(FIRST_TRADE, 48, 35, "ns", trade_ns),
        Target("sustained, one instrument", 62, 120, "M commands/s", rate, more_is_better=True),
    ]
