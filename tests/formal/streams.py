"""Proofs of the streams that components offer."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Cat, Const, Fragment, Module, Mux, Shape, Signal, Value
from amaranth.hdl._ast import _StatementList
from amaranth.hdl._mem import MemoryInstance
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from amaranth.utils import ceil_log2
from harness import Harness, anything, before, fragments
from proof import Proof

from bandgap.hdl.book.occupancy import Occupancy
from bandgap.hdl.book.report_slot import ReportSlot
from bandgap.hdl.book.reviews import Reviews
from bandgap.hdl.config import PRESETS
from bandgap.hdl.link.cobs import CobsDecoder, CobsEncoder
from bandgap.hdl.link.messages import MessageReader, MessageWriter
from bandgap.hdl.link.pcie.batches import BatchReader
from bandgap.hdl.link.pcie.completer import RegisterAccess, RequestReader
from bandgap.hdl.link.pcie.reads import HostReader
from bandgap.hdl.link.pcie.writer import PacketArbiter, ReportWriter, StatusWriter
from bandgap.hdl.link.serial import CrcAppender
from bandgap.hdl.link.window import SlotReader, WindowSender

CONFIG = PRESETS["formal"]


def state(fragment: Fragment) -> Value:
    """All that a component remembers."""
    kept: list[Value] = []
    for inner in fragments(fragment):
        kept += inner.statements.get("sync", _StatementList())._lhs_signals()
        if isinstance(inner, MemoryInstance):
            kept += [port._data for port in inner._read_ports if port._domain != "comb"]
            for index in range(inner._data.depth):
                row = Signal(Shape.cast(inner._data.shape).width)
                address = Const(index, ceil_log2(inner._data.depth))
                inner.read_port(domain="comb", addr=address, data=row, en=Const(1), transparent_for=())
                kept.append(row)
    return Cat(kept)


def reads(fragment: Fragment) -> list:
    """The memory ports by which a component reads at once."""
    memories = (inner for inner in fragments(fragment) if isinstance(inner, MemoryInstance))
    return [port for memory in memories for port in memory._read_ports if port._domain == "comb"]


@dataclass(frozen=True)
class Component:
    """A component whose streams are proved.

    Attributes
    ----------
    make : Makes it.
    withdraws : The input that makes it forget what it offers, and the value that does so.
    steady : Inputs that stay as they are.
    never : What never happens inside.
    """

    make: Callable[[], wiring.Component]
    withdraws: tuple[str, int] | None = None
    steady: tuple[str, ...] = ()
    never: Callable[[Fragment], Value] | None = None


def asks_unheard(reviews: Fragment) -> Value:
    """The state that waits for the breaker to take a question, without one."""
    registers = {signal.name: signal for signal in reviews.statements["sync"]._lhs_signals()}
    asks = registers["fsm_state"] == 2
    return asks != registers["review__valid"]


class Streams(Harness):
    """What is offered stays, unchanged, until it is taken; and until it is offered, nothing depends on its `ready`.

    Of two copies of a component that have the same inputs, one sees any other `ready` wherever it offers nothing: they
    remain the same. So nothing that is going to be offered waits for `ready`, however many cycles.

    Parameters
    ----------
    components : By name.
    """

    def __init__(self, components: dict[str, Component], faulty: bool = False):
        self._components = components
        super().__init__(faulty)

    def describe(self, m: Module) -> None:
        begun = Signal()
        m.d.sync += begun.eq(1)
        for name, component in self._components.items():
            self._prove(m, name, component, begun)

    def _prove(self, m: Module, name: str, component: Component, begun: Signal) -> None:
        """Put two copies of a component and the claims into `m`."""
        dut, twin = component.make(), component.make()
        inside, beside = Fragment.get(dut, None), Fragment.get(twin, None)
        if component.never is not None:
            self.claim(m, f"{name}_lemma", ~component.never(inside))
        states = [state(fragment) for fragment in (inside, beside)]
        m.submodules[f"dut_{name}"], m.submodules[f"twin_{name}"] = inside, beside
        self.assume(m, begun | (states[0] == states[1]))  # memories hold anything at first, but the same
        self.claim(m, f"{name}_same_state", states[0] == states[1])
        for mine, its in zip(reads(inside), reads(beside), strict=True):  # beyond the last row too
            self.assume(m, (mine._addr != its._addr) | (mine._data == its._data))

        ports, twins = (
            {path: Value.cast(port) for path, _, port in copy.signature.flatten(copy)} for copy in (dut, twin)
        )
        kept: Value = Const(1)
        if component.withdraws is not None:
            port, value = component.withdraws
            kept = before(m, getattr(dut, port)) != value
        for path, member, _ in dut.signature.flatten(dut):
            port, other = ports[path], twins[path]
            *outer, last = path
            what = "_".join(map(str, (name, *path)))
            if not isinstance(port, Signal):  # always ready
                continue
            if last == "ready" and (*outer, "valid") in ports:
                valid, payload = (ports[*outer, part] for part in ("valid", "payload"))
                waits = before(m, valid & ~port)
                stays = ~waits | (valid & (payload == before(m, payload)))
                if member.flow is In:
                    anything(m, port)
                    m.d.comb += other.eq(Mux(valid, port, AnySeq(1)))
                    self.claim(m, f"{what}_stays", ~kept | stays)
                    self.reach(m, f"{what}_waits", waits & valid)
                else:
                    self.assume(m, stays)
                    self.claim(m, f"{what}_same", ~valid | (port == other))
            elif member.flow is In:
                m.d.comb += [port.eq((AnyConst if path[0] in component.steady else AnySeq)(len(port))), other.eq(port)]
            else:
                self.claim(m, f"{what}_same", port == other)


BOOK = {
    "report_slot": Component(ReportSlot),
    "reviews": Component(partial(Reviews, CONFIG), never=asks_unheard),
    "occupancy": Component(partial(Occupancy, 8, 4), withdraws=("drop", 1)),
}
SERIAL = {
    "encoder": Component(partial(CobsEncoder, 254)),
    "decoder": Component(CobsDecoder),
    "reader": Component(MessageReader),
    "writer": Component(MessageWriter),
    "appender": Component(CrcAppender),
    "slot_reader": Component(partial(SlotReader, 6), steady=("byte",)),
    "sender": Component(partial(WindowSender, 2, 20), withdraws=("opened", 1)),
}
PCIE = {
    "batches": Component(partial(BatchReader, 128), steady=("max_read_request",)),
    "requests": Component(RequestReader),
    "registers": Component(RegisterAccess),
    "host": Component(partial(HostReader, 2, 128, 20), withdraws=("run", 0)),
    "reports": Component(ReportWriter),
    "status": Component(StatusWriter, steady=("address",)),
    "arbiter": Component(partial(PacketArbiter, 2)),
}

PROOFS = tuple(
    Proof(name, partial(Streams, components), steps=2, terms=(8, 9), reach=12, faults=0)
    for name, components in (("book-streams", BOOK), ("serial-streams", SERIAL), ("pcie-streams", PCIE))
)
