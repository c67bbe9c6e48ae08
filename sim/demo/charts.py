"""The charts of the demo's report. Colours are chosen to be read on white and on black."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from bandgap.sim.lab.statistics import QUANTILES, Latencies, nanoseconds

from .session import Chart, Halt
from .venue import source_name

TRADE, MARK, BAND, HALT = "#2f7df6", "#e8912d", "rgba(47,125,246,.55)", "rgba(229,72,77,.20)"
BAND_FILL = "rgba(47,125,246,.10)"
TEXT, GRID = "#8590a2", "rgba(133,144,162,.20)"
SOURCE_COLOURS = ("#2f7df6", "#12a594", "#8e6fe0", "#e5484d", "#e8912d")


def price_chart(times_ns: Sequence[int], chart: Chart, halts: Sequence[Halt], height: int, legend: bool) -> go.Figure:
    """Trades, mark price, band and halts of one instrument.

    Arguments
    ---------
    times_ns : When each value of the chart was taken.
    chart : The instrument.
    halts : Its halts.
    height : Height in pixels.
    legend : Whether the lines are named.
    """
    times_ms = _milliseconds(times_ns)
    figure = go.Figure()
    band: dict[str, Any] = {"mode": "lines", "hoverinfo": "skip", "line": {"color": BAND, "width": 1, "shape": "hv"}}
    figure.add_scatter(x=times_ms, y=chart.lower_ticks, showlegend=False, **band)
    figure.add_scatter(x=times_ms, y=chart.upper_ticks, name="band", fill="tonexty", fillcolor=BAND_FILL, **band)
    figure.add_scatter(
        x=times_ms, y=chart.mark_ticks, name="mark price", mode="lines", line={"color": MARK, "width": 1.5}
    )
    figure.add_scatter(
        x=times_ms,
        y=chart.last_ticks,
        name="last trade",
        mode="lines",
        connectgaps=True,
        line={"color": TRADE, "width": 1.6},
    )
    for halt in halts:
        end_ns = times_ns[-1] if halt.to_ns is None else halt.to_ns
        start_ms, end_ms = _milliseconds([halt.from_ns, end_ns])
        figure.add_vrect(x0=start_ms, x1=end_ms, fillcolor=HALT, line_width=0, layer="below")
    if legend and halts:
        figure.add_scatter(
            x=[None], y=[None], name="halt", mode="markers", marker={"symbol": "square", "size": 12, "color": HALT}
        )
    _style(figure, height, legend)
    _time_axis(figure, times_ms[-1])
    figure.update_yaxes(title="ticks" if legend else None, tickformat=",d")
    return figure


def oracle_chart(quotes: NDArray[np.void], marks_ticks: Sequence[int | None], times_ns: Sequence[int]) -> go.Figure:
    """What each source said an instrument was worth, and the mark price that came of it.

    Arguments
    ---------
    quotes : Of one instrument, `QUOTE_DTYPE`.
    marks_ticks, times_ns : The mark price, and when it was that.
    """
    figure = go.Figure()
    for source in np.unique(quotes["source"]).tolist():
        own = quotes[quotes["source"] == source]
        figure.add_scatter(
            x=_milliseconds(own["time_ns"].tolist()),
            y=own["price_ticks"].tolist(),
            name=source_name(source),
            mode="markers",
            marker={"color": SOURCE_COLOURS[source % len(SOURCE_COLOURS)], "size": 3.5, "opacity": 0.75},
        )
    times_ms = _milliseconds(times_ns)
    figure.add_scatter(
        x=times_ms, y=list(marks_ticks), name="mark price", mode="lines", line={"color": TEXT, "width": 1.5}
    )
    _style(figure, 330, legend=True)
    _time_axis(figure, times_ms[-1])
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


def _time_axis(figure: go.Figure, end_ms: int) -> None:
    """Minutes and seconds since the session began."""
    figure.update_xaxes(type="date", range=[0, end_ms], tickformat="%-M:%S", hoverformat="%-M:%S", nticks=12)


def _milliseconds(times_ns: Sequence[int]) -> list[int]:
    """The unit of a date axis."""
    return [time_ns // 1_000_000 for time_ns in times_ns]
