"""Several studies of one metric side by side: their files, how far these lie apart, and the area below their fronts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aebert.reporting import units
from aebert.reporting.files import paired_interval
from aebert.reporting.report import Report
from aebert.reporting.rows import FileDifference
from aebert.reporting.shipping import CostAxis, ShippedFile, answer_of, beaten_by, cost_axes
from aebert.reporting.tables import Cell, Column, Table, ranked_columns


@dataclass(frozen=True)
class Contender:
    """A study with its files: the dense model's, and the ones that ship. name: unique among the contenders."""

    name: str
    report: Report
    files: tuple[ShippedFile, ...]

    @property
    def best(self) -> ShippedFile:
        """The file that `aebert best` names; where it names none, the one that scores most."""
        return answer_of(self.report, self.files) or max(self.files, key=lambda one: one.score)


@dataclass(frozen=True)
class Gap:
    """How much a file scores above the reference, as shares, with a 95 % interval.

    paired: whether both answered the same rows; else the interval is that of two independent scores.
    """

    study: str
    found: FileDifference
    paired: bool


@dataclass(frozen=True)
class SideBySide:
    """contenders: the first one's `best` is the reference. gaps: of all other files, in the order of the contenders."""

    contenders: tuple[Contender, ...]
    gaps: tuple[Gap, ...]

    @property
    def reference(self) -> ShippedFile:
        """The file that the others are compared with."""
        return self.contenders[0].best

    @property
    def files(self) -> list[ShippedFile]:
        """The files of all studies."""
        return [one for each in self.contenders for one in each.files]


def independent(one: ShippedFile, other: ShippedFile) -> FileDifference:
    """The difference of two scores on different rows, with an interval from those of both; NaN where one has none.

    Source: Zou & Donner 2008, Construction of confidence limits about effect measures (the MOVER).
    """
    value = one.score - other.score
    if one.interval is None or other.interval is None:
        return FileDifference(one.file, other.file, value, math.nan, math.nan)
    low = math.hypot(one.score - one.interval[0], other.interval[1] - other.score)
    high = math.hypot(one.interval[1] - one.score, other.score - other.interval[0])
    return FileDifference(one.file, other.file, value, value - low, value + high)


def area(files: Sequence[ShippedFile], axis: CostAxis, most: float) -> float:
    """Hypervolume of files: the area of score × share of `most` saved that they dominate; higher is better.

    most: what the dearest file of all studies costs on the axis, which must be one where less is better.
    """
    total, reached = 0.0, most
    # from the best score down, each cheaper file adds the strip that it saves
    for one in sorted(files, key=lambda one: (-one.score, axis.cost(one) or 0.0)):
        cost = axis.cost(one)
        if cost is not None and cost < reached and one.score > 0:
            total += one.score * (reached - cost) / most
            reached = cost
    return total


def side_by_side_tables(found: SideBySide) -> list[Table]:
    """Two tables: all files with their distance from the reference, and what each study's front is worth."""
    return [_files_table(found), _areas_table(found)]


def _files_table(found: SideBySide) -> Table:
    first, metric = found.contenders[0], found.contenders[0].report.info.metric
    numbers = {metric: 0, "95 %": 2, "vs reference": 0, "its 95 %": 1, "ms": 0, "MB": 0, "MACs (M)": 2}
    rows = tuple(_file_row(each, one, found) for each in found.contenders for one in each.files)
    return Table(
        "Files side by side",
        (Column("study", "text", 0), Column("file", "text", 0), *ranked_columns(numbers), Column("front", "text", 1)),
        rows,
        "\n".join([f"The reference is {found.reference.file} of {first.name}.", *_note(found, metric)]),
    )


def _file_row(study: Contender, one: ShippedFile, found: SideBySide) -> tuple[Cell, ...]:
    gap = next((gap for gap in found.gaps if (gap.study, gap.found.file) == (study.name, one.file)), None)
    value = None if gap is None else gap.found.value
    interval = "reference" if gap is None else paired_interval(gap.found) + ("" if gap.paired else " (unpaired)")
    by_time = cost_axes(0)[0]
    on_front = beaten_by(one, found.files, by_time) is None
    return (
        Cell(study.name, study.name),
        Cell(one.file + (" *" if one == study.best else ""), one.file),
        Cell(units.points(one.score), one.score),
        Cell(units.span(one.interval), one.interval and one.interval[0]),
        Cell(units.difference(value), value),
        Cell(interval, None if gap is None else gap.found.low),
        Cell(units.significant(one.profile.p50_ms), one.profile.p50_ms),
        Cell(units.megabytes(one.profile.size_bytes), one.profile.size_bytes),
        Cell(units.MISSING if one.macs is None else units.significant(one.macs / 1e6), one.macs),
        Cell("yes" if on_front else "", str(on_front)),
    )


def _note(found: SideBySide, metric: str) -> Iterator[str]:
    yield (
        f"{metric} × 100 on each study's report rows; vs reference is in points, with its 95 % interval. * is what "
        "`aebert best` names in each study, or the highest score. front: no file of any study is faster and as good."
    )
    unpaired = sorted({gap.study for gap in found.gaps if not gap.paired})
    if unpaired:
        yield (
            f"NOT PAIRED: {', '.join(unpaired)}. Its report rows differ from the reference's, or its answers to them "
            "were not kept, so differences are of two independent scores, and intervals are wider."
        )
    tasks = sorted({each.report.info.task for each in found.contenders})
    if len(tasks) > 1:
        yield f"These studies are of different tasks ({', '.join(tasks)}): their scores may mean different things."
    lengths = sorted({each.report.info.length for each in found.contenders})
    if len(lengths) > 1:
        yield f"MACs are counted at different lengths ({', '.join(map(str, lengths))} tokens)."
    yield from _about_times(found)


def _about_times(found: SideBySide) -> Iterator[str]:
    keys = ("cpu", "threads", "batch_size", "lengths")
    settings = [{key: each.report.machine.get(key) for key in keys} for each in found.contenders]
    differing = [key for key in keys if any(one[key] != settings[0][key] for one in settings)]
    if differing:
        yield (
            f"ms were measured under different conditions ({', '.join(differing)}), so they are not comparable: "
            "`aebert profile` measures files of several studies in one run."
        )
    else:
        yield "ms were measured in a run of each study; `aebert profile` measures files of several studies in one run."


def _areas_table(found: SideBySide) -> Table:
    axes = [axis for axis in cost_axes(0) if axis.key in ("ms", "mb")]
    most = {axis.key: max(axis.cost(one) or 0.0 for one in found.files) for axis in axes}
    by_time = axes[0]
    rows = tuple(
        (
            Cell(each.name, each.name),
            Cell(str(len(each.files)), len(each.files)),
            *(_area(each, axis, most[axis.key]) for axis in axes),
            _joint(each, found, by_time),
        )
        for each in found.contenders
    )
    titles = {"files": 1, "hypervolume, ms": 0, "hypervolume, MB": 0, "on the joint front": 0}
    return Table(
        "What each front is worth",
        (Column("study", "text", 0), *ranked_columns(titles)),
        rows,
        f"Hypervolume: the area of score × share saved, of the dearest file here ({units.significant(most['ms'])} ms, "
        f"{units.significant(most['mb'])} MB), that the files of a study dominate; higher is better.",
    )


def _area(each: Contender, axis: CostAxis, most: float) -> Cell:
    value = area(each.files, axis, most)
    return Cell(f"{value:.4f}", value)


def _joint(each: Contender, found: SideBySide, axis: CostAxis) -> Cell:
    count = sum(beaten_by(one, found.files, axis) is None for one in each.files)
    return Cell(str(count), count)


def markdown(table: Table) -> str:
    """A table in Markdown, with its note below."""
    rows = [[column.title for column in table.columns], [_rule(column) for column in table.columns]]
    rows += [[cell.text for cell in row] for row in table.rows]
    lines = [f"| {' | '.join(text.replace('|', chr(92) + '|') for text in row)} |" for row in rows]
    return "\n".join([f"**{table.title}**", "", *lines, "", *(f"{line}  " for line in table.note.splitlines())])


def _rule(column: Column) -> str:
    return "--:" if column.kind == "number" else "---"
