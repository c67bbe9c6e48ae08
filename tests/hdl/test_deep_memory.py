"""Memories in slices."""

from random import Random

import pytest
from amaranth.hdl import Module
from amaranth.lib import data
from amaranth.sim import Simulator, SimulatorContext

from bandgap.hdl.deep_memory import FULL_WIDTH_ROWS, add_memory

ROW = data.StructLayout({"low": 5, "high": 14})
STEPS = 3_000


@pytest.mark.parametrize(("depth", "slices"), [(FULL_WIDTH_ROWS, 1), (2 * FULL_WIDTH_ROWS, 5)])
def test_a_row_is_read_as_it_was_written_last(seed: int, depth: int, slices: int) -> None:
    """At the full width in one piece, else in slices of four bits; what is not enabled stays as it is."""
    m = Module()
    memory = add_memory(m, "rows", shape=ROW, depth=depth, slice_bits=4)
    read, write = memory.read_port(), memory.write_port()
    rng = Random(seed)
    rows: dict[int, dict[str, int]] = {}
    read_rows = 0

    async def bench(ctx: SimulatorContext) -> None:
        nonlocal read_rows
        shown = None
        for _ in range(STEPS):
            at = rng.choice((0, depth - 1, rng.randrange(depth)))
            row = {"low": rng.getrandbits(5), "high": rng.getrandbits(14)}
            writes, reads = rng.random() < 0.5, rng.random() < 0.7
            looked_at = rng.choice(sorted(rows)) if rows else 0
            reads = reads and looked_at in rows and not (writes and looked_at == at)
            ctx.set(write.addr, at)
            ctx.set(write.data, row)
            ctx.set(write.en, writes)
            ctx.set(read.addr, looked_at)
            ctx.set(read.en, reads)
            await ctx.tick()
            if reads:
                shown = rows[looked_at]
                read_rows += 1
            if writes:
                rows[at] = row
            if shown is not None:
                assert {name: ctx.get(read.data[name]) for name in ROW.members} == shown

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(m._named_submodules) == slices
    assert read_rows > STEPS // 3
