"""One instrument's orders and levels in plain Python, as pool and ladder show them to what walks along them."""

from random import Random
from typing import Any

from amaranth.sim import SimulatorContext

from bandgap.hdl.config import BookConfig

CONFIG = BookConfig(instruments=2, orders=16, ticks=16, accounts=4, links=1, word_bits=4)
ROW_BITS = 4
Fields = dict[str, Any]
"""Values by the names of a layout's fields."""


class PlainBook:
    """A window with orders in it; `Window` in `hdl.book.ladder` says what the window is.

    Attributes
    ----------
    window : Its fields.
    slots : The fields of each order that rests, by token.
    queues : Tokens, in order of time, by side (of sells) and price.
    """

    def __init__(self, rng: Random) -> None:
        log2 = rng.choice((2, 3, 4))
        self._rng, self._size = rng, 1 << log2
        base_ticks = rng.choice((0, rng.randrange(200), (1 << 32) - self._size))
        self.window = {"base_ticks": base_ticks, "offset": rng.randrange(0, CONFIG.ticks, self._size), "log2": log2}
        self.prices = range(base_ticks, base_ticks + self._size)
        self.slots: dict[int, Fields] = {}
        self.queues: dict[tuple[bool, int], list[int]] = {}

    def rest(self, sell: bool, price_ticks: int, quantity_lots: int, **fields: int) -> int:
        """An order comes to rest in a free slot, its token."""
        token = self._rng.choice([token for token in range(CONFIG.orders) if token not in self.slots])
        order = {"sell": sell, "price_ticks": price_ticks, "quantity_lots": quantity_lots, **fields}
        self.slots[token] = order
        self.queues.setdefault((sell, price_ticks), []).append(token)
        return token

    def reduce(self, token: int, quantity_lots: int) -> None:
        """An order loses quantity, and leaves when it has none."""
        order = self.slots[token]
        order["quantity_lots"] -= quantity_lots
        if order["quantity_lots"] == 0:
            del self.slots[token]
            queue = self.queues[order["sell"], order["price_ticks"]]
            queue.remove(token)
            if not queue:
                del self.queues[order["sell"], order["price_ticks"]]

    def side(self, sell: bool) -> list[int]:
        """All its tokens, best price first, then in order of time."""
        prices = sorted((price for at, price in self.queues if at == sell), reverse=not sell)
        return [token for price in prices for token in self.queues[sell, price]]

    def levels(self, sell: bool) -> dict[int, int]:
        """Quantity by price."""
        return {price: self._sum(tokens) for (at, price), tokens in self.queues.items() if at == sell}

    def _sum(self, tokens: list[int]) -> int:
        return sum(self.slots[token]["quantity_lots"] for token in tokens)

    def line(self, sell: bool, price_ticks: int) -> int:
        """Where that price rests in the ladder."""
        row = (price_ticks if sell else ~price_ticks) % self._size + self.window["offset"]
        return sell << ROW_BITS | row

    # As pool and ladder show it; anything where nothing is.

    def order_at(self, token: int) -> Fields:
        return self.slots.get(token) or {**self._anything("price_ticks", 32), "quantity_lots": 0}

    def next_of(self, token: int) -> int:
        if token in self.slots:
            queue = self.queues[bool(self.slots[token]["sell"]), self.slots[token]["price_ticks"]]
            if token != queue[-1]:
                return queue[queue.index(token) + 1]
        return self._rng.randrange(CONFIG.orders)

    def level_at(self, line: int) -> Fields:
        for (sell, price_ticks), tokens in self.queues.items():
            if self.line(sell, price_ticks) == line:
                return {"any": 1, "head": tokens[0], "tail": tokens[-1], "quantity_lots": self._sum(tokens)}
        return {**self._anything("head", 4), **self._anything("tail", 4), "quantity_lots": 0}

    def best(self, sell: bool) -> Fields:
        if not (tokens := self.side(sell)):
            return {**self._anything("price_ticks", 32), **self._anything("line", 5), **self._anything("head", 4)}
        price_ticks = self.slots[tokens[0]]["price_ticks"]
        return {"any": 1, "price_ticks": price_ticks, "line": self.line(sell, price_ticks), "head": tokens[0]}

    def behind(self, line: int) -> Fields:
        """The level that a search from `line` finds: the next of its side, circularly, and not itself."""
        steps = {}
        for sell, price_ticks in self.queues:
            other = self.line(sell, price_ticks)
            if other >> ROW_BITS == line >> ROW_BITS and other != line:
                steps[(other - line) % self._size] = {"any": 1, "price_ticks": price_ticks, "line": other}
        return steps[min(steps)] if steps else {**self._anything("price_ticks", 32), **self._anything("line", 5)}

    def _anything(self, name: str, bits: int) -> Fields:
        return {name: self._rng.getrandbits(bits)}


def shown(order: Fields, port: Any) -> Fields:
    """What a port has of an order."""
    return {name: order[name] for name in port.shape().members if name in order}


class Ports:
    """The ports of pool and ladder, and the ladder's search, with their timing.

    Arguments
    ---------
    dut : What walks.
    rng : Decides how long searches take.
    """

    def __init__(self, dut: Any, rng: Random) -> None:
        self._dut, self._rng = dut, rng
        self._before = 0  # the line that a search would begin from
        self._start, self._cycles = 0, 0  # the line that it began from, and when it is found

    async def tick(self, ctx: SimulatorContext, book: PlainBook, **orders: tuple[str, ...]) -> None:
        """A cycle passes: what it addresses is shown in the next one.

        Arguments
        ---------
        book : What is read.
        orders : For each port of the pool, by the name of its address: those of the order, and of the one behind it.
        """
        dut, rng = self._dut, self._rng
        if ctx.get(dut.search) and ctx.get(dut.search_taken):
            self._start, self._cycles = self._before, rng.randrange(2, 6)
        self._before = ctx.get(dut.search_line)
        line = ctx.get(dut.read_line)
        tokens = {read: ctx.get(getattr(dut, read)) for read in orders}
        await ctx.tick()
        for read, (order, *following) in orders.items():
            port = getattr(dut, order)
            ctx.set(port, shown(book.order_at(tokens[read]), port))
            for name in following:
                ctx.set(getattr(dut, name), book.next_of(tokens[read]))
        ctx.set(dut.level, book.level_at(line))
        self._cycles = max(0, self._cycles - 1)
        ctx.set(dut.search_taken, rng.getrandbits(1))
        ctx.set(dut.found_valid, self._cycles == 1)
        ctx.set(dut.found, book.behind(self._start))
