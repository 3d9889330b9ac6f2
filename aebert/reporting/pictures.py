"""What the pictures of a report share: size, colours, and how they are written."""

from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from aebert.files import replacing

# Okabe & Ito's palette can be distinguished with any kind of colour vision; shapes differ as well.
GREY, BLACK, BLUE, VERMILLION = "#8c8c8c", "#222222", "#0072B2", "#D55E00"
PURPLE, ORANGE, SKY, BROWN, VIOLET = "#CC79A7", "#E69F00", "#56B4E9", "#7A5230", "#5B4FA2"
FORMATS = ("png", "svg")
_INCHES, _DPI = (12.0, 8.0), 100  # 1200 × 800 pixels


def new_figure() -> tuple[Figure, Axes]:
    """An empty figure of 1200 × 800 pixels, with a faint grid and no frame."""
    figure = Figure(figsize=_INCHES, dpi=_DPI, layout=ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.12))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.grid(color="#e6e6e6", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def name_figure(figure: Figure, title: str) -> None:
    """Write the title above everything."""
    figure.suptitle(title, fontsize=15, weight="bold", x=0.013, ha="left", parse_math=False)


def write_pictures(figure: Figure, stem: Path, title: str) -> list[Path]:
    """Write a figure as `stem` with each ending of `FORMATS`; the same figure gives the same bytes."""
    paths = {form: stem.with_name(f"{stem.name}.{form}") for form in FORMATS}
    for form, path in paths.items():
        # Matplotlib names the parts of an SVG by random numbers unless it is given a salt
        with replacing(path) as draft, warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": title}):
            # a model's path may hold signs that the font lacks: a box is drawn, the picture is fine
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            metadata = {"Title": title, **({"Date": None} if form == "svg" else {})}
            figure.savefig(draft, format=form, metadata=metadata)
    return list(paths.values())
