"""What a proof is made of."""

from collections.abc import Callable
from dataclasses import dataclass

from harness import Harness

PROPERTIES = {
    1: "never crossed",
    2: "quantity conserved",
    3: "FIFO in a level",
    4: "token live iff it rests",
    5: "bitmap equals levels",
    6: "bests equal bitmap",
    7: "one terminal report",
    8: "stream contracts",
    9: "no deadlock",
    10: "no price outside band or window",
    11: "an auction trades the most volume",
    12: "no trade while halted, no order lost",
    13: "states lead where the rules say",
    14: "a level that changes is told",
    15: "the watchdog is due at its deadline",
    16: "balances are what was granted",
}
"""What is to be proved, by the numbers that `Proof.terms` name."""


@dataclass(frozen=True)
class Proof:
    """A harness and how far its claims are followed.

    Attributes
    ----------
    name : Selects it: `make formal PROOF=name`.
    harness : Makes the harness, with or without faults.
    steps : Cycles: of the induction, or of the bounded proof.
    terms : Which of `PROPERTIES` it belongs to.
    unbounded : By induction, for runs of any length; else for runs of so many cycles from a reset on.
    reach : Cycles within which all covers are reached and all faults found; by default `steps`.
    skip : Cycles from a reset on in which no cover and no fault is looked for: memories clear.
    faults : How many faults to choose from; none: not tried.
    quick : Part of `make test`.
    """

    name: str
    harness: Callable[[bool], Harness]
    steps: int
    terms: tuple[int, ...]
    unbounded: bool = True
    reach: int | None = None
    skip: int = 0
    faults: int = 200
    quick: bool = True

    @property
    def says(self) -> str:
        """The first sentence of the harness' docstring."""
        harness = getattr(self.harness, "func", self.harness)
        return " ".join((harness.__doc__ or "").split("\n\n")[0].split())
