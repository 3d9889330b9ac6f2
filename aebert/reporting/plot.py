"""The search's front as a picture: trials on the search rows, before any fine-tuning."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aebert.reporting.costs import axis_label, trial_place
from aebert.reporting.pictures import BLACK, BLUE, BROWN, GREY, ORANGE, PURPLE, SKY, VIOLET, name_figure, new_figure
from aebert.reporting.report import Report
from aebert.reporting.tables import (
    explored,
    headline,
    scored_on,
)
from aebert.reporting.window import below, score_floor
from aebert.search.first import first_marks
from aebert.search.record import TrialRecord

# Marks of the first trials in the order of their registry, with some to spare for other studies.
_FIRST = (("s", BLACK), ("v", PURPLE), ("h", ORANGE), ("P", SKY), ("p", BROWN), ("<", VIOLET))


def front_figure(report: Report) -> Figure:
    """Headline metric by cost, with trials, first trials, front, and the dense model's level."""
    figure, axes = new_figure()
    _draw_trials(axes, report)
    _draw_front(axes, report)
    _draw_level(axes, report)
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
    name_figure(figure, f"{info.name}: what the search found")
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9.5, markerscale=0.8, borderpad=0.8)


def _draw_level(axes: Axes, report: Report) -> None:
    """Draw the dense model's score on the search rows as a line across."""
    score = headline(report.dense, report.info) if report.dense else math.nan
    if not math.isfinite(score):
        return
    axes.axhline(100 * score, color=BLACK, lw=1.1, ls=(0, (5, 4)), zorder=1, gid="dense level")
    # beside the axes, where no point can be
    look: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "fontsize": 9.5}
    axes.annotate("dense", (1, 100 * score), xytext=(5, 0), va="center", color=BLACK, **look)
