"""The demo's report: one HTML page that needs nothing else."""

from collections import Counter
from pathlib import Path
from typing import BinaryIO

import jinja2
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from bandgap.hdl.protocol.reports import TradingState
from bandgap.host.config import VenueConfig
from bandgap.sim.flow.flash_crash import Session
from bandgap.sim.statistics import QUANTILES
from bandgap.sim.summary import Check, Line, clock_note

from .charts import close_up_chart, latency_chart, oracle_chart, price_chart
from .session import Recording, Stop

TEMPLATE = "page.html"
CLOSE_UP_MARGIN_NS = 8_000_000_000
"""How much is shown before a stop's begin and behind its end."""


def write_page(
    file: BinaryIO,
    title: str,
    venue: VenueConfig,
    session: Session,
    recording: Recording,
    lines: list[Line],
    checks: list[Check],
) -> None:
    """Write the report.

    Arguments
    ---------
    file : Where to.
    title : What was run, in a few words.
    venue, session, recording : What it was run on, what came in, and what happened.
    lines : The summary table.
    checks : What was proved.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    names = [instrument.name for instrument in venue.instruments]
    prices = [
        price_chart(
            recording.start_ns,
            chart,
            recording.tape.tracks[number],
            height=430 if number == 0 else 250,
            legend=number == 0,
        )
        for number, chart in enumerate(recording.charts)
    ]
    latencies = recording.statistics.latencies
    quotes = session.quotes[session.quotes["instrument"] == 0]
    page = environment.get_template(TEMPLATE).render(
        title=title,
        plotly=get_plotlyjs(),
        headlines=_headlines(recording, checks),
        names=names,
        prices=[_html(figure, f"price-{number}") for number, figure in enumerate(prices)],
        close_up=_close_up(recording, names),
        oracle=_html(oracle_chart(quotes, recording.charts[0].mark_ticks, recording.start_ns), "oracle"),
        latency=_html(latency_chart(latencies), "latency") if latencies.measured else None,
        clock_note=clock_note(),
        lines=lines,
        checks=checks,
        stops=[_describe(stop, names) for stop in recording.stops],
        rejects=_shares(recording.statistics.rejects),
        liquidations=[(clock(time_ns), venue.accounts[account].name) for time_ns, account in recording.liquidations],
        closing_orders=recording.closing_orders,
        covered_quote=recording.covered_quote,
    )
    file.write(page.encode())


def clock(time_ns: int) -> str:
    """Minutes and seconds since the session began."""
    minutes, rest_ns = divmod(time_ns, 60 * 10**9)
    return f"{minutes}:{rest_ns / 1e9:05.2f}"


def length(from_ns: int, to_ns: int | None) -> str:
    """How long something took."""
    return "until the end" if to_ns is None else f"{(to_ns - from_ns) / 1e9:.2f} s"


def _headlines(recording: Recording, checks: list[Check]) -> list[tuple[str, str]]:
    """The figures that stand above everything: what, and how much."""
    statistics = recording.statistics
    halts = sum(stop.halted_ns is not None for stop in recording.stops)
    auctions = sum(one.trades > 0 for track in recording.tape.tracks for one in track.auctions)
    latencies = statistics.latencies
    return [
        ("messages", f"{sum(statistics.requests.values()):,}"),
        ("trades", f"{statistics.reports['TRADE']:,}"),
        ("limit states", str(count_limit_states(recording))),
        ("halts", str(halts)),
        ("auctions", str(auctions)),
        ("liquidations", str(len(recording.liquidations))),
        ("median latency", f"{latencies.quantile(QUANTILES['p50'])} cycles" if latencies.measured else "no clock"),
        ("checks passed", f"{sum(passed for _, passed, _ in checks)} of {len(checks)}"),
    ]


def count_limit_states(recording: Recording) -> int:
    """How often a best price came to stand at its bound."""
    return sum(phase.state is TradingState.LIMIT for track in recording.tape.tracks for phase in track.phases)


def _describe(stop: Stop, names: list[str]) -> tuple[str, str, str, str, str, str]:
    """A row of the table: instrument, cause, begin, time until halted, length, and the auction that ended it."""
    halted = "never" if stop.halted_ns is None else f"{(stop.halted_ns - stop.from_ns) / 1e9:.2f} s"
    auction = stop.auction
    ended = ""
    if auction is not None:
        ended = f"{auction.volume_lots:,} at {auction.price_ticks:,}" if auction.trades else "nothing to trade"
    return (
        names[stop.instrument],
        stop.cause.value,
        clock(stop.from_ns),
        halted,
        length(stop.from_ns, stop.to_ns),
        ended,
    )


def _close_up(recording: Recording, names: list[str]) -> tuple[str, str] | None:
    """The first stop that an auction with trades ended: the instrument's name, and a chart from before it to behind."""
    for stop in recording.stops:
        if stop.to_ns is not None and stop.auction is not None and stop.auction.trades:
            number = stop.instrument
            figure = close_up_chart(
                recording.start_ns,
                recording.charts[number],
                recording.tape.tracks[number],
                max(0, stop.from_ns - CLOSE_UP_MARGIN_NS),
                stop.to_ns + CLOSE_UP_MARGIN_NS,
            )
            return names[number], _html(figure, "close-up")
    return None


def _shares(counts: Counter[str]) -> list[tuple[str, str, float]]:
    """Name, count and share of the largest in percent, most frequent first."""
    largest = max(counts.values(), default=1)
    return [
        (name.lower().replace("_", " "), f"{count:,}", 100 * count / largest) for name, count in counts.most_common()
    ]


def _html(figure: go.Figure, name: str) -> str:
    """A chart without the library, which the page holds once; the name makes equal charts equal text."""
    text: str = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=name,
        config={"displayModeBar": False, "responsive": True},
    )
    return text
