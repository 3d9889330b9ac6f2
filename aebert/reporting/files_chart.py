"""The chart of the files that ship, as interactive plotly figures, one for each axis."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from aebert.reporting import units
from aebert.reporting.chart import CHART_LAYOUT
from aebert.reporting.files import paired_interval
from aebert.reporting.report import Report
from aebert.reporting.shipping import (
    CostAxis,
    ShippedFile,
    answer_of,
    beaten_by,
    cost_axes,
    files_of,
    is_tied,
)
from aebert.reporting.tables import finalist_key, sets_zeros

FADED = 0.4  # opacity of files that another one beats
TIED = " ≈"  # behind the name of a file whose score can't be told from that of the file to ship


def files_charts(report: Report) -> dict[str, tuple[CostAxis, go.Figure]]:
    """Headline metric on the report rows by cost, for each axis whose costs are known; empty before files are scored.

    `customdata[0]` of each point is the key of its model.
    """
    files = files_of(report)
    axes = [axis for axis in cost_axes(report.info.length) if axis.key != "removed" or not sets_zeros(report.info)]
    known = (axis for axis in axes if all(axis.cost(one) is not None for one in files))
    return {axis.key: (axis, _chart(report, files, axis)) for axis in known} if files else {}


def groups(
    report: Report, files: Sequence[ShippedFile], axis: CostAxis
) -> list[tuple[str, str, float, list[ShippedFile]]]:
    """What is drawn alike: role (whose colour it has), symbol, opacity, files."""
    best = answer_of(report, files)
    found: dict[tuple[str, str, float], list[ShippedFile]] = {}
    for one in files:
        beaten = not one.is_dense and one != best and beaten_by(one, files, axis) is not None
        found.setdefault((*_look(one, best), FADED if beaten else 1.0), []).append(one)
    return [(*look, members) for look, members in found.items()]


def _look(one: ShippedFile, best: ShippedFile | None) -> tuple[str, str]:
    if one == best:
        return "ship", "star" if one.is_dense else "diamond"
    if one.is_dense:
        return "ink", "star"
    return ("muted", "square-open") if one.model.is_baseline else ("tuned", "diamond")


def label_of(one: ShippedFile, best: ShippedFile | None, report: Report) -> str:
    """What stands beside a point: the model, of the dense one also the form, and whether its score is tied."""
    name = one.file if one.is_dense else one.profile.name
    return name + (TIED if best is not None and one != best and is_tied(one, best, report) else "")


def _chart(report: Report, files: Sequence[ShippedFile], axis: CostAxis) -> go.Figure:
    figure = go.Figure([_trace(report, files, axis, *group) for group in groups(report, files, axis)])
    dense = next((one for one in files if one.is_dense), None)
    figure.update_layout(
        **CHART_LAYOUT,
        xaxis={"title": {"text": axis.label}, "zeroline": False, "rangemode": "tozero"},
        yaxis={"title": {"text": f"{html.escape(report.info.metric)} × 100, report rows"}, "zeroline": False},
    )
    if dense is not None:
        figure.add_hline(y=100 * dense.score, line={"dash": "dot", "width": 1}, name="ink", layer="below")
    return figure


def _trace(
    report: Report,
    files: Sequence[ShippedFile],
    axis: CostAxis,
    role: str,
    symbol: str,
    opacity: float,
    drawn: Sequence[ShippedFile],
) -> go.Scatter:
    best = answer_of(report, files)
    spans = [one.interval or (one.score, one.score) for one in drawn]
    look: dict[str, Any] = {"symbol": symbol, "size": 15 if role == "ship" else 12}
    return go.Scatter(
        name=role,
        meta={"role": role},
        mode="markers+text",
        opacity=opacity,
        x=[axis.cost(one) for one in drawn],
        y=[100 * one.score for one in drawn],
        text=[f"  {html.escape(label_of(one, best, report))}  " for one in drawn],
        textposition=[_side(one, files, axis) for one in drawn],
        cliponaxis=False,
        error_y={
            "type": "data",
            "array": [100 * (high - one.score) for one, (_, high) in zip(drawn, spans, strict=True)],
            "arrayminus": [100 * (one.score - low) for one, (low, _) in zip(drawn, spans, strict=True)],
            "visible": any(one.interval for one in drawn),
        },
        customdata=[[finalist_key(one.model.name), _hover(one, report, files, axis)] for one in drawn],
        hovertemplate="%{customdata[1]}<extra></extra>",
        marker=look,
    )


def _side(one: ShippedFile, files: Sequence[ShippedFile], axis: CostAxis) -> str:
    """Where a label stands: towards the middle of the chart, so that none is cut off."""
    most = max(axis.cost(other) or 0.0 for other in files)
    return "middle right" if (axis.cost(one) or 0.0) <= most / 2 else "middle left"


def _hover(one: ShippedFile, report: Report, files: Sequence[ShippedFile], axis: CostAxis) -> str:
    better = None if one.is_dense else beaten_by(one, files, axis)
    interval = f" (95 %: {units.span(one.interval)})" if one.interval else ""
    found = one.from_dense
    lines = [
        f"<b>{html.escape(one.file)}</b>",
        f"{html.escape(report.info.metric)} {units.points(one.score)}{interval} on the report rows",
        *([f"{units.difference(found.value)} points vs dense ({paired_interval(found)})"] if found else []),
        f"{units.significant(one.profile.p50_ms)} ms, {units.megabytes(one.profile.size_bytes)} MB, "
        f"{units.percent(one.model.macs_removed)} of MACs removed",
        *([f"{html.escape(better.file)} costs no more and scores no less"] if better else []),
    ]
    return "<br>".join(lines)
