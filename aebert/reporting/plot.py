"""The Pareto front as a picture."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from aebert.files import replacing
from aebert.reporting.costs import axis_label, finalist_place, trial_place
from aebert.reporting.report import Report
from aebert.reporting.rows import FinalistRow
from aebert.reporting.tables import (
    dense_finalist,
    explored,
    headline,
    metric_of,
    scored_on,
)
from aebert.reporting.window import below, score_floor
from aebert.search.first import first_marks
from aebert.search.record import TrialRecord

# Okabe & Ito's palette can be distinguished with any kind of colour vision; shapes differ as well.
GREY, BLACK, BLUE, VERMILLION, GREEN = "#8c8c8c", "#222222", "#0072B2", "#D55E00", "#009E73"
PURPLE, ORANGE, SKY, BROWN, VIOLET = "#CC79A7", "#E69F00", "#56B4E9", "#7A5230", "#5B4FA2"
# Marks of the first trials in the order of their registry, with some to spare for other studies.
_FIRST = (("s", BLACK), ("v", PURPLE), ("h", ORANGE), ("P", SKY), ("p", BROWN), ("<", VIOLET))
_INCHES, _DPI = (12.0, 8.0), 100  # 1200 × 800 pixels


def write_front_png(report: Report, path: Path) -> None:
    """Write the picture, 1200 × 800 pixels."""
    figure = front_figure(report)
    with replacing(path) as draft, warnings.catch_warnings():
        # a model's path may hold signs that the font lacks: a box is drawn, the picture is fine
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(draft, format="png", metadata={"Title": f"Pareto front of {report.info.name}"})


def front_figure(report: Report) -> Figure:
    """Headline metric by cost, with trials, first trials, front, dense level, and what was fine-tuned after it."""
    figure = Figure(figsize=_INCHES, dpi=_DPI, layout=ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.12))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _draw_trials(axes, report)
    _draw_front(axes, report)
    _draw_finalists(axes, report)
    _draw_levels(axes, report)
    _describe(figure, axes, report)
    return figure


def _draw_trials(axes: Axes, report: Report) -> None:
    of = _by_origin(report.trials)
    full, stopped = (explored(report.trials, stopped=flag) for flag in (False, True))
    small: dict[str, Any] = {"color": GREY, "zorder": 2}
    _scatter(axes, report, full, "trials", label="trial (search rows)", alpha=0.5, s=34, **small)
    label = "stopped by a race (estimate)"
    _scatter(axes, report, stopped, "stopped", label=label, alpha=0.55, s=22, marker="x", linewidths=0.9, **small)
    for method, (marker, color) in first_marks(report.trials, _FIRST):
        # drawn over the front, which may pass through them, and hollow, so that it shows
        hollow: dict[str, Any] = {"facecolors": "none", "edgecolors": color, "linewidths": 1.8, "zorder": 5.5}
        label = f"first trial: {method} (search rows)".replace("$", r"\$")  # a study's folder may be called anything
        _scatter(axes, report, of(method), method, label=label, s=105, marker=marker, **hollow)
    _scatter(
        axes,
        report,
        of("dense"),
        "dense",
        label="dense model (search rows)",
        color=BLACK,
        marker="*",
        s=190,
        zorder=6,
    )


def _by_origin(trials: Sequence[TrialRecord]) -> Callable[[str], list[TrialRecord]]:
    return lambda origin: [trial for trial in trials if trial.origin == origin]


def _scatter(axes: Axes, report: Report, trials: Sequence[TrialRecord], gid: str, **style: Any) -> None:
    if trials:
        axes.scatter(*_places(trials, report), gid=gid, **style)


def _places(trials: Sequence[TrialRecord], report: Report) -> tuple[list[float], list[float]]:
    return [trial_place(t, report) for t in trials], [100 * headline(t, report.info) for t in trials]


def _draw_front(axes: Axes, report: Report) -> None:
    style: dict[str, Any] = {
        "color": BLUE,
        "lw": 2.2,
        "marker": "o",
        "ms": 6.5,
        "mec": "white",
        "mew": 0.9,
        "zorder": 5,
    }
    axes.plot(*_places(report.front, report), gid="front", label="Pareto front (search rows)", **style)


def _draw_finalists(axes: Axes, report: Report) -> None:
    left, right = axes.get_xlim()
    shift = 0.004 * (right - left)  # so that the two intervals of a model stand side by side
    for title, baselines in (("fine-tuned", False), ("first layers", True)):
        rows = [row for row in report.finalists if row.is_baseline is baselines]
        float32 = [_Mark(row, row.report_metrics, row.report_interval) for row in rows]
        int8 = [_Mark(row, row.int8_report_metrics, row.int8_report_interval) for row in rows]
        look: dict[str, Any] = {"mfc": "none", "mew": 1.8} if baselines else {"mec": "white", "mew": 1.0}
        _errorbar(axes, report, f"{title} float32", float32, -shift, color=VERMILLION, marker="D", **look)
        _errorbar(axes, report, f"{title} int8", int8, shift, color=GREEN, marker="^", **look)
    _ring_chosen(axes, report, -shift)


@dataclass(frozen=True)
class _Mark:
    """A finalist with the scores of one of its two files."""

    row: FinalistRow
    metrics: Mapping[str, float] | None
    bounds: tuple[float, float] | None

    def height(self, metric: str) -> float:
        """Score in points; NaN, which is not drawn, where it was not measured."""
        score = metric_of(self.metrics, metric)
        return math.nan if score is None else 100 * score

    def arms(self, metric: str) -> tuple[float, float]:
        """Lengths of the interval below and above the score, in points."""
        height = self.height(metric)
        low, high = (100 * self.bounds[0], 100 * self.bounds[1]) if self.bounds else (height, height)
        return max(0.0, height - low), max(0.0, high - height)


def _errorbar(axes: Axes, report: Report, title: str, marks: Sequence[_Mark], shift: float, **style: Any) -> None:
    metric, marks = report.info.metric, [mark for mark in marks if mark.metrics is not None]
    if not marks:
        return
    xs = [finalist_place(mark.row, report) + shift for mark in marks]
    ys = [mark.height(metric) for mark in marks]
    arms = [list(side) for side in zip(*(mark.arms(metric) for mark in marks), strict=True)]
    interval = ", 95 %" if any(mark.bounds for mark in marks) else ""
    look: dict[str, Any] = {
        "ls": "none",
        "ms": 9,
        "capsize": 4,
        "elinewidth": 1.4,
        "zorder": 7,
    }
    axes.errorbar(xs, ys, yerr=arms, label=f"{title} (report rows{interval})", **look, **style)


def _ring_chosen(axes: Axes, report: Report, shift: float) -> None:
    """Draw a ring around the model to use; with several budgets, around the one to use at each."""
    scores = [(row, metric_of(row.report_metrics, report.info.metric)) for row in report.finalists if row.chosen]
    places = [(finalist_place(row, report) + shift, 100 * score) for row, score in scores if score is not None]
    if not places:
        return
    ring: dict[str, Any] = {"facecolors": "none", "edgecolors": VERMILLION, "linewidths": 1.8, "s": 270, "zorder": 8}
    axes.scatter(*zip(*places, strict=True), gid="chosen", label="chosen model", **ring)


def _describe(figure: Figure, axes: Axes, report: Report) -> None:
    info = report.info
    axes.set_xlabel(axis_label(report), fontsize=12)
    axes.set_ylabel(f"{info.metric} × 100 (points)", fontsize=12, parse_math=False)
    lost = sum(not math.isfinite(headline(trial, info)) for trial in report.trials)
    subtitle = [
        f"{info.task} · {info.model} · {len(report.trials)} trials ({info.sampler})",
        scored_on(report),
    ]
    subtitle += [f"{lost} trials without a finite score are not drawn"] if lost else []
    floor = score_floor(report)
    if floor is not None:
        axes.set_ylim(bottom=floor)
        subtitle.append(f"{below(report, floor)} trials below {floor:.1f} are not drawn")
    title: dict[str, Any] = {"loc": "left", "parse_math": False}
    axes.set_title("\n".join(subtitle), fontsize=10.5, color="#444444", **title)
    figure.suptitle(
        f"{info.name}: what the search found",
        fontsize=15,
        weight="bold",
        x=0.013,
        ha="left",
        parse_math=False,
    )
    axes.grid(color="#e6e6e6", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9.5, markerscale=0.8, borderpad=0.8)


def _draw_levels(axes: Axes, report: Report) -> None:
    """Draw the dense model's scores on the search rows and on the report rows as lines across."""
    metric, dense = report.info.metric, dense_finalist(report.finalists)
    on_search = headline(report.dense, report.info) if report.dense else None
    on_report = metric_of(dense.report_metrics, metric) if dense else None
    # the higher one is named above its line and the lower one below, so that close lines stay readable
    report_above = on_report is not None and (on_search is None or on_report >= on_search)
    _level(axes, on_search, "dense, search rows", BLACK, (5, 4), above=not report_above)
    _level(axes, on_report, "dense, report rows", VERMILLION, (1, 2), above=report_above)


def _level(axes: Axes, score: float | None, text: str, color: str, dashes: tuple[int, int], *, above: bool) -> None:
    if score is None or not math.isfinite(score):
        return
    axes.axhline(100 * score, color=color, lw=1.1, ls=(0, dashes), zorder=1, gid=text)
    # beside the axes, where no point can be
    look: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "fontsize": 9.5}
    place: dict[str, Any] = {"xytext": (5, 1 if above else -1), "va": "bottom" if above else "top"}
    axes.annotate(text.replace(", ", ",\n"), (1, 100 * score), color=color, **look, **place)
