"""The table of the scores of each class: which classes the smaller models lose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from aebert.reporting import units
from aebert.reporting.report import Report
from aebert.reporting.rows import ClassRow
from aebert.reporting.shipped import FLOAT32
from aebert.reporting.tables import Cell, Column, Table, dense_finalist, difference_cell, number_columns


@dataclass(frozen=True)
class _File:
    """title: model and kind of file. classes: by name, in the order of their ids."""

    title: str
    classes: Mapping[str, ClassRow]

    def f1(self, label: str) -> float | None:
        """F1 of a class; None where it has no row, which says nothing about it."""
        row = self.classes[label]
        return row.f1 if row.support else None

    def minus(self, other: _File, label: str) -> float:
        """How much higher the F1 of a class is than in another file; 0 where the class has no row."""
        return (self.f1(label) or 0.0) - (other.f1(label) or 0.0)


def classes_table(report: Report, most: int | None = None) -> Table:
    """F1 of each class in the dense float32 file and in the file that each model ships, the largest loss first.

    most: how many classes are shown; None for all.
    """
    dense, *shipped = _files(report)
    ranked = sorted(dense.classes, key=lambda label: _worst(label, dense, shipped)[0])
    titles = (title for file in shipped for title in (file.title, "vs dense"))
    return Table(
        f"Classes of {report.info.name}",
        (Column("class", "text", 0), *number_columns("n"), Column(dense.title, rank=0), *number_columns(*titles)),
        tuple(_row(label, dense, shipped) for label in ranked[:most]),
        "\n".join(_note(ranked, most, dense, shipped)),
    )


def _files(report: Report) -> list[_File]:
    """The dense float32 file, then what each model ships: the quantized file where there is one."""
    found: dict[tuple[str, str], dict[str, ClassRow]] = {}
    for row in report.classes:
        found.setdefault((row.name, row.kind), {})[row.label] = row
    dense = dense_finalist(report.finalists)
    assert dense is not None
    shipped = [
        (row.name, "int8" if (row.name, "int8") in found else FLOAT32)
        for row in report.finalists
        if not row.is_baseline
    ]
    base = (dense.name, FLOAT32)
    return [_File(dense.name, found[base]), *(_File(" ".join(key), found[key]) for key in shipped if key != base)]


def _worst(label: str, dense: _File, shipped: Sequence[_File]) -> tuple[float, str]:
    """The largest loss of a class, as a difference from dense, and the file that has it."""
    return min(((file.minus(dense, label), file.title) for file in shipped), default=(0.0, dense.title))


def _row(label: str, dense: _File, shipped: Sequence[_File]) -> tuple[Cell, ...]:
    level, support = dense.f1(label), dense.classes[label].support
    scores = (cell for file in shipped for cell in _cells(file.f1(label), level))
    return Cell(label, label), Cell(f"{support:,}", support), Cell(units.points(level), level), *scores


def _cells(score: float | None, level: float | None) -> tuple[Cell, Cell]:
    return Cell(units.points(score), score), difference_cell(score, level)


def _note(ranked: Sequence[str], most: int | None, dense: _File, shipped: Sequence[_File]) -> Iterator[str]:
    difference, file = _worst(ranked[0], dense, shipped)
    lost = f"{ranked[0]} loses most: {units.points(-difference)} points of F1 in the {file} file."
    yield lost if difference < 0 else "No class loses F1 in any of these files."
    yield (
        "Scores are F1 × 100 of each class, for NER of each entity type, on the report rows; n is how many rows or "
        "entities it has there: with few of them, a difference may be chance."
    )
    yield (
        "dense is the dense float32 file, the others are the files that ship; vs dense is a difference in points. The "
        "class with the largest loss in any file comes first."
    )
    if most is not None and len(ranked) > most:
        left = f"{len(ranked) - most} of {len(ranked)} classes, which lose less, are left out here"
        yield f"{left}; they are in summary.json and front.html."
