"""The book alone on Verilator: random guarded commands with back-pressure, compared with the model's book.

What is compared: every report, every release to the guard, every trade and every review that the breaker is told of,
and how auctions went. What the breaker answers is made up.
"""

import os
from dataclasses import replace
from random import Random

import cocotb
from amaranth.lib import data
from book_commands import Sender, Switch, Walker, bits, verdict_on
from cocotb.handle import SimHandleBase
from pins import Pins, Sink

from bandgap.hdl.beats import Release, Review, Traded, Uncrossed, Verdict
from bandgap.hdl.config import PRESETS, BookConfig

CONFIGS = {
    "formal": PRESETS["formal"],
    "roomy": BookConfig(instruments=2, orders=32, ticks=64, accounts=4, word_bits=4),
}
"""Sizes by the name that `BANDGAP_SIZES` selects."""

EXIT_CYCLE = slice(24, 28)  # bytes of a report that the model leaves zero
MOST_CYCLES = 10_000


class Guard:
    """Stands in for the guard: three registers that move in step, and the command at the book behind them.

    It offers a command, and moves on, at random; never while the book is busy.
    """

    def __init__(self, dut: SimHandleBase, rng: Random, eagerness: float) -> None:
        self._dut, self._rng, self._eagerness = dut, rng, eagerness
        self.pending: list[Walker | Switch] = []
        self.told: list[int] = []  # the trades that were taken
        self._registers: list[Walker | None] = [None, None, None]
        self._at_book: Walker | None = None
        dut.advance.value = 0
        dut.commands__valid.value = 0
        dut.collecting.value = 0
        dut.watched.value = 0
        dut.dynamic.value = 0
        dut.reach_ticks.value = 0
        dut.repriced.value = 0

    def drive(self) -> None:
        """After a rising edge."""
        dut = self._dut
        dut.commands__valid.value = int(self._at_book is not None)
        if self._at_book:
            dut.commands__payload.value = self._at_book.beat
        second = self._registers[1]
        dut.b_price_ticks.value = second.price_ticks if second else 0
        first = self.pending[0] if self.pending else None
        dut.preview.value = first.preview if isinstance(first, Walker) else 0
        dut.advance.value = 0
        dut.repriced.value = 0

    def sample(self) -> None:
        """Before the next rising edge: the book's answers are steady now."""
        dut = self._dut
        taken = self._at_book is not None and int(dut.commands__ready.value)
        last = self._registers[2]
        moves = self._rng.random() < self._eagerness
        if last and last.repriced:
            # All that came before is done when an order's price is worked out anew.
            if self._at_book is None and not int(dut.working.value):
                dut.repriced.value = 1
                self._registers[2] = replace(last, repriced=False)
            moves = False
        advance = (self._at_book is None or taken) and not int(dut.busy.value) and moves
        dut.advance.value = int(advance)
        if taken:
            self._look_at_trades(self._at_book)
            self._at_book = None
        if advance:
            blocked = any(walker and walker.alone for walker in (*self._registers, self._at_book))
            waits = blocked or not self.pending or self._rng.random() >= self._eagerness
            waits = waits or isinstance(self.pending[0], Switch)
            enters = None if waits else self.pending.pop(0)
            *self._registers, self._at_book = [enters, *self._registers]
        if not (taken or any((*self._registers, self._at_book)) or int(dut.working.value)):
            self._switch()

    def _look_at_trades(self, walker: Walker | None) -> None:
        """A command is done: its last trade has been told, or is shown."""
        shown = int(self._dut.traded__valid.value)
        assert not shown or int(self._dut.trading.value)
        if walker and walker.traded is not None:
            assert len(self.told) + shown == walker.traded, "a trade is not told in time"

    def _switch(self) -> None:
        dut = self._dut
        if self.pending and isinstance(self.pending[0], Switch):
            switch = self.pending.pop(0)
            dut.collecting.value = switch.collecting
            dut.watched.value = switch.watched
            dut.dynamic.value = switch.dynamic
            dut.reach_ticks.value = sum(ticks << 32 * index for index, ticks in enumerate(switch.reach_ticks))
            if switch.uncrossed is not None:
                assert int(dut.uncrossed.value) == bits(Uncrossed, switch.uncrossed), "the auction went another way"


class Breaker:
    """Stands in for the breaker: takes reviews and answers them, each after a while."""

    def __init__(self, dut: SimHandleBase, rng: Random, eagerness: float) -> None:
        self._dut, self._rng, self._eagerness = dut, rng, eagerness
        self.reviews: list[dict[str, int]] = []
        self._answer: int | None = None
        self._answering = False
        dut.review__ready.value = 0
        dut.verdict__valid.value = 0

    def drive(self) -> None:
        """After a rising edge."""
        dut = self._dut
        dut.review__ready.value = int(self._rng.random() < self._eagerness)
        if self._answer is not None and not self._answering and self._rng.random() < self._eagerness:
            self._answering = True
            dut.verdict__payload.value = self._answer
        dut.verdict__valid.value = int(self._answering)

    def sample(self) -> None:
        """Before the next rising edge."""
        dut = self._dut
        if self._answering and int(dut.verdict__ready.value):
            self._answering, self._answer = False, None
        if int(dut.review__valid.value) and int(dut.review__ready.value):
            assert self._answer is None, "a review before the last one was answered"
            asked = data.Layout.cast(Review).from_bits(int(dut.review__payload.value))
            review = {
                "instrument": asked.instrument,
                "bid_any": asked.bid.any,
                "bid_ticks": asked.bid.price_ticks if asked.bid.any else 0,
                "ask_any": asked.ask.any,
                "ask_ticks": asked.ask.price_ticks if asked.ask.any else 0,
                "stranded": asked.stranded,
                "time_ns": asked.time_ns,
            }
            self.reviews.append(review)
            self._answer = bits(Verdict, dict(verdict_on(review)))


def without_exit_cycle(report: bytes) -> bytes:
    return report[: EXIT_CYCLE.start] + bytes(4) + report[EXIT_CYCLE.stop :]


async def run(dut: SimHandleBase, eagerness: float) -> None:
    """Send random guarded commands, offering and taking with this probability a cycle."""
    seed = int(os.environ["BANDGAP_SEED"])
    config = CONFIGS[os.environ["BANDGAP_SIZES"]]
    rng = Random(f"{seed}/{eagerness}")
    pins = Pins(dut)
    commands = Guard(dut, rng, eagerness)
    reports = Sink(dut.reports__valid, dut.reports__ready, dut.reports__payload, rng, eagerness)
    releases = Sink(dut.released__valid, dut.released__ready, dut.released__payload, rng, eagerness)
    breaker = Breaker(dut, rng, eagerness)
    traded = Sink(dut.traded__valid, dut.traded__ready, dut.traded__payload, rng, eagerness)
    commands.told = traded.taken
    pins.drivers = [commands, reports, releases, breaker, traded]
    dut.cycle.value = 0
    await pins.reset()
    sender = Sender(config, rng)
    commands.pending = [sender.set_instrument(index) for index in range(config.instruments)]
    for _ in range(int(os.environ["BANDGAP_COMMANDS"])):
        commands.pending += sender.any_command()
    quiet = 0
    while quiet < MOST_CYCLES and len(reports.taken) < len(sender.expected.reports):
        before = len(reports.taken), len(commands.pending)
        await pins.cycle()
        quiet = quiet + 1 if before == (len(reports.taken), len(commands.pending)) else 0
    for _ in range(100):
        await pins.cycle()  # nothing may come behind the last report
    for place, expected in enumerate(sender.expected.reports):
        got = without_exit_cycle(reports.taken[place].to_bytes(64, "little")) if place < len(reports.taken) else b""
        assert got == expected, f"seed {seed}, report {place}: the book says {got.hex()}, the model {expected.hex()}"
    assert len(reports.taken) == len(sender.expected.reports), "the book says more than the model"
    layout = data.Layout.cast(Release)
    got_releases = [layout.from_bits(value) for value in releases.taken]
    plain = [(r.account, r.instrument, r.price_ticks, r.quantity_lots) for r in got_releases]
    assert plain == sender.expected.releases, f"seed {seed}: releases differ"
    told = [data.Layout.cast(Traded).from_bits(value) for value in traded.taken]
    trades = [(trade.instrument, trade.auction, trade.price_ticks, trade.time_ns) for trade in told]
    assert trades == sender.expected.traded, f"seed {seed}: trades differ"
    assert breaker.reviews == sender.expected.reviews, f"seed {seed}: reviews differ"
    assert not int(dut.trading.value)
    counts = (len(reports.taken), len(plain), len(trades), len(breaker.reviews))
    dut._log.info("%d reports, %d releases, %d trades, %d reviews, none different; seed %d", *counts, seed)


@cocotb.test()
async def at_full_speed(dut: SimHandleBase) -> None:
    """Nobody holds back."""
    await run(dut, 1.0)


@cocotb.test()
async def with_back_pressure(dut: SimHandleBase) -> None:
    """All sides hold back in six cycles of ten."""
    await run(dut, 0.4)
