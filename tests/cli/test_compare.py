from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .conftest import Aebert

GOLDEN = Path(__file__).parent.parent / "golden" / "results" / "e605a85"


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return Path(shutil.copytree(GOLDEN, tmp_path / "a")), Path(shutil.copytree(GOLDEN, tmp_path / "b"))


def test_studies_stand_side_by_side(aebert: Aebert, pair: tuple[Path, Path], tmp_path: Path) -> None:
    done = aebert("compare", "a", pair[1], "--results", tmp_path, "--out", tmp_path / "both", "--over", "mb")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Files side by side\n")
    assert "NOT PAIRED: a, b." in done.out
    assert "What each front is worth" in done.out
    assert {path.name for path in tmp_path.glob("both.*")} == {"both.png", "both.svg"}


def test_markdown_can_be_pasted(aebert: Aebert, pair: tuple[Path, Path]) -> None:
    done = aebert("compare", *pair, "--markdown")
    assert done.code == 0
    assert done.out.startswith("**Files side by side**\n\n| study | file |")
    assert done.out.count("\n| --- | ") == 2


def test_models_are_sent_to_the_command_that_measures_them(aebert: Aebert, pair: tuple[Path, Path]) -> None:
    done = aebert("compare", pair[0], "dense.onnx")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "aebert: error: compare takes studies, got dense.onnx; `aebert profile` measures models and files\n"
    )
