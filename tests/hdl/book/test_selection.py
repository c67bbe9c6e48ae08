"""What a sweep, a band and a window that moves cancel, beside plain lists."""

from random import Random

import pytest
from amaranth.hdl import Const
from amaranth.sim import Simulator, SimulatorContext
from plain_book import CONFIG, Fields, PlainBook, Ports

from bandgap.hdl.beats import Action, BandMove
from bandgap.hdl.book.selection import Selection
from bandgap.hdl.protocol.commands import AccountCommand, MoveWindow

INSTRUMENT = 1
BOOKS = 200


def random_book(rng: Random) -> PlainBook:
    """Orders of both sides, which cross as in an instrument that collects, or not."""
    book = PlainBook(rng)
    middle = rng.choice(book.prices)
    crosses = rng.random() < 0.3
    for _ in range(rng.randrange(CONFIG.orders + 1)):
        price = rng.choice(book.prices)
        book.rest(
            rng.random() < 0.5 if crosses else price >= middle,
            price,
            rng.randint(1, 9),
            account=rng.randrange(3),
            instrument=rng.randrange(2),
            market=rng.getrandbits(1),
        )
    return book


def sweep(rng: Random, book: PlainBook) -> tuple[Fields, list[int]]:
    """Of all, of an account, or of the market orders of an instrument; in the order of their slots."""
    account = rng.randrange(4)
    everyone, markets = rng.choice(((0, 0), (1, 0), (0, 1)))
    command = {
        "action": Action.SWEEP,
        "everyone": everyone,
        "markets": markets,
        "body": Const.cast(AccountCommand.const({"account": account})).value,
    }
    meant = [
        token
        for token, order in sorted(book.slots.items())
        if (
            order["market"] and order["instrument"] == INSTRUMENT
            if markets
            else everyone or order["account"] == account
        )
    ]
    return command, meant


def band(rng: Random, book: PlainBook) -> tuple[Fields, list[int]]:
    """Bids above it, then asks below it."""
    lower, upper = sorted(
        min(max(rng.choice(book.prices) + rng.choice((-1, 0, 1)), 0), (1 << 32) - 1) for _ in range(2)
    )
    body = BandMove.const({"force_lower_ticks": lower, "force_upper_ticks": upper})
    meant = [token for token in book.side(sell=False) if book.slots[token]["price_ticks"] > upper]
    meant += [token for token in book.side(sell=True) if book.slots[token]["price_ticks"] < lower]
    return {"action": Action.MOVE_BAND, "body": Const.cast(body).value}, meant


def window(rng: Random, book: PlainBook) -> tuple[Fields, list[int]]:
    """Bids outside it, then asks: a window that is the old one, overlaps with it, or lies apart."""
    size = len(book.prices)
    base = min(max(book.prices[0] + rng.randint(-size - 2, size + 2), 0), (1 << 32) - size)
    stays = range(base, base + size)
    meant = [
        token for sell in (False, True) for token in book.side(sell) if book.slots[token]["price_ticks"] not in stays
    ]
    body = MoveWindow.const({"window_base_ticks": base})
    return {"action": Action.MOVE_WINDOW, "body": Const.cast(body).value}, meant


@pytest.mark.parametrize("kind", [sweep, band, window])
def test_chosen_are_all_that_are_meant_in_their_order(kind, seed: int) -> None:
    """Each leaves before the next is chosen; bests take their time, and are not true until then."""
    dut = Selection(CONFIG)
    rng = Random(seed)
    ports = Ports(dut, rng)
    chosen_lengths = []
    shown: Fields = {}

    async def bench(ctx: SimulatorContext) -> None:
        for _ in range(BOOKS):
            book = random_book(rng)
            command, meant = kind(rng, book)
            ctx.set(dut.command, {**command, "cause": {"instrument": INSTRUMENT}})
            ctx.set(dut.window, book.window)
            await tick(ctx, book)
            chosen = []
            while (token := await choose(ctx, book)) is not None:
                chosen.append(token)
            assert chosen == meant, (book.slots, book.window, command)
            chosen_lengths.append(len(chosen))

    async def tick(ctx: SimulatorContext, book: PlainBook, settled: int = 1) -> None:
        nonlocal shown
        await ports.tick(ctx, book, read=("order",))
        before, shown = shown, {name: ctx.get(dut.order[name]) for name in dut.order.shape().members}
        ctx.set(dut.order, before)  # a cycle behind the pool
        ctx.set(dut.settled, settled)
        ctx.set(dut.bests, [book.best(sell) if settled else {"any": 1} for sell in (False, True)])

    async def choose(ctx: SimulatorContext, book: PlainBook) -> int | None:
        """The order that is chosen next, and has left; None when none is."""
        for _ in range(rng.randrange(4)):
            await tick(ctx, book, settled=rng.getrandbits(1))
        ctx.set(dut.go, 1)
        while not (ctx.get(dut.chosen) or ctx.get(dut.ended)):
            await tick(ctx, book, settled=rng.random() < 0.7)
        token = None if ctx.get(dut.ended) else ctx.get(dut.token)
        assert ctx.get(dut.chosen) == (token is not None)
        if token is not None:
            assert {name: ctx.get(dut.order[name]) for name in book.slots[token]} == book.slots[token]
            book.reduce(token, book.slots[token]["quantity_lots"])
        await tick(ctx, book, settled=0)
        ctx.set(dut.go, 0)
        return token

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert 0 in chosen_lengths
    assert max(chosen_lengths) >= CONFIG.orders // 2
