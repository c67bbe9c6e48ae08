"""The circuit breaker of one instrument, as far as the host decides it: where the band lies and when trading halts.

The device keeps every trade inside the band. A trade at a bound trips the breaker: trading halts for a set time and
resumes around the mark price of then. Without a mark price, or with one outside the window, trading halts until there
is one.
"""

from dataclasses import dataclass
from enum import Enum

_PPM = 1_000_000


class HaltCause(Enum):
    """Why an instrument does not trade."""

    OPENING = "opening"
    """It has not traded yet."""
    BREAKER = "breaker"
    """A trade printed at the band's bound."""
    ORACLE = "oracle"
    """There is no mark price, or it lies outside the window."""
    WATCHDOG = "watchdog"
    """The host was silent for too long."""


@dataclass(frozen=True)
class Band:
    """Bounds of trade prices, around a reference price; all in ticks."""

    lower_ticks: int
    upper_ticks: int
    reference_ticks: int


@dataclass(frozen=True)
class BreakerMove:
    """What the device is to be told, in this order: `halt`, the new `band`, `resume`."""

    halt: bool = False
    band: Band | None = None
    resume: bool = False


class Breaker:
    """State and decisions of one instrument.

    Parameters
    ----------
    window_base_ticks, window_ticks : The window; the band never leaves it.
    width_ppm : Half width of the band as a share of the mark price; one tick at least.
    step_ppm : The band follows when the mark has moved by this share of the half width.
    halt_ns : How long a trip halts trading.

    Attributes
    ----------
    band : The band in force, None before the first.
    trading : Whether the device lets it trade.
    cause : Why it does not trade; the last cause while it does.
    """

    def __init__(
        self, *, window_base_ticks: int, window_ticks: int, width_ppm: int, step_ppm: int, halt_ns: int
    ) -> None:
        self._window = range(window_base_ticks, window_base_ticks + window_ticks)
        self._width_ppm = width_ppm
        self._step_ppm = step_ppm
        self._halt_ns = halt_ns
        self._halted_until_ns = 0
        self.band: Band | None = None
        self.trading = False
        self.cause = HaltCause.OPENING

    def decide(self, mark_ticks: int | None, now_ns: int) -> BreakerMove:
        """What to do now; the caller tells the device, which reports the trading state (`follow`).

        Parameters
        ----------
        mark_ticks : The mark price; None without a quorum.
        """
        if now_ns < self._halted_until_ns:
            return BreakerMove(halt=self.trading)
        if mark_ticks is None or mark_ticks not in self._window:
            self.cause = HaltCause.ORACLE if self.trading else self.cause
            return BreakerMove(halt=self.trading)
        if self.trading and not self._has_moved(mark_ticks):
            return BreakerMove()
        self.band = self._band_around(mark_ticks)
        return BreakerMove(band=self.band, resume=not self.trading)

    def trade(self, price_ticks: int, time_ns: int) -> bool:
        """A trade printed; whether it trips the breaker. While tripped, more trades at a bound change nothing."""
        if self.band is None or time_ns < self._halted_until_ns:
            return False
        if self.band.lower_ticks < price_ticks < self.band.upper_ticks:
            return False
        self._halted_until_ns = time_ns + self._halt_ns
        self.cause = HaltCause.BREAKER
        return True

    def follow(self, trading: bool, by_watchdog: bool) -> None:
        """The device has reported a new trading state."""
        self.trading = trading
        if by_watchdog:
            self.cause = HaltCause.WATCHDOG

    def _has_moved(self, mark_ticks: int) -> bool:
        assert self.band is not None
        reference = self.band.reference_ticks
        return abs(mark_ticks - reference) * _PPM >= self._width_ticks(reference) * self._step_ppm

    def _width_ticks(self, reference_ticks: int) -> int:
        return max(1, reference_ticks * self._width_ppm // _PPM)

    def _band_around(self, mark_ticks: int) -> Band:
        width = self._width_ticks(mark_ticks)
        return Band(max(self._window[0], mark_ticks - width), min(self._window[-1], mark_ticks + width), mark_ticks)
