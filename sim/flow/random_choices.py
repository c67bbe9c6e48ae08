"""What a random sender believes of the market, and how it chooses: windows, accounts, slots, prices, durations."""

from collections import deque
from dataclasses import dataclass
from random import Random

from bandgap.hdl.config import RESERVE_LIMIT_QUOTE, BookConfig
from bandgap.hdl.protocol.commands import (
    ALL_INSTRUMENTS,
    TradingMode,
)

from .unsent import (
    BUY,
    MAX_U32,
    MODES,
    NS_A_MS,
    NS_A_US,
    PRIVILEGED_LINK,
    SELL,
    Unsent,
)

_PERIODS_US = (1_000, 1_000, 1_500, 2_000, 3_000, 5_000)
_MANY_INSTRUMENTS = 4
"""With more instruments each of them takes its time, so that no more timers act."""
LONGEST_STEP_NS = 6 * NS_A_MS
_SLOWEST_LOG2 = 12
"""In slow episodes all durations are doubled up to so many times: milliseconds become seconds."""
_STEPS = ((0.0, 0.002), (0.02, 0.01), (0.12, 0.03), (0.12, 0.03))
"""How often time passes by some 100 us, and by some ms, behind a command: an episode has one of these habits."""


@dataclass(slots=True)
class Window:
    """Beliefs about an instrument: its window, where its prices gather, its static band, how it trades."""

    base_ticks: int
    log2: int
    offset: int
    multiplier_quote: int
    center_ticks: int
    spread_ticks: int
    bounds_ticks: tuple[int, int] | None = None
    mode: int = TradingMode.CONTINUOUS.value

    @property
    def last_ticks(self) -> int:
        """Its last price."""
        return self.base_ticks + (1 << self.log2) - 1

    def clip(self, price_ticks: int) -> int:
        """The price in it that is nearest."""
        return min(max(price_ticks, self.base_ticks), self.last_ticks)


@dataclass(slots=True)
class Order:
    """Beliefs about an order."""

    instrument: int
    account: int
    generation: int
    side: int
    price_ticks: int
    open_lots: int


class Choices:
    """The habits of an episode and the beliefs of its sender.

    Arguments
    ---------
    config : Sizes of the device.
    rng : Where all that is random comes from.
    index : Which episode it is.
    begin_ns : When it begins.
    """

    def __init__(self, config: BookConfig, rng: Random, index: int, begin_ns: int) -> None:
        self.config = config
        self.rng = rng
        self.index = index
        self.epoch = rng.choice((1, 2, 65_535, rng.randrange(1, 65_536)))
        self.number = 0
        self.time_ns = begin_ns
        self.gap_ns = rng.choice((0, 10, 100))
        self.steps = rng.choice(_STEPS)
        self.pace = 1  # durations and steps are so many times as long as usual
        self.bands = rng.random() < 0.85  # whether any are set
        self.deadlines_ns: list[int] = []
        self.wide = rng.random() < min(0.2, 256 / config.orders)  # all slots, all prices, and much longer
        if rng.random() < 0.2 and not self.wide:
            self.pace = 1 << rng.randint(1, _SLOWEST_LOG2)
        self.accounts = rng.sample(range(config.accounts), min(config.accounts, rng.choice((1, 2, 4, 4, 8, 8))))
        self.slots = self._choose_slots()
        self.token_ranges = self._choose_token_ranges()
        self.slots_of_link = [
            [token for token in self.slots if first <= token < first + count] or self.slots
            for first, count in self.token_ranges
        ]
        self.generations: dict[int, int] = {}
        self.beliefs: dict[int, Order] = {}
        self.windows: dict[int, Window] = {}
        self.free_row = 0
        self.modes = MODES if rng.random() < 0.5 else [rng.choice(MODES)]
        self.cheap = rng.random() < 0.8  # credit is no matter
        self.aggression = rng.choice((0.05, 0.2, 0.6))
        self.heavy = rng.random() < 0.1  # quantities about as large as they can be
        self.pending: deque[tuple[int, Unsent, int]] = deque()  # what follows, by which link, and after how many ns

    def _choose_slots(self) -> list[int]:
        orders = self.config.orders
        if self.wide or orders <= 16:
            return list(range(orders))
        few = self.rng.choice((4, 16, 64, min(512, orders)))
        return sorted({0, orders - 1, *self.rng.sample(range(orders), min(few, orders))})

    def _choose_token_ranges(self) -> list[tuple[int, int]]:
        orders, links = self.config.orders, self.config.links
        if self.rng.random() < 0.5:
            return [(0, orders)] * links
        half = orders // 2
        others = [(half, orders - half) if self.rng.random() < 0.7 else (0, 0) for _ in range(1, links)]
        return [(0, orders if self.rng.random() < 0.7 else half), *others]

    def then(self, *unsent: Unsent, link: int = PRIVILEGED_LINK, wait_ns: int = 0) -> None:
        """Let commands follow before any other, without a flaw, each so long after the one before it."""
        self.pending += [(link, command, wait_ns) for command in unsent]

    def period_us(self) -> int:
        """A duration that some commands outlast."""
        stretch = 1 if self.config.instruments <= _MANY_INSTRUMENTS else 4
        return self.pace * stretch * self.rng.choice(_PERIODS_US)

    def duration_us(self, none: float = 0.0) -> int:
        """A duration, zero as often as `none` says; at times one that is too short, or the longest there is."""
        luck = self.rng.random()
        if luck < 0.02:
            return self.rng.choice((1, 999, 999))
        if luck < 0.025:
            return MAX_U32
        return 0 if self.rng.random() < none else self.period_us()

    def expect(self, duration_us: int) -> None:
        """Remember when what begins now will end."""
        self.deadlines_ns.append(self.time_ns + duration_us * NS_A_US)

    def choose_window(self) -> Window | None:
        """A window in the ladder rows that are left; None when none are."""
        rng = self.rng
        smallest = self.config.word_bits.bit_length() - 1
        room = self.config.ticks.bit_length() - 1
        log2 = room if rng.random() < 0.15 else rng.randint(smallest, max(smallest, room - 1))
        while log2 > smallest and -(-self.free_row >> log2 << log2) + (1 << log2) > self.config.ticks:
            log2 -= 1
        size = 1 << log2
        offset = (self.free_row + size - 1) >> log2 << log2
        if offset + size > self.config.ticks:
            return None
        self.free_row = offset + size
        return self.place_window(log2, offset)

    def place_window(self, log2: int, offset: int) -> Window:
        """A window anywhere among the prices, with the orders gathering anywhere in it, often where its rows wrap."""
        rng = self.rng
        size = 1 << log2
        highest = MAX_U32 + 1 - size
        base = rng.choice((0, 1, 1_000 + rng.randrange(size), rng.randrange(highest + 1), highest))
        low = base < 1 << 14
        multiplier = rng.choice((1, 1, rng.randrange(1, 100), 65_535 if low else 1))
        wrap = (base + size - 1) // size * size
        center = rng.choice((wrap, base + rng.randrange(size), base + size // 2))
        spread = size // 2 if self.wide else rng.choice((1, 2, 4, 8))
        return Window(base, log2, offset, multiplier, min(center, base + size - 1), spread)

    def drift(self, window: Window) -> None:
        """Let prices gather elsewhere, now and then, so that a reference has to follow."""
        if self.rng.random() < 0.3:
            window.center_ticks = window.clip(window.center_ticks + self.rng.randint(-1, 1) * window.spread_ticks)

    def small_amount(self) -> int:
        """An amount that a few orders use up."""
        if not self.windows:
            return 0
        window = self.rng.choice(list(self.windows.values()))
        return self.rng.randint(0, 40) * (window.center_ticks + 1) * window.multiplier_quote

    def account(self) -> int:
        luck = self.rng.random()
        if luck < 0.005:
            return self.rng.choice((self.config.accounts, MAX_U32))
        if luck < 0.02:
            return self.rng.randrange(self.config.accounts)
        return self.rng.choice(self.accounts)

    def instrument(self) -> int:
        if self.windows and self.rng.random() < 0.97:
            return self.rng.choice(list(self.windows))
        return self.rng.randrange(self.config.instruments)

    def operated(self) -> int:
        """An instrument for an operator's command, more often one that is not set."""
        return self.instrument() if self.rng.random() < 0.9 else self.rng.randrange(self.config.instruments)

    def anyone(self) -> int:
        """One instrument or, at times, all."""
        rng = self.rng
        anywhere = rng.choice((ALL_INSTRUMENTS, ALL_INSTRUMENTS, rng.randrange(self.config.instruments)))
        return anywhere if rng.random() < 0.4 else self.instrument()

    def price(self, instrument: int, side: int, aggression: float) -> int:
        window = self.windows.get(instrument)
        if window is None:
            return self.rng.randrange(100)
        luck = self.rng.random()
        if luck < 0.01:
            return self.rng.choice((0, MAX_U32))
        if luck < 0.04:
            first, last = window.base_ticks, window.last_ticks
            return self.rng.choice((first, last, max(0, first - 1), min(MAX_U32, last + 1)))
        if luck < 0.12 and window.bounds_ticks:
            return window.clip(window.bounds_ticks[side == BUY] + self.rng.choice((-1, 0, 0, 0, 1)))
        away = self.rng.randint(0, window.spread_ticks)
        if (side == SELL) == (self.rng.random() >= aggression):
            away = -away
        price_ticks = window.center_ticks - away
        return window.clip(price_ticks)

    def sweep(self, instrument: int, side: int) -> tuple[int, int]:
        """Price and quantity of an order that meets many."""
        window = self.windows.get(instrument)
        if window is None:
            return 0, 1
        away = window.spread_ticks if side == BUY else -window.spread_ticks
        return window.clip(window.center_ticks + away), self.rng.randint(10, 60)

    def quantity(self, instrument: int, price_ticks: int) -> int:
        luck = self.rng.random()
        if self.heavy and luck < 0.5:
            return self.rng.choice((MAX_U32, 1 << 31, MAX_U32 - (1 << self.rng.randrange(32))))
        if luck < 0.84:
            return self.rng.randint(1, 8)
        if luck < 0.97:
            return self.rng.randint(8, 40)
        if luck < 0.975:
            return 0
        if luck < 0.985 and instrument in self.windows:  # about the largest reserve
            limit_lots = RESERVE_LIMIT_QUOTE // max(1, price_ticks * self.windows[instrument].multiplier_quote)
            return min(MAX_U32, max(0, limit_lots + self.rng.choice((-1, 0, 1))))
        return MAX_U32

    def slot(self, link: int, resting: bool) -> int:
        """A slot of a link that an order is believed to rest in, or not to; at times any."""
        beliefs, choice = self.beliefs, self.rng.choice
        slots = self.slots if self.rng.random() < 0.05 else self.slots_of_link[link]
        token = choice(slots)
        tries = 0 if self.rng.random() < 0.05 else 6
        while tries and (token in beliefs) is not resting:
            token = choice(slots)
            tries -= 1
        return token
