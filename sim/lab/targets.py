"""What the matching core is to reach, and whether it does."""

from collections.abc import Sequence
from dataclasses import dataclass

from .clocked import CLOCK, FIRST_TRADE_TIME, SUSTAINED_RATE
from .loaded import BACK_TO_BACK, SUSTAINED
from .results import Figure
from .unloaded import CANCEL, FIRST_TRADE, FURTHER_FILL, FURTHER_LEVEL, RESTS
from .worst import STATED_BOUND, WORST_CASE

STRIVE_REACHED, MUST_REACHED, MISSED = "strive reached", "must reached", "missed"
HELD, NOT_HELD = "stated bound, held", "stated bound, not held"
NOT_MEASURED = "not measured"

_ONE, _EIGHT = BACK_TO_BACK


@dataclass(frozen=True)
class Target:
    """One row of the table.

    Attributes
    ----------
    name : What is to be reached.
    must, strive : The goals; None where there is nothing to strive for, or no goal.
    unit : Of all three.
    value : What was measured; None where it was not.
    more_is_better : Whether a larger value is better.
    stated : `must` is no goal but a bound that we state ourselves: it is held, or false.
    """

    name: str
    must: float | None
    strive: float | None
    unit: str
    value: float | None
    more_is_better: bool = False
    stated: bool = False

    @property
    def verdict(self) -> str:
        """Which goal is reached, or whether the stated bound is held."""
        if self.value is None:
            return NOT_MEASURED
        if self.stated:
            return HELD if self._reaches(self.must) else NOT_HELD
        if self._reaches(self.strive):
            return STRIVE_REACHED
        return MUST_REACHED if self._reaches(self.must) else MISSED

    def _reaches(self, goal: float | None) -> bool:
        if goal is None or self.value is None:
            return False
        return self.value >= goal if self.more_is_better else self.value <= goal


def targets(core: Sequence[Figure]) -> list[Target]:
    """All rows, from the figures of `core`. Of the worst cases it shows the one that comes nearest to its bound."""

    def most(figure: str, flow: str | None = None) -> float | None:
        """The largest value of a figure, over all flows or in one."""
        values = [
            one.value
            for one in core
            if one.figure == figure and flow in (None, one.flow) and one.statistic in ("max", "mean")
        ]
        return max(values, default=None)

    worst = {(one.flow, one.statistic): one.value for one in core if one.figure == WORST_CASE}
    nearest = max(
        (flow for flow, statistic in worst if statistic == STATED_BOUND),
        key=lambda flow: worst[flow, "max"] / worst[flow, STATED_BOUND],
        default="",
    )
    return [
        Target(RESTS, 6, 4, "cycles", most(RESTS)),
        Target(CANCEL, 6, 4, "cycles", most(CANCEL)),
        Target(FIRST_TRADE, 6, 5, "cycles", most(FIRST_TRADE)),
        Target(FURTHER_FILL, 2, 1, "cycles", most(FURTHER_FILL)),
        Target(FURTHER_LEVEL, 3, 1, "cycles", most(FURTHER_LEVEL)),
        Target("sustained, one instrument", 2.0, 1.25, "cycles/command", most(SUSTAINED, _ONE)),
        Target("sustained, eight instruments", 1.5, 1.15, "cycles/command", most(SUSTAINED, _EIGHT)),
        Target(
            f"{WORST_CASE}: {nearest or NOT_MEASURED}",
            worst.get((nearest, STATED_BOUND)),
            None,
            "cycles",
            worst.get((nearest, "max")),
            stated=True,
        ),
        Target(CLOCK, 125, 160, "MHz", most(CLOCK), more_is_better=True),
        Target(FIRST_TRADE, 48, 35, "ns", most(FIRST_TRADE_TIME)),
        Target("sustained, one instrument", 62, 120, "M commands/s", most(SUSTAINED_RATE, _ONE), more_is_better=True),
    ]
