"""The circuit breaker of one instrument, as far as the host decides it: it proposes, the device enforces.

The device holds every order and trade against its bands and moves between its states by its own timers
(`docs/circuit-breaker.md`); what it does it reports, and the host follows. Left to the host is what the device cannot
know:

- **The mark price.** With source *host* the static band follows it, a step at a time, while the instrument trades, is
  halted or closed. Not in a limit state that has an end: a bound that steps away from the orders that stand at it
  would end the state though nobody has traded or withdrawn, and a fall that the oracle sees would never be halted (the
  LULD plan freezes its bands in a limit state as well). And not in a call or before it, where `SET_BAND` would cancel
  the very orders that cross: there the auction finds the price, and the device puts the band around it. In mode
  *batch*, which knows neither, always. A source other than *host* is the device's alone; then the host sets the band
  to begin with, after a halt that it has ordered itself, and where the window moves.
- **Whether there is a mark price.** Without one, or with one outside the window, the instrument is halted until there
  is one again; a price at which positions would be worth more than margin is worked out for is none. It then reopens
  by a call, never by `RESUME`: what rests in its book was meant for another time.
- **Where the window is.** While the band may move and the reference is near the window's edge, the window moves so that
  the reference is in its middle. Behind a mark that has left it, it moves while the instrument is halted: a step at a
  time, and never so far that no tick of it stays, because the band must lie inside before and behind.
- **What time of day it is.** The timetable leads the device from state to state; an instrument that opens, or was
  halted or closed when it should have been led on, the host brings into the present phase.
- **Widths in ticks**, from those in parts per million, by the mark price with which the instrument opens or a session
  begins.
- **The wider band near the close**, where the market has one.

Between the device's timer and its report the host knows no state for sure. It then leaves the instrument alone until
the next step, but for the halt without a mark price, which is right in every state.
"""

from dataclasses import dataclass, replace
from enum import Enum

from bandgap.hdl.protocol.commands import BandPolicy, ReferenceSource, ScheduledState, TradingMode
from bandgap.hdl.protocol.reports import Reason, TradingState
from bandgap.host.config import BreakerConfig
from bandgap.host.timetable import Entry, Phase, Timetable

_PPM = 1_000_000
_NS_A_US = 1_000
_PRICES = 1 << 32
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
class WindowMove:
    """The window moves.

    Attributes
    ----------
    band : The static band meanwhile: inside the window before and behind.
    base_ticks : The window's new base.
    """

    band: Band
    base_ticks: int


@dataclass(frozen=True)
class BreakerMove:
    """What the device is to be told, in this order.

    Attributes
    ----------
    halt : Halt until told.
    window : Move the window; with it comes a band.
    band : The new static band.
    rule : The new widths.
    windows_of_ticks : Set the dynamic bands' widths, shares of this price, and the durations.
    entries : Set these entries of the timetable.
    call : Open a call.
    resume : Let it trade.
    """

    halt: bool = False
    window: WindowMove | None = None
    band: Band | None = None
    rule: Rule | None = None
    windows_of_ticks: int | None = None
    entries: tuple[Entry, ...] = ()
    call: bool = False
    resume: bool = False


class Breaker:
    """State and decisions of one instrument.

    Parameters
    ----------
    window_base_ticks, window_ticks : The window to begin with; the band never leaves it.
    window_margin_ppm : Share of the window that the reference keeps from its edge by moving it; zero: it never moves.
    timetable : When the instrument trades.
    settings : The parameters.

    Attributes
    ----------
    settings : The parameters.
    window : The prices that can rest.
    band : The static band, None before the first.
    state : The device's state; in a step that orders another, that one.
    until_ns : When the device's timer ends it; zero: none does.
    cause : Why it does not trade; the last cause while it does.
    draw_due : The random end of the next call is still to be drawn.
    """

    def __init__(
        self,
        *,
        window_base_ticks: int,
        window_ticks: int,
        window_margin_ppm: int,
        timetable: Timetable,
        settings: BreakerConfig,
    ) -> None:
        self._margin_ticks = window_ticks * window_margin_ppm // _PPM
        self._timetable = timetable
        self._policy = BandPolicy[settings.policy.upper()]
        self._batch = settings.mode == TradingMode.BATCH.name.lower()
        self._by_host = settings.source == ReferenceSource.HOST.name.lower()
        self._opened = False
        self._session = -1
        self._session_ticks = 0
        self._late = False
        self._orders_beyond_band = False
        self._held_to_the_end = False
        self.settings = settings
        self.window = range(window_base_ticks, window_base_ticks + window_ticks)
        self.band: Band | None = None
        self.state = TradingState.HALTED
        self.until_ns = 0
        self.cause = HaltCause.OPENING
        self.draw_due = True
        self._drawn_us = 0
        self._extra_us = 0

    def decide(self, mark_ticks: int | None, now_ns: int, *, session: int, late: bool, held: bool) -> BreakerMove:
        """What to do now; the caller tells the device, which reports what comes of it.

        Parameters
        ----------
        mark_ticks : The mark price; None without a quorum.
        session : Number of the session.
        late : Whether its close is near.
        held : A market-wide halt is not over.
        """
        self._timetable.begin_step(now_ns)
        move = self._decide(mark_ticks, now_ns, session=session, late=late, held=held)
        if not self._opened:
            return move
        opens = not (held and self._held_to_the_end)
        return replace(move, entries=move.entries + self._timetable.tell(now_ns, opens=opens))

    def _decide(self, mark_ticks: int | None, now_ns: int, *, session: int, late: bool, held: bool) -> BreakerMove:
        """All but the timetable's next entries."""
        told = self.state is TradingState.HALTED and not self.until_ns
        if not self._opened and not told:
            return self._halt(self.cause)
        rests = told or self.state is TradingState.CLOSED
        waits = rests and self._is_settled(now_ns)  # for the host, and no entry of the timetable leads on
        closed = self._timetable.phase(now_ns) is Phase.CLOSED
        if self._opened and told and waits and closed:
            return self._enter(now_ns)
        if mark_ticks is None or mark_ticks not in self.window:
            if mark_ticks is not None and waits and self._margin_ticks:
                return self._move_band(mark_ticks)
            return BreakerMove() if rests else self._halt(HaltCause.ORACLE)
        if held:
            return BreakerMove()
        if waits and (told or not closed):
            return self._begin(mark_ticks, now_ns, session, late)
        if not self._lets_the_band_move(now_ns):
            return BreakerMove()
        return self._follow_mark(mark_ticks, session, late)

    def hold(self, until_ns: int) -> None:
        """The market-wide halt is ordered; zero: until told."""
        self._held_to_the_end = not until_ns
        if self.state is TradingState.CLOSED:
            return
        self._expect(TradingState.HALTED)
        self.until_ns = until_ns
        self.cause = HaltCause.MARKET

    def draw_call_end(self, extra_us: int) -> None:
        """By how much the next calls are longer is drawn, and will be told to the device."""
        self.draw_due = False
        self._drawn_us = extra_us

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
        return Band(self.window[0], self.window[-1], self.band.reference_ticks)

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

    def follow_call_end(self) -> None:
        """The device has taken what was drawn; a call under way (in mode *batch* the next one) ends by that as well."""
        if self.state is TradingState.CALL and self.until_ns:
            self.until_ns += (self._drawn_us - self._extra_us) * _NS_A_US
        self._extra_us = self._drawn_us

    def follow_watchdog(self) -> None:
        """The device has reported that the watchdog has acted."""
        self._timetable.forget()

    def _halt(self, cause: HaltCause) -> BreakerMove:
        self.cause = cause
        self._expect(TradingState.HALTED)
        return BreakerMove(halt=True)

    def _begin(self, mark_ticks: int, now_ns: int, session: int, late: bool) -> BreakerMove:
        """Open, or reopen behind a halt that only the host ends, or when the timetable could not.

        Before the opening nothing rests, nor collects.
        """
        opens = not self._opened
        if opens or session != self._session:
            self._begin_session(mark_ticks, session)
        self._late = late
        self._opened = True
        move = replace(self._move_band(mark_ticks), rule=self._rule(), windows_of_ticks=self._session_ticks)
        self._orders_beyond_band = False
        if self.state is TradingState.CLOSED or self._timetable.phase(now_ns) is not Phase.CONTINUOUS:
            return replace(move, entries=self._enter(now_ns).entries)
        self._expect(TradingState.TRADING if opens and not self._batch else TradingState.CALL)
        return replace(move, call=not opens, resume=opens)

    def _enter(self, now_ns: int) -> BreakerMove:
        """The timetable leads into the present phase."""
        entry = self._timetable.enter(now_ns)
        self._expect(_SCHEDULED[entry.state])
        return BreakerMove(entries=(entry,))

    def _follow_mark(self, mark_ticks: int, session: int, late: bool) -> BreakerMove:
        """Move the band where the mark, a new session or the time of day asks for it, and the window with it."""
        begins, turns = session != self._session, late != self._late
        if begins:
            self._begin_session(mark_ticks, session)
        self._late = late
        assert self.band is not None
        reference = self.band.reference_ticks
        if self._by_host and (turns or self._has_moved(mark_ticks)):
            reference = mark_ticks
        move = BreakerMove()
        if turns or reference != self.band.reference_ticks or self._new_base_ticks(reference) is not None:
            move = self._move_band(reference)
        return replace(
            move,
            rule=self._rule() if begins or turns else None,
            windows_of_ticks=self._session_ticks if begins else None,
        )

    def _move_band(self, reference_ticks: int) -> BreakerMove:
        """Put the static band around a reference, and the window where that is near its edge."""
        base_ticks = self._new_base_ticks(reference_ticks)
        move = None
        if base_ticks is not None:
            before, behind = self.window, range(base_ticks, base_ticks + len(self.window))
            both = range(max(before.start, behind.start), min(before.stop, behind.stop))
            move = WindowMove(self._band_around(reference_ticks, both), base_ticks)
            self.window = behind
        self.band = self._band_around(reference_ticks, self.window)
        return BreakerMove(window=move, band=self.band)

    def _new_base_ticks(self, reference_ticks: int) -> int | None:
        """Where the window moves for a reference, as far as one tick of it stays; None where it stays as it is."""
        base_ticks, ticks = self.window.start, len(self.window)
        if min(reference_ticks - base_ticks, self.window[-1] - reference_ticks) >= self._margin_ticks:
            return None
        middle = min(max(reference_ticks - ticks // 2, 1), _PRICES - ticks)
        wanted = min(max(middle, base_ticks - ticks + 1), base_ticks + ticks - 1)
        return None if wanted == base_ticks else wanted

    def _lets_the_band_move(self, now_ns: int) -> bool:
        if not self._is_settled(now_ns):
            return False
        match self.state:
            case TradingState.LIMIT:
                return not self.until_ns
            case TradingState.CALL | TradingState.PRE_OPEN:
                return self._batch
        return True

    def _earliest_call_ns(self, now_ns: int) -> int:
        """When orders may collect at the earliest; the times of that are the device's timers'."""
        if not self._is_settled(now_ns):
            return now_ns
        times_ns = self._next_call_ns(now_ns), self._timetable.next_collecting_ns()
        return min((one for one in times_ns if one is not None), default=1 << 64)

    def _next_call_ns(self, now_ns: int) -> int | None:
        """The same without the timetable; None where there is no such time."""
        halt_ns = self.settings.halt_us * _NS_A_US
        trips = self._policy is BandPolicy.HALT
        limit_us = _TRIP_US if trips else self.settings.limit_us
        match self.state:
            case TradingState.TRADING:
                return now_ns + limit_us * _NS_A_US + halt_ns if limit_us else None
            case TradingState.LIMIT:
                return self.until_ns + halt_ns if self.until_ns else None
            case TradingState.HALTED:
                return self.until_ns or None
            case TradingState.CLOSED:
                return None
        return now_ns

    def _is_settled(self, now_ns: int) -> bool:
        """Whether no timer has ended the state since it was reported, and no entry of the timetable."""
        return (not self.until_ns or now_ns < self.until_ns) and not self._timetable.is_due(now_ns)

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

    def _band_around(self, reference_ticks: int, window: range) -> Band:
        """The band around a reference, cut off at the window's edges; a tick of the edge for a reference outside."""
        width = self._width_ticks(reference_ticks)
        lower, upper, reference = (
            min(max(ticks, window[0]), window[-1])
            for ticks in (reference_ticks - width, reference_ticks + width, reference_ticks)
        )
        return Band(lower, upper, reference)


_OPEN_STATES = (TradingState.TRADING, TradingState.LIMIT, TradingState.CALL)

_FREE_STATES = (TradingState.CALL, TradingState.PRE_OPEN)
"""States in which the window alone bounds what can be entered (in mode *batch* the band as well)."""

_SCHEDULED = {
    ScheduledState.PRE_OPEN: TradingState.PRE_OPEN,
    ScheduledState.OPENING_CALL: TradingState.CALL,
    ScheduledState.CLOSING_CALL: TradingState.CALL,
    ScheduledState.CLOSED: TradingState.CLOSED,
}
"""What an entry of the timetable leads to."""
