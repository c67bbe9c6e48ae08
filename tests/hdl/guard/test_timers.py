"""The earliest timer beside a plain list."""

from random import Random

from amaranth.sim import Simulator, SimulatorContext

from bandgap.hdl.config import BookConfig
from bandgap.hdl.guard.timers import Kind, Timers

CONFIG = BookConfig(instruments=3, orders=2, ticks=8, accounts=2, word_bits=4)


def test_deadline_then_instrument_then_kind(seed: int) -> None:
    dut = Timers(CONFIG)
    rng = Random(seed)
    running: dict[tuple[int, int], int] = {}

    async def bench(ctx: SimulatorContext) -> None:
        await ctx.tick()
        for _ in range(200):
            instrument = rng.randrange(CONFIG.instruments)
            ctx.set(dut.instrument, instrument)
            for kind in range(len(Kind)):
                running.pop((instrument, kind), None)
                is_set, time_ns = rng.random() < 0.3, rng.choice([0, 5, 1 << 40, (1 << 64) - 1, rng.getrandbits(64)])
                ctx.set(dut.deadlines[kind].set, is_set)
                ctx.set(dut.deadlines[kind].time_ns, time_ns)
                if is_set:
                    running[instrument, kind] = time_ns
            ctx.set(dut.file, 1)
            await ctx.tick()
            ctx.set(dut.file, 0)
            await ctx.tick().until(dut.ready)
            first = min(((time_ns, *timer) for timer, time_ns in running.items()), default=None)
            assert ctx.get(dut.first.set) == (first is not None)
            if first:
                kind = Kind(ctx.get(dut.first_kind))
                assert (ctx.get(dut.first.time_ns), ctx.get(dut.first_instrument), kind.value) == first

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
