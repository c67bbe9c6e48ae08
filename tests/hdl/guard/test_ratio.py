"""The slow divider beside Python's integers."""

from random import Random

from amaranth.sim import Simulator, SimulatorContext

from bandgap.hdl.guard.ratio import DIVISOR_BITS, FACTOR_BITS, VALUE_BITS, Ratio


def test_products_and_quotients(seed: int) -> None:
    dut = Ratio()
    rng = Random(seed)
    top = (1 << VALUE_BITS) - 1, (1 << FACTOR_BITS) - 1, (1 << DIVISOR_BITS) - 1
    cases = [(0, 0, 1), (0, 1, top[2]), top, (*top[:2], 1), (top[0], 1, top[2])]
    for _ in range(40):
        value, factor, divisor = (rng.getrandbits(rng.randint(1, most.bit_length())) for most in top)
        cases.append((value, factor, max(divisor, 1)))

    async def bench(ctx: SimulatorContext) -> None:
        for value, factor, divisor in cases:
            assert ctx.get(dut.ready)
            ctx.set(dut.value, value)
            ctx.set(dut.factor, factor)
            ctx.set(dut.divisor, divisor)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            await ctx.tick().until(dut.ready)
            assert ctx.get(dut.quotient) == value * factor // divisor % (1 << 64)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
