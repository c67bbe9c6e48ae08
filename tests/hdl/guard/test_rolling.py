"""Rolling windows and the last trades beside a plain list of trades."""

from dataclasses import dataclass, field
from random import Random

import pytest
from amaranth.sim import Simulator, SimulatorContext

from bandgap.hdl.config import BookConfig
from bandgap.hdl.guard.rolling import LONG, Ask, Rolling

CONFIG = BookConfig(instruments=3, orders=2, ticks=8, accounts=2, word_bits=4)
BUCKET_US = 1_000
LOWER_TICKS, UPPER_TICKS = 100, 163


@dataclass
class Window:
    """Prices by bucket, oldest first; the last one is being filled."""

    width_ticks: int
    most: int
    prices: list[list[int]] = field(default_factory=list)
    deadline_ns: int = 0

    @property
    def all(self) -> list[int]:
        """Every price in it."""
        return [price for bucket in self.prices for price in bucket]

    def trade(self, price_ticks: int, time_ns: int) -> None:
        """Add a trade."""
        if not self.prices:
            self.prices, self.deadline_ns = [[]], time_ns + BUCKET_US * 1_000
        self.prices[-1].append(price_ticks)

    def end(self) -> None:
        """A bucket is over."""
        self.deadline_ns += BUCKET_US * 1_000
        self.prices = [*self.prices, []][-self.most :]
        if not self.all:
            self.prices = []


@dataclass
class Instrument:
    """What is known of one."""

    windows: list[Window]
    last_log2: int
    last: list[int] = field(default_factory=list)

    def trade(self, price_ticks: int, time_ns: int) -> None:
        """Add a trade; windows that leave no band are emptied."""
        self.last = [*self.last, price_ticks][-(1 << self.last_log2) :]
        for window in self.windows:
            window.trade(price_ticks, time_ns)
        lower_ticks, upper_ticks = self.force
        if lower_ticks > upper_ticks:
            for window in self.windows:
                window.prices = []

    @property
    def force(self) -> tuple[int, int]:
        """The band in force."""
        bound = [window for window in self.windows if window.all and window.width_ticks]
        return (
            max([LOWER_TICKS, *(max(window.all) - window.width_ticks for window in bound)]),
            min([UPPER_TICKS, *(min(window.all) + window.width_ticks for window in bound)]),
        )


@pytest.mark.parametrize(("buckets", "widths"), [((1, 2), (3, 40)), ((5, 64), (0, 12)), ((3, 3), (0, 0))])
def test_windows_and_last_trades(buckets: tuple[int, int], widths: tuple[int, int], seed: int) -> None:
    dut = Rolling(CONFIG)
    rng = Random(seed)
    instruments = [
        Instrument([Window(width, most) for width, most in zip(widths, buckets, strict=True)], rng.choice([0, 1, 3, 6]))
        for _ in range(CONFIG.instruments)
    ]
    forced: dict[int, tuple[int, int]] = {}

    async def ask(ctx: SimulatorContext, what: Ask, instrument: int, **fields: int) -> None:
        payload = dut.ask.payload
        ctx.set(payload.what, what)
        ctx.set(payload.instrument, instrument)
        for name, value in fields.items():
            ctx.set(payload[name], value)
        ctx.set(dut.ask.valid, 1)
        await ctx.tick().until(dut.ask.ready)
        ctx.set(dut.ask.valid, 0)

    async def bench(ctx: SimulatorContext) -> None:
        command = dut.ask.payload.command
        for name, width, most in zip(("short", "long"), widths, buckets, strict=True):
            ctx.set(command[f"{name}_width_ticks"], width)
            ctx.set(command[f"{name}_bucket_us"], BUCKET_US)
            ctx.set(command[f"{name}_buckets"], most)
        for number, instrument in enumerate(instruments):
            await ask(ctx, Ask.RESET, number)
            await ask(ctx, Ask.BAND, number, lower_ticks=LOWER_TICKS, upper_ticks=UPPER_TICKS)
            await ask(ctx, Ask.WINDOWS, number)
            await ask(ctx, Ask.LAST, number, last_log2=instrument.last_log2)

        time_ns = 0
        for _ in range(600):
            time_ns += rng.randrange(100)
            number = rng.randrange(CONFIG.instruments)
            instrument = instruments[number]
            choice = rng.random()
            if choice < 0.5:
                price_ticks = rng.randint(*instrument.force)
                trade = dut.traded.payload
                ctx.set(trade.instrument, number)
                ctx.set(trade.price_ticks, price_ticks)
                ctx.set(trade.time_ns, time_ns)
                ctx.set(dut.traded.valid, 1)
                await ctx.tick().until(dut.traded.ready)
                ctx.set(dut.traded.valid, 0)
                await ctx.tick().until(dut.settled)
                instrument.trade(price_ticks, time_ns)
            elif choice < 0.9:
                long = rng.randrange(2)
                if instrument.windows[long].all:
                    instrument.windows[long].end()
                    await ask(ctx, Ask.END, number, long=long)
            elif choice < 0.92:
                await ask(ctx, Ask.EMPTY, number)
                for window in instrument.windows:
                    window.prices = []
            else:
                price_ticks = rng.randint(LOWER_TICKS, UPPER_TICKS)
                await ask(ctx, Ask.TRADE, number, price_ticks=price_ticks, time_ns=time_ns)
                instrument.trade(price_ticks, time_ns)

            await ask(ctx, Ask.LOAD, number)
            row = dut.row
            assert (ctx.get(dut.lower_ticks), ctx.get(dut.upper_ticks)) == instrument.force
            assert ctx.get(row.last_trades) == len(instrument.last)
            assert ctx.get(row.last_sum_ticks) == sum(instrument.last)
            for deadline, window in zip(dut.deadlines, instrument.windows, strict=True):
                assert ctx.get(deadline.set) == bool(window.all)
                if window.all:
                    assert ctx.get(deadline.time_ns) == window.deadline_ns
            prices = instrument.windows[LONG].all
            assert (ctx.get(dut.mean.trades), ctx.get(dut.mean.sum_ticks)) == (len(prices), sum(prices))

    async def force(ctx: SimulatorContext) -> None:
        async for _, _, enable, number, lower_ticks, upper_ticks in ctx.tick().sample(
            dut.force.enable, dut.force.instrument, dut.force.lower_ticks, dut.force.upper_ticks
        ):
            if enable:
                forced[number] = lower_ticks, upper_ticks

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.add_testbench(force, background=True)
    simulator.run()
    assert forced == {number: instrument.force for number, instrument in enumerate(instruments)}
