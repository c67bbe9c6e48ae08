"""Random commands for verification: not a market, but every rule of `docs/order-semantics.md` often.

Commands come in episodes, one device epoch each. An episode draws its own habits (how many accounts and slots, how
wide prices spread, which commands are frequent, how fast time passes), so that rare states, such as a full pool or a
crowded level, are reached in some episodes by chance and kept up for long. The sender keeps light beliefs about which
orders rest; they are often wrong, on purpose.

Durations are a few milliseconds, in some episodes seconds, and time passes in steps of the same order: so timers act
often, but never are there many between two commands. A run begins at any time of the first 146 years.
"""

from collections.abc import Callable, Iterator
from random import Random

import numpy as np

from bandgap.hdl.config import BALANCE_LIMIT_QUOTE, BookConfig
from bandgap.hdl.protocol.commands import (
    ALL_INSTRUMENTS,
    COMMAND_BYTES,
    InstrumentFlags,
    Opcode,
    TradingMode,
)

from .episode import EPISODE_NS, Episode
from .random_breaker import BreakerCommands
from .random_choices import LONGEST_STEP_NS
from .unsent import (
    ACCOUNT,
    GRANT,
    HEADER,
    INSTRUMENT,
    MAX_U32,
    NOTHING,
    NS_A_US,
    PRIVILEGED_LINK,
    Unsent,
)

_Maker = Callable[[int], Unsent]
"""Makes a command for a link."""


RUN_EPISODES = 24 << 12
"""After so many episodes, 109 years, a run begins at its first time again. It is a multiple of what a piece of a soak
holds: within none does time go back."""


def random_episodes(config: BookConfig, seed: int) -> Iterator[Episode]:
    """Episodes without end for a device of these sizes; the same seed gives the same bytes."""
    index = 0
    while True:
        yield random_episode(config, seed, index)
        index += 1


def random_episode(config: BookConfig, seed: int, index: int) -> Episode:
    """One episode of a run by its index, whatever came before it."""
    # Time stays below 2**63 ns, so that the longest heartbeat's deadline is one of 64 bits.
    begin_ns = Random(f"{seed}").getrandbits(62) + index % RUN_EPISODES * EPISODE_NS
    return _Sender(config, Random(f"{seed}/{index}"), index, begin_ns).episode()


class _Sender(BreakerCommands):
    """Sends an episode."""

    def __init__(self, config: BookConfig, rng: Random, index: int, begin_ns: int) -> None:
        super().__init__(config, rng, index, begin_ns)
        self.makers = self._choose_makers()
        self.length = 3 * len(self.slots) if self.wide else rng.choice((100, 400, 1_600))

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
            self.meeting: 110,
            self.held: 12,
            self.spree: 4,
            self.set_instrument: 10,
        }
        breaking: dict[_Maker, float] = {
            self.set_breaker: 12,
            self.set_dynamic_band: 12,
            self.set_reference_rule: 12,
            self.call: 12,
            self.set_call_end: 8,
            self.set_schedule: 14,
            self.move_window: 32,
            self.auction: 36,
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
            self.heartbeat: 12,
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
        link = PRIVILEGED_LINK
        rng = self.rng
        while len(rows) < self.length or self.pending:
            if self.pending:
                follower_link, unsent, wait_ns = self.pending.popleft()
                self.time_ns += wait_ns
                rows.append(self.row(*unsent))
                links.append(follower_link)
            else:
                if rng.random() < 0.15:
                    link = PRIVILEGED_LINK if rng.random() < 0.6 else rng.randrange(self.config.links)
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

    def row(self, opcode: int, instrument: int, body: bytes) -> bytes:
        """A command with the header it should have."""
        self.number += 1
        return HEADER.pack(opcode, instrument, self.epoch, self.number) + body

    def spoil(self, row: bytes) -> bytes:
        """A command as it is or, now and then, with one thing wrong; operator commands, being few, more often."""
        rng = self.rng
        opcode, instrument, epoch, number = HEADER.unpack_from(row)
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
        return HEADER.pack(opcode, instrument, epoch, number) + row[HEADER.size :]

    def pass_time(self) -> int:
        rng = self.rng
        luck = rng.random()
        short, long = self.steps
        if luck < 0.3:
            self.time_ns += rng.randint(0, self.gap_ns)
        elif luck < 0.31:  # the instant of a deadline, and those around it
            self.deadlines_ns = [deadline_ns for deadline_ns in self.deadlines_ns if deadline_ns > self.time_ns]
            if self.deadlines_ns and min(self.deadlines_ns) < self.time_ns + self.pace * LONGEST_STEP_NS:
                self.time_ns = max(self.time_ns, min(self.deadlines_ns) + rng.choice((-1, 0, 1)))
        elif luck < 0.31 + short:
            self.time_ns += self.pace * rng.randint(100, 500) * NS_A_US
        elif luck < 0.31 + short + long:
            self.time_ns += self.pace * rng.randint(1, LONGEST_STEP_NS // NS_A_US) * NS_A_US
        return self.time_ns

    def open_market(self) -> None:
        rng = self.rng
        if rng.random() < 0.1:  # none is set
            self.then(
                *[(opcode.value, ALL_INSTRUMENTS, NOTHING) for opcode in (Opcode.HALT, Opcode.CALL, Opcode.RESUME)]
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
            self.then((Opcode.GRANT_CREDIT.value, 0, GRANT.pack(amount, account)))
        if rng.random() < 0.95:
            self.then((Opcode.RESUME.value, ALL_INSTRUMENTS, NOTHING))

    def enqueue_window(self, instrument: int) -> None:
        window = self.windows[instrument]
        body = INSTRUMENT.pack(
            window.base_ticks, window.offset, window.multiplier_quote, window.log2, self.market_data()
        )
        self.then((Opcode.SET_INSTRUMENT.value, instrument, body))
        if self.bands and self.rng.random() < 0.85:
            self.then(self.band_of(instrument))
        if self.rng.random() < 0.7:
            mode = TradingMode.BATCH if self.rng.random() < 0.2 else TradingMode.CONTINUOUS
            self.then(self.breaker_of(instrument, mode.value))
        if self.rng.random() < 0.4:
            self.then(self.set_dynamic_band(PRIVILEGED_LINK, instrument))
        if self.rng.random() < 0.5:
            self.then(self.set_reference_rule(PRIVILEGED_LINK, instrument))

    def market_data(self) -> int:
        """Which market data an instrument tells, any."""
        return sum(flag.value for flag in InstrumentFlags if self.rng.random() < 0.5)

    def set_instrument(self, link: int) -> Unsent:
        """Any window for any instrument; most are refused."""
        rng = self.rng
        instrument = rng.randrange(self.config.instruments)
        smallest = self.config.word_bits.bit_length() - 1
        largest = self.config.ticks.bit_length() - 1
        log2 = rng.choice((smallest - 1, largest + 1, 32, 255, *[rng.randint(smallest, largest)] * 12))
        offset = rng.choice((self.free_row, 0, 1, self.config.ticks, rng.randrange(self.config.ticks)))
        if rng.random() < 0.7:
            offset = offset >> min(log2, 32) << min(log2, 32)
        base = rng.choice((0, 1_000, MAX_U32, rng.randrange(MAX_U32)))
        multiplier = rng.choice((0, 1, 1, 1, 65_535, 65_536))
        body = INSTRUMENT.pack(base, offset, multiplier, log2, self.market_data())
        return Opcode.SET_INSTRUMENT.value, instrument, body

    def set_anew(self, link: int) -> Unsent:
        """Clear an instrument and set it anew: what it takes follows by the privileged link."""
        instrument = self.instrument()
        if window := self.windows.get(instrument):
            accounts = [account for account in self.accounts if self.rng.random() < 0.95]
            self.then(*[(Opcode.MASS_CANCEL.value, 0, ACCOUNT.pack(account)) for account in accounts])
            self.windows[instrument] = self.place_window(window.log2, window.offset)
            self.enqueue_window(instrument)
            self.then((Opcode.RESUME.value, instrument, NOTHING))
            self.beliefs.clear()
        return Opcode.HALT.value, instrument, NOTHING

    def change_mode(self, link: int) -> Unsent:
        """Clear an instrument, and let it trade by auctions alone or no longer so."""
        rng = self.rng
        instrument = self.instrument()
        self.then(*[(Opcode.MASS_CANCEL.value, 0, ACCOUNT.pack(account)) for account in self.accounts])
        mode = TradingMode.BATCH if rng.random() < 0.4 else TradingMode.CONTINUOUS
        self.then(self.breaker_of(instrument, mode.value), self.set_reference_rule(PRIVILEGED_LINK, instrument))
        self.then((Opcode.RESUME.value, instrument, NOTHING))
        self.beliefs.clear()
        return Opcode.HALT.value, instrument, NOTHING
