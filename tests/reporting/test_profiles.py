from __future__ import annotations

from dataclasses import replace

from aebert.reporting.profiles import profiles_table
from aebert.reporting.report import Report
from aebert.reporting.tables import Table


def _text(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def test_profile_rows(report: Report) -> None:
    table = profiles_table(report)
    assert _text(table) == [
        ["dense", "float32", "8.0", "12.0", "13.0", "15.0", "80.0", "100.0", "–", "–", "80.0"],
        ["trial-2", "int8", "1.5", "3.00", "3.50", "4.00", "320", "–", "4.00×", "3.90–4.10", "77.0"],
    ]
    assert table.note.startswith("trial-2 int8 is the fastest file: 4.00 times as fast as dense float32.\n")
    assert table.note.endswith("Measured on: 1 thread(s).")


def test_without_a_comparison_no_file_is_called_the_fastest(report: Report) -> None:
    alone = replace(report, profiles=report.profiles[:1], machine={})
    assert profiles_table(alone).note.startswith("p50, p90 and p99 are percentiles")
    assert "Measured on" not in profiles_table(alone).note
