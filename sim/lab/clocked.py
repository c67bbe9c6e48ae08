"""What measured cycles come to in time, at the placed-and-routed clock."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from bandgap.sim.timing import Timing

from .loaded import SUSTAINED
from .results import Figure, same_gateware
from .unloaded import FIRST_TRADE
from .worst import WORST_CASE

CLOCK = "placed-and-routed clock"
FIRST_TRADE_TIME, SUSTAINED_RATE, WORST_CASE_TIME = (
    f"{figure}, at the clock" for figure in (FIRST_TRADE, SUSTAINED, WORST_CASE)
)

_AT_THE_CLOCK: dict[str, tuple[str, str, Callable[[float, float], float]]] = {
    FIRST_TRADE: (FIRST_TRADE_TIME, "ns", lambda cycles, clock_mhz: cycles * 1_000 / clock_mhz),
    SUSTAINED: (SUSTAINED_RATE, "M commands/s", lambda cycles, clock_mhz: clock_mhz / cycles),
    WORST_CASE: (WORST_CASE_TIME, "ms", lambda cycles, clock_mhz: cycles / clock_mhz / 1_000),
}
"""For a figure in cycles: the name of what it comes to, its unit, and how it follows from the clock."""


def clocked(core: Sequence[Figure], timing: Timing | None) -> list[Figure]:
    """The cycles of `core`, the clock, and what they come to at it; whatever `core` holds of the latter is made anew.

    Cycles and clock have to be of the same gateware: else nothing follows from them.
    """
    made = {CLOCK, *(name for name, _, _ in _AT_THE_CLOCK.values())}
    figures = [one for one in core if one.figure not in made]
    if timing is None:
        return figures
    placed = f"{timing.device}, seed {timing.seed}"
    clock = Figure(CLOCK, timing.preset, placed, "max", timing.clock_mhz, "MHz", timing.commit)
    if not all(same_gateware(commit, timing.commit) for commit in {one.commit for one in figures}):
        return [*figures, clock]
    times = []
    for one in figures:
        if one.figure in _AT_THE_CLOCK:
            name, unit, follows = _AT_THE_CLOCK[one.figure]
            value = round(follows(one.value, timing.clock_mhz), 3)
            times.append(replace(one, figure=name, value=value, unit=unit))
    return [*figures, clock, *times]
