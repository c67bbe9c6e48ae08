"""Random commands for verification: not a market, but every rule of `docs/order-semantics.md` often.

Commands come in episodes, one device epoch each. An episode draws its own habits (how many accounts and slots, how
wide prices spread, which commands are frequent, how fast time passes), so that rare states, such as a full pool or a
crowded level, are reached in some episodes by chance and kept up for long. The sender keeps light beliefs about which
orders rest; they are often wrong, on purpose.

Durations are a few milliseconds, and time passes in steps of the same order: so timers act often, but never are there
many between two commands.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.config import BALANCE_LIMIT_QUOTE, RESERVE_LIMIT_QUOTE, BookConfig
from bandgap.hdl.protocol.commands import (
    ALL_INSTRUMENTS,
    COMMAND_BYTES,
    BandPolicy,
    BreakerFlags,
    ExpiryAction,
    InstrumentFlags,
    Opcode,
    OrderFlags,
    OrderType,
    ReferenceSource,
    ScheduledState,
    SelfTradePrevention,
    Side,
    TimeInForce,
    TradingMode,
)
from bandgap.host.device.transport import Bytes2D

_HEADER = Struct("<BBHI")
_ORDER = Struct("<IIIHHBBBBB3x")  # new order
_CANCEL = Struct("<8xIHH8x")
_REPLACE = Struct("<IIIHHB3xI")
_ACCOUNT = Struct("<8xI12x")
_INSTRUMENT = Struct("<IIIBB10x")
_BAND = Struct("<IIIB11x")
_GRANT = Struct("<qI12x")
_HEARTBEAT = Struct("<QB15x")
_STATE = Struct("<I20x")  # halt and call
_BREAKER = Struct("<IIIIIBB2x")
_DYNAMIC_BAND = Struct("<IIIIBB6x")
_REFERENCE_RULE = Struct("<IIIIIBB2x")
_CALL_END = Struct("<I20x")
_SCHEDULE = Struct("<QIB11x")
_MOVE_WINDOW = Struct("<I20x")
_NOTHING = bytes(24)

_Unsent = tuple[int, int, bytes]
"""Opcode, instrument, and bytes 8 to 31 of a command."""

_Maker = Callable[[int], _Unsent]
"""Makes a command for a link."""

_MAX_U32 = (1 << 32) - 1
_BUY, _SELL = Side.BUY.value, Side.SELL.value
_PRIVILEGED_LINK = 0

_ORDER_KINDS = (
    (OrderType.LIMIT.value, TimeInForce.GTC.value, 0),
    (OrderType.LIMIT.value, TimeInForce.GTC.value, OrderFlags.POST_ONLY.value),
    (OrderType.LIMIT.value, TimeInForce.IOC.value, 0),
    (OrderType.LIMIT.value, TimeInForce.FOK.value, 0),
    (OrderType.MARKET.value, TimeInForce.IOC.value, 0),
)
_ORDER_KIND_WEIGHTS = (60, 10, 10, 10, 10)
_MODES = [mode.value for mode in SelfTradePrevention]
_POLICIES = [policy.value for policy in BandPolicy]

_NS_A_US = 1_000
_NS_A_MS = 1_000_000
_PPM = 1_000_000
_PERIODS_US = (1_000, 1_000, 1_500, 2_000, 3_000, 5_000)
_MANY_INSTRUMENTS = 4
"""With more instruments each of them takes its time, so that no more timers act."""
_LONGEST_STEP_NS = 6 * _NS_A_MS
_STEPS = ((0.0, 0.002), (0.02, 0.01), (0.12, 0.03), (0.12, 0.03))
"""How often time passes by some 100 us, and by some ms, behind a command: an episode has one of these habits."""
_CALLS = (ScheduledState.OPENING_CALL.value, ScheduledState.CLOSING_CALL.value)

EPISODE_NS = 1_000_000_000_000
"""Episode k begins when the device's time is k times this; none lasts longer."""


@dataclass(frozen=True)
class Episode:
    """What is sent in one device epoch.

    Attributes
    ----------
    index : Which episode of the run it is.
    epoch : The device epoch to start.
    token_ranges : First slot and number of slots of each link.
    commands : Rows of 32 bytes.
    links : The link each command comes by.
    arrivals_ns : When each command arrives, not decreasing.
    end_ns : When the episode ends; timers up to then act.
    """

    index: int
    epoch: int
    token_ranges: list[tuple[int, int]]
    commands: Bytes2D
    links: NDArray[np.uint8]
    arrivals_ns: NDArray[np.uint64]
    end_ns: int


def random_episodes(config: BookConfig, seed: int) -> Iterator[Episode]:
    """Episodes without end for a device of these sizes; the same seed gives the same bytes."""
    index = 0
    while True:
        yield random_episode(config, seed, index)
        index += 1


def take(episodes: Iterable[Episode], commands: int) -> Iterator[Episode]:
    """Episodes until they hold so many commands."""
    taken = 0
    for episode in episodes:
        yield episode
        taken += len(episode.commands)
        if taken >= commands:
            return


def random_episode(config: BookConfig, seed: int, index: int) -> Episode:
    """One episode of a run by its index, whatever came before it."""
    return _Sender(config, Random(f"{seed}/{index}"), index).episode()


@dataclass(slots=True)
class _Window:
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
        return self.base_ticks + (1 << self.log2) - 1

    def clip(self, price_ticks: int) -> int:
        return min(max(price_ticks, self.base_ticks), self.last_ticks)


@dataclass(slots=True)
class _Order:
    """Beliefs about an order."""

    instrument: int
    account: int
    generation: int
    side: int
    price_ticks: int
    open_lots: int


class _Sender:
    def __init__(self, config: BookConfig, rng: Random, index: int) -> None:
        self.config = config
        self.rng = rng
        self.index = index
        self.epoch = rng.choice((1, 2, 65_535, rng.randrange(1, 65_536)))
        self.number = 0
        self.time_ns = index * EPISODE_NS
        self.gap_ns = rng.choice((0, 10, 100))
        self.steps = rng.choice(_STEPS)
        self.bands = rng.random() < 0.85  # whether any are set
        self.deadlines_ns: list[int] = []
        self.wide = rng.random() < min(0.2, 256 / config.orders)  # all slots, all prices, and much longer
        self.accounts = rng.sample(range(config.accounts), min(config.accounts, rng.choice((1, 2, 4, 4, 8, 8))))
        self.slots = self._choose_slots()
        self.token_ranges = self._choose_token_ranges()
        self.slots_of_link = [
            [token for token in self.slots if first <= token < first + count] or self.slots
            for first, count in self.token_ranges
        ]
        self.generations: dict[int, int] = {}
        self.beliefs: dict[int, _Order] = {}
        self.windows: dict[int, _Window] = {}
        self.free_row = 0
        self.modes = _MODES if rng.random() < 0.5 else [rng.choice(_MODES)]
        self.cheap = rng.random() < 0.8  # credit is no matter
        self.aggression = rng.choice((0.05, 0.2, 0.6))
        self.heavy = rng.random() < 0.1  # quantities about as large as they can be
        self.pending: deque[tuple[int, _Unsent, int]] = deque()  # what follows, by which link, and after how many ns
        self.makers = self._choose_makers()
        self.length = 3 * len(self.slots) if self.wide else rng.choice((100, 400, 1_600))

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

    def _choose_makers(self) -> tuple[list[_Maker], list[int]]:
        """How often each kind of command is made in this episode."""
        weights: dict[_Maker, float] = {
            self.new_order: 600,
            self.cancel: 130,
            self.replace: 160,
            self.set_band: 16,
            self.grant_credit: 25,
            self.restore: 40,
            self.halt: 8,
            self.resume: 60,
            self.read_clock: 6,
            self.meeting: 90,
            self.held: 12,
            self.set_instrument: 10,
        }
        breaking: dict[_Maker, float] = {
            self.set_breaker: 12,
            self.set_dynamic_band: 12,
            self.set_reference_rule: 12,
            self.call: 12,
            self.set_call_end: 8,
            self.set_schedule: 10,
            self.move_window: 32,
            self.auction: 24,
            self.at_bound: 24,
            self.parted: 12,
            self.followed: 6,
            self.outlived: 6,
        }
        timeless = self.steps[0] == 0  # what waits for a timer waits for long
        for make, weight in breaking.items():
            weights[make] = weight / 4 if timeless else weight
        sweeping: dict[_Maker, float] = {
            self.mass_cancel: 14,
            self.kill: 6,
            self.heartbeat: 8,
            self.set_anew: 2,
            self.change_mode: 5,
        }
        for make, weight in sweeping.items():
            weights[make] = weight / 8 if self.wide else weight
        if not self.bands:
            for make in (self.set_band, self.at_bound, self.parted, self.followed, self.outlived):
                weights[make] = 0
        habits = [weight * self.rng.choice((0.3, 1, 1, 1, 3)) for weight in weights.values()]
        cumulative = [int(1_000 * sum(habits[: i + 1])) for i in range(len(habits))]
        return list(weights), cumulative

    def episode(self) -> Episode:
        self.open_market()
        rows: list[bytes] = []
        links: list[int] = []
        arrivals: list[int] = []
        link = _PRIVILEGED_LINK
        rng = self.rng
        while len(rows) < self.length or self.pending:
            if self.pending:
                follower_link, unsent, wait_ns = self.pending.popleft()
                self.time_ns += wait_ns
                rows.append(self.row(*unsent))
                links.append(follower_link)
            else:
                if rng.random() < 0.15:
                    link = _PRIVILEGED_LINK if rng.random() < 0.6 else rng.randrange(self.config.links)
                make = rng.choices(self.makers[0], cum_weights=self.makers[1])[0]
                rows.append(self.spoil(self.row(*make(link))))
                links.append(link)
            arrivals.append(self.pass_time())
        commands = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, COMMAND_BYTES)
        return Episode(
            self.index,
            self.epoch,
            self.token_ranges,
            commands,
            np.array(links, np.uint8),
            np.array(arrivals, np.uint64),
            self.time_ns + 100_000,
        )

    def then(self, *unsent: _Unsent, link: int = _PRIVILEGED_LINK, wait_ns: int = 0) -> None:
        """Let commands follow before any other, without a flaw, each so long after the one before it."""
        self.pending += [(link, command, wait_ns) for command in unsent]

    def row(self, opcode: int, instrument: int, body: bytes) -> bytes:
        """A command with the header it should have."""
        self.number += 1
        return _HEADER.pack(opcode, instrument, self.epoch, self.number) + body

    def spoil(self, row: bytes) -> bytes:
        """A command as it is or, now and then, with one thing wrong; operator commands, being few, more often."""
        rng = self.rng
        opcode, instrument, epoch, number = _HEADER.unpack_from(row)
        often = 1 if opcode < Opcode.SET_INSTRUMENT.value else 5
        luck = rng.random()
        if luck < 0.003:
            number = 0
        elif luck < 0.006:
            instrument = rng.choice((self.config.instruments, 254, ALL_INSTRUMENTS, 0, 1))
        elif luck < 0.006 + 0.01 * often:
            epoch = rng.choice((self.epoch - 1, (self.epoch + 1) & 0xFFFF, 0))
        elif luck < 0.006 + 0.03 * often:
            spoiled = bytearray(row)
            spoiled[rng.choice((0, 1, *range(8, 32)))] = rng.choice((0, 1, 2, 3, 128, 255, rng.randrange(256)))
            return bytes(spoiled)
        return _HEADER.pack(opcode, instrument, epoch, number) + row[_HEADER.size :]

    def pass_time(self) -> int:
        rng = self.rng
        luck = rng.random()
        short, long = self.steps
        if luck < 0.3:
            self.time_ns += rng.randint(0, self.gap_ns)
        elif luck < 0.31:  # the instant of a deadline, and those around it
            self.deadlines_ns = [deadline_ns for deadline_ns in self.deadlines_ns if deadline_ns > self.time_ns]
            if self.deadlines_ns and min(self.deadlines_ns) < self.time_ns + _LONGEST_STEP_NS:
                self.time_ns = max(self.time_ns, min(self.deadlines_ns) + rng.choice((-1, 0, 1)))
        elif luck < 0.31 + short:
            self.time_ns += rng.randint(100, 500) * _NS_A_US
        elif luck < 0.31 + short + long:
            self.time_ns += rng.randint(1, _LONGEST_STEP_NS // _NS_A_US) * _NS_A_US
        return self.time_ns

    def period_us(self) -> int:
        """A duration that some commands outlast."""
        stretch = 1 if self.config.instruments <= _MANY_INSTRUMENTS else 4
        return stretch * self.rng.choice(_PERIODS_US)

    def duration_us(self, none: float = 0.0) -> int:
        """A duration, zero as often as `none` says; at times one that is too short, or longer than an episode."""
        luck = self.rng.random()
        if luck < 0.02:
            return self.rng.choice((1, 999, 999))
        if luck < 0.025:
            return _MAX_U32
        return 0 if self.rng.random() < none else self.period_us()

    def expect(self, duration_us: int) -> None:
        """Remember when what begins now will end."""
        self.deadlines_ns.append(self.time_ns + duration_us * _NS_A_US)

    # The market

    def open_market(self) -> None:
        rng = self.rng
        if rng.random() < 0.1:  # none is set
            self.then(
                *[(opcode.value, ALL_INSTRUMENTS, _NOTHING) for opcode in (Opcode.HALT, Opcode.CALL, Opcode.RESUME)]
            )
        count = self.config.instruments
        for instrument in rng.sample(range(count), max(1, count - rng.choice((0, 1)))):
            window = self.choose_window()
            if window is None:
                break
            self.windows[instrument] = window
            self.enqueue_window(instrument)
        limit_quote = BALANCE_LIMIT_QUOTE
        for account in self.accounts:
            amount = rng.choice((limit_quote, limit_quote // 3)) if self.cheap else self.small_amount()
            self.then((Opcode.GRANT_CREDIT.value, 0, _GRANT.pack(amount, account)))
        if rng.random() < 0.95:
            self.then((Opcode.RESUME.value, ALL_INSTRUMENTS, _NOTHING))

    def choose_window(self) -> _Window | None:
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

    def place_window(self, log2: int, offset: int) -> _Window:
        """A window anywhere among the prices, with the orders gathering anywhere in it, often where its rows wrap."""
        rng = self.rng
        size = 1 << log2
        highest = _MAX_U32 + 1 - size
        base = rng.choice((0, 1, 1_000 + rng.randrange(size), rng.randrange(highest + 1), highest))
        low = base < 1 << 14
        multiplier = rng.choice((1, 1, rng.randrange(1, 100), 65_535 if low else 1))
        wrap = (base + size - 1) // size * size
        center = rng.choice((wrap, base + rng.randrange(size), base + size // 2))
        spread = size // 2 if self.wide else rng.choice((1, 2, 4, 8))
        return _Window(base, log2, offset, multiplier, min(center, base + size - 1), spread)

    def enqueue_window(self, instrument: int) -> None:
        window = self.windows[instrument]
        body = _INSTRUMENT.pack(
            window.base_ticks, window.offset, window.multiplier_quote, window.log2, self.market_data()
        )
        self.then((Opcode.SET_INSTRUMENT.value, instrument, body))
        if self.bands and self.rng.random() < 0.85:
            self.then(self.band_of(instrument))
        if self.rng.random() < 0.7:
            mode = TradingMode.BATCH if self.rng.random() < 0.2 else TradingMode.CONTINUOUS
            self.then(self.breaker_of(instrument, mode.value))
        if self.rng.random() < 0.4:
            self.then(self.set_dynamic_band(_PRIVILEGED_LINK, instrument))
        if self.rng.random() < 0.5:
            self.then(self.set_reference_rule(_PRIVILEGED_LINK, instrument))

    def market_data(self) -> int:
        """Which market data an instrument tells, any."""
        return sum(flag.value for flag in InstrumentFlags if self.rng.random() < 0.5)

    def band_of(self, instrument: int) -> _Unsent:
        """A static band for an instrument."""
        rng = self.rng
        window = self.windows.get(instrument)
        if window is None:
            return Opcode.SET_BAND.value, instrument, _BAND.pack(0, 1, 0, BandPolicy.REJECT.value)
        width = rng.choice((0, 1, window.spread_ticks, 2 * window.spread_ticks + 2, 1 << window.log2))
        center = window.center_ticks
        if rng.random() < 0.6:
            center = window.clip(center + rng.randint(-window.spread_ticks, window.spread_ticks))
        lower, upper = window.clip(center - width), window.clip(center + width)
        luck = rng.random()
        if luck < 0.03:
            upper = min(_MAX_U32, window.last_ticks + rng.randint(1, 3))
        elif luck < 0.06:
            lower = max(0, window.base_ticks - rng.randint(1, 3))
        elif luck < 0.08:
            lower, upper = upper, lower
        elif luck < 0.10:
            center = min(_MAX_U32, upper + 1)
        if window.base_ticks <= lower <= center <= upper <= window.last_ticks:
            window.bounds_ticks = lower, upper
        return Opcode.SET_BAND.value, instrument, _BAND.pack(lower, upper, center, rng.choice(_POLICIES))

    def small_amount(self) -> int:
        """An amount that a few orders use up."""
        if not self.windows:
            return 0
        window = self.rng.choice(list(self.windows.values()))
        return self.rng.randint(0, 40) * (window.center_ticks + 1) * window.multiplier_quote

    def account(self) -> int:
        luck = self.rng.random()
        if luck < 0.005:
            return self.rng.choice((self.config.accounts, _MAX_U32))
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

    def price(self, instrument: int, side: int, aggression: float) -> int:
        window = self.windows.get(instrument)
        if window is None:
            return self.rng.randrange(100)
        luck = self.rng.random()
        if luck < 0.01:
            return self.rng.choice((0, _MAX_U32))
        if luck < 0.04:
            first, last = window.base_ticks, window.last_ticks
            return self.rng.choice((first, last, max(0, first - 1), min(_MAX_U32, last + 1)))
        if luck < 0.12 and window.bounds_ticks:
            return window.clip(window.bounds_ticks[side == _BUY] + self.rng.choice((-1, 0, 0, 0, 1)))
        away = self.rng.randint(0, window.spread_ticks)
        if (side == _SELL) == (self.rng.random() >= aggression):
            away = -away
        price_ticks = window.center_ticks - away
        return window.clip(price_ticks)

    def sweep(self, instrument: int, side: int) -> tuple[int, int]:
        """Price and quantity of an order that meets many."""
        window = self.windows.get(instrument)
        if window is None:
            return 0, 1
        away = window.spread_ticks if side == _BUY else -window.spread_ticks
        return window.clip(window.center_ticks + away), self.rng.randint(10, 60)

    def quantity(self, instrument: int, price_ticks: int) -> int:
        luck = self.rng.random()
        if self.heavy and luck < 0.5:
            return self.rng.choice((_MAX_U32, 1 << 31, _MAX_U32 - (1 << self.rng.randrange(32))))
        if luck < 0.84:
            return self.rng.randint(1, 8)
        if luck < 0.97:
            return self.rng.randint(8, 40)
        if luck < 0.975:
            return 0
        if luck < 0.985 and instrument in self.windows:  # about the largest reserve
            limit_lots = RESERVE_LIMIT_QUOTE // max(1, price_ticks * self.windows[instrument].multiplier_quote)
            return min(_MAX_U32, max(0, limit_lots + self.rng.choice((-1, 0, 1))))
        return _MAX_U32

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

    # Commands

    def new_order(self, link: int) -> _Unsent:
        rng = self.rng
        instrument, account, token = self.instrument(), self.account(), self.slot(link, resting=False)
        side = _BUY if rng.random() < 0.5 else _SELL
        order_type, time_in_force, flags = rng.choices(_ORDER_KINDS, _ORDER_KIND_WEIGHTS)[0]
        patient = 0.15 if flags else self.aggression
        price = self.price(instrument, side, patient if time_in_force == TimeInForce.GTC.value else 0.7)
        quantity = self.quantity(instrument, price)
        if rng.random() < 0.06 and not flags:
            price, quantity = self.sweep(instrument, side)
        if order_type == OrderType.MARKET.value and rng.random() < 0.98:
            price = 0
        last = self.generations.get(token, 0)
        generation = last if rng.random() < 0.02 else (last + rng.choice((1, 1, 2, 65_535))) & 0xFFFF
        luck = rng.random()
        if luck < (0.03 if link else 0.15):
            flags |= OrderFlags.REDUCE_ONLY.value
        elif luck < 0.155:
            flags |= OrderFlags.POST_ONLY.value
        elif luck < 0.16:
            time_in_force = rng.choice((1, 2, 3))
        if token not in self.beliefs:
            self.generations[token] = generation
        if time_in_force == TimeInForce.GTC.value and token not in self.beliefs:
            self.beliefs[token] = _Order(instrument, account, generation, side, price, quantity)
        mode = rng.choice(self.modes)
        body = _ORDER.pack(price, quantity, account, token, generation, side, order_type, time_in_force, mode, flags)
        return Opcode.NEW_ORDER.value, instrument, body

    def meeting(self, link: int) -> _Unsent:
        """Makers of two accounts and, by the privileged link, a taker of one of them: a new order or one that moves."""
        rng = self.rng
        instrument = self.instrument()
        window = self.windows.get(instrument)
        if window is None:
            return self.read_clock(link)
        mine, other = rng.choice(self.accounts), rng.choice(self.accounts)
        side = rng.choice((_BUY, _SELL))
        mode = rng.choice(_MODES[1:]) if rng.random() < 0.9 else _MODES[0]
        patient, away = _ORDER_KINDS[0], 2 if side == _BUY else -2
        orders = []
        for account in (other, mine, other):
            price = window.clip(window.center_ticks + rng.choice((0, away // 2)))
            orders.append(self.place(instrument, account, 3 - side, patient, price, rng.randint(1, 3), mode))
        price = window.clip(window.center_ticks + away)
        if rng.random() < 0.65:
            kind = rng.choice(_ORDER_KINDS)
            price = 0 if kind[0] == OrderType.MARKET.value else price
            orders.append(self.place(instrument, mine, side, kind, price, rng.randint(2, 5), mode))
        else:
            far = window.clip(window.center_ticks - away)
            kind = rng.choices(_ORDER_KINDS[:2], (4, 1))[0]
            orders.insert(0, self.place(instrument, mine, side, kind, far, rng.randint(1, 6), mode))
            orders.append(self.changed(orders[0], price, rng.randint(2, 5)))
        alone = min(0.75, max(0.05, 64 / self.config.orders))  # a mass cancel visits every slot
        if rng.random() < alone:
            clearing = [(Opcode.MASS_CANCEL.value, 0, _ACCOUNT.pack(account)) for account in self.accounts]
            restoring = [(Opcode.RESTORE_ACCOUNT.value, 0, _ACCOUNT.pack(account)) for account in (mine, other)]
            if rng.random() < 0.6:  # out of a call
                restoring.append((Opcode.HALT.value, instrument, _NOTHING))
            orders = [*clearing, *restoring, (Opcode.RESUME.value, instrument, _NOTHING), *orders]
        self.then(*orders[1:])
        return orders[0]

    def held(self, link: int) -> _Unsent:
        """An order that cannot move: halted, or reduce-only and asked to by a link without the privilege."""
        rng = self.rng
        instrument, account, side = self.instrument(), rng.choice(self.accounts), rng.choice((_BUY, _SELL))
        window = self.windows.get(instrument)
        if window is None:
            return self.read_clock(link)
        price = window.clip(window.center_ticks + (-2 if side == _BUY else 2))
        reduce_only = OrderFlags.REDUCE_ONLY.value
        kind = (OrderType.LIMIT.value, TimeInForce.GTC.value, rng.choice((0, reduce_only)))
        order = self.place(instrument, account, side, kind, price, 5, rng.choice(_MODES))
        if rng.random() < 0.5:
            self.then((Opcode.HALT.value, instrument, _NOTHING))
        for quantity in (5, 4, 6):
            self.then(self.changed(order, price, quantity), link=rng.randrange(self.config.links))
        self.then((Opcode.RESUME.value, instrument, _NOTHING))
        return order

    def place(
        self,
        instrument: int,
        account: int,
        side: int,
        kind: tuple[int, int, int],
        price: int,
        quantity: int,
        mode: int,
    ) -> _Unsent:
        """A new order without a flaw in a slot believed free, believed to rest if it can."""
        token = self.slot(_PRIVILEGED_LINK, resting=False)
        generation = (self.generations.get(token, 0) + 1) & 0xFFFF
        self.generations[token] = generation
        order_type, time_in_force, flags = kind
        if time_in_force == TimeInForce.GTC.value:
            self.beliefs[token] = _Order(instrument, account, generation, side, price, quantity)
        body = (price, quantity, account, token, generation, side, order_type, time_in_force, mode, flags)
        return Opcode.NEW_ORDER.value, instrument, _ORDER.pack(*body)

    def changed(self, order: _Unsent, price: int, quantity: int) -> _Unsent:
        """A replace of a new order, without a flaw."""
        _opcode, instrument, body = order
        _price, _quantity, account, token, generation, side, *_ = _ORDER.unpack(body)
        replace = _REPLACE.pack(price, quantity, account, token, generation, side, 0)
        return Opcode.REPLACE.value, instrument, replace

    def belief(self, token: int) -> _Order:
        """What is believed of the order in a slot, at times one thing of it wrong."""
        rng = self.rng
        order = self.beliefs.get(token)
        if order is None:
            return _Order(self.instrument(), self.account(), self.generations.get(token, 0), _BUY, 1, 1)
        luck = rng.random()
        if luck > 0.08:
            return order
        return _Order(
            self.instrument() if luck < 0.02 else order.instrument,
            self.account() if 0.02 < luck < 0.04 else order.account,
            (order.generation + 1) & 0xFFFF if 0.04 < luck < 0.06 else order.generation,
            3 - order.side if luck > 0.06 else order.side,
            order.price_ticks,
            order.open_lots,
        )

    def cancel(self, link: int) -> _Unsent:
        token = self.slot(link, resting=True)
        order = self.belief(token)
        if order is self.beliefs.get(token):
            del self.beliefs[token]
        return Opcode.CANCEL.value, order.instrument, _CANCEL.pack(order.account, token, order.generation)

    def replace(self, link: int) -> _Unsent:
        rng = self.rng
        token = self.slot(link, resting=True)
        order = self.belief(token)
        price, quantity = order.price_ticks, order.open_lots
        luck = rng.random()
        if luck < 0.1:
            pass  # as it is
        elif luck < 0.3:
            quantity = rng.randint(1, max(1, quantity)) if quantity < 100 else quantity & ~(1 << rng.randrange(32)) or 1
        elif luck < 0.5:
            quantity = min(_MAX_U32, quantity + rng.randint(1, 5))
        elif luck < 0.9:
            price = self.price(order.instrument, order.side, max(0.3, self.aggression))
            quantity = self.quantity(order.instrument, price)
        elif luck < 0.91:
            quantity = 0
        else:
            price, quantity = self.sweep(order.instrument, order.side)
        expected = rng.choice((0, 0, 0, order.open_lots, order.open_lots, order.open_lots + 1)) & _MAX_U32
        if order is self.beliefs.get(token):
            order.price_ticks, order.open_lots = price, quantity
        body = _REPLACE.pack(price, quantity, order.account, token, order.generation, order.side, expected)
        return Opcode.REPLACE.value, order.instrument, body

    def forget(self, account: int) -> None:
        for token in [token for token, order in self.beliefs.items() if order.account == account]:
            del self.beliefs[token]

    def mass_cancel(self, link: int) -> _Unsent:
        account = self.account()
        self.forget(account)
        return Opcode.MASS_CANCEL.value, 0, _ACCOUNT.pack(account)

    def kill(self, link: int) -> _Unsent:
        account = self.account()
        if link == _PRIVILEGED_LINK:
            self.forget(account)
        return Opcode.KILL_ACCOUNT.value, 0, _ACCOUNT.pack(account)

    def restore(self, link: int) -> _Unsent:
        return Opcode.RESTORE_ACCOUNT.value, 0, _ACCOUNT.pack(self.account())

    def set_instrument(self, link: int) -> _Unsent:
        """Any window for any instrument; most are refused."""
        rng = self.rng
        instrument = rng.randrange(self.config.instruments)
        smallest = self.config.word_bits.bit_length() - 1
        largest = self.config.ticks.bit_length() - 1
        log2 = rng.choice((smallest - 1, largest + 1, 32, 255, *[rng.randint(smallest, largest)] * 12))
        offset = rng.choice((self.free_row, 0, 1, self.config.ticks, rng.randrange(self.config.ticks)))
        if rng.random() < 0.7:
            offset = offset >> min(log2, 32) << min(log2, 32)
        base = rng.choice((0, 1_000, _MAX_U32, rng.randrange(_MAX_U32)))
        multiplier = rng.choice((0, 1, 1, 1, 65_535, 65_536))
        body = _INSTRUMENT.pack(base, offset, multiplier, log2, self.market_data())
        return Opcode.SET_INSTRUMENT.value, instrument, body

    def set_anew(self, link: int) -> _Unsent:
        """Clear an instrument and set it anew: what it takes follows by the privileged link."""
        instrument = self.instrument()
        if window := self.windows.get(instrument):
            accounts = [account for account in self.accounts if self.rng.random() < 0.95]
            self.then(*[(Opcode.MASS_CANCEL.value, 0, _ACCOUNT.pack(account)) for account in accounts])
            self.windows[instrument] = self.place_window(window.log2, window.offset)
            self.enqueue_window(instrument)
            self.then((Opcode.RESUME.value, instrument, _NOTHING))
            self.beliefs.clear()
        return Opcode.HALT.value, instrument, _NOTHING

    def set_band(self, link: int) -> _Unsent:
        return self.band_of(self.operated())

    def anyone(self) -> int:
        """One instrument or, at times, all."""
        rng = self.rng
        anywhere = rng.choice((ALL_INSTRUMENTS, ALL_INSTRUMENTS, rng.randrange(self.config.instruments)))
        return anywhere if rng.random() < 0.4 else self.instrument()

    def halt(self, link: int) -> _Unsent:
        """A halt; at times bands that move over the halted book follow at once."""
        instrument, duration_us = self.anyone(), self.duration_us(none=0.5)
        self.expect(duration_us)
        if self.bands and self.rng.random() < 0.5:
            self.then(*[self.set_band(_PRIVILEGED_LINK) for _ in range(self.rng.randrange(6))])
        if duration_us and self.rng.random() < 0.1:  # it stays until then, or ends at another time
            self.then((Opcode.HALT.value, instrument, _STATE.pack(self.rng.choice((duration_us, self.period_us())))))
        return Opcode.HALT.value, instrument, _STATE.pack(duration_us)

    def resume(self, link: int) -> _Unsent:
        instrument = ALL_INSTRUMENTS if self.rng.random() < 0.7 else self.instrument()
        return Opcode.RESUME.value, instrument, _NOTHING

    def grant_credit(self, link: int) -> _Unsent:
        rng = self.rng
        luck = rng.random()
        if luck < 0.1:
            amount = rng.choice((1, -1)) * rng.choice((BALANCE_LIMIT_QUOTE, 2 * BALANCE_LIMIT_QUOTE - 1))
        elif luck < 0.15:
            return Opcode.GRANT_CREDIT.value, 0, _GRANT.pack(0, rng.randrange(self.config.accounts))
        elif luck < 0.3:
            amount = -self.small_amount()
        elif self.cheap:
            amount = BALANCE_LIMIT_QUOTE // 5
        else:
            amount = self.small_amount()
        return Opcode.GRANT_CREDIT.value, 0, _GRANT.pack(amount, self.account())

    def heartbeat(self, link: int) -> _Unsent:
        rng = self.rng
        short = rng.choice((1, rng.randint(1, 2_000), *(self.period_us() * _NS_A_US for _ in range(2))))
        timeout = rng.choice((0, short, short, 20 * _NS_A_MS, (1 << 63) - 1, 1 << 63))
        action = rng.choice((ExpiryAction.HALT, ExpiryAction.HALT_AND_CANCEL)).value
        if link == _PRIVILEGED_LINK and 0 < timeout < EPISODE_NS:
            self.deadlines_ns.append(self.time_ns + timeout)
            luck = rng.random()
            if luck < 0.5:  # nothing trades, or halts end with it
                duration_us = rng.choice((0, timeout // _NS_A_US if timeout >= _NS_A_MS else 0))
                self.then((Opcode.HALT.value, ALL_INSTRUMENTS, _STATE.pack(duration_us)))
            elif luck < 0.6:
                self.then(self.entry_of(self.operated(), ScheduledState.PRE_OPEN.value, 1))
        return Opcode.HEARTBEAT.value, 0, _HEARTBEAT.pack(timeout, action)

    def read_clock(self, link: int) -> _Unsent:
        return Opcode.READ_CLOCK.value, 0, _NOTHING

    # The circuit breaker

    def breaker_of(self, instrument: int, mode: int) -> _Unsent:
        """Durations for an instrument, and the mode it shall trade in."""
        rng = self.rng
        flags = BreakerFlags.COLLECT.value if rng.random() < 0.5 else 0
        limit_us, halt_us = self.duration_us(none=0.2), self.duration_us(none=0.2)
        call_us, extension_us = self.duration_us(none=0.01), self.duration_us(none=0.03)
        indicative_us = self.duration_us(none=0.4)
        if window := self.windows.get(instrument):
            window.mode = mode
        body = _BREAKER.pack(limit_us, halt_us, call_us, extension_us, indicative_us, mode, flags)
        return Opcode.SET_BREAKER.value, instrument, body

    def set_breaker(self, link: int) -> _Unsent:
        """Other durations; another mode, now and then, while it is trading."""
        instrument = self.operated()
        window = self.windows.get(instrument)
        mode = window.mode if window else TradingMode.CONTINUOUS.value
        unsent = self.breaker_of(instrument, mode if self.rng.random() < 0.85 else 3 - mode)
        if window:
            window.mode = mode
        return unsent

    def change_mode(self, link: int) -> _Unsent:
        """Clear an instrument, and let it trade by auctions alone or no longer so."""
        rng = self.rng
        instrument = self.instrument()
        self.then(*[(Opcode.MASS_CANCEL.value, 0, _ACCOUNT.pack(account)) for account in self.accounts])
        mode = TradingMode.BATCH if rng.random() < 0.4 else TradingMode.CONTINUOUS
        self.then(self.breaker_of(instrument, mode.value), self.set_reference_rule(_PRIVILEGED_LINK, instrument))
        self.then((Opcode.RESUME.value, instrument, _NOTHING))
        self.beliefs.clear()
        return Opcode.HALT.value, instrument, _NOTHING

    def set_dynamic_band(self, link: int, instrument: int | None = None) -> _Unsent:
        rng = self.rng
        instrument = self.operated() if instrument is None else instrument
        window = self.windows.get(instrument)
        spread = window.spread_ticks if window else 1
        fields = []
        for buckets in (2, 4):
            width = rng.choice((0, 1, spread, spread, 2 * spread, rng.randint(1, 3 * spread)))
            if rng.random() < 0.2:
                fields.append((0, 0, 0))  # off
            else:
                most = rng.choice((1, buckets, buckets, 64, 0, 65)) if rng.random() < 0.1 else rng.randint(1, buckets)
                fields.append((width, self.duration_us(), most))
        (short_width, short_us, short_most), (long_width, long_us, long_most) = fields
        body = _DYNAMIC_BAND.pack(short_width, short_us, long_width, long_us, short_most, long_most)
        return Opcode.SET_DYNAMIC_BAND.value, instrument, body

    def set_reference_rule(self, link: int, instrument: int | None = None) -> _Unsent:
        rng = self.rng
        instrument = self.operated() if instrument is None else instrument
        window = self.windows.get(instrument)
        if window:
            self.drift(window)
        spread, center = (window.spread_ticks, window.center_ticks) if window else (1, 1)
        share = min(_PPM, (spread * _PPM + center) // max(1, center))  # of the center, about the spread
        width = rng.choice((0, 1, 1, spread, 2 * spread))
        width_ppm = rng.choice((0, 0, share, rng.randint(0, _PPM), _PPM))
        auction_width = rng.choice((0, 1, 1, 2, spread))
        move_ppm = rng.choice((0, 0, 0, 1, share // max(1, spread), share, _PPM))
        hold_us = rng.choice((0, 0, 1, self.period_us(), _MAX_U32))
        source = rng.choice((*ReferenceSource, ReferenceSource.WINDOW_MEAN, ReferenceSource.AUCTION)).value
        trades_log2 = rng.choice((0, 0, 1, 2, 6)) if source == ReferenceSource.LAST_TRADES.value else 0
        luck = rng.random()
        if luck < 0.02:
            source, trades_log2 = ReferenceSource.LAST_TRADES.value, 7
        elif luck < 0.04:
            trades_log2 = 1
        elif luck < 0.06:
            width_ppm = _PPM + 1
        elif luck < 0.08:
            move_ppm = _PPM + 1
        body = _REFERENCE_RULE.pack(width, width_ppm, auction_width, move_ppm, hold_us, source, trades_log2)
        return Opcode.SET_REFERENCE_RULE.value, instrument, body

    def call(self, link: int) -> _Unsent:
        instrument, duration_us = self.anyone(), self.duration_us(none=0.4)
        self.expect(duration_us)
        return Opcode.CALL.value, instrument, _STATE.pack(duration_us)

    def drift(self, window: _Window) -> None:
        """Let prices gather elsewhere, now and then, so that a reference has to follow."""
        if self.rng.random() < 0.3:
            window.center_ticks = window.clip(window.center_ticks + self.rng.randint(-1, 1) * window.spread_ticks)

    def set_call_end(self, link: int) -> _Unsent:
        extra_us = self.rng.choice((0, 1, 500, self.period_us()))
        return Opcode.SET_CALL_END.value, self.operated(), _CALL_END.pack(extra_us)

    def set_schedule(self, link: int) -> _Unsent:
        """One entry of a timetable, or a night: closing call, closed, pre-open and opening call."""
        rng = self.rng
        instrument = self.operated()
        if rng.random() < 0.3:
            at_ns = self.time_ns
            early = (ScheduledState.PRE_OPEN.value,) * rng.choice((1, 2))
            for state in (*reversed(_CALLS), ScheduledState.CLOSED.value, *early):
                entry = self.entry_of(instrument, state, at_ns)
                at_ns += rng.choice((0, 1, 2, 3)) * _NS_A_MS
                self.then(entry)
            return self.entry_of(instrument, _CALLS[0], at_ns)
        state = rng.choice(list(ScheduledState)).value
        at_ns = self.time_ns + self.period_us() * _NS_A_US
        if rng.random() < 0.4:
            at_ns = rng.choice((0, 0, 1, self.time_ns, self.time_ns + 1, (1 << 64) - 1, *self.deadlines_ns[-3:]))
        if state == ScheduledState.CLOSED.value and rng.random() < 0.9:  # nothing else opens it again
            self.then(self.entry_of(instrument, _CALLS[0], self.time_ns + 8 * _NS_A_MS))
        return self.entry_of(instrument, state, at_ns)

    def entry_of(self, instrument: int, state: int, at_ns: int) -> _Unsent:
        """An entry of a timetable."""
        duration_us = self.duration_us(none=0.4) if state in _CALLS or self.rng.random() < 0.02 else 0
        self.deadlines_ns.append(at_ns)
        return Opcode.SET_SCHEDULE.value, instrument, _SCHEDULE.pack(at_ns, duration_us, state)

    def move_window(self, link: int) -> _Unsent:
        """A window that moves a little or far, at times from orders at its edge; a band mostly stays inside."""
        rng = self.rng
        instrument = self.operated()
        window = self.windows.get(instrument)
        if window is None:
            return Opcode.MOVE_WINDOW.value, instrument, _MOVE_WINDOW.pack(0)
        size = 1 << window.log2
        first, last = window.base_ticks, window.last_ticks
        highest = _MAX_U32 + 1 - size
        way = rng.choice((1, -1))
        base = first + way * rng.choice((0, 1, rng.randint(1, size), size // 2, size - 1, size, 3 * size))
        if window.bounds_ticks and rng.random() < 0.7:
            lower, upper = window.bounds_ticks
            base = min(max(base, upper - size + 1), lower)
        base = min(max(base, 0), highest)
        if rng.random() < 0.05:
            base = rng.choice((highest + 1, _MAX_U32))
        lower, upper = window.bounds_ticks or (base, base)
        unsent = Opcode.MOVE_WINDOW.value, instrument, _MOVE_WINDOW.pack(base)
        edge = rng.random() < 0.75
        if (edge or link == _PRIVILEGED_LINK) and base <= min(lower, highest) and upper < base + size:
            window.base_ticks = base
            window.center_ticks = window.clip(window.center_ticks)
        if not edge:
            return unsent
        bid, ask = (first, first + 1) if way > 0 else (last - 1, last)
        orders = [
            self.place(instrument, rng.choice(self.accounts), side, _ORDER_KINDS[0], price, 1, _MODES[0])
            for side, price in rng.choice((((_BUY, bid),), ((_SELL, ask),), *[((_BUY, bid), (_SELL, ask))] * 2))
        ]
        self.then(*orders[1:], unsent)
        return orders[0]

    def auction(self, link: int) -> _Unsent:
        """A call, orders that cross, and its end."""
        rng = self.rng
        instrument = self.instrument()
        window = self.windows.get(instrument)
        if window is None:
            return self.read_clock(link)
        duration_us = rng.choice((0, 1_000, 1_000, self.period_us()))
        size = 1 << window.log2
        near = rng.choice((1, 2, 3, window.spread_ticks, 2 * window.spread_ticks))
        self.drift(window)
        center = window.center_ticks
        if window.bounds_ticks and rng.random() < 0.4:  # beyond a bound, where the auction may not trade
            lower, upper = window.bounds_ticks
            center = rng.choice((lower - near - rng.randint(0, 3), upper + near + rng.randint(0, 3)))
        sizes = rng.choice(((1,), (2, 4), range(1, 7)))
        orders = rng.choice((0, 0, 2, 3, 5, 8))
        sides = (rng.choice((_BUY, _SELL)),) if rng.random() < 0.1 else (_BUY, _SELL)
        alone = 64 / self.config.orders if orders or self.wide else max(0.5, 64 / self.config.orders)
        if rng.random() < min(0.5 if orders else 1, alone):  # among themselves, as in a meeting
            self.then(*[(Opcode.MASS_CANCEL.value, 0, _ACCOUNT.pack(account)) for account in self.accounts])
            self.beliefs.clear()
        if not orders:  # as much of either side, and the same left of both: at two ticks, or at all between them
            most, left = rng.randint(1, 6), rng.choice((0, 1, 1, 2))
            away = 1 if left and rng.random() < 0.7 else rng.randint(1, min(near, size - 1))
            center = min(window.clip(center), window.last_ticks - away)
            for side, price, lots in (
                *((_BUY, center + away, most), (_SELL, center, most)),
                *((_BUY, center, left), (_SELL, center + away, left)),
            ):
                if lots:
                    account = rng.choice(self.accounts)
                    self.then(self.place(instrument, account, side, _ORDER_KINDS[0], price, lots, _MODES[0]))
        for _ in range(orders):
            luck, side = rng.random(), rng.choice(sides)
            kind = _ORDER_KINDS[0 if luck < 0.75 else 4 if luck < 0.9 else rng.randrange(1, 4)]
            price = window.clip(center + rng.randint(-near, near))
            price = 0 if kind[0] == OrderType.MARKET.value else price
            self.then(
                self.place(instrument, rng.choice(self.accounts), side, kind, price, rng.choice(sizes), _MODES[0])
            )
        luck = rng.random()
        if luck < 0.1:  # the book stands crossed
            self.then((Opcode.HALT.value, instrument, _NOTHING), (Opcode.RESUME.value, instrument, _NOTHING))
        elif luck < 0.2:
            extra_us = self.period_us()
            self.then((Opcode.SET_CALL_END.value, instrument, _CALL_END.pack(extra_us)))
            shorter = Opcode.SET_CALL_END.value, instrument, _CALL_END.pack(rng.choice((0, extra_us, 2 * extra_us)))
            self.then(shorter, wait_ns=1_000 * _NS_A_US)
        elif luck < 0.3:
            self.then(self.move_window(_PRIVILEGED_LINK))
        if luck > 0.1:
            self.then(self.read_clock(_PRIVILEGED_LINK), wait_ns=duration_us * _NS_A_US)
        if luck > 0.7:  # as long as an extension or two
            self.then(self.read_clock(_PRIVILEGED_LINK), wait_ns=_LONGEST_STEP_NS)
        self.expect(duration_us)
        return Opcode.CALL.value, instrument, _STATE.pack(duration_us)

    def at_bound(self, link: int) -> _Unsent:
        """An order at its bound: it rests there, or leaves something; at times it is gone soon."""
        rng = self.rng
        instrument = self.instrument()
        window = self.windows.get(instrument)
        if window is None or window.bounds_ticks is None:
            return self.band_of(instrument)
        side, account = rng.choice((_BUY, _SELL)), rng.choice(self.accounts)
        kind = _ORDER_KINDS[rng.choice((0, 0, 2, 4))]
        price = 0 if kind[0] == OrderType.MARKET.value else window.bounds_ticks[side == _BUY]
        order = self.place(instrument, account, side, kind, price, rng.randint(1, 6), _MODES[0])
        luck = rng.random()
        if luck < 0.4:
            _price, _quantity, _account, token, generation, *_ = _ORDER.unpack(order[2])
            cancel = Opcode.CANCEL.value, instrument, _CANCEL.pack(account, token, generation)
            self.then(cancel, wait_ns=rng.choice((0, 0, 300, 999)) * _NS_A_US)
        if luck < 0.6:  # a trip halts after 1 ms
            wait_us = rng.choice((1_000, self.period_us()))
            self.then(self.read_clock(_PRIVILEGED_LINK), wait_ns=wait_us * _NS_A_US + rng.choice((-1, 0, 0)))
        return order

    def parted(self, link: int) -> _Unsent:
        """An order that a band then parts from, in any state, and that at times was changed in that state before."""
        rng = self.rng
        instrument = self.instrument()
        window = self.windows.get(instrument)
        if window is None:
            return self.read_clock(link)
        side, account = rng.choice((_BUY, _SELL)), rng.choice(self.accounts)
        price = window.center_ticks
        if window.bounds_ticks and rng.random() < 0.6:
            price = window.bounds_ticks[side == _BUY]
        lots = rng.randint(1, 6)
        order = self.place(instrument, account, side, _ORDER_KINDS[0], price, lots, _MODES[0])
        scheduled = rng.choice((ScheduledState.PRE_OPEN.value, ScheduledState.CLOSED.value))
        state = (
            *((), ()),
            *(((opcode.value, instrument, _NOTHING),) for opcode in (Opcode.HALT, Opcode.CALL)),
            *((self.entry_of(instrument, scheduled, 1),),) * 2,
        )
        self.then(*rng.choice(state))
        if rng.random() < 0.6:
            self.then(self.changed(order, price, rng.randint(1, lots)))
        near = price - 1 if side == _BUY else price + 1
        far = window.clip(near - 3 if side == _BUY else near + 3)
        lower, upper = sorted((window.clip(near), far))
        window.bounds_ticks = lower, upper
        self.then((Opcode.SET_BAND.value, instrument, _BAND.pack(lower, upper, lower, rng.choice(_POLICIES))))
        if rng.random() < 0.9:
            self.then(self.entry_of(instrument, _CALLS[0], self.time_ns + rng.choice((0, 1, 2)) * _NS_A_MS))
        return order

    def followed(self, link: int) -> _Unsent:
        """A reference that follows a trade, so that the band around it parts from an order."""
        rng = self.rng
        instrument = self.instrument()
        window = self.windows.get(instrument)
        if window is None:
            return self.read_clock(link)
        price = window.center_ticks
        lower, upper = window.clip(price - 4), window.clip(price + 4)
        window.bounds_ticks = lower, upper
        source = rng.choice((ReferenceSource.LAST_TRADES, ReferenceSource.WINDOW_MEAN)).value
        self.then(
            (Opcode.SET_DYNAMIC_BAND.value, instrument, _DYNAMIC_BAND.pack(0, 0, 0, 1_000, 0, rng.randint(1, 3))),
            (Opcode.SET_REFERENCE_RULE.value, instrument, _REFERENCE_RULE.pack(1, 0, 1, 0, 0, source, 0)),
        )
        side = rng.choice((_BUY, _SELL))
        beyond = window.clip(price + (3 if side == _BUY else -3))
        for taking, at in ((3 - side, price), (side, price), (side, beyond)):
            account = rng.choice(self.accounts)
            self.then(self.place(instrument, account, taking, _ORDER_KINDS[0], at, 1, _MODES[0]))
        self.then(self.read_clock(_PRIVILEGED_LINK), wait_ns=1_000 * _NS_A_US)
        reference = rng.choice((lower, upper))
        return Opcode.SET_BAND.value, instrument, _BAND.pack(lower, upper, reference, rng.choice(_POLICIES))

    def outlived(self, link: int) -> _Unsent:
        """A trade, and an order at the dynamic bound around it: a limit state that ends with the window of that trade.

        Or it ends before, with an order from beyond that bound that moves there.
        """
        rng = self.rng
        instrument = self.instrument()
        window = self.windows.get(instrument)
        if window is None:
            return self.read_clock(link)
        price = window.center_ticks
        lower, upper = window.clip(price - 4), window.clip(price + 4)
        window.bounds_ticks = lower, upper
        side, way = rng.choice(((_BUY, 1), (_SELL, -1)))
        bound, beyond = window.clip(price + way), window.clip(price + 3 * way)
        moving, *others = [
            self.place(instrument, rng.choice(self.accounts), order_side, _ORDER_KINDS[0], at, 1, _MODES[0])
            for order_side, at in ((3 - side, beyond), (3 - side, price), (side, price), (side, bound))
        ]
        self.then(
            (Opcode.RESUME.value, instrument, _NOTHING),
            moving,
            (Opcode.SET_DYNAMIC_BAND.value, instrument, _DYNAMIC_BAND.pack(1, 1_000, 0, 1_000, 1, 1)),
            *others,
        )
        if rng.random() < 0.5:
            self.then(self.changed(moving, bound, rng.randint(1, 3)))
        self.then(self.read_clock(_PRIVILEGED_LINK), wait_ns=2_000 * _NS_A_US)
        return Opcode.SET_BAND.value, instrument, _BAND.pack(lower, upper, price, rng.choice(_POLICIES))
