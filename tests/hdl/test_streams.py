"""No stream's `valid` waits for its own `ready` within a cycle, wherever gateware has one: read from the netlist."""

from collections.abc import Callable, Iterable, Iterator

import pytest
from amaranth.hdl import Fragment, Module, Signal, Value
from amaranth.hdl._ir import PortDirection, build_netlist
from amaranth.hdl._nir import Net, Netlist
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from bandgap.hdl.boards.loopback import Loopback
from bandgap.hdl.boards.pcie import PcieBoard
from bandgap.hdl.boards.serial import SerialBoard
from bandgap.hdl.config import BookConfig

CONFIG = BookConfig(instruments=1, orders=2, ticks=4, accounts=2, word_bits=2)


def streams(fragment: Fragment) -> Iterator[tuple[str, Value, Value]]:
    """The name, `valid` and `ready` of every stream at a port of a component in a design."""
    for origin in fragment.origins or ():
        if isinstance(origin, wiring.Component):
            ports = {path: port for path, _, port in origin.signature.flatten(origin)}
            for (*path, last), port in ports.items():
                ready = ports.get((*path, "ready"))
                if last == "valid" and isinstance(ready, Signal):  # a constant where it is always ready
                    yield ".".join(map(str, (type(origin).__name__, *path))), port, ready
    for inner, _, _ in fragment.subfragments:
        yield from streams(inner)


def cone(netlist: Netlist, nets: Iterable[Net]) -> set[Net]:
    """What nets depend on within a cycle, themselves included."""
    seen: set[Net] = set()
    ahead = list(nets)
    while ahead:
        net = ahead.pop()
        if net.is_cell and net not in seen:
            seen.add(net)
            ahead += (source for source, _ in netlist.cells[net.cell].comb_edges_to(net.bit))
    return seen


def waiting(top: wiring.Component) -> dict[str, bool]:
    """Whether `valid` depends on its own `ready` within a cycle, for every stream of a design."""
    fragment = Fragment.get(top, None)
    found = list(streams(fragment))
    ports = [
        (None, signal, PortDirection.Input if member.flow is In else PortDirection.Output)
        for _, member, port in top.signature.flatten(top)
        if isinstance(signal := Value.cast(port), Signal)
    ]
    netlist = build_netlist(fragment, ports)
    return {
        name: not cone(netlist, netlist.signals[valid]).isdisjoint(netlist.signals[ready])
        for name, valid, ready in found
    }


@pytest.mark.parametrize(
    ("make", "known"),
    [
        (lambda: PcieBoard(CONFIG, 0), {"Guard.commands", "Engine.reports", "Accounts.moves", "PcieLink.commands"}),
        (lambda: SerialBoard(Loopback(), cycles_per_bit=4), {"Loopback.reports", "CobsEncoder.bytes"}),
    ],
    ids=["pcie", "serial"],
)
def test_valid_does_not_wait_for_ready(make: Callable[[], wiring.Component], known: set[str]) -> None:
    waits = waiting(make())
    assert known <= waits.keys()
    assert not [name for name, does in waits.items() if does]


class Gate(wiring.Component):
    """Lets through what `ready` asks for: as no component may."""

    given: In(stream.Signature(1))
    passed: Out(stream.Signature(1))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        taken = self.given.valid & self.passed.ready
        m.d.comb += [self.passed.valid.eq(taken), self.given.ready.eq(taken), self.passed.payload.eq(1)]
        return m


def test_one_that_waits_is_found() -> None:
    assert waiting(Gate()) == {"Gate.given": False, "Gate.passed": True}
