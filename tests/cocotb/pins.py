"""Pin-level drivers of valid/ready streams that hold back at random and watch the stream contract."""

from random import Random
from typing import Protocol

from cocotb.clock import Clock
from cocotb.handle import SimHandleBase
from cocotb.triggers import FallingEdge, RisingEdge


class StreamContractError(AssertionError):
    """A source dropped `valid`, or changed its payload, before the payload was taken."""


class Source:
    """Drives a stream into the design.

    Arguments
    ---------
    valid, ready, payloads : The stream's signals; a payload is a tuple of their values.
    rng : Draws when to hold back.
    eagerness : Probability of offering a payload in a cycle.
    """

    def __init__(
        self, valid: SimHandleBase, ready: SimHandleBase, payloads: list[SimHandleBase], rng: Random, eagerness: float
    ) -> None:
        self._valid, self._ready, self._payloads = valid, ready, payloads
        self._rng, self._eagerness = rng, eagerness
        self.pending: list[tuple[int, ...]] = []
        self._offering = False
        valid.value = 0

    def drive(self) -> None:
        """After a rising edge."""
        if not self._offering and self.pending and self._rng.random() < self._eagerness:
            self._offering = True
            for signal, value in zip(self._payloads, self.pending[0], strict=True):
                signal.value = value
        self._valid.value = int(self._offering)

    def sample(self) -> None:
        """Before the next rising edge."""
        if self._offering and int(self._ready.value):
            self.pending.pop(0)
            self._offering = False


class Sink:
    """Takes a stream from the design into `taken`.

    Arguments
    ---------
    valid, ready, payload : The stream's signals.
    rng : Draws when to hold back.
    eagerness : Probability of being ready in a cycle.
    """

    def __init__(
        self, valid: SimHandleBase, ready: SimHandleBase, payload: SimHandleBase, rng: Random, eagerness: float
    ) -> None:
        self._valid, self._ready, self._payload = valid, ready, payload
        self._rng, self._eagerness = rng, eagerness
        self.taken: list[int] = []
        self._stalled: int | None = None
        self._is_ready = False
        ready.value = 0

    def drive(self) -> None:
        """After a rising edge."""
        self._is_ready = self._rng.random() < self._eagerness
        self._ready.value = int(self._is_ready)

    def sample(self) -> None:
        """Before the next rising edge."""
        offered = int(self._payload.value) if int(self._valid.value) else None
        if self._stalled is not None and offered != self._stalled:
            raise StreamContractError(f"{self._payload._path}: {self._stalled:#x} was not taken, and became {offered}")
        self._stalled = None
        if offered is not None:
            if self._is_ready:
                self.taken.append(offered)
            else:
                self._stalled = offered


class Driver(Protocol):
    """What has pins to drive after a rising edge, and to sample before the next."""

    def drive(self) -> None: ...

    def sample(self) -> None: ...


class Pins:
    """A clock with drivers on it: one `cycle` drives all of them, lets the design settle and samples."""

    def __init__(self, dut: SimHandleBase) -> None:
        self.dut = dut
        self.drivers: list[Driver] = []
        Clock(dut.clk, 10, "ns").start()

    async def reset(self, cycles: int = 2) -> None:
        self.dut.rst.value = 1
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0

    async def cycle(self) -> None:
        for driver in self.drivers:
            driver.drive()
        await FallingEdge(self.dut.clk)
        for driver in self.drivers:
            driver.sample()
        await RisingEdge(self.dut.clk)
