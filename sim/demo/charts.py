"""The charts of the demo's report. Colours are chosen to be read on white and on black."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from bandgap.hdl.protocol.reports import TradingState
from bandgap.sim.statistics import QUANTILES, Latencies

from .session import STEP_NS, Chart
from .tape import Bounds, Phase, Track
from .venue import source_name

TRADE, MARK, BAND, AUCTION = "#2f7df6", "#e8912d", "rgba(47,125,246,.55)", "#8e6fe0"
BAND_FILL = "rgba(47,125,246,.10)"
TEXT, GRID = "#8590a2", "rgba(133,144,162,.20)"
SOURCE_COLOURS = ("#2f7df6", "#12a594", "#8e6fe0", "#e5484d", "#8590a2")
SHADES = {
    TradingState.LIMIT: ("limit state", "rgba(240,180,41,.38)"),
    TradingState.HALTED: ("halt", "rgba(229,72,77,.22)"),
    TradingState.CALL: ("auction call", "rgba(142,111,224,.26)"),
}
"""The states in which an instrument does not trade freely: what the legend calls them, and their colour."""


def price_chart(start_ns: int, chart: Chart, track: Track, height: int, legend: bool) -> go.Figure:
    """Trades, mark price, band, states and auctions of one instrument.

    Arguments
    ---------
    start_ns : When the chart's first step began; `STEP_NS` lie between two.
    chart, track : The instrument.
    height : Height in pixels.
    legend : Whether the lines are named.
    """
    end_ns = start_ns + len(chart.last_ticks) * STEP_NS
    steps: dict[str, Any] = {"x0": _date(start_ns), "dx": STEP_NS // 1_000_000, "mode": "lines"}
    figure = go.Figure()
    _draw_band(figure, track.bands, end_ns)
    figure.add_scatter(y=chart.mark_ticks, name="mark price", line={"color": MARK, "width": 1.5}, **steps)
    figure.add_scatter(
        y=chart.last_ticks,
        name="last trade",
        connectgaps=True,
        line={"color": TRADE, "width": 1.6, "shape": "hv"},
        **steps,
    )
    _draw_states(figure, track.phases, end_ns)
    _draw_auctions(figure, track, 8 if legend else 6)
    _style(figure, height, legend)
    _time_axis(figure, 0, end_ns, tick_s=60 if legend else 120)
    figure.update_yaxes(title="ticks" if legend else None, tickformat=",d")
    return figure


def close_up_chart(start_ns: int, chart: Chart, track: Track, from_ns: int, to_ns: int) -> go.Figure:
    """A stretch of a price chart, trade by trade, with the auction bands.

    Arguments
    ---------
    start_ns : When the chart's first step began.
    chart, track : The instrument.
    from_ns, to_ns : The stretch.
    """
    prints = [(time_ns, price) for time_ns, price in track.prints if from_ns <= time_ns <= to_ns]
    figure = go.Figure()
    _draw_band(figure, track.bands, to_ns, from_ns)
    figure.add_scatter(
        x0=_date(start_ns),
        dx=STEP_NS // 1_000_000,
        y=chart.mark_ticks[: (to_ns - start_ns) // STEP_NS + 1],
        name="mark price",
        mode="lines",
        line={"color": MARK, "width": 1.8},
    )
    figure.add_scatter(
        x=[_date(time_ns) for time_ns, _ in prints],
        y=[price for _, price in prints],
        name="trade",
        mode="markers",
        marker={"color": TRADE, "size": 5, "opacity": 0.75},
    )
    _draw_auction_bands(figure, track, from_ns, to_ns)
    _draw_indicatives(figure, track, from_ns, to_ns)
    _draw_states(figure, track.phases, to_ns, from_ns)
    _draw_auctions(figure, track, 11, from_ns, to_ns)
    _style(figure, 400, legend=True)
    _time_axis(figure, from_ns, to_ns, tick_s=5)
    figure.update_yaxes(title="ticks", tickformat=",d")
    return figure


def _draw_band(figure: go.Figure, bands: Sequence[Bounds], end_ns: int, from_ns: int = 0) -> None:
    """The static band, moving when the device said so; drawn from the last one before `from_ns` on."""
    first = max((place for place, band in enumerate(bands) if band.from_ns <= from_ns), default=0)
    shown = [band for band in bands[first:] if band.from_ns <= end_ns]
    if not shown:
        return
    times = [_date(max(band.from_ns, from_ns)) for band in shown] + [_date(end_ns)]
    edge: dict[str, Any] = {"x": times, "mode": "lines", "line": {"color": BAND, "width": 1, "shape": "hv"}}
    figure.add_scatter(y=[band.lower_ticks for band in [*shown, shown[-1]]], showlegend=False, hoverinfo="skip", **edge)
    figure.add_scatter(
        y=[band.upper_ticks for band in [*shown, shown[-1]]],
        name="band",
        fill="tonexty",
        fillcolor=BAND_FILL,
        hoverinfo="skip",
        **edge,
    )


def _draw_states(figure: go.Figure, phases: Sequence[Phase], end_ns: int, from_ns: int = 0) -> None:
    """A shade behind each time at which the instrument did not trade freely; before it has opened there is none."""
    seen = set()
    for phase in phases[1:]:
        begin_ns, over_ns = max(phase.from_ns, from_ns), min(end_ns if phase.to_ns is None else phase.to_ns, end_ns)
        if phase.state in SHADES and begin_ns < over_ns:
            seen.add(phase.state)
            figure.add_vrect(
                x0=_date(begin_ns), x1=_date(over_ns), fillcolor=SHADES[phase.state][1], line_width=0, layer="below"
            )
    for state, (name, colour) in SHADES.items():
        if state in seen:
            square = {"symbol": "square", "size": 12, "color": colour}
            figure.add_scatter(x=[_date(from_ns)], y=[None], name=name, mode="markers", marker=square)


def _draw_auctions(figure: go.Figure, track: Track, size: int, from_ns: int = 0, to_ns: int | None = None) -> None:
    """A diamond at the time and price of each auction that traded."""
    last_ns = to_ns or track.phase.from_ns
    traded = [one for one in track.auctions if one.trades and from_ns <= one.time_ns <= last_ns]
    if traded:
        figure.add_scatter(
            x=[_date(one.time_ns) for one in traded],
            y=[one.price_ticks for one in traded],
            name="auction",
            mode="markers",
            marker={"symbol": "diamond", "size": size, "color": AUCTION, "line": {"color": "#fff", "width": 1}},
            customdata=[[one.volume_lots, one.trades] for one in traded],
            hovertemplate="auction at %{y:,d}: %{customdata[0]:,d} lots, %{customdata[1]:,d} trades<extra></extra>",
        )


def _draw_indicatives(figure: go.Figure, track: Track, from_ns: int, to_ns: int) -> None:
    """What the auction would have come to, while orders collected; a line for each call."""
    x: list[str | None] = []
    y: list[int | None] = []
    for call in (phase for phase in track.phases if phase.state is TradingState.CALL):
        over_ns = min(to_ns, to_ns if call.to_ns is None else call.to_ns)
        told = [one for one in track.indicatives if max(call.from_ns, from_ns) < one[0] <= over_ns]
        x += [*(_date(time_ns) for time_ns, _ in told), None]
        y += [*(price or None for _, price in told), None]
    line = {"color": AUCTION, "width": 1.6}
    figure.add_scatter(x=x, y=y, name="indicative price", mode="lines", line=line)


def _draw_auction_bands(figure: go.Figure, track: Track, from_ns: int, to_ns: int) -> None:
    """Where an auction could have traded, wider with each extension."""
    x: list[str | None] = []
    lower: list[int | None] = []
    upper: list[int | None] = []
    for call in (phase for phase in track.phases if phase.state is TradingState.CALL):
        over_ns = to_ns if call.to_ns is None else call.to_ns
        bands = [band for band in track.auction_bands if call.from_ns <= band.from_ns < over_ns]
        if not bands or over_ns < from_ns or call.from_ns > to_ns:
            continue
        times = [band.from_ns for band in bands] + [min(over_ns, to_ns)]
        x += [*map(_date, times), None]
        lower += [band.lower_ticks for band in [*bands, bands[-1]]] + [None]
        upper += [band.upper_ticks for band in [*bands, bands[-1]]] + [None]
    edge: dict[str, Any] = {"x": x, "mode": "lines", "hoverinfo": "skip"}
    line = {"color": AUCTION, "width": 1.3, "dash": "dot", "shape": "hv"}
    figure.add_scatter(y=lower, showlegend=False, line=line, **edge)
    figure.add_scatter(y=upper, name="auction band", line=line, **edge)


def oracle_chart(quotes: NDArray[np.void], marks_ticks: Sequence[int | None], start_ns: int) -> go.Figure:
    """What each source said an instrument was worth, and the mark price that came of it.

    Arguments
    ---------
    quotes : Of one instrument, `QUOTE_DTYPE`.
    marks_ticks : The mark price, `STEP_NS` apart.
    start_ns : When it was the first of them.
    """
    figure = go.Figure()
    for source in np.unique(quotes["source"]).tolist():
        own = quotes[quotes["source"] == source]
        figure.add_scatter(
            x=[_date(time_ns) for time_ns in own["time_ns"].tolist()],
            y=own["price_ticks"].tolist(),
            name=source_name(source),
            mode="markers",
            marker={"color": SOURCE_COLOURS[source % len(SOURCE_COLOURS)], "size": 4, "opacity": 0.7},
        )
    figure.add_scatter(
        x0=_date(start_ns),
        dx=STEP_NS // 1_000_000,
        y=list(marks_ticks),
        name="mark price",
        mode="lines",
        line={"color": MARK, "width": 2},
    )
    _style(figure, 330, legend=True)
    _time_axis(figure, 0, start_ns + len(marks_ticks) * STEP_NS, tick_s=120)
    figure.update_yaxes(title="ticks", tickformat=",d")
    return figure


def latency_chart(latencies: Latencies) -> go.Figure:
    """How many commands took how many cycles; what is beyond p99.9 is told by the table."""
    shown = latencies.counts[: latencies.quantile(QUANTILES["p99.9"]) + 1]
    cycles = np.flatnonzero(shown)
    figure = go.Figure()
    figure.add_bar(
        x=cycles.tolist(),
        y=shown[cycles].tolist(),
        marker={"color": TRADE, "line": {"width": 0}},
        hovertemplate="%{x} cycles: %{y:,} commands<extra></extra>",
    )
    for name in ("p50", "p99", "p99.9"):
        figure.add_vline(
            x=latencies.quantile(QUANTILES[name]),
            line={"color": MARK, "width": 1.5, "dash": "dot"},
            annotation={"text": name, "font": {"color": MARK, "size": 12}, "yanchor": "bottom"},
            annotation_position="top",
        )
    _style(figure, 330, legend=False)
    figure.update_layout(bargap=0.15, margin={"t": 30})
    figure.update_xaxes(title="clock cycles", tickformat=",d")
    figure.update_yaxes(title="commands (logarithmic)", type="log", dtick=1, tickformat=",d")
    return figure


def _style(figure: go.Figure, height: int, legend: bool) -> None:
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "inherit", "size": 12, "color": TEXT},
        showlegend=legend,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        hovermode="x unified" if legend else "closest",
        hoverlabel={"bgcolor": "#1c2230", "font": {"color": "#e8ecf3"}},
    )
    for axes in (figure.update_xaxes, figure.update_yaxes):
        axes(gridcolor=GRID, linecolor=GRID, zeroline=False, automargin=True)


def _time_axis(figure: go.Figure, from_ns: int, end_ns: int, tick_s: int) -> None:
    """Minutes and seconds since the session began."""
    figure.update_xaxes(
        type="date",
        range=[_date(from_ns), _date(end_ns)],
        tickformat="%-M:%S",
        hoverformat="%-M:%S.%2f",
        dtick=tick_s * 1_000,
    )


def _date(time_ns: int) -> str:
    """A time of the session as a date axis takes it."""
    return (datetime(1970, 1, 1) + timedelta(microseconds=time_ns // 1_000)).isoformat(timespec="milliseconds")
