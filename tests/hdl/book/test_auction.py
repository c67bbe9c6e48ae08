"""Price discovery, beside a search through every tick."""

from collections.abc import Iterator
from random import Random

from amaranth.sim import Simulator, SimulatorContext
from exhaustive import Levels, exhaustive

from bandgap.hdl.book.auction import Discovery
from bandgap.hdl.config import BookConfig

CONFIG = BookConfig(instruments=1, orders=8, ticks=8, accounts=2, links=1, word_bits=4)
BOOKS = 3000


def random_levels(rng: Random, low: int, high: int) -> Levels:
    """Levels of one side; few prices and few quantities, so that ties come often."""
    prices = rng.sample(range(low, high + 1), rng.randrange(min(6, high - low + 2)))
    largest = rng.choice((1, 2, 3, 9, 1 << 32))
    return {price: rng.randint(1, largest) for price in prices}


def random_books(rng: Random) -> Iterator[tuple[Levels, Levels, int]]:
    """Books on a few ticks, with a reference somewhere there, or none."""
    yield {202: 200, 201: 200, 200: 300}, {198: 100, 199: 200, 200: 400}, 0  # the worked check
    yield {10: 3, 5: 2}, {1: 3, 6: 2}, 8  # as many are left over at every tick
    for _ in range(BOOKS):
        low = rng.choice((0, 7, (1 << 32) - 12))
        bids, asks = (random_levels(rng, low, low + rng.choice((2, 5, 11))) for _ in range(2))
        yield bids, asks, rng.choice((0, rng.randrange(low, low + 12)))


def test_price_is_the_one_that_a_search_through_every_tick_finds(seed: int) -> None:
    """Volume and surplus as well; and no level is asked for behind one that is not there."""
    dut = Discovery(CONFIG)
    rng = Random(seed)

    async def bench(ctx: SimulatorContext) -> None:
        for bids, asks, reference_ticks in random_books(rng):
            sides = [iter([*sorted(bids.items(), reverse=True), None]), iter([*sorted(asks.items()), None])]
            ctx.set(dut.reference_ticks, reference_ticks)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            while not ctx.get(dut.done):
                if ctx.get(dut.levels.ready) and rng.random() < 0.7:
                    level = next(sides[ctx.get(dut.wanted_sell)])
                    price_ticks, quantity_lots = level or (rng.getrandbits(32), rng.getrandbits(32))
                    payload = {"any": level is not None, "price_ticks": price_ticks, "quantity_lots": quantity_lots}
                    ctx.set(dut.levels.payload, payload)
                    ctx.set(dut.levels.valid, 1)
                await ctx.tick()
                ctx.set(dut.levels.valid, 0)
            found = dut.discovered
            price, volume, surplus = exhaustive(bids, asks, reference_ticks)
            got = {name: ctx.get(getattr(found, name)) for name in ("any", "price_ticks", "volume_lots")}
            got["left"] = (ctx.get(found.bids_left), ctx.get(found.asks_left), ctx.get(found.surplus_lots))
            assert got == {
                "any": volume != 0,
                "price_ticks": price,
                "volume_lots": volume,
                "left": (surplus > 0, surplus < 0, abs(surplus)),
            }, (bids, asks, reference_ticks)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_exhaustive_search_decides_as_the_rules_are_written() -> None:
    """What the other test measures with: each rule where the ones before it leave a choice."""
    assert exhaustive({5: 1, 4: 3}, {3: 1}, 0) == (5, 1, 0)
    assert exhaustive({5: 4}, {3: 1}, 3) == (5, 1, 3)
    assert exhaustive({5: 1}, {3: 4}, 5) == (3, 1, -3)
    assert [exhaustive({9: 1}, {3: 1}, at)[0] for at in (0, 3, 6, 9, 12)] == [3, 3, 6, 9, 9]
    assert exhaustive({3: 1}, {5: 1}, 4) == (0, 0, 0)
    assert [exhaustive({10: 3, 5: 2}, {1: 3, 6: 2}, at)[0] for at in (0, 4, 8, 20)] == [5, 5, 6, 6]
