"""The Pareto front as an interactive plotly figure."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from aebert.pruning.architecture import Architecture
from aebert.reporting import units
from aebert.reporting.costs import axis_label, cost_text, finalist_cost, finalist_place, trial_place
from aebert.reporting.report import Report
from aebert.reporting.rows import FinalistRow
from aebert.reporting.tables import (
    dense_finalist,
    explored,
    finalist_key,
    headline,
    metric_of,
    trial_key,
)
from aebert.reporting.window import score_floor
from aebert.search.first import first_marks
from aebert.search.record import TrialRecord

_SHOWN_BLOCKS = 24  # blocks per hover line; the panel beside the chart shows all

# Marks of the first trials in the order of their registry, with some to spare for other studies; page.css has colours.
_FIRST = ("square", "triangle-down", "hexagon", "cross", "pentagon", "triangle-left")

# The marks of a finalist's two files are moved apart by these shares of the chart's width, so that both can be seen.
_SIDE = {"float32": -0.004, "int8": 0.004}


def front_chart(report: Report) -> go.Figure:
    """Headline metric by cost; `customdata[0]` of each point is the key of its architecture.

    The page's script fills in its colours from CSS variables, so that the chart follows the light and the dark theme.
    """
    figure = go.Figure()
    for trace in (*_trial_traces(report), *_finalist_traces(report)):
        figure.add_trace(trace)
    metric = html.escape(report.info.metric)
    figure.update_layout(
        template="none",
        xaxis={"title": {"text": axis_label(report)}, "zeroline": False},
        yaxis={"title": {"text": f"{metric} × 100 (points)"}, "zeroline": False},
        legend={"orientation": "h", "y": -0.2, "x": 0, "xanchor": "left", "yanchor": "top"},
        margin={"l": 64, "r": 16, "t": 16, "b": 120},
        hoverlabel={"align": "left"},
        hovermode="closest",
        dragmode="zoom",
        height=600,
    )
    _add_levels(figure, report)
    floor = score_floor(report)
    if floor is not None:
        figure.update_yaxes(autorangeoptions={"minallowed": floor})
    return figure


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
        name=f"{name} (search rows)",
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
            *_blocks(trial.architecture),
        ]
    )


def _size(cost: float | None, params: int, report: Report) -> str:
    return ", ".join(dict.fromkeys([cost_text(cost, report), f"{units.millions(params)} M parameters"]))


def _blocks(architecture: Architecture) -> list[str]:
    lines = []
    for name, counts in (("heads", architecture.heads), ("FFN", architecture.ffn)):
        more = " …" if len(counts) > _SHOWN_BLOCKS else ""
        lines.append(f"{name} {' '.join(map(str, counts[:_SHOWN_BLOCKS]))}{more}")
    return lines


def _finalist_traces(report: Report) -> list[go.Scatter]:
    traces = []
    for kind, role, symbol in (("float32", "tuned", "diamond"), ("int8", "int8", "triangle-up")):
        scored = [row for row in report.finalists if _scored(row, kind)[0] is not None]
        if rows := [row for row in scored if not row.is_baseline]:
            traces.append(_finalists(report, rows, f"fine-tuned {kind}", kind, role, symbol))
        if rows := [row for row in scored if row.is_baseline]:
            traces.append(_finalists(report, rows, f"first layers {kind}", kind, role, f"{symbol}-open"))
    return traces


def _scored(row: FinalistRow, kind: str) -> tuple[Any, tuple[float, float] | None]:
    if kind == "float32":
        return row.report_metrics, row.report_interval
    return row.int8_report_metrics, row.int8_report_interval


def _finalists(report: Report, rows: Sequence[FinalistRow], name: str, kind: str, role: str, symbol: str) -> go.Scatter:
    scored = [_scored(row, kind) for row in rows]
    scores = [metric_of(metrics, report.info.metric) or 0.0 for metrics, _ in scored]
    spans = [bounds or (score, score) for score, (_, bounds) in zip(scores, scored, strict=True)]
    pairs = list(zip(scores, spans, strict=True))
    return go.Scatter(
        name=f"{name} (report rows)",
        meta={"role": role},
        mode="markers",
        x=[finalist_place(row, report) + _SIDE[kind] * _width(report) for row in rows],
        y=[100 * score for score in scores],
        error_y={
            "type": "data",
            "array": [100 * (high - score) for score, (_, high) in pairs],
            "arrayminus": [100 * (score - low) for score, (low, _) in pairs],
            "visible": any(bounds for _, bounds in scored),
        },
        customdata=[[finalist_key(row.name), _finalist_hover(row, report, kind)] for row in rows],
        hovertemplate="%{customdata[1]}<extra></extra>",
        marker={"symbol": symbol, "size": [16 if row.chosen else 12 for row in rows], "opacity": 1},
    )


def _width(report: Report) -> float:
    """The distance on the axis from the cheapest trial to the dearest."""
    places = [trial_place(trial, report) for trial in report.trials]
    return max(places) - min(places) if places else 0.0


def _finalist_hover(row: FinalistRow, report: Report, kind: str) -> str:
    metrics, bounds = _scored(row, kind)
    score = units.points(metric_of(metrics, report.info.metric))
    interval = f" (95 %: {units.span(bounds)})" if bounds else ""
    return "<br>".join(
        [
            f"<b>{html.escape(row.name)}</b> {kind}{', chosen' if row.chosen else ''}",
            f"{html.escape(report.info.metric)} {score}{interval} on the report rows",
            _size(finalist_cost(row, report), row.params, report),
            *_blocks(row.architecture),
        ]
    )


def _add_levels(figure: go.Figure, report: Report) -> None:
    dense = dense_finalist(report.finalists)
    on_search = headline(report.dense, report.info) if report.dense else None
    on_report = metric_of(dense.report_metrics, report.info.metric) if dense else None
    for score, role, dash in ((on_search, "ink", "dash"), (on_report, "tuned", "dot")):
        if score is not None and math.isfinite(score):
            figure.add_hline(y=100 * score, line={"dash": dash, "width": 1}, name=role, layer="below")
