"""The files that ship as a picture: score on the report rows against the time of a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aebert.reporting.files_chart import groups, label_of
from aebert.reporting.pictures import BLACK, BLUE, GREY, VERMILLION, name_figure, new_figure
from aebert.reporting.report import Report
from aebert.reporting.shipping import CostAxis, ShippedFile, answer_of, cost_axes, files_of

_COLOURS = {"ship": BLUE, "tuned": VERMILLION, "muted": GREY, "ink": BLACK}
_MARKERS: dict[str, dict[str, Any]] = {
    "star": {"marker": "*", "ms": 15, "mec": "white"},
    "diamond": {"marker": "D", "ms": 9, "mec": "white"},
    "square-open": {"marker": "s", "ms": 8, "mfc": "none", "mew": 1.6},
}


def files_figure(report: Report, axis: str = "ms") -> Figure:
    """Headline metric of each file on the report rows with its 95 % interval, by one of `cost_axes`.

    The file to ship is blue; files that another one beats are faded; baselines are hollow.
    """
    figure, axes = new_figure()
    files = files_of(report)
    over = next(each for each in cost_axes(report.info.length) if each.key == axis)
    best = answer_of(report, files)
    for role, symbol, opacity, drawn in groups(report, files, over):
        _draw(axes, over, drawn, opacity, **_MARKERS[symbol], color=_COLOURS[role])
        for one in drawn:
            _name(axes, over, one, label_of(one, best, report), alpha=max(opacity, 0.6), color=_COLOURS[role])
    for one in files[:1]:  # the dense float32 file
        axes.axhline(100 * one.score, color=BLACK, lw=1.1, ls=(0, (1, 2)), zorder=1, gid="dense level")
    axes.set_xlabel(over.label, fontsize=12)
    axes.set_xlim(left=0)
    axes.set_ylabel(f"{report.info.metric} × 100 on the report rows (points)", fontsize=12, parse_math=False)
    title: dict[str, Any] = {"loc": "left", "parse_math": False}
    axes.set_title("\n".join(_subtitle(report, best)), fontsize=10.5, color="#444444", **title)
    name_figure(figure, f"{report.info.name}: the files that ship")
    return figure


def _draw(axes: Axes, over: CostAxis, drawn: Sequence[ShippedFile], opacity: float, **look: Any) -> None:
    xs, ys = [over.cost(one) or 0.0 for one in drawn], [100 * one.score for one in drawn]
    arms = [list(side) for side in zip(*map(_arms, drawn), strict=True)]
    axes.errorbar(xs, ys, yerr=arms, alpha=opacity, ls="none", capsize=4, elinewidth=1.4, zorder=5, **look)


def _name(axes: Axes, over: CostAxis, one: ShippedFile, text: str, **look: Any) -> None:
    place: dict[str, Any] = {"xytext": (8, 5), "textcoords": "offset points", "parse_math": False}
    axes.annotate(text, (over.cost(one) or 0.0, 100 * one.score), fontsize=11, zorder=6, **place, **look)


def _arms(one: ShippedFile) -> tuple[float, float]:
    """Lengths of the interval below and above the score, in points."""
    low, high = one.interval or (one.score, one.score)
    return 100 * max(0.0, one.score - low), 100 * max(0.0, high - one.score)


def _subtitle(report: Report, best: ShippedFile | None) -> list[str]:
    info = report.info
    rows = f"{report.rows['report']:,} report rows" if "report" in report.rows else "the report rows"
    lines = [f"{info.task} · {info.model} · {info.metric} × 100 of each file on {rows}, 95 % intervals"]
    if best is not None:
        lines.append(f"ship: {best.file}; ≈ its score can't be told from that; faded: another file is better")
    return lines
