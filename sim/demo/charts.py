"""The charts of the demo's report. Colours are chosen to be read on white and on black."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from bandgap.sim.lab.statistics import QUANTILES, Latencies, nanoseconds

from .session import STEP_NS, Chart, Halt
from .venue import source_name

TRADE, MARK, BAND, HALT = "#2f7df6", "#e8912d", "rgba(47,125,246,.55)", "rgba(229,72,77,.20)"
BAND_FILL = "rgba(47,125,246,.10)"
TEXT, GRID = "#8590a2", "rgba(133,144,162,.20)"
SOURCE_COLOURS = ("#2f7df6", "#12a594", "#8e6fe0", "#e5484d", "#8590a2")


def price_chart(start_ns: int, chart: Chart, halts: Sequence[Halt], height: int, legend: bool) -> go.Figure:
    """Trades, mark price, band and halts of one instrument.

    Arguments
    ---------
    start_ns : When the chart's first step began; `STEP_NS` lie between two.
    chart : The instrument.
    halts : Its halts.
    height : Height in pixels.
    legend : Whether the lines are named.
    """
    end_ns = start_ns + len(chart.last_ticks) * STEP_NS
    steps: dict[str, Any] = {"x0": _date(start_ns), "dx": STEP_NS // 1_000_000, "mode": "lines"}
    edge: dict[str, Any] = {"hoverinfo": "skip", "line": {"color": BAND, "width": 1, "shape": "hv"}}
    figure = go.Figure()
    figure.add_scatter(y=chart.lower_ticks, showlegend=False, **edge, **steps)
    figure.add_scatter(y=chart.upper_ticks, name="band", fill="tonexty", fillcolor=BAND_FILL, **edge, **steps)
    figure.add_scatter(y=chart.mark_ticks, name="mark price", line={"color": MARK, "width": 1.5}, **steps)
    figure.add_scatter(
        y=chart.last_ticks,
        name="last trade",
        connectgaps=True,
        line={"color": TRADE, "width": 1.6, "shape": "hv"},
        **steps,
    )
    for halt in halts:
        until_ns = end_ns if halt.to_ns is None else halt.to_ns
        figure.add_vrect(x0=_date(halt.from_ns), x1=_date(until_ns), fillcolor=HALT, line_width=0, layer="below")
    if halts:
        square = {"symbol": "square", "size": 12, "color": HALT}
        figure.add_scatter(x=[_date(start_ns)], y=[None], name="halt", mode="markers", marker=square)
    _style(figure, height, legend)
    _time_axis(figure, end_ns, tick_minutes=1 if legend else 2)
    figure.update_yaxes(title="ticks" if legend else None, tickformat=",d")
    return figure


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
    _time_axis(figure, start_ns + len(marks_ticks) * STEP_NS, tick_minutes=2)
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
        customdata=[nanoseconds(cycle) for cycle in cycles.tolist()],
        hovertemplate="%{x} cycles (%{customdata:,} ns): %{y:,} commands<extra></extra>",
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
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hovermode="x unified" if legend else "closest",
        hoverlabel={"bgcolor": "#1c2230", "font": {"color": "#e8ecf3"}},
    )
    for axes in (figure.update_xaxes, figure.update_yaxes):
        axes(gridcolor=GRID, linecolor=GRID, zeroline=False, automargin=True)


def _time_axis(figure: go.Figure, end_ns: int, tick_minutes: int) -> None:
    """Minutes and seconds since the session began."""
    figure.update_xaxes(
        type="date",
        range=[_date(0), _date(end_ns)],
        tickformat="%-M:%S",
        hoverformat="%-M:%S.%2f",
        dtick=tick_minutes * 60_000,
    )


def _date(time_ns: int) -> str:
    """A time of the session as a date axis takes it."""
    return (datetime(1970, 1, 1) + timedelta(microseconds=time_ns // 1_000)).isoformat(timespec="milliseconds")
