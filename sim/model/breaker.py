"""The circuit breaker of one instrument: `docs/circuit-breaker.md`, as far as it needs no book."""

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum

from .commands import (
    BandPolicy,
    ReferenceSource,
    ScheduledState,
    SetBand,
    SetBreaker,
    SetDynamicBand,
    SetReferenceRule,
    Side,
    TradingMode,
)
from .reports import TradingState
from .rolling import RollingWindow

NS_A_US = 1_000
PPM = 1_000_000
TRIP_NS = 1_000_000
"""How long after it has tripped policy *halt* halts: no timer that the book starts is shorter."""


class Timer(IntEnum):
    """The kinds of timers of an instrument, in the order in which they act at the same deadline."""

    SHORT_BUCKET = 1
    LONG_BUCKET = 2
    SCHEDULE = 3
    PHASE = 4
    INDICATIVE = 5


@dataclass(slots=True)
class Band:
    """Where trades may print: from `lower_ticks` to `upper_ticks`."""

    lower_ticks: int
    upper_ticks: int

    def bound(self, side: Side) -> int:
        """The price a taker of this side cannot go beyond."""
        return self.upper_ticks if side is Side.BUY else self.lower_ticks

    def common(self, other: "Band") -> "Band | None":
        """What two bands have in common."""
        lower_ticks = max(self.lower_ticks, other.lower_ticks)
        upper_ticks = min(self.upper_ticks, other.upper_ticks)
        return Band(lower_ticks, upper_ticks) if lower_ticks <= upper_ticks else None


def _durations() -> SetBreaker:
    return SetBreaker(0, 0, 0, 0, 0, 0, 0, 0, TradingMode.CONTINUOUS, False)


def _rule() -> SetReferenceRule:
    return SetReferenceRule(0, 0, 0, 0, 0, 0, 0, 0, ReferenceSource.HOST, 0)


@dataclass(slots=True)
class Breaker:
    """State, bands and timers of one instrument.

    Attributes
    ----------
    window_base_ticks, window_ticks : The prices that can rest: from the base, so many.
    state : How it trades.
    until_ns : When a timer ends this state (or the halt that has been tripped is due); None without one.
    indicative_ns : When the indicative price is due.
    tripped : Policy *halt* has tripped.
    closes : The call is the closing one.
    widenings : By how many widths the auction band is wider than the band.
    call_extra_ns, extra_ns : What the host has lengthened this call by, and what the next ones.
    timetable : When each entry is due, and the duration of its call in us.
    band, policy : The static band, None before it is set.
    reference_ticks, reference_since_ns : The reference price.
    below_ticks, above_ticks : How far below and above it `SET_BAND` put the bounds.
    durations, rule : As they were set.
    short, long : The rolling windows, None while they are off.
    last_trades : Prices of the last trades, for their mean.
    """

    window_base_ticks: int
    window_ticks: int
    state: TradingState = TradingState.HALTED
    until_ns: int | None = None
    indicative_ns: int | None = None
    tripped: bool = False
    closes: bool = False
    widenings: int = 0
    call_extra_ns: int = 0
    extra_ns: int = 0
    timetable: dict[ScheduledState, tuple[int, int]] = field(default_factory=dict)
    band: Band | None = None
    policy: BandPolicy = BandPolicy.REJECT
    reference_ticks: int = 0
    reference_since_ns: int = 0
    below_ticks: int = 0
    above_ticks: int = 0
    durations: SetBreaker = field(default_factory=_durations)
    rule: SetReferenceRule = field(default_factory=_rule)
    short: RollingWindow | None = None
    long: RollingWindow | None = None
    last_trades: deque[int] = field(default_factory=lambda: deque(maxlen=1))

    # What it means for orders

    @property
    def batch(self) -> bool:
        """Whether it trades by auctions alone."""
        return self.durations.mode is TradingMode.BATCH

    @property
    def matches(self) -> bool:
        """Whether orders match at once."""
        return self.state in (TradingState.TRADING, TradingState.LIMIT)

    @property
    def collects(self) -> bool:
        """Whether orders collect for an auction."""
        if self.state is TradingState.HALTED:
            return self.durations.collects
        return self.state in (TradingState.CALL, TradingState.PRE_OPEN)

    def price_band(self) -> Band | None:
        """The band that bounds a new limit order, None where the window alone does."""
        free = self.state in (TradingState.CALL, TradingState.PRE_OPEN) and not self.batch
        return None if free else self.band_in_force()

    def in_window(self, price_ticks: int) -> bool:
        """Whether a price can rest."""
        return self.window_base_ticks <= price_ticks < self.window_base_ticks + self.window_ticks

    # Bands and reference

    def band_in_force(self) -> Band | None:
        """What static band and dynamic bands have in common; None without a static band."""
        band = self.band
        for window in (self.short, self.long):
            if band and window and (bounds := window.bounds()):
                band = band.common(Band(*bounds))
        return band

    def reach_ticks(self) -> int | None:
        """How far apart the trades of one order may be; None where as far as its limit."""
        widths = [window.width_ticks for window in (self.short, self.long) if window and window.width_ticks]
        return min(widths) if self.band and widths else None

    def auction_band(self) -> Band | None:
        """Where an auction may trade; None where anywhere."""
        band = self.band_in_force() if self.batch else self.band
        if band is None:
            return None
        width_ticks = self.widenings * self.rule.auction_width_ticks
        return self._cut(band.lower_ticks - width_ticks, band.upper_ticks + width_ticks)

    def set_band(self, command: SetBand, now_ns: int) -> None:
        """The host sets the static band."""
        self.below_ticks = command.reference_ticks - command.lower_ticks
        self.above_ticks = command.upper_ticks - command.reference_ticks
        self.policy = command.policy
        self._move_band(command.reference_ticks, Band(command.lower_ticks, command.upper_ticks), now_ns)

    def replace_reference(self, reference_ticks: int, now_ns: int) -> None:
        """The static band moves around another reference price."""
        below_ticks, above_ticks = self.below_ticks, self.above_ticks
        widths = [self.rule.width_ticks] if self.rule.width_ticks else []
        if self.rule.width_ppm:
            widths.append(reference_ticks * self.rule.width_ppm // PPM)
        if widths:
            below_ticks = above_ticks = min(widths)
        band = self._cut(reference_ticks - below_ticks, reference_ticks + above_ticks)
        self._move_band(reference_ticks, band, now_ns)

    def moves_reference(self, candidate_ticks: int, now_ns: int) -> bool:
        """Whether the rule lets a price replace the reference."""
        moved_ticks = abs(candidate_ticks - self.reference_ticks)
        return (
            self.band is not None
            and moved_ticks != 0
            and moved_ticks * PPM >= self.reference_ticks * self.rule.move_ppm
            and now_ns - self.reference_since_ns >= self.rule.hold_us * NS_A_US
        )

    def candidate(self) -> int | None:
        """The reference that the trades so far suggest, at the end of a long bucket."""
        match self.rule.source:
            case ReferenceSource.LAST_TRADES if len(self.last_trades) == self.last_trades.maxlen:
                return sum(self.last_trades) // len(self.last_trades)
            case ReferenceSource.WINDOW_MEAN if self.long:
                return self.long.mean()
        return None

    def set_rule(self, command: SetReferenceRule) -> None:
        """The host sets the rule of the reference price."""
        self.rule = command
        self.last_trades = deque(maxlen=1 << command.trades_log2)

    def set_windows(self, command: SetDynamicBand) -> None:
        """The host sets the rolling windows."""
        self.short = self.long = None
        if command.short_buckets:
            self.short = RollingWindow(
                command.short_width_ticks, command.short_bucket_us * NS_A_US, command.short_buckets
            )
        if command.long_buckets:
            self.long = RollingWindow(command.long_width_ticks, command.long_bucket_us * NS_A_US, command.long_buckets)

    def trade(self, price_ticks: int, time_ns: int) -> None:
        """A trade narrows the band."""
        self.last_trades.append(price_ticks)
        for window in (self.short, self.long):
            if window:
                window.trade(price_ticks, time_ns)
        self._part_windows()

    def empty_windows(self) -> None:
        """Forget the trades in both windows."""
        for window in (self.short, self.long):
            if window:
                window.empty()

    def _move_band(self, reference_ticks: int, band: Band, now_ns: int) -> None:
        self.reference_ticks = reference_ticks
        self.reference_since_ns = now_ns
        self.band = band
        self._part_windows()

    def _part_windows(self) -> None:
        """Windows that leave no band in force are emptied."""
        if self.band and self.band_in_force() is None:
            self.empty_windows()

    def _cut(self, lower_ticks: int, upper_ticks: int) -> Band:
        """A band, cut off at the window's edges."""
        highest_ticks = self.window_base_ticks + self.window_ticks - 1
        return Band(
            min(max(lower_ticks, self.window_base_ticks), highest_ticks),
            max(min(upper_ticks, highest_ticks), self.window_base_ticks),
        )

    # States and timers

    def enter(self, state: TradingState, until_ns: int | None = None) -> None:
        """Another state begins."""
        self.state = state
        self.until_ns = until_ns
        self.indicative_ns = None
        self.tripped = False

    def open_call(self, begin_ns: int, duration_us: int = 0, *, closes: bool = False) -> None:
        """A call begins; a duration of zero is the usual one."""
        self.call_extra_ns = self.extra_ns
        duration_ns = (duration_us or self.durations.call_us) * NS_A_US
        self.enter(TradingState.CALL, begin_ns + duration_ns + self.call_extra_ns)
        self.closes = closes
        self.widenings = 1
        if self.durations.indicative_us:
            self.indicative_ns = begin_ns + self.durations.indicative_us * NS_A_US

    def extend_call(self) -> None:
        """The call goes on, with a wider auction band; until told where no extension has been set."""
        assert self.until_ns is not None
        self.widenings += 1
        extension_ns = self.durations.extension_us * NS_A_US
        self.until_ns = self.until_ns + extension_ns if extension_ns else None

    def set_call_end(self, extra_us: int, now_ns: int) -> None:
        """The host lengthens calls, the one under way among them."""
        self.extra_ns = extra_us * NS_A_US
        if self.state is TradingState.CALL and self.until_ns is not None:
            self.until_ns = max(self.until_ns - self.call_extra_ns + self.extra_ns, now_ns)
            self.call_extra_ns = self.extra_ns

    def trip(self, now_ns: int) -> None:
        """Policy *halt* halts soon."""
        if not self.tripped:
            self.tripped = True
            self.until_ns = now_ns + TRIP_NS

    @property
    def may_limit(self) -> bool:
        """Whether a limit state can begin or end."""
        return self.band is not None and self.matches

    def review(self, bid_ticks: int | None, ask_ticks: int | None, now_ns: int) -> bool:
        """Whether a limit state begins or ends, with these best prices."""
        band = self.band_in_force()
        if not self.may_limit or band is None:
            return False
        at_bound = (bid_ticks is not None and bid_ticks >= band.upper_ticks) or (
            ask_ticks is not None and ask_ticks <= band.lower_ticks
        )
        if at_bound == (self.state is TradingState.LIMIT):
            return False
        self.state = TradingState.LIMIT if at_bound else TradingState.TRADING
        if at_bound and self.policy is BandPolicy.HALT:
            self.trip(now_ns)
        elif not self.tripped:
            limited = at_bound and self.durations.limit_us
            self.until_ns = now_ns + self.durations.limit_us * NS_A_US if limited else None
        return True

    def timers(self) -> list[tuple[int, Timer]]:
        """Every timer that runs: its deadline and kind."""
        deadlines = (
            (self.short.deadline_ns if self.short else None, Timer.SHORT_BUCKET),
            (self.long.deadline_ns if self.long else None, Timer.LONG_BUCKET),
            (min(self.timetable.values())[0] if self.timetable else None, Timer.SCHEDULE),
            (self.until_ns, Timer.PHASE),
            (self.indicative_ns, Timer.INDICATIVE),
        )
        return [(deadline_ns, kind) for deadline_ns, kind in deadlines if deadline_ns is not None]
