"""The fronts of several studies in one picture."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from aebert.reporting.pictures import BLACK, BLUE, BROWN, GREY, ORANGE, PURPLE, SKY, VERMILLION, name_figure, new_figure
from aebert.reporting.shipping import beaten_by, cost_axes
from aebert.reporting.side_by_side import SideBySide

_LOOKS = tuple(zip((BLUE, VERMILLION, PURPLE, ORANGE, SKY, BROWN, BLACK, GREY), "oDs^vPX*", strict=True))


def side_by_side_figure(found: SideBySide, axis: str = "ms") -> Figure:
    """Headline metric of every file by one of `cost_axes`, with a line through the front of each study.

    Files that a file of the same study beats are faded.
    """
    figure, axes = new_figure()
    info = found.contenders[0].report.info
    over = next(each for each in cost_axes(info.length) if each.key == axis)
    for place, study in enumerate(found.contenders):
        color, marker = _LOOKS[place % len(_LOOKS)]
        known = [one for one in study.files if over.cost(one) is not None]
        front = sorted((one for one in known if beaten_by(one, known, over) is None), key=lambda one: one.score)
        look: dict[str, Any] = {"color": color, "marker": marker, "ms": 9, "mec": "white"}
        name = study.name.replace("$", r"\$")
        xs, ys = [over.cost(one) or 0.0 for one in front], [100 * one.score for one in front]
        axes.plot(xs, ys, lw=1.8, label=name, gid=study.name, zorder=5, **look)
        others = [one for one in known if one not in front]
        xs, ys = [over.cost(one) or 0.0 for one in others], [100 * one.score for one in others]
        axes.plot(xs, ys, ls="none", alpha=0.4, zorder=4, **look)
        for one in known:
            text = one.file if one.is_dense else one.profile.name
            spot = (over.cost(one) or 0.0, 100 * one.score)
            style: dict[str, Any] = {"xytext": (8, 5), "textcoords": "offset points", "parse_math": False}
            axes.annotate(text, spot, color=color, fontsize=9.5, zorder=6, **style)
    axes.set_xlabel(over.label, fontsize=12)
    axes.set_xlim(left=0)
    axes.set_ylabel(f"{info.metric} × 100 on the report rows (points)", fontsize=12, parse_math=False)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=10.5)
    name_figure(figure, "The files that ship, side by side")
    return figure
