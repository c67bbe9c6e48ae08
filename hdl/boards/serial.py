"""The appliance behind a serial port, on no board in particular: four pins are all it needs."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..appliance import Appliance
from ..config import BookConfig
from ..link.serial import SLOTS, SerialLink


class SerialBoard(wiring.Component):
    """Guard, book, registers and serial link as one top, whose time the host keeps.

    Parameters
    ----------
    config, build_identity : See `hdl.appliance.Appliance`.
    cycles_per_bit, slots, timeout_cycles : See `hdl.link.serial.SerialLink`.

    Attributes
    ----------
    rx, tx : The line, high when idle.
    quiet : Nothing will happen before something is received or a timeout passes: a simulation may rest.
    """

    rx: In(1, init=1)
    tx: Out(1, init=1)
    quiet: Out(1)

    def __init__(
        self,
        config: BookConfig,
        build_identity: int,
        cycles_per_bit: int,
        slots: int = SLOTS,
        timeout_cycles: int | None = None,
    ):
        self._appliance = Appliance(config, build_identity)
        self._link = SerialLink(cycles_per_bit, slots, timeout_cycles)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.appliance = appliance = self._appliance
        m.submodules.link = link = self._link
        wiring.connect(m, link.commands, appliance.commands)
        wiring.connect(m, appliance.reports, link.reports)
        wiring.connect(m, link.registers, appliance.registers)
        m.d.comb += [
            link.rx.eq(self.rx),
            self.tx.eq(link.tx),
            link.core_idle.eq(appliance.idle),
            appliance.time_ns.eq(link.time_ns),
            self.quiet.eq(link.quiet),
        ]
        return m
