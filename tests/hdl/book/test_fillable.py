"""What a fill-or-kill order can trade, beside a count along plain queues."""

from random import Random

from amaranth.sim import Simulator, SimulatorContext
from plain_book import CONFIG, Fields, PlainBook, Ports

from bandgap.hdl.book.fillable import Fillable
from bandgap.hdl.protocol.commands import SelfTradePrevention

BOOKS = 600
LARGEST_LOTS = (1 << 32) - 1
OFF, CANCEL_OLDEST = SelfTradePrevention.OFF.value, SelfTradePrevention.CANCEL_OLDEST.value


def reaches(taker: Fields, price_ticks: int, limit_ticks: int) -> bool:
    return price_ticks >= limit_ticks if taker["sell"] else price_ticks <= limit_ticks


def fillable(book: PlainBook, taker: Fields, limit_ticks: int) -> bool:
    """Whether it can trade all of its quantity; orders of its own account are passed over, or end the count."""
    countable_lots = 0
    for maker in (book.slots[token] for token in book.side(not taker["sell"])):
        if not reaches(taker, maker["price_ticks"], limit_ticks):
            break
        if maker["account"] != taker["account"] or taker["self_trade_prevention"] == OFF:
            countable_lots += maker["quantity_lots"]
        elif taker["self_trade_prevention"] != CANCEL_OLDEST:
            break
    return countable_lots >= taker["quantity_lots"]


def random_book(rng: Random, sell: bool) -> PlainBook:
    """Orders of one side."""
    book = PlainBook(rng)
    largest_lots = rng.choice((1, 3, LARGEST_LOTS))
    for _ in range(rng.randint(1, CONFIG.orders)):
        book.rest(sell, rng.choice(book.prices), rng.randint(1, largest_lots), account=rng.choice((0, 0, 1, 2)))
    return book


def random_taker(rng: Random, book: PlainBook, sell: bool) -> Fields:
    """An order that wants about as much as the first few makers have."""
    makers = book.side(not sell)
    near_lots = sum(book.slots[token]["quantity_lots"] for token in makers[: rng.randint(1, len(makers))])
    return {
        "sell": sell,
        "account": rng.choice((0, 1, 3)),
        "quantity_lots": min(max(near_lots + rng.choice((-1, 0, 1)), 1), LARGEST_LOTS),
        "self_trade_prevention": rng.choice(list(SelfTradePrevention)).value,
    }


def test_enough_is_what_a_count_along_the_queues_finds(seed: int) -> None:
    """Both sides and all modes of self-trade prevention; each answer comes often."""
    dut = Fillable(CONFIG)
    rng = Random(seed)
    ports = Ports(dut, rng)
    enough = []

    async def bench(ctx: SimulatorContext) -> None:
        for _ in range(BOOKS):
            sell = rng.random() < 0.5
            book = random_book(rng, not sell)
            taker = random_taker(rng, book, sell)
            best = book.best(not sell)
            limit_ticks = rng.choice([price for price in book.prices if reaches(taker, best["price_ticks"], price)])
            ctx.set(dut.taker, taker)
            ctx.set(dut.line, best["line"])
            ctx.set(dut.price_ticks, best["price_ticks"])
            ctx.set(dut.limit_ticks, rng.getrandbits(32))
            ctx.set(dut.go, 1)
            while not (ctx.get(dut.enough) or ctx.get(dut.falls_short)):
                await ports.tick(ctx, book, read=("order", "next"))
                ctx.set(dut.limit_ticks, limit_ticks)
                ctx.set(dut.line, rng.getrandbits(5))
                ctx.set(dut.price_ticks, rng.getrandbits(32))
            got = ctx.get(dut.enough)
            assert got != ctx.get(dut.falls_short)
            assert got == fillable(book, taker, limit_ticks), (book.slots, taker, limit_ticks)
            enough.append(got)
            await ports.tick(ctx, book, read=("order", "next"))
            ctx.set(dut.go, 0)
            for _ in range(rng.randrange(3)):
                await ports.tick(ctx, book, read=("order", "next"))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert BOOKS / 4 < sum(enough) < BOOKS * 3 / 4
