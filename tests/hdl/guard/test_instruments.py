"""What the guard's fast path knows of the instruments."""

from random import Random

from amaranth.lib import data
from amaranth.sim import Simulator, SimulatorContext

from bandgap.hdl.config import BookConfig
from bandgap.hdl.guard.band import Instrument
from bandgap.hdl.guard.instruments import BOUNDS, Instruments
from bandgap.hdl.protocol.reports import TradingState

INSTRUMENTS, READERS = 3, 2
CONFIG = BookConfig(instruments=INSTRUMENTS, orders=8, ticks=8, accounts=2, links=1, word_bits=4)
LAYOUT = Instrument.as_shape()
STEPS = 2_000

Row = dict[str, int]


def random_row(rng: Random) -> Row:
    return {
        field: rng.choice([state.value for state in TradingState]) if field == "state" else rng.getrandbits(at.width)
        for field, at in LAYOUT
    }


def row_of(layout: data.StructLayout, bits: int) -> Row:
    return {field: bits >> at.offset & ((1 << at.width) - 1) for field, at in layout}


def test_every_reader_sees_rules_and_bounds_as_stored_last(seed: int) -> None:
    """Bounds are stored apart from the rest; nothing is known behind a reset, nor of an instrument beyond the last."""
    dut = Instruments(CONFIG, READERS)
    rng = Random(seed)

    async def bench(ctx: SimulatorContext) -> None:
        rows: dict[int, Row] = {}
        bounds: dict[int, Row] = {}
        for _ in range(STEPS):
            for reader in range(READERS):
                instrument = rng.choice((*range(INSTRUMENTS), rng.randrange(256)))
                ctx.set(dut.looked_at[reader], instrument)
                shown = row_of(LAYOUT, ctx.get(dut.rules[reader].as_value()))
                expected = rows.get(instrument, {"known": 0}) | bounds.get(instrument, {})
                assert {field: shown[field] for field in expected} == expected
            for port, holds in (
                (dut.collecting, lambda row: row["collects"]),
                (dut.dynamic, lambda row: row["dynamic"]),
                (dut.limited, lambda row: row["state"] == TradingState.LIMIT.value),
                (dut.timed, lambda row: row["timed"]),
            ):
                assert ctx.get(port) == sum(bool(holds(row)) << instrument for instrument, row in rows.items())
            for instrument, row in rows.items():
                assert ctx.get(dut.reach_ticks[instrument]) == (row["reach_ticks"] if row["banded"] else 0)

            stored, forced = rng.randrange(INSTRUMENTS), rng.randrange(INSTRUMENTS)
            row, forces = random_row(rng), {bound: rng.getrandbits(32) for bound in BOUNDS}
            stores, does_force = rng.getrandbits(1), rng.getrandbits(1)
            ctx.set(dut.store, {"enable": stores, "instrument": stored, "rules": row})
            ctx.set(dut.force, {"enable": does_force, "instrument": forced, **forces})
            await ctx.tick()
            if stores:
                rows[stored] = {field: value for field, value in row.items() if field not in BOUNDS}
            if does_force:
                bounds[forced] = forces

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
