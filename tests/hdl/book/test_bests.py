"""The best prices of the instruments."""

from random import Random

from amaranth.sim import Simulator, SimulatorContext

from bandgap.hdl.book.bests import Bests
from bandgap.hdl.config import BookConfig

INSTRUMENTS, READERS = 3, 2
CONFIG = BookConfig(instruments=INSTRUMENTS, orders=8, ticks=8, accounts=2, links=1, word_bits=4)
FIELDS = {"price_ticks": 32, "line": 4, "head": 3}
STEPS = 2_000


def test_every_reader_sees_what_was_told_last_of_each_side(seed: int) -> None:
    """Behind a reset no side has any, whatever the memory holds; `resting` says of which instrument one has."""
    dut = Bests(CONFIG, READERS)
    rng = Random(seed)

    async def bench(ctx: SimulatorContext) -> None:
        bests: dict[tuple[int, int], dict[str, int]] = {}
        for _ in range(STEPS):
            for reader in range(READERS):
                instrument = rng.randrange(INSTRUMENTS)
                ctx.set(dut.looked_at[reader], instrument)
                for side in range(2):
                    shown, best = dut.bests[reader][side], bests.get((instrument, side), {"any": 0})
                    assert {name: ctx.get(getattr(shown, name)) for name in best} == best
            resting = sum(
                any(bests.get((instrument, side), {"any": 0})["any"] for side in range(2)) << instrument
                for instrument in range(INSTRUMENTS)
            )
            assert ctx.get(dut.resting) == resting
            instrument, side = rng.randrange(INSTRUMENTS), rng.getrandbits(1)
            best = {"any": rng.getrandbits(1)} | {name: rng.getrandbits(bits) for name, bits in FIELDS.items()}
            enable = rng.getrandbits(1)
            ctx.set(dut.write, {"enable": enable, "instrument": instrument, "side": side, "best": best})
            await ctx.tick()
            if enable:
                bests[instrument, side] = best

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
