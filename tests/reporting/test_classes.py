from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from aebert.reporting.classes import classes_table
from aebert.reporting.report import Report
from aebert.reporting.rows import ClassRow
from aebert.reporting.tables import Table

F1 = {
    ("dense", "float32"): {"PER": 0.9, "LOC": 0.8, "ORG": 0.5, "MISC": 0.0},
    ("dense", "int8"): {"PER": 0.875, "LOC": 0.825, "ORG": 0.5, "MISC": 0.0},
    ("trial-2", "float32"): {"PER": 0.1, "LOC": 0.1, "ORG": 0.1, "MISC": 0.1},
    ("trial-2", "int8"): {"PER": 0.95, "LOC": 0.7, "ORG": 0.5, "MISC": 0.5},
}
SUPPORT = {"PER": 1200, "LOC": 30, "ORG": 5, "MISC": 0}


def rows(scores: Mapping[tuple[str, str], Mapping[str, float]]) -> tuple[ClassRow, ...]:
    return tuple(
        ClassRow(*file, label, 0.25, 0.125, f1, SUPPORT[label])
        for file, classes in scores.items()
        for label, f1 in classes.items()
    )


@pytest.fixture
def classed(report: Report) -> Report:
    """With scores of four entity types, of which the report rows have three."""
    return replace(report, classes=rows(F1))


def _text(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def test_the_class_that_loses_most_in_a_shipped_file_comes_first(classed: Report) -> None:
    table = classes_table(classed)
    titles = ["class", "n", "dense", "dense int8", "vs dense", "trial-2 int8", "vs dense"]
    assert [column.title for column in table.columns] == titles
    assert _text(table) == [
        ["LOC", "30", "80.0", "82.5", "+2.5", "70.0", "-10.0"],
        ["PER", "1,200", "90.0", "87.5", "-2.5", "95.0", "+5.0"],
        ["ORG", "5", "50.0", "50.0", "±0.0", "50.0", "±0.0"],
        ["MISC", "0", "–", "–", "–", "–", "–"],
    ]
    assert table.note.startswith("LOC loses most: 10.0 points of F1 in the trial-2 int8 file.\n")
    assert "left out" not in table.note


def test_float32_files_ship_where_there_is_no_other(classed: Report) -> None:
    plain = {file: {"PER": 0.5} for file in F1 if file[1] == "float32"}
    table = classes_table(replace(classed, classes=rows(plain)))
    assert [column.title for column in table.columns] == ["class", "n", "dense", "trial-2 float32", "vs dense"]
    assert table.note.startswith("No class loses F1 in any of these files.\n")


def test_with_many_classes_those_that_lose_less_are_left_out(classed: Report) -> None:
    table = classes_table(classed, most=2)
    assert [row[0] for row in _text(table)] == ["LOC", "PER"]
    left = "2 of 4 classes, which lose less, are left out here; they are in summary.json and front.html."
    assert table.note.endswith(f"\n{left}")
    assert "left out" not in classes_table(classed, most=4).note
