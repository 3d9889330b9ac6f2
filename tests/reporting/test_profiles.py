from __future__ import annotations

from aebert.reporting.profiles import profiles_table
from aebert.reporting.report import Report
from aebert.reporting.tables import Table


def _text(grid: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in grid.rows]


def test_profile_rows(report: Report) -> None:
    grid = profiles_table(report)
    assert _text(grid) == [
        ["dense", "float32", "8.0", "12.0", "13.0", "15.0", "80.0", "100.0", "–", "–", "80.0"],
        ["trial-2", "int8", "1.5", "3.00", "3.50", "4.00", "320", "–", "4.00×", "3.90–4.10", "77.0"],
    ]
    assert grid.note.endswith("Measured on: 1 thread(s).")
