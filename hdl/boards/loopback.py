"""The loopback image: what stands in the appliance's place while a cable is checked."""

from amaranth.hdl import Const, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import BookConfig
from ..guard.guard import LinkCommand
from ..link.registers import RegisterBlock, RegisterBus
from ..protocol.loopback import LOOPBACK_MAGIC, Echo
from ..protocol.registers import BY_NAME

_SIZES = BookConfig(instruments=1, orders=2, ticks=4, accounts=2, word_bits=2)
"""Of the register block; nothing is behind them."""


class Loopback(wiring.Component):
    """Echoes every command as a report: see `hdl.protocol.loopback`.

    Parameters
    ----------
    build_identity : As in `hdl.appliance.Appliance`.

    Attributes
    ----------
    commands, reports, registers, time_ns, idle : As in `hdl.appliance.Appliance`.
    """

    commands: In(stream.Signature(LinkCommand))
    reports: Out(stream.Signature(unsigned(512)))
    registers: In(RegisterBus)
    time_ns: In(64)
    idle: Out(1)

    def __init__(self, build_identity: int = 0):
        self._build_identity = build_identity
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.registers = registers = RegisterBlock(_SIZES, self._build_identity)
        bus, commands, reports = self.registers, self.commands, self.reports
        number = Signal(32)
        echo = Signal(Echo)
        m.d.comb += [
            registers.address.eq(bus.address),
            registers.read_enable.eq(bus.read_enable),
            registers.write_data.eq(bus.write_data),
            registers.write_enable.eq(bus.write_enable),
            registers.time_ns.eq(self.time_ns),
            registers.core_ready.eq(1),
            bus.read_data.eq(Mux(bus.address == BY_NAME["magic"].at(), Const(LOOPBACK_MAGIC, 32), registers.read_data)),
            reports.payload.eq(echo),
            commands.ready.eq((~reports.valid | reports.ready) & ~registers.restart),
            self.idle.eq(~commands.valid & ~reports.valid & ~registers.restart),
        ]
        with m.If(commands.ready):
            m.d.sync += reports.valid.eq(commands.valid)
        with m.If(commands.valid & commands.ready):
            m.d.sync += [
                number.eq(number + 1),
                echo.header.link.eq(commands.payload.link),
                echo.header.number.eq(number),
                echo.header.time_ns.eq(self.time_ns),
                echo.header.epoch.eq(registers.epoch),
                echo.command.eq(commands.payload.command),
            ]
        with m.If(registers.restart):
            m.d.sync += [number.eq(0), reports.valid.eq(0)]
        return m
