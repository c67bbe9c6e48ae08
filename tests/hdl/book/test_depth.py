"""The levels that wait to be told, beside a plain list."""

from random import Random

from amaranth.sim import Simulator, SimulatorContext

from bandgap.hdl.book.depth import Depth
from bandgap.hdl.config import BookConfig

CONFIG = BookConfig(instruments=2, orders=8, ticks=8, accounts=2, links=1, word_bits=4)
FOLLOWED = 1


def test_what_commands_change_is_told_once_in_order_of_the_first_change(seed: int) -> None:
    """Commands change one level or two, each a few times, before all that waits is told."""
    dut = Depth(CONFIG)
    rng = Random(seed)

    async def change(ctx: SimulatorContext, instrument: int, line: int, quantity_lots: int) -> None:
        ctx.set(dut.coming, 1)
        ctx.set(dut.coming_instrument, instrument)
        await ctx.tick()
        ctx.set(dut.coming, 0)
        ctx.set(
            dut.change,
            {
                "enable": 1,
                "instrument": instrument,
                "line": line,
                "price_ticks": 100 + line,
                "level": {"head": 0, "tail": 0, "quantity_lots": quantity_lots},
                "appeared": 0,
                "vanished": 0,
            },
        )
        assert ctx.get(dut.due) == (instrument == FOLLOWED or ctx.get(dut.telling))
        await ctx.tick()
        ctx.set(dut.change.enable, 0)

    async def tell(ctx: SimulatorContext) -> list[tuple[int, int, int, int]]:
        told = []
        while ctx.get(dut.due):
            assert ctx.get(dut.telling)
            first = dut.first
            if rng.random() < 0.5:
                told.append(
                    (
                        ctx.get(first.instrument),
                        ctx.get(first.line),
                        ctx.get(first.price_ticks),
                        ctx.get(first.level.quantity_lots),
                    )
                )
                ctx.set(dut.told, 1)
            await ctx.tick()
            ctx.set(dut.told, 0)
        return told

    async def bench(ctx: SimulatorContext) -> None:
        ctx.set(dut.follow, {"enable": 1, "instrument": FOLLOWED, "told": 1})
        await ctx.tick()
        ctx.set(dut.follow.enable, 0)
        for _ in range(300):
            instrument = rng.choice((FOLLOWED, FOLLOWED, 1 - FOLLOWED))
            expected = {}
            for line in rng.sample(range(2 * CONFIG.ticks), rng.choice((1, 2))):
                for _ in range(rng.choice((1, 1, 2, 5))):
                    quantity_lots = rng.randrange(1 << 35)
                    await change(ctx, instrument, line, quantity_lots)
                    expected[line] = (instrument, line, 100 + line, quantity_lots)
            assert await tell(ctx) == (list(expected.values()) if instrument == FOLLOWED else [])

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
