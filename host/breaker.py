"""The circuit breaker of one instrument, as far as the host decides it: it proposes, the device enforces.

The device holds every order and trade against its bands and moves between its states by its own timers
(`docs/circuit-breaker.md`); what it does it reports, and the host follows. Left to the host is what the device cannot
know:

- **The mark price.** With source *host* the static band follows it, a step at a time, while the instrument trades or
  is halted. Not in a limit state that has an end: a bound that steps away from the orders that stand at it would end
  the state though nobody has traded or withdrawn, and a fall that the oracle sees would never be halted (the LULD
  plan freezes its bands in a limit state as well). And not in a call, where `SET_BAND` would cancel the very orders
  that cross: there the auction finds the price, and the device puts the band around it. In mode *batch*, which knows
  neither, always. A source other than *host* is the device's alone; then the host sets the band to begin with, and
  after a halt that it has ordered itself.
- **Whether there is a mark price.** Without one, or with one outside the window, the instrument is halted until there
  is one again. It then reopens by a call, never by `RESUME`: what rests in its book was meant for another time.
- **Widths in ticks**, from those in parts per million, by the mark price with which the instrument opens or a session
  begins.
- **The wider band near the close**, where the market has one.

Between the device's timer and its report the host knows no state for sure. It then leaves the instrument alone until
the next step, but for the halt without a mark price, which is right in every state.
"""

from dataclasses import dataclass
from enum import Enum

from bandgap.hdl.protocol.commands import BandPolicy, ReferenceSource, TradingMode
from bandgap.hdl.protocol.reports import Reason, TradingState
from bandgap.host.config import BreakerConfig

_PPM = 1_000_000
_NS_A_US = 1_000
_TRIP_US = 1_000
"""How long after it has tripped policy *halt* the device halts."""


class HaltCause(Enum):
    """Why an instrument does not trade."""

    OPENING = "opening"
    """It has not traded yet."""
    BREAKER = "breaker"
    """A limit state did not end in time, or policy *halt* has tripped."""
    ORACLE = "oracle"
    """There is no mark price, or it lies outside the window."""
    MARKET = "index"
    """The market-wide halt."""
    WATCHDOG = "watchdog"
    """The host was silent for too long."""
    TIMETABLE = "timetable"
    """It is not the time to trade."""


_CAUSES = {
    Reason.LIMIT: HaltCause.BREAKER,
    Reason.WATCHDOG: HaltCause.WATCHDOG,
    Reason.SCHEDULE: HaltCause.TIMETABLE,
}
"""The causes that the device names itself; all others are the host's own."""


@dataclass(frozen=True)
class Band:
    """Bounds of trade prices, around a reference price; all in ticks."""

    lower_ticks: int
    upper_ticks: int
    reference_ticks: int


@dataclass(frozen=True)
class Rule:
    """What `SET_REFERENCE_RULE` is told beyond the configuration.

    Attributes
    ----------
    width_ppm, width_ticks : Half width of the static band, doubled near the close where the market does so.
    auction_width_ticks : The auction band's widening.
    """

    width_ppm: int
    width_ticks: int
    auction_width_ticks: int


@dataclass(frozen=True)
class BreakerMove:
    """What the device is to be told, in this order.

    Attributes
    ----------
    halt : Halt until told.
    band : The new static band.
    rule : The new widths.
    windows_of_ticks : Set the dynamic bands' widths, shares of this price, and the durations.
    call : Open a call.
    resume : Let it trade.
    """

    halt: bool = False
    band: Band | None = None
    rule: Rule | None = None
    windows_of_ticks: int | None = None
    call: bool = False
    resume: bool = False


class Breaker:
    """State and decisions of one instrument.

    Parameters
    ----------
    window_base_ticks, window_ticks : The window; the band never leaves it.
    settings : The parameters.

    Attributes
    ----------
    settings : The parameters.
    band : The static band, None before the first.
    state : The device's state; in a step that orders another, that one.
    until_ns : When the device's timer ends it; zero: none does.
    cause : Why it does not trade; the last cause while it does.
    draw_due : The random end of the next call is still to be drawn.
    """

    def __init__(self, *, window_base_ticks: int, window_ticks: int, settings: BreakerConfig) -> None:
        self._window = range(window_base_ticks, window_base_ticks + window_ticks)
        self._policy = BandPolicy[settings.policy.upper()]
        self._batch = settings.mode == TradingMode.BATCH.name.lower()
        self._by_host = settings.source == ReferenceSource.HOST.name.lower()
        self._opened = False
        self._session = -1
        self._session_ticks = 0
        self._late = False
        self._orders_beyond_band = False
        self.settings = settings
        self.band: Band | None = None
        self.state = TradingState.HALTED
        self.until_ns = 0
        self.cause = HaltCause.OPENING
        self.draw_due = True

    def decide(self, mark_ticks: int | None, now_ns: int, *, session: int, late: bool, held: bool) -> BreakerMove:
        """What to do now; the caller tells the device, which reports what comes of it.

        Parameters
        ----------
        mark_ticks : The mark price; None without a quorum.
        session : Number of the session.
        late : Whether its close is near.
        held : A market-wide halt is not over.
        """
        told = self.state is TradingState.HALTED and not self.until_ns
        if not self._opened and not told:
            return self._halt(self.cause)
        if mark_ticks is None or mark_ticks not in self._window:
            if told or self.state is TradingState.CLOSED:
                return BreakerMove()
            return self._halt(HaltCause.ORACLE)
        if held:
            return BreakerMove()
        if told:
            return self._begin(mark_ticks, session, late)
        if not self._lets_the_band_move(now_ns):
            return BreakerMove()
        return self._follow_mark(mark_ticks, session, late)

    def hold(self, until_ns: int) -> None:
        """The market-wide halt is ordered."""
        self._expect(TradingState.HALTED)
        self.until_ns = until_ns
        self.cause = HaltCause.MARKET

    def takes_market_orders(self, now_ns: int) -> bool:
        """Whether it surely matches market orders now, or lets them collect for an auction."""
        return self.state in _OPEN_STATES and self._is_settled(now_ns)

    def reach(self, now_ns: int, horizon_ns: int) -> Band | None:
        """The prices that orders can be entered at and trade at until `horizon_ns`, whatever the device's timers do.

        That is the static band, unless a call may open until then, orders from a call may rest, or the device finds
        references by itself: each of these can lead anywhere in the window. Without a band there is none.
        """
        anywhere = self._orders_beyond_band or not self._by_host or self._earliest_call_ns(now_ns) <= horizon_ns
        if self.band is None or not anywhere:
            return self.band
        return Band(self._window[0], self._window[-1], self.band.reference_ticks)

    def follow_state(self, state: TradingState, until_ns: int, reason: Reason) -> None:
        """The device has reported another state, or another end of it."""
        if self.state is TradingState.CALL and reason is not Reason.EXTENDED:
            self.draw_due = True
        if reason is Reason.CALL_OVER:
            self._orders_beyond_band = False
        if state in _FREE_STATES:
            self._orders_beyond_band = True
        self.state = state
        self.until_ns = until_ns
        if state not in (TradingState.TRADING, TradingState.LIMIT):
            self.cause = _CAUSES.get(reason, self.cause)

    def follow_band(self, band: Band) -> None:
        """The device has reported its static band; orders that could trade outside it are gone."""
        self.band = band
        if self.state not in _FREE_STATES:
            self._orders_beyond_band = False

    def _halt(self, cause: HaltCause) -> BreakerMove:
        self.cause = cause
        self._expect(TradingState.HALTED)
        return BreakerMove(halt=True)

    def _begin(self, mark_ticks: int, session: int, late: bool) -> BreakerMove:
        """Open, or reopen behind a halt that only the host ends. Before the opening nothing rests, nor collects."""
        opens = not self._opened
        if opens or session != self._session:
            self._begin_session(mark_ticks, session)
        self._late = late
        self._opened = True
        self.band = self._band_around(mark_ticks)
        self._orders_beyond_band = False
        self._expect(TradingState.TRADING if opens and not self._batch else TradingState.CALL)
        return BreakerMove(
            band=self.band,
            rule=self._rule(),
            windows_of_ticks=self._session_ticks,
            call=not opens,
            resume=opens,
        )

    def _follow_mark(self, mark_ticks: int, session: int, late: bool) -> BreakerMove:
        """Move the band where the mark, a new session or the time of day asks for it."""
        begins, turns = session != self._session, late != self._late
        if begins:
            self._begin_session(mark_ticks, session)
        self._late = late
        assert self.band is not None
        band = None
        if turns or (self._by_host and self._has_moved(mark_ticks)):
            band = self.band = self._band_around(mark_ticks if self._by_host else self.band.reference_ticks)
        return BreakerMove(
            band=band,
            rule=self._rule() if begins or turns else None,
            windows_of_ticks=self._session_ticks if begins else None,
        )

    def _lets_the_band_move(self, now_ns: int) -> bool:
        if not self._is_settled(now_ns):
            return False
        match self.state:
            case TradingState.LIMIT:
                return not self.until_ns
            case TradingState.CALL:
                return self._batch
        return self.state in (TradingState.TRADING, TradingState.HALTED)

    def _earliest_call_ns(self, now_ns: int) -> int:
        """When a call may begin at the earliest; the times of all of them are the device's timers'."""
        halt_ns = self.settings.halt_us * _NS_A_US
        trips = self._policy is BandPolicy.HALT
        limit_us = _TRIP_US if trips else self.settings.limit_us
        never_ns = 1 << 64
        if not self._is_settled(now_ns):
            return now_ns
        match self.state:
            case TradingState.TRADING:
                return now_ns + limit_us * _NS_A_US + halt_ns if limit_us else never_ns
            case TradingState.LIMIT:
                return self.until_ns + halt_ns if self.until_ns else never_ns
            case TradingState.HALTED:
                return self.until_ns or never_ns
            case TradingState.CLOSED:
                return never_ns
        return now_ns

    def _is_settled(self, now_ns: int) -> bool:
        """Whether no timer has ended the state since it was reported."""
        return not self.until_ns or now_ns < self.until_ns

    def _expect(self, state: TradingState) -> None:
        self.state = state
        self.until_ns = 0

    def _begin_session(self, mark_ticks: int, session: int) -> None:
        self._session = session
        self._session_ticks = mark_ticks

    def _has_moved(self, mark_ticks: int) -> bool:
        assert self.band is not None
        reference = self.band.reference_ticks
        return abs(mark_ticks - reference) * _PPM >= self._width_ticks(reference) * self.settings.step_ppm

    def _rule(self) -> Rule:
        settings = self.settings
        return Rule(
            settings.late_width_ppm if self._late and settings.late_width_ppm else settings.width_ppm,
            settings.late_width_ticks if self._late and settings.late_width_ppm else settings.width_ticks,
            max(1, self._session_ticks * settings.auction_width_ppm // _PPM),
        )

    def _width_ticks(self, reference_ticks: int) -> int:
        """Half width of the band; one tick at least."""
        rule = self._rule()
        width = reference_ticks * rule.width_ppm // _PPM
        return max(1, min(width, rule.width_ticks) if rule.width_ticks else width)

    def _band_around(self, reference_ticks: int) -> Band:
        width = self._width_ticks(reference_ticks)
        return Band(
            max(self._window[0], reference_ticks - width),
            min(self._window[-1], reference_ticks + width),
            reference_ticks,
        )


_OPEN_STATES = (TradingState.TRADING, TradingState.LIMIT, TradingState.CALL)

_FREE_STATES = (TradingState.CALL, TradingState.PRE_OPEN)
"""States in which the window alone bounds what can be entered (in mode *batch* the band as well)."""
