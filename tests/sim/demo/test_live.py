"""What a terminal shows of a session."""

import io

import pytest
from rich.console import Console

from bandgap.hdl.protocol.reports import TradingState
from bandgap.sim.demo.live import LiveView
from bandgap.sim.demo.session import Chart, Recording
from bandgap.sim.demo.tape import Auction, Bounds, Phase, Tape, Track

SECOND_NS = 10**9

BANDS = [Bounds(0, 950, 1050, 1000)]


def recording_of(track: Track) -> Recording:
    tape = Tape(1)
    tape.tracks[0] = track
    return Recording([Chart()], tape)


def shown(track: Track, *, terminal: bool = True) -> str:
    """The screen three seconds into the session."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120, color_system=None)
    with LiveView(console, ["BTC-PERP"], 100, pace=0) as view:
        view.follow(recording_of(track), 3 * SECOND_NS, 40)
        if terminal:
            console.print(view._render())
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_state_band_reference_and_countdown_are_shown() -> None:
    phases = [Phase(TradingState.TRADING, 0), Phase(TradingState.LIMIT, 2 * SECOND_NS, until_ns=4_500_000_000)]
    text = shown(Track(bands=BANDS, phases=phases, prints=[(SECOND_NS, 951)]))
    for cell in ("BTC-PERP", "limit state", "1.50 s", "950 - 1,050", "1,000", "951", "40/100", "until 0:04.50"):
        assert cell in text, text


def test_a_call_shows_auction_band_and_indicative_price() -> None:
    phases = [Phase(TradingState.HALTED, 0), Phase(TradingState.CALL, SECOND_NS, until_ns=5 * SECOND_NS)]
    track = Track(
        bands=BANDS,
        auction_bands=[Bounds(SECOND_NS, 930, 1070, 1000)],
        phases=phases,
        indicatives=[(2 * SECOND_NS, 942)],
    )
    text = shown(track)
    for cell in ("auction call", "2.00 s", "930 - 1,070", "942"):
        assert cell in text, text


@pytest.mark.parametrize(
    ("auction", "what"),
    [
        (Auction(SECOND_NS, 942, 3, 1_500), "auction: 1,500 lots at 942"),
        (Auction(SECOND_NS, 0, 0, 0), "auction: nothing to trade"),
    ],
)
def test_news_of_auctions_are_shown(auction: Auction, what: str) -> None:
    phases = [Phase(TradingState.CALL, 0), Phase(TradingState.TRADING, SECOND_NS)]
    assert what in shown(Track(bands=BANDS, phases=phases, auctions=[auction]))


def test_nothing_is_shown_where_there_is_no_terminal() -> None:
    phases = [Phase(TradingState.TRADING, 0)]
    assert shown(Track(bands=BANDS, phases=phases), terminal=False) == ""


def test_pace_slows_down_while_a_breaker_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("bandgap.sim.demo.live.time.sleep", slept.append)
    console = Console(file=io.StringIO(), force_terminal=True)
    for state in (TradingState.TRADING, TradingState.CALL):
        with LiveView(console, ["BTC-PERP"], 100, pace=0.001) as view:
            view.follow(recording_of(Track(bands=BANDS, phases=[Phase(state, 0)])), 0, 1)
    (pause_s,) = slept
    assert 249 < pause_s < 250
