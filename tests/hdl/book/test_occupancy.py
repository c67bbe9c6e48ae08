"""The occupancy bitmap beside a plain set."""

from random import Random

import pytest
from amaranth.sim import Simulator, SimulatorContext

from bandgap.hdl.book.occupancy import Occupancy


def next_line(occupied: set[int], line: int, window_log2: int) -> int | None:
    """The next occupied line in circular order within the window, `line` itself left out."""
    size = 1 << window_log2
    base = line // size * size
    circle = (base + (line - base + distance) % size for distance in range(1, size))
    return next((candidate for candidate in circle if candidate in occupied), None)


@pytest.mark.parametrize(
    ("ticks", "word_bits"),
    [
        pytest.param(8, 4, id="two levels"),
        pytest.param(8, 2, id="three levels"),
        pytest.param(64, 4, id="levels divide evenly"),
        pytest.param(32, 4, id="a narrow top"),
        pytest.param(128, 64, id="wide words"),
    ],
)
def test_updates_and_searches_at_random(ticks: int, word_bits: int, seed: int) -> None:
    dut = Occupancy(ticks, word_bits)
    rng = Random(seed)
    occupied: set[int] = set()

    async def bench(ctx: SimulatorContext) -> None:
        await ctx.tick().until(dut.ready)
        for _ in range(800):
            line = rng.randrange(2 * ticks)
            if rng.random() < 0.5:
                appears = rng.random() < 0.45
                (occupied.add if appears else occupied.discard)(line)
                ctx.set(dut.update.payload, {"line": line, "occupied": appears})
                ctx.set(dut.update.valid, 1)
                await ctx.tick().until(dut.update.ready)
                ctx.set(dut.update.valid, 0)
            else:
                window_log2 = rng.randint(word_bits.bit_length() - 1, ticks.bit_length() - 1)
                ctx.set(dut.search.payload, {"line": line, "window_log2": window_log2})
                ctx.set(dut.search.valid, 1)
                await ctx.tick().until(dut.search.ready)
                ctx.set(dut.search.valid, 0)
                if rng.random() < 0.3:
                    await ctx.tick().repeat(rng.randint(1, 8))
                    ctx.set(dut.drop, 1)
                    await ctx.tick()
                    ctx.set(dut.drop, 0)
                    continue
                await ctx.tick().until(dut.found.valid)
                if rng.random() < 0.3:
                    await ctx.tick().repeat(rng.randint(1, 3))
                assert ctx.get(dut.found.valid)
                found = ctx.get(dut.found.payload)
                ctx.set(dut.found.ready, 1)
                await ctx.tick()
                ctx.set(dut.found.ready, 0)
                got = found.line if found.any else None
                assert got == next_line(occupied, line, window_log2), (line, window_log2, sorted(occupied))

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
