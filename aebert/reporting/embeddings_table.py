"""The table of how near the embeddings of each file are to the dense model's."""

from __future__ import annotations

from collections.abc import Sequence

from aebert.reporting import units
from aebert.reporting.embeddings import EmbeddingRow
from aebert.reporting.report import Report
from aebert.reporting.tables import Cell, Column, Table, number_columns


def embeddings_table(report: Report) -> Table:
    """Agreement and shared first hits of every file."""
    rows, first = report.embeddings, report.embeddings[0]
    columns = (Column("model", "text"), Column("file", "text"))
    numbers = number_columns("agreement", "95 %", f"first {first.hits} hits", "95 % ")
    return Table(
        f"Embeddings of {report.info.name}", (*columns, *numbers), tuple(map(_row, rows)), "\n".join(_note(rows))
    )


def _row(one: EmbeddingRow) -> tuple[Cell, ...]:
    return (
        Cell(one.name, one.name),
        Cell(one.kind, one.kind),
        Cell(units.points(one.agreement), one.agreement),
        _interval(one.agreement_interval),
        Cell(units.points(one.overlap), one.overlap),
        _interval(one.overlap_interval),
    )


def _interval(ends: tuple[float, float] | None) -> Cell:
    return Cell(units.span(ends), None if ends is None else ends[0])


def _note(rows: Sequence[EmbeddingRow]) -> list[str]:
    one = rows[0]
    where = "each other" if one.corpus is None else f"the {one.texts:,} texts of {one.corpus}"
    return [
        "agreement is the mean cosine similarity × 100 with the embeddings of the model that the run started from, on "
        "the report rows.",
        f"first {one.hits} hits: how many of the first {one.hits} that the same model finds (%) are found by this file "
        f"too, when the {one.queries:,} report texts are searched among {where}.",
    ]
