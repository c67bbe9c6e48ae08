"""An auction pair by pair, beside plain queues that trade at the price of a search through every tick."""

from random import Random

from amaranth.sim import Simulator, SimulatorContext
from exhaustive import exhaustive
from plain_book import CONFIG, Fields, PlainBook, Ports, shown

from bandgap.hdl.book.uncross import Uncross

BOOKS = 150
LARGEST_LOTS = (1 << 32) - 1


def random_book(rng: Random) -> PlainBook:
    """Orders of both sides, which cross mostly."""
    book = PlainBook(rng)
    largest_lots = rng.choice((1, 3, LARGEST_LOTS))
    for _ in range(rng.randrange(CONFIG.orders + 1)):
        price = rng.choice(book.prices)
        book.rest(rng.random() < 0.5, price, rng.randint(1, largest_lots), account=rng.randrange(4))
    return book


def random_call(rng: Random, book: PlainBook) -> Fields:
    """A reference, and bounds near to the prices there are."""
    lower, upper = sorted(rng.choice(book.prices) for _ in range(2))
    call = {"bounded": rng.getrandbits(1), "lower_ticks": lower, "upper_ticks": upper}
    return {**call, "reference_ticks": rng.choice((0, rng.choice(book.prices)))}


def after_trade(book: PlainBook, token: int, quantity_lots: int) -> Fields:
    """What is to be written when the first order of a best level has traded."""
    order = book.slots[token]
    sell, price_ticks = bool(order["sell"]), order["price_ticks"]
    queue, left_lots = book.queues[sell, price_ticks], order["quantity_lots"] - quantity_lots
    vanishes = left_lots == 0 and len(queue) == 1
    head = queue[1] if left_lots == 0 and not vanishes else token
    return {
        "left_lots": left_lots,
        "token": token,
        "line": book.line(sell, price_ticks),
        "price_ticks": price_ticks,
        "tail": queue[-1],
        "quantity_lots": book.levels(sell)[price_ticks] - quantity_lots,
        "appeared": 0,
        "vanished": vanishes,
        **({} if vanishes else {"head": head}),
    }


class Auction:
    """The gateware in its surroundings, and a book that is changed as it says.

    Arguments
    ---------
    dut : The gateware.
    rng : Decides how long all takes.
    """

    def __init__(self, dut: Uncross, rng: Random) -> None:
        self._dut, self._rng, self._ports = dut, rng, Ports(dut, rng)
        self._posted: tuple[int, int] | None = None  # token and quantity of what is carried out in this cycle
        self._settles = False

    async def run(self, ctx: SimulatorContext, book: PlainBook) -> int:
        """Run it to its end; what has traded."""
        dut, rng = self._dut, self._rng
        traded_lots, expected = 0, []
        waiting = False
        self._show_bests(ctx, book, settled=True)
        ctx.set(dut.go, 1)
        while not ctx.get(dut.ended):
            drafted = rng.random() < 0.5
            ctx.set(dut.drafted, drafted)
            ctx.set(dut.waiting, waiting)
            assert not (ctx.get(dut.trading) and (waiting or self._posted or expected))
            if ctx.get(dut.trading):
                buyer, seller = book.side(False)[0], book.side(True)[0]
                quantity_lots = min(book.slots[token]["quantity_lots"] for token in (buyer, seller))
                self._check_trade(ctx, book, buyer, seller, quantity_lots)
                if drafted:
                    traded_lots += quantity_lots
                    expected = [(buyer, quantity_lots), (seller, quantity_lots)]
            posting = None
            if ctx.get(dut.posting.change.enable):
                posting = expected.pop(0)
                self._check_posting(ctx, after_trade(book, *posting))
                waiting = rng.random() < 0.5
            else:
                assert not ctx.get(dut.posting.order.enable)
            assert not ctx.get(dut.posting.next.enable)
            assert not ctx.get(dut.posting.previous.enable)
            if waiting and ctx.get(dut.telling):
                waiting = rng.random() < 0.5
            await self.tick(ctx, book, posting)
        assert not expected
        return traded_lots

    async def tick(self, ctx: SimulatorContext, book: PlainBook, posting: tuple[int, int] | None = None) -> None:
        """A cycle passes; what was posted in the last one is in place, and bests take a while to follow."""
        await self._ports.tick(ctx, book, read=("bid", "bid_next"), read_maker=("ask", "ask_next"))
        settled = not self._settles or self._rng.random() < 0.5
        if self._posted is not None:
            book.reduce(*self._posted)
            settled = self._rng.random() < 0.5
        self._posted, self._settles = posting, not settled
        self._show_bests(ctx, book, settled)

    def _show_bests(self, ctx: SimulatorContext, book: PlainBook, settled: bool) -> None:
        ctx.set(self._dut.settled, settled)
        ctx.set(self._dut.bests, [book.best(sell) if settled else {} for sell in (False, True)])

    def _check_trade(self, ctx: SimulatorContext, book: PlainBook, buyer: int, seller: int, quantity_lots: int) -> None:
        dut = self._dut
        assert ctx.get(dut.quantity_lots) == quantity_lots
        for party, left, token in ((dut.buyer, dut.buyer_left_lots, buyer), (dut.seller, dut.seller_left_lots, seller)):
            order = book.slots[token]
            assert ctx.get(party.token) == token
            expected = shown(order, party.order)
            assert {name: ctx.get(party.order[name]) for name in expected} == expected
            assert ctx.get(left) == order["quantity_lots"] - quantity_lots

    def _check_posting(self, ctx: SimulatorContext, expected: Fields) -> None:
        write, change = self._dut.posting.order, self._dut.posting.change
        assert ctx.get(write.enable)
        values = {name: change[name] for name in ("line", "price_ticks", "appeared", "vanished")}
        values |= {"token": write.token, **{name: change.level[name] for name in ("head", "tail", "quantity_lots")}}
        got = {name: ctx.get(values[name]) for name in expected if name != "left_lots"}
        assert not ctx.get(write.whole)
        assert got | {"left_lots": ctx.get(write.order.quantity_lots)} == expected


def test_auction_trades_its_volume_in_price_time_order(seed: int) -> None:
    """Every trade and all that it changes, and what the auction came to; outside its bounds nothing trades."""
    dut = Uncross(CONFIG)
    rng = Random(seed)
    surroundings = Auction(dut, rng)
    ends = set()

    async def bench(ctx: SimulatorContext) -> None:
        for _ in range(BOOKS):
            book, indicates = random_book(rng), rng.random() < 0.5
            call = random_call(rng, book)
            bids, asks = (book.levels(sell) for sell in (False, True))
            price_ticks, volume_lots, surplus_lots = exhaustive(bids, asks, call["reference_ticks"])
            outside = call["bounded"] and not call["lower_ticks"] <= price_ticks <= call["upper_ticks"]
            within = not (volume_lots and outside)
            ctx.set(dut.call, call)
            ctx.set(dut.indicates, indicates)
            traded_lots = await surroundings.run(ctx, book)
            assert traded_lots == (volume_lots if within and not indicates else 0)
            await surroundings.tick(ctx, book)
            found = dut.discovered
            assert ctx.get(dut.ended)
            assert ctx.get(dut.within) == within
            assert ctx.get(found.any) == (volume_lots != 0)
            assert ctx.get(found.price_ticks) == price_ticks
            assert ctx.get(found.volume_lots) == volume_lots
            assert ctx.get(found.surplus_lots) == abs(surplus_lots)
            assert (ctx.get(found.bids_left), ctx.get(found.asks_left)) == (surplus_lots > 0, surplus_lots < 0)
            ends.add((indicates, within, volume_lots != 0))
            ctx.set(dut.go, 0)
            await surroundings.tick(ctx, book)
            assert not ctx.get(dut.ended)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(ends) == 6  # an auction that came to nothing is within its bounds
