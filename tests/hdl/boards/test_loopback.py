"""The image that echoes commands."""

from amaranth.sim import Simulator

from bandgap.hdl.boards.loopback import Loopback
from bandgap.hdl.protocol.registers import BY_NAME


def test_a_command_that_is_held_over_a_reset_is_echoed_behind_it() -> None:
    dut = Loopback()
    seen = []

    async def bench(ctx):
        ctx.set(dut.reports.ready, 1)
        ctx.set(dut.registers.address, BY_NAME["epoch"].at())
        ctx.set(dut.registers.write_data, 7)
        ctx.set(dut.registers.write_enable, 1)
        await ctx.tick()
        ctx.set(dut.registers.write_enable, 0)
        ctx.set(dut.commands.valid, 1)
        for _ in range(4):
            seen.append((ctx.get(dut.commands.ready), ctx.get(dut.reports.valid), ctx.get(dut.idle)))
            taken = ctx.get(dut.commands.ready)
            await ctx.tick()
            if taken:
                ctx.set(dut.commands.valid, 0)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    assert seen == [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 0, 1)]
