"""A board's time: the host's word while there is one, its own while there is none."""

from collections.abc import Awaitable, Callable
from fractions import Fraction

import pytest
from amaranth.sim import Simulator, SimulatorContext

from bandgap.hdl.boards import clock
from bandgap.hdl.boards.clock import BoardClock

LAG_NS = 1_000
HZ = 66_000_000


@pytest.fixture(autouse=True)
def short_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "LAG_NS", LAG_NS)


def run(dut: BoardClock, test: Callable[[SimulatorContext], Awaitable[None]]) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(test)
    simulator.run()


def lag_cycles(hz: int | Fraction = HZ) -> int:
    return round(LAG_NS * hz / 1_000_000_000)


@pytest.mark.parametrize("hz", [HZ, 48_000_000, 100_000_000, 250_000_000, Fraction(525_000_000, 11)])
def test_by_itself_it_neither_drifts_nor_turns_back(hz: int | Fraction) -> None:
    dut = BoardClock(hz)

    async def test(ctx: SimulatorContext) -> None:
        await ctx.tick().repeat(lag_cycles(hz))
        for cycle in range(2_000):
            assert ctx.get(dut.time_ns) == cycle * 1_000_000_000 // hz
            await ctx.tick()

    run(dut, test)


def test_what_the_host_says_is_the_time_and_stands_for_the_lag() -> None:
    dut = BoardClock(HZ)

    async def test(ctx: SimulatorContext) -> None:
        for said_ns in (5_000_000_000, 5_000_001_000, 1 << 62):
            ctx.set(dut.said_ns, said_ns)
            await ctx.tick()
            for _ in range(lag_cycles() + 1):
                assert ctx.get(dut.time_ns) == said_ns
                await ctx.tick()
            assert said_ns < ctx.get(dut.time_ns) <= said_ns + 16

    run(dut, test)


def test_an_earlier_word_is_ignored_but_keeps_the_time_from_running() -> None:
    dut = BoardClock(HZ)

    async def test(ctx: SimulatorContext) -> None:
        ctx.set(dut.said_ns, 1_000_000)
        await ctx.tick().repeat(2 * lag_cycles())
        now_ns = ctx.get(dut.time_ns)
        assert now_ns > 1_000_000
        ctx.set(dut.said_ns, 0)
        await ctx.tick()
        stood_ns = ctx.get(dut.time_ns)
        await ctx.tick().repeat(lag_cycles())
        assert now_ns <= stood_ns == ctx.get(dut.time_ns)

    run(dut, test)


def test_the_time_stands_while_commands_and_reports_pass() -> None:
    dut = BoardClock(HZ)

    async def test(ctx: SimulatorContext) -> None:
        ctx.set(dut.said_ns, 1_000_000)
        await ctx.tick().repeat(2)
        for _ in range(5):
            await ctx.tick().repeat(lag_cycles() - 3)
            ctx.set(dut.passing, 1)
            await ctx.tick()
            ctx.set(dut.passing, 0)
            assert ctx.get(dut.time_ns) == 1_000_000
        await ctx.tick().repeat(lag_cycles() + 2)
        assert ctx.get(dut.time_ns) > 1_000_000

    run(dut, test)


def test_what_passes_does_not_hold_a_time_that_runs() -> None:
    dut = BoardClock(HZ)

    async def test(ctx: SimulatorContext) -> None:
        await ctx.tick().repeat(lag_cycles())
        ctx.set(dut.passing, 1)
        for cycle in range(2_000):
            assert ctx.get(dut.time_ns) == cycle * 1_000_000_000 // HZ
            await ctx.tick()

    run(dut, test)


def test_an_epoch_begins_at_what_the_host_has_said_in_its_session() -> None:
    dut = BoardClock(HZ)

    async def test(ctx: SimulatorContext) -> None:
        ctx.set(dut.said_ns, 1_000_000)
        await ctx.tick().repeat(2 * lag_cycles())
        ctx.set(dut.said_ns, 0)
        await ctx.tick()
        ctx.set(dut.restart, 1)
        await ctx.tick()
        ctx.set(dut.restart, 0)
        assert ctx.get(dut.time_ns) == 0
        await ctx.tick().repeat(lag_cycles() - 1)
        assert ctx.get(dut.time_ns) == 0

    run(dut, test)
