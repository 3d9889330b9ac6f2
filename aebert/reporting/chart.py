"""The search's front as an interactive plotly figure: trials on the search rows, before any fine-tuning."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from aebert.pruning.architecture import Architecture
from aebert.reporting import units
from aebert.reporting.costs import axis_label, cost_text, trial_place
from aebert.reporting.report import Report
from aebert.reporting.tables import by_layer, explored, headline, trial_key, unit_names
from aebert.reporting.window import score_floor
from aebert.search.first import first_marks
from aebert.search.record import TrialRecord

# What the page's charts have in common
CHART_LAYOUT: dict[str, Any] = {
    "template": "none",
    "showlegend": False,
    "margin": {"l": 64, "r": 16, "t": 16, "b": 56},
    "hoverlabel": {"align": "left"},
    "hovermode": "closest",
    "dragmode": "zoom",
    "height": 480,
}
_SHOWN_BLOCKS = 24  # blocks per hover line; the panel beside the chart shows all

# Marks of the first trials in the order of their registry, with some to spare for other studies; page.css has colours.
_FIRST = ("square", "triangle-down", "hexagon", "cross", "pentagon", "triangle-left")


def front_chart(report: Report) -> go.Figure:
    """Headline metric by cost; `customdata[0]` of each point is the key of its architecture.

    The page's script fills in its colours from CSS variables, so that the chart follows the light and the dark theme.
    """
    figure = go.Figure()
    for trace in _trial_traces(report):
        figure.add_trace(trace)
    metric = html.escape(report.info.metric)
    figure.update_layout(
        **CHART_LAYOUT,
        xaxis={"title": {"text": axis_label(report)}, "zeroline": False},
        yaxis={"title": {"text": f"{metric} × 100 (points)"}, "zeroline": False},
    )
    _add_level(figure, report)
    floor = score_floor(report)
    if floor is not None:
        figure.update_yaxes(autorangeoptions={"minallowed": floor})
    return figure


def front_legend(report: Report) -> list[tuple[str, str, str]]:
    """The marks of `front_chart` in words: role, whose colour it has, plotly symbol, and what it is."""
    drawn = (trace for trace in _trial_traces(report) if len(trace.x))
    return [(trace.meta["role"], trace.marker.symbol, trace.name) for trace in drawn]


def progress_chart(report: Report) -> go.Figure | None:
    """Hypervolume of the front by trial; None where the study did not record it."""
    known = [trial for trial in report.trials if trial.hypervolume is not None]
    if not known:
        return None
    figure = go.Figure(
        go.Scatter(
            meta={"role": "front"},
            mode="lines",
            line={"shape": "hv"},
            x=[trial.number for trial in known],
            y=[trial.hypervolume for trial in known],
            customdata=[[trial_key(trial.number), html.escape(trial.origin)] for trial in known],
            hovertemplate="trial %{x} (%{customdata[1]}): %{y:.4f}<extra></extra>",
        )
    )
    figure.update_layout(
        template="none",
        xaxis={"title": {"text": "trial"}, "zeroline": False, "rangemode": "tozero"},
        yaxis={"title": {"text": "hypervolume"}, "zeroline": False},
        margin={"l": 64, "r": 16, "t": 16, "b": 48},
        hoverlabel={"align": "left"},
        hovermode="closest",
        dragmode="zoom",
        height=300,
    )
    return figure


def _trial_traces(report: Report) -> list[go.Scatter]:
    marks = first_marks(report.trials, _FIRST)
    drawn = ("dense", *(method for method, _ in marks))
    of = {origin: [trial for trial in report.trials if trial.origin == origin] for origin in drawn}
    full, stopped = (explored(report.trials, stopped=flag) for flag in (False, True))
    found = [_trials(report, full, "trial", "muted", symbol="circle", size=8, opacity=0.55)]
    if stopped:
        look: dict[str, Any] = {"symbol": "x-thin-open", "size": 7, "opacity": 0.55}
        found.append(_trials(report, stopped, "stopped by a race, estimate", "muted", **look))
    return [
        *found,
        _trials(
            report,
            report.front,
            "Pareto front",
            "front",
            mode="lines+markers",
            symbol="circle",
            size=10,
        ),
        # over the front, which may pass through them; hollow, so that it shows
        *(
            _trials(report, of[method], _named(method), f"first-{symbol}", symbol=f"{symbol}-open", size=12)
            for method, symbol in marks
            if of[method]
        ),
        _trials(report, of["dense"], "dense model", "ink", symbol="star", size=15),
    ]


def _named(method: str) -> str:
    return f"first trial: {html.escape(method)}"


def _trials(
    report: Report, trials: Sequence[TrialRecord], name: str, role: str, mode: str = "markers", **marker: Any
) -> go.Scatter:
    info = report.info
    drawn = [trial for trial in trials if math.isfinite(headline(trial, info))]
    return go.Scatter(
        name=name,
        meta={"role": role},
        mode=mode,
        x=[trial_place(trial, report) for trial in drawn],
        y=[100 * headline(trial, info) for trial in drawn],
        customdata=[[trial_key(trial.number), _trial_hover(trial, report)] for trial in drawn],
        hovertemplate="%{customdata[1]}<extra></extra>",
        marker=marker,
    )


def _trial_hover(trial: TrialRecord, report: Report) -> str:
    score = headline(trial, report.info)
    seen = "the search rows"
    if trial.stopped_at is not None:
        seen = f"{trial.stopped_at:,} of {report.info.scored_rows:,} search rows (estimated)"
    return "<br>".join(
        [
            f"<b>trial {trial.number}</b> ({html.escape(trial.origin)})",
            f"{html.escape(report.info.metric)} {units.points(score)} on {seen}, loss {trial.loss:.3f}",
            _size(report.axis.cost(trial), trial.params, report),
            *_blocks(by_layer(trial.architecture, report.info), report),
        ]
    )


def _size(cost: float | None, params: int, report: Report) -> str:
    return ", ".join(dict.fromkeys([cost_text(cost, report), f"{units.millions(params)} M parameters"]))


def _blocks(architecture: Architecture, report: Report) -> list[str]:
    lines = []
    attention, ffn = unit_names(report.info)
    for name, counts in ((attention, architecture.heads), (ffn, architecture.ffn)):
        more = " …" if len(counts) > _SHOWN_BLOCKS else ""
        lines.append(f"{name.removesuffix(' neurons')} {' '.join(map(str, counts[:_SHOWN_BLOCKS]))}{more}")
    return lines


def _add_level(figure: go.Figure, report: Report) -> None:
    score = headline(report.dense, report.info) if report.dense else math.nan
    if math.isfinite(score):
        figure.add_hline(y=100 * score, line={"dash": "dash", "width": 1}, name="ink", layer="below")
