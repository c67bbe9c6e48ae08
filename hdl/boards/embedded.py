"""The embedded device: the appliance with flat port names, to be compiled by Verilator."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..appliance import Appliance
from ..config import BookConfig


class EmbeddedBoard(wiring.Component):
    """The appliance's ports, one name each: Amaranth's own double underscores are unwieldy in C++ and Python.

    The meanings are those of `hdl.appliance.Appliance`. A transfer happens at a rising clock edge with valid and ready
    high.
    """

    command_valid: In(1)
    command_ready: Out(1)
    command_link: In(8)
    command_data: In(256)
    report_valid: Out(1)
    report_ready: In(1)
    report_data: Out(512)
    register_address: In(16)
    register_read_data: Out(32)
    register_read_enable: In(1)
    register_write_data: In(32)
    register_write_enable: In(1)
    time_ns: In(64)
    idle: Out(1)

    def __init__(self, config: BookConfig, build_identity: int):
        self._config = config
        self._build_identity = build_identity
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.appliance = appliance = Appliance(self._config, self._build_identity)
        commands, reports, registers = appliance.commands, appliance.reports, appliance.registers
        m.d.comb += [
            commands.valid.eq(self.command_valid),
            self.command_ready.eq(commands.ready),
            commands.payload.link.eq(self.command_link),
            commands.payload.command.eq(self.command_data),
            self.report_valid.eq(reports.valid),
            reports.ready.eq(self.report_ready),
            self.report_data.eq(reports.payload),
            registers.address.eq(self.register_address),
            self.register_read_data.eq(registers.read_data),
            registers.read_enable.eq(self.register_read_enable),
            registers.write_data.eq(self.register_write_data),
            registers.write_enable.eq(self.register_write_enable),
            appliance.time_ns.eq(self.time_ns),
            self.idle.eq(appliance.idle),
        ]
        return m
