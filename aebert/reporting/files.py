"""The table of the files that ship, which the chart of files is drawn from."""

from __future__ import annotations

import math
from collections.abc import Iterator

from aebert.reporting import units
from aebert.reporting.report import Report
from aebert.reporting.rows import FileDifference
from aebert.reporting.shipping import ShippedFile, answer_of, beaten_by, cost_axes, files_of, is_tied
from aebert.reporting.tables import Cell, Column, Table, finalist_key, ranked_columns, removed_title


def files_table(report: Report) -> Table:
    """The dense model's files, then those that ship: score, difference from dense, time, size, shares removed."""
    files = files_of(report)
    numbers = {report.info.metric: 0, "95 %": 1, "vs dense": 0, "paired 95 %": 2, "ms": 0, "MB": 0}
    removed = ranked_columns({"MACs removed": 2, removed_title(report.info): 3, "MACs (M)": 3})
    return Table(
        f"Files of {report.info.name}",
        (Column("file", "text", 0), *ranked_columns(numbers), Column("verdict", "text", 0), *removed),
        tuple(_row(one, report) for one in files),
        "\n".join(_note(report)),
    )


def _row(one: ShippedFile, report: Report) -> tuple[Cell, ...]:
    found, profile, macs = one.from_dense, one.profile, one.macs
    value = None if found is None else found.value
    return (
        Cell(one.file, one.file, finalist_key(one.model.name)),
        Cell(units.points(one.score), one.score),
        Cell(units.span(one.interval), one.interval and one.interval[0]),
        Cell(units.difference(value), value),
        Cell(paired_interval(found), None if found is None or math.isnan(found.low) else found.low),
        Cell(units.significant(profile.p50_ms), profile.p50_ms),
        Cell(units.megabytes(profile.size_bytes), profile.size_bytes),
        Cell(", ".join(_verdict(one, report)), one.file),
        Cell(units.percent(one.model.macs_removed), one.model.macs_removed),
        Cell(units.percent(one.model.sparsity), one.model.sparsity),
        Cell(units.MISSING if macs is None else units.significant(macs / 1e6), macs),
    )


def paired_interval(found: FileDifference | None) -> str:
    """The interval of a difference in points."""
    if found is None or math.isnan(found.low):
        return units.MISSING
    return f"{units.difference(found.low)} to {units.difference(found.high)}"


def _verdict(one: ShippedFile, report: Report) -> Iterator[str]:
    files = files_of(report)
    best = answer_of(report, files)
    if one == best:
        yield "ship this"
    elif best is not None and is_tied(one, best, report):
        yield f"score tied with {best.file}"
    if one.model.is_baseline:
        yield "baseline"
    by_time = next(axis for axis in cost_axes(report.info.length) if axis.key == "ms")
    better = beaten_by(one, files, by_time)
    if better is not None:
        yield f"slower and no better than {better.file}"


def _note(report: Report) -> Iterator[str]:
    rows = f"{report.rows['report']:,} " if "report" in report.rows else ""
    yield (
        f"{report.info.metric} × 100 of these very files on the {rows}report rows, with its 95 % interval; vs dense is "
        "the difference from the dense float32 file on the same rows, in points, with the interval of that."
    )
    yield "ms is the median time of a call, MB are 10^6 bytes; both forms of the dense model are there to compare with."
    if report.profiles and not report.differences:
        yield "This study was made by a version that did not compare files row by row, so ties are not known."
