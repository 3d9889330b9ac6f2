from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from matplotlib.image import imread

from aebert.reporting.pictures import new_figure, write_pictures


def test_png_and_svg_show_the_same_and_are_the_same_each_time(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        figure, axes = new_figure()
        axes.plot([0, 1], [1, 0])
        paths = write_pictures(figure, tmp_path / folder / "x", "A title")
        assert [path.name for path in paths] == ["x.png", "x.svg"]
    assert imread(tmp_path / "a" / "x.png").shape[:2] == (800, 1200)
    svg = (tmp_path / "a" / "x.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    assert "A title" in svg
    for name in ("x.png", "x.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
