"""The appliance behind a serial port, on no board in particular: four pins are all it needs."""

from fractions import Fraction

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..appliance import Appliance
from ..link.serial import SLOTS, SerialLink
from .clock import keep_time
from .loopback import Loopback


class SerialBoard(wiring.Component):
    """Guard, book, registers and serial link as one top.

    Parameters
    ----------
    core : What the link leads to.
    cycles_per_bit, slots, timeout_cycles : See `hdl.link.serial.SerialLink`.
    clock_hz : Frequency of a clock that goes on when the host falls silent, see `hdl.boards.clock.BoardClock`; None
        where the host alone keeps the time.

    Attributes
    ----------
    rx, tx : The line, high when idle.
    quiet : Nothing will happen before something is received or a timeout passes: a simulation may rest.
    ready : The core's memories are cleared, and it is at rest.
    """

    rx: In(1, init=1)
    tx: Out(1, init=1)
    quiet: Out(1)
    ready: Out(1)

    def __init__(
        self,
        core: Appliance | Loopback,
        cycles_per_bit: int,
        slots: int = SLOTS,
        timeout_cycles: int | None = None,
        clock_hz: int | Fraction | None = None,
    ):
        self._core = core
        self._link = SerialLink(cycles_per_bit, slots, timeout_cycles)
        self._clock_hz = clock_hz
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.appliance = core = self._core
        m.submodules.link = link = self._link
        wiring.connect(m, link.commands, core.commands)
        wiring.connect(m, core.reports, link.reports)
        wiring.connect(m, link.registers, core.registers)
        m.d.comb += [
            link.rx.eq(self.rx),
            self.tx.eq(link.tx),
            link.core_idle.eq(core.idle),
            self.quiet.eq(link.quiet),
            self.ready.eq(core.idle),
        ]
        keep_time(m, link, core, self._clock_hz)
        return m
