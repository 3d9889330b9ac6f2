from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from aebert.errors import ConfigError, StudyError
from aebert.search.outcomes import Outcomes
from aebert.studies.side_by_side import compare_studies

GOLDEN = Path(__file__).parents[1] / "golden" / "results"


def _study(place: Path, golden: str = "e605a85") -> Path:
    return Path(shutil.copytree(GOLDEN / golden, place))


def _answer(folder: Path, right: dict[str, list[int]], rows: str = "f00") -> None:
    """What files predict on rows whose true class is 1, as a run keeps it."""
    (folder / "stages").mkdir()
    for name, predicted in right.items():
        marks = np.array([[one, 1] for one in predicted], dtype=np.float32)
        outcomes = Outcomes(np.zeros(len(marks), dtype=np.float32), marks).encode()
        detail = {"rows": [rows, 16], "metric": "accuracy", "labels": ["bad", "good"]}
        record = {"detail": detail, "result": {"outcomes": outcomes}}
        (folder / "stages" / f"report-{name}.json").write_text(json.dumps(record), encoding="utf-8")


def _names(folder: Path) -> list[str]:
    rows = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["profiles"]
    return [f"{row['name']}{'.int8' if row['kind'] == 'int8' else ''}" for row in rows]


def test_files_are_paired_where_both_answered_the_same_rows(tmp_path: Path) -> None:
    first, second = _study(tmp_path / "a"), _study(tmp_path / "b")
    names, half = _names(first), [1, 0] * 20
    _answer(first, dict.fromkeys(names, half))
    # ten rows more are right, none less
    _answer(second, dict.fromkeys(names, [1, 0] * 10 + [1] * 20))
    found = compare_studies(["a", "b"], tmp_path)
    assert [each.name for each in found.contenders] == ["a", "b"]
    gaps = [gap for gap in found.gaps if gap.study == "b"]
    assert len(gaps) == len(found.contenders[1].files)
    for gap in gaps:
        assert gap.paired
        assert gap.found.value == pytest.approx(0.25)
        # a paired error is that of the ten rows: the root of 0.25 · 0.75 / 40
        assert gap.found.high - gap.found.value == pytest.approx(2.093 * 0.0685, rel=0.15)
        assert gap.found.than == found.reference.file


@pytest.mark.parametrize("lost", ["rows", "answers"])
def test_other_rows_are_not_paired(tmp_path: Path, lost: str) -> None:
    first, second = _study(tmp_path / "a"), _study(tmp_path / "b")
    names = _names(first)
    _answer(first, dict.fromkeys(names, [1, 0] * 20))
    if lost == "rows":
        _answer(second, dict.fromkeys(names, [1, 0] * 20), rows="other")
    gaps = [gap for gap in compare_studies(["a", "b"], tmp_path).gaps if gap.study == "b"]
    assert gaps
    assert not any(gap.paired for gap in gaps)
    for gap in gaps:
        assert gap.found.low < gap.found.value < gap.found.high


def test_studies_of_every_version_are_compared(tmp_path: Path) -> None:
    folders = [folder for folder in sorted(GOLDEN.iterdir()) if "minilm" not in folder.name]
    found = compare_studies([str(folder) for folder in folders], tmp_path)
    assert len(found.contenders) == len(folders) > 5
    assert all(each.files for each in found.contenders)


def test_what_can_not_be_compared_is_one_line(tmp_path: Path) -> None:
    first = _study(tmp_path / "a")
    with pytest.raises(ConfigError, match="takes two studies or more, got 1"):
        compare_studies(["a"], tmp_path)
    with pytest.raises(ConfigError, match="takes each study once"):
        compare_studies(["a", str(first)], tmp_path)
    with pytest.raises(ConfigError, match="studies of one metric: a has accuracy, ncbi-disease-minilm has f1"):
        compare_studies(["a", str(GOLDEN / "ncbi-disease-minilm")], tmp_path)
    second = _study(tmp_path / "b")
    summary = json.loads((second / "summary.json").read_text(encoding="utf-8"))
    (second / "summary.json").write_text(json.dumps({**summary, "profiles": []}), encoding="utf-8")
    with pytest.raises(StudyError, match="study 'b' has no files that were scored and measured"):
        compare_studies(["a", "b"], tmp_path)


def test_studies_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    _study(tmp_path / "x" / "toy")
    _study(tmp_path / "y" / "toy")
    found = compare_studies([str(tmp_path / "x" / "toy"), str(tmp_path / "y" / "toy")], tmp_path)
    assert [each.name for each in found.contenders] == [str(tmp_path / "x" / "toy"), str(tmp_path / "y" / "toy")]
