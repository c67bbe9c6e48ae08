"""The questions to the breaker, beside the rules of which instruments it is asked for."""

from random import Random

from amaranth.sim import Simulator, SimulatorContext

from bandgap.hdl.book.reviews import Reviews
from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.reports import TradingState

INSTRUMENTS = 3
SIDES = ("bid", "ask")
CONFIG = BookConfig(instruments=INSTRUMENTS, orders=8, ticks=8, accounts=2, links=1, word_bits=4)
ROUNDS = 400
STALLED_CYCLES = 3
"""For so long nothing is asked once nothing is due."""


def test_each_instrument_concerned_is_asked_for_once_lowest_first(seed: int) -> None:
    """Commands change levels, trade and strand; then the breaker is asked, and what it says is told."""
    dut = Reviews(CONFIG)
    rng = Random(seed)
    asked_for = []

    async def change(ctx: SimulatorContext) -> tuple[set[int], set[int]]:
        """Some cycles of commands: for whom the breaker is to be asked, and who of those has stranded."""
        watched, dynamic = rng.getrandbits(INSTRUMENTS), rng.getrandbits(INSTRUMENTS)
        ctx.set(dut.watched, watched)
        ctx.set(dut.dynamic, dynamic)
        asks, strands = set(), set()
        for _ in range(rng.randrange(6)):
            changed, traded, at_bound, stranded = (rng.random() < 0.3 for _ in range(4))
            instrument, other = rng.randrange(INSTRUMENTS), rng.randrange(INSTRUMENTS)
            ctx.set(dut.changed, changed)
            ctx.set(dut.changed_instrument, instrument)
            ctx.set(dut.traded, traded)
            ctx.set(dut.at_bound, at_bound)
            ctx.set(dut.stranded, stranded)
            ctx.set(dut.stranded_instrument, other)
            if changed and (at_bound or watched >> instrument & 1 or (traded and dynamic >> instrument & 1)):
                asks.add(instrument)
            if stranded:
                asks.add(other)
                strands.add(other)
            await ctx.tick()
            assert ctx.get(dut.due) == bool(asks)
            assert not ctx.get(dut.review.valid)
        for event in (dut.changed, dut.traded, dut.at_bound, dut.stranded):
            ctx.set(event, 0)
        return asks, strands

    async def answer(ctx: SimulatorContext, instrument: int) -> None:
        """The breaker answers, after a while; what has changed is told, after a while."""
        for _ in range(rng.randrange(3)):
            await ctx.tick()
            assert not ctx.get(dut.telling)
            assert ctx.get(dut.due)
        changed = rng.random() < 0.5
        state = {"changed": changed, "state": TradingState.LIMIT, "until_ns": rng.getrandbits(64)}
        ctx.set(dut.verdict.payload, state)
        ctx.set(dut.verdict.valid, 1)
        while changed and rng.random() < 0.5:
            assert ctx.get(dut.telling)
            assert ctx.get(dut.instrument) == instrument
            assert not ctx.get(dut.verdict.ready)
            await ctx.tick()
        ctx.set(dut.told, changed or rng.random() < 0.5)
        assert ctx.get(dut.telling) == changed
        assert ctx.get(dut.verdict.ready)
        await ctx.tick()
        ctx.set(dut.verdict.valid, 0)
        ctx.set(dut.told, 0)

    async def bench(ctx: SimulatorContext) -> None:
        for _ in range(ROUNDS):
            asks, strands = await change(ctx)
            asked_for.append(len(asks))
            for _ in range(rng.randrange(3)):
                await ctx.tick()
                assert not ctx.get(dut.review.valid)
            bests = [
                [{"any": rng.getrandbits(1), "price_ticks": rng.getrandbits(32)} for _ in SIDES]
                for _ in range(INSTRUMENTS)
            ]
            time_ns = rng.getrandbits(64)
            ctx.set(dut.time_ns, time_ns)
            ctx.set(dut.free, 1)
            for instrument in sorted(asks):
                while not ctx.get(dut.review.valid):
                    assert ctx.get(dut.due)
                    ctx.set(dut.bests, bests[ctx.get(dut.instrument)])
                    await ctx.tick()
                while True:
                    review = dut.review.payload
                    got = [
                        {name: ctx.get(getattr(getattr(review, side), name)) for name in ("any", "price_ticks")}
                        for side in SIDES
                    ]
                    assert ctx.get(dut.review.valid)
                    assert (ctx.get(review.instrument), got) == (instrument, bests[instrument])
                    assert ctx.get(review.stranded) == (instrument in strands)
                    assert ctx.get(review.time_ns) == time_ns
                    taken = rng.random() < 0.5
                    ctx.set(dut.review.ready, taken)
                    await ctx.tick()
                    ctx.set(dut.review.ready, 0)
                    if taken:
                        break
                assert not ctx.get(dut.review.valid)
                await answer(ctx, instrument)
            for _ in range(STALLED_CYCLES):
                assert not ctx.get(dut.due)
                assert not ctx.get(dut.review.valid)
                await ctx.tick()
            ctx.set(dut.free, 0)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert set(asked_for) == set(range(INSTRUMENTS + 1))
