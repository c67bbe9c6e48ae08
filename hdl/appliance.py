"""The appliance: link -> guard -> book -> link. No board in it."""

from amaranth.hdl import Module, ResetInserter, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .book.engine import Engine
from .config import BookConfig
from .guard.entrant import LinkCommand
from .guard.guard import Guard
from .link.registers import RegisterBlock, RegisterBus
from .protocol.reports import ReportHeader


class Appliance(wiring.Component):
    """Guard and book behind one stream of commands, one stream of reports and a register block.

    Parameters
    ----------
    config : Sizes.
    build_identity : 64 bits that name configuration and sources; a register shows them.

    Attributes
    ----------
    commands : Stream in: 32-byte commands with the link they came by.
    reports : Stream out: 64-byte reports, in order, numbered from zero in each epoch.
    registers : See `hdl.link.registers.RegisterBlock`.
    time_ns : The core's time; must never run backwards.
    idle : No command is on its way, no report waits and no timer is due.
    """

    def __init__(self, config: BookConfig, build_identity: int = 0):
        self._config = config
        self._build_identity = build_identity
        super().__init__(
            {
                "commands": In(stream.Signature(LinkCommand)),
                "reports": Out(stream.Signature(unsigned(512))),
                "registers": In(RegisterBus),
                "time_ns": In(64),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        guard, engine = Guard(self._config), Engine(self._config)
        m.submodules.registers = registers = RegisterBlock(self._config, self._build_identity)
        m.submodules.guard = ResetInserter(registers.restart)(guard)
        m.submodules.engine = ResetInserter(registers.restart)(engine)

        cycle = Signal(32)
        number = Signal(32)
        m.d.sync += cycle.eq(cycle + 1)
        bus = self.registers
        m.d.comb += [
            registers.address.eq(bus.address),
            bus.read_data.eq(registers.read_data),
            registers.read_enable.eq(bus.read_enable),
            registers.write_data.eq(bus.write_data),
            registers.write_enable.eq(bus.write_enable),
            registers.time_ns.eq(self.time_ns),
            registers.core_ready.eq(guard.ready & engine.ready),
            guard.epoch.eq(registers.epoch),
            guard.token_ranges.eq(registers.token_ranges),
            guard.time_ns.eq(self.time_ns),
            guard.cycle.eq(cycle),
            engine.cycle.eq(cycle),
            guard.busy.eq(engine.busy),
            guard.working.eq(engine.working),
            engine.advance.eq(guard.advance),
            engine.preview.eq(guard.preview),
            engine.b_price_ticks.eq(guard.b_price_ticks),
            engine.repriced.eq(guard.repriced),
            engine.collecting.eq(guard.collecting),
            engine.dynamic.eq(guard.dynamic),
            engine.reach_ticks.eq(guard.reach_ticks),
            engine.watched.eq(guard.watched),
            guard.resting.eq(engine.resting),
            engine.looked_at.eq(guard.looked_at),
            guard.bests_of.eq(engine.bests_of),
            guard.trading.eq(engine.trading),
            guard.uncrossed.eq(engine.uncrossed),
            self.idle.eq(guard.idle & ~self.reports.valid & engine.ready & guard.ready & ~registers.restart),
            guard.incoming.payload.eq(self.commands.payload),
            guard.incoming.valid.eq(self.commands.valid),
            self.commands.ready.eq(guard.incoming.ready & ~registers.restart),  # the guard forgets what comes then
        ]
        wiring.connect(m, guard.commands, engine.commands)
        wiring.connect(m, engine.released, guard.released)
        wiring.connect(m, engine.traded, guard.traded)
        wiring.connect(m, engine.review, guard.review)
        wiring.connect(m, guard.verdict, engine.verdict)

        # Where reports leave the core they get their number and epoch.
        report = data.View(ReportHeader, self.reports.payload[: ReportHeader.as_shape().size])
        m.d.comb += [
            self.reports.valid.eq(engine.reports.valid),
            engine.reports.ready.eq(self.reports.ready),
            self.reports.payload.eq(engine.reports.payload),
            report.number.eq(number),
            report.epoch.eq(registers.epoch),
        ]
        with m.If(self.reports.valid & self.reports.ready):
            m.d.sync += number.eq(number + 1)
        with m.If(registers.restart):
            m.d.sync += number.eq(0)
        return m
