"""What is seen of a session while it runs: state, band, reference and countdown of every breaker, and the last news."""

import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bandgap.hdl.protocol.reports import TradingState
from bandgap.sim.command_line import progress_bar

from .page import clock
from .session import STEP_NS, Recording
from .tape import Auction, Phase, Track

REFRESHES_A_SECOND = 20
EVENTS = 6

_STYLES = {
    TradingState.TRADING: ("trading", "green"),
    TradingState.LIMIT: ("limit state", "yellow"),
    TradingState.HALTED: ("halted", "red"),
    TradingState.CALL: ("auction call", "magenta"),
    TradingState.PRE_OPEN: ("pre-open", "cyan"),
    TradingState.CLOSED: ("closed", "dim"),
}


class LiveView:
    """A context in which a session is shown on a terminal; elsewhere nothing is.

    Arguments
    ---------
    console : Where.
    names : Of the instruments.
    messages : How many requests the session has.
    pace : How many simulated seconds a second shows while a breaker is at work; zero: as many as there can be.
    """

    def __init__(self, console: Console, names: Sequence[str], messages: int, pace: float) -> None:
        self._names = names
        self._pace = pace if console.is_terminal else 0
        self._recording: Recording | None = None
        self._time_ns = 0
        self._events: deque[Text] = deque(maxlen=EVENTS)
        self._told = [(1, 0)] * len(names)  # phases and auctions; the first phase is before the opening
        self._progress = progress_bar(console)
        self._task = self._progress.add_task("session", total=messages)
        self._live = Live(
            get_renderable=self._render, console=console, refresh_per_second=REFRESHES_A_SECOND, transient=True
        )

    def __enter__(self) -> Self:
        self._live.start()
        self._step_began_s = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def follow(self, recording: Recording, time_ns: int, carried: int) -> None:
        """A step is over."""
        self._recording, self._time_ns = recording, time_ns
        self._progress.advance(self._task, carried)
        for number, track in enumerate(recording.tape.tracks):
            self._note(number, track)
        if self._pace and any(track.phase.state in _AT_WORK for track in recording.tape.tracks):
            time.sleep(max(0.0, self._step_began_s + STEP_NS / 1e9 / self._pace - time.perf_counter()))
        self._step_began_s = time.perf_counter()

    def _note(self, number: int, track: Track) -> None:
        """Keep what is new on an instrument's tape."""
        phases, auctions = self._told[number]
        news = [(phase.from_ns, 1, _describe_phase(phase)) for phase in track.phases[phases:]]
        news += [(auction.time_ns, 0, _describe_auction(auction)) for auction in track.auctions[auctions:]]
        self._told[number] = len(track.phases), len(track.auctions)
        for at_ns, _, what in sorted(news, key=lambda one: one[:2]):
            self._events.append(Text.assemble((f"{clock(at_ns):>8}  ", "dim"), f"{self._names[number]:<10}", what))

    def _render(self) -> RenderableType:
        if self._recording is None:
            return self._progress
        return Group(self._table(self._recording), Padding(Group(*self._events), (0, 1)), self._progress)

    def _table(self, recording: Recording) -> Table:
        table = Table(box=box.SIMPLE_HEAD, title=Text(f"{clock(self._time_ns)} of the session"), title_justify="left")
        table.add_column("instrument", min_width=10)
        table.add_column("state", min_width=12)
        for name, width in (("ends in", 8), ("band", 15), ("reference", 9), ("last", 7), ("auction", 8)):
            table.add_column(name, justify="right", min_width=width)
        for name, track in zip(self._names, recording.tape.tracks, strict=True):
            table.add_row(name, *self._cells(track))
        return table

    def _cells(self, track: Track) -> list[Text]:
        phase = track.phase
        state, style = _STYLES[phase.state]
        left_s = (phase.until_ns - self._time_ns) / 1e9
        band = track.bands[-1] if track.bands else None
        if phase.state is TradingState.CALL and track.auction_bands:
            band = track.auction_bands[-1]
        return [
            Text(state, style),
            Text(f"{left_s:.2f} s" if phase.until_ns and left_s > 0 else "", style),
            Text(f"{band.lower_ticks:,} - {band.upper_ticks:,}" if band else ""),
            Text(f"{band.reference_ticks:,}" if band else ""),
            Text(f"{track.prints[-1][1]:,}" if track.prints else ""),
            Text(_indicative(track), "magenta"),
        ]


def _indicative(track: Track) -> str:
    """What the call that is on would come to, as told last."""
    if track.phase.state is not TradingState.CALL or not track.indicatives:
        return ""
    time_ns, price_ticks = track.indicatives[-1]
    return f"{price_ticks:,}" if price_ticks and time_ns > track.phase.from_ns else ""


_AT_WORK = (TradingState.LIMIT, TradingState.HALTED, TradingState.CALL)


def _describe_phase(phase: Phase) -> Text:
    state, style = _STYLES[phase.state]
    until = f" until {clock(phase.until_ns)}" if phase.until_ns else ""
    return Text.assemble((state, style), (until, "dim"))


def _describe_auction(auction: Auction) -> Text:
    if not auction.trades:
        return Text("auction: nothing to trade", "magenta")
    return Text(f"auction: {auction.volume_lots:,} lots at {auction.price_ticks:,}", "magenta")
