"""What every harness has: a component, anything at its inputs, and claims about its outputs."""

import linecache
from abc import ABC, abstractmethod
from collections.abc import Iterator

from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Assert, Assume, Cover, Fragment, Module, ResetSignal, Shape, Signal, Value
from amaranth.lib import wiring


class Harness(wiring.Component, ABC):
    """A component with no ports around the component that is proved, its submodule `dut`.

    It starts as a reset leaves it: registers at their first values, memories holding anything.

    Parameters
    ----------
    faulty : Faults are put into `dut`: instead of asserting each claim, ask whether it can be broken.
    """

    memories_start_with_anything = True

    def __init__(self, faulty: bool = False):
        self._faulty = faulty
        super().__init__({})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += Assume(~ResetSignal())
        self.describe(m)
        return m

    @abstractmethod
    def describe(self, m: Module) -> None:
        """Put the component, its surroundings and the claims into `m`."""

    def claim(self, m: Module, name: str, condition: Value) -> None:
        """It always holds. The wire `claim_<name>` shows it in the waves."""
        claim = Signal(name=f"claim_{name}")
        m.d.comb += [
            claim.eq(condition),
            Cover(~claim, src_loc_at=1) if self._faulty else Assert(claim, src_loc_at=1),
        ]

    def reach(self, m: Module, name: str, condition: Value) -> None:
        """It can happen: without it a claim might hold of nothing."""
        reach = Signal(name=f"reach_{name}")
        m.d.comb += reach.eq(condition)
        if not self._faulty:
            m.d.comb += Cover(reach, src_loc_at=1)

    def assume(self, m: Module, condition: Value) -> None:
        """Whoever uses the component sees to it."""
        m.d.comb += Assume(condition)


def anything(m: Module, target: object) -> None:
    """Drive an input, or a stream's valid or payload, with anything in every cycle."""
    value = Value.cast(target)
    m.d.comb += value.eq(AnySeq(len(value)))


def some(m: Module, shape: object, name: str) -> Signal:
    """A value that is anything, and stays: what is claimed of it is claimed of all."""
    signal = Signal(shape, name=name)
    m.d.comb += Value.cast(signal).eq(AnyConst(Shape.cast(shape).width))
    return signal


def before(m: Module, value: object, init: int = 0) -> Signal:
    """`value` as it was a cycle ago."""
    value = Value.cast(value)
    past = Signal(value.shape(), init=init)
    m.d.sync += past.eq(value)
    return past


def offered(m: Module, stream) -> Value:
    """`stream` was valid a cycle ago and not taken."""
    return before(m, stream.valid & ~stream.ready)


def keeps_contract(m: Module, stream) -> Value:
    """What is offered stays offered, and stays the same, until it is taken."""
    return ~offered(m, stream) | (stream.valid & (Value.cast(stream.payload) == before(m, stream.payload)))


def opened(component: wiring.Component) -> Module:
    """The inside of a component, to be a submodule in its place."""
    component._MustUse__silence = True
    return component.elaborate(None)


def rows(m: Module, component: Module, memory: str) -> list[Signal]:
    """The rows of a memory inside a component, all at once, by read ports that only the proof has."""
    inside = component.submodules[memory]
    shown = []
    for address in range(inside.data.depth):
        port = inside.read_port(domain="comb")
        row = Signal(Shape.cast(inside.data.shape), name=f"{memory}_{address}")
        m.d.comb += [port.addr.eq(address), row.eq(port.data)]
        shown.append(row)
    return shown


def fragments(fragment: Fragment) -> Iterator[Fragment]:
    """A fragment and all within it."""
    yield fragment
    for inner, _, _ in fragment.subfragments:
        yield from fragments(inner)


def register(module: Module, name: str) -> Signal:
    """A register inside a component, where an induction cannot do without it.

    Of those that are made in one line Amaranth names the last alone; the others are known by their places in it.
    """
    named = [signal for signal, domains in module._driving.items() if signal.name == name and "comb" not in domains]
    if not named:
        made: dict[tuple[str, int], list[Signal]] = {}
        for signal in module._driving:
            made.setdefault(signal.src_loc, []).append(signal)
        for place, signals in made.items():
            names = linecache.getline(*place).split(" = ")[0].strip().split(", ")
            if name in names and len(names) == len(signals):
                named.append(sorted(signals, key=lambda signal: signal.duid)[names.index(name)])
    (found,) = named
    return found


def take(m: Module, name: str, value: object) -> Signal:
    """A signal of that name that shows a value."""
    value = Value.cast(value)
    signal = Signal(value.shape(), name=name)
    m.d.comb += signal.eq(value)
    return signal
