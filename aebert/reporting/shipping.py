"""The files of a study that ship, beside the dense model's own: what each scores and costs, and which others beat."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aebert.errors import StudyError
from aebert.reporting.answer import best_file
from aebert.reporting.best import DENSE, INT8, Wish, shipped_files
from aebert.reporting.report import Report
from aebert.reporting.rows import FileDifference, FinalistRow, ProfileRow
from aebert.reporting.shipped import FLOAT32
from aebert.reporting.tables import dense_finalist


@dataclass(frozen=True)
class ShippedFile:
    """A file with its model; score: headline metric on the report rows, with its 95 % interval, as shares.

    from_dense: paired difference from the dense float32 file; None where it was not compared. macs: of the encoder;
    None where those of the dense model are not known.
    """

    profile: ProfileRow
    model: FinalistRow
    score: float
    interval: tuple[float, float] | None
    from_dense: FileDifference | None
    macs: float | None

    @property
    def file(self) -> str:
        """Name and kind, as `trial-5 int8`."""
        return self.profile.file

    @property
    def is_dense(self) -> bool:
        """Whether it is a file of the dense model."""
        return self.profile.name == DENSE


@dataclass(frozen=True)
class CostAxis:
    """What files are drawn over. cost: None where it is not known. title: for a button; label: with the unit.

    more_is_better: whether the higher value is the cheaper file.
    """

    key: str
    title: str
    label: str
    cost: Callable[[ShippedFile], float | None]
    more_is_better: bool = False

    def is_cheaper(self, one: ShippedFile, other: ShippedFile) -> bool:
        """Whether one file costs less than another; no where either cost is not known."""
        mine, theirs = self.cost(one), self.cost(other)
        if mine is None or theirs is None:
            return False
        return mine > theirs if self.more_is_better else mine < theirs


def cost_axes(length: int) -> tuple[CostAxis, ...]:
    """Milliseconds, megabytes, MACs at `length` tokens, and the share of parameters removed."""
    return (
        CostAxis("ms", "milliseconds", "median time of a call (ms)", lambda one: one.profile.p50_ms),
        CostAxis("mb", "megabytes", "size of the file (MB of 10^6 bytes)", lambda one: one.profile.size_bytes / 1e6),
        CostAxis("macs", "MACs", f"MACs of the encoder at {length} tokens (millions)", _millions),
        CostAxis(
            "removed",
            "share removed",
            "parameters of the encoder removed (%)",
            lambda one: 100 * one.model.sparsity,
            more_is_better=True,
        ),
    )


def _millions(one: ShippedFile) -> float | None:
    return None if one.macs is None else one.macs / 1e6


def files_of(report: Report) -> list[ShippedFile]:
    """The dense model's files, then the one that ships of each other model; none before they are scored and measured.

    Files without a score are left out.
    """
    models = {row.name: row for row in report.finalists}
    dense = [row for row in report.profiles if row.name == DENSE and row.kind in (FLOAT32, INT8)]
    others = [row for row in shipped_files(report, baselines=True) if row.name != DENSE]
    made = [_file(row, models[row.name], report) for row in (*dense, *others) if row.name in models]
    return [one for one in made if one is not None]


def _file(row: ProfileRow, model: FinalistRow, report: Report) -> ShippedFile | None:
    if row.report_score is None or math.isnan(row.report_score):
        return None
    interval = model.int8_report_interval if row.kind == INT8 else model.report_interval
    full = None if report.dense is None else report.dense.macs
    macs = None if full is None else full * (1 - model.macs_removed)
    base = dense_finalist(report.finalists)
    found = None if base is None else report.difference(row.file, f"{base.name} {FLOAT32}")
    return ShippedFile(row, model, row.report_score, interval, found, macs)


def beaten_by(one: ShippedFile, files: Sequence[ShippedFile], axis: CostAxis) -> ShippedFile | None:
    """The best of the files that cost less and score no less, or cost as much and score more; None where there is none.

    Scores are taken as they are: two that are tied by their intervals may well change places on other rows.
    """
    mine = axis.cost(one)
    if mine is None:
        return None
    better = [
        other
        for other in files
        if (axis.is_cheaper(other, one) and other.score >= one.score)
        or (axis.cost(other) == mine and other.score > one.score)
    ]
    return max(better, key=lambda other: other.score, default=None)


def answer_of(report: Report, files: Sequence[ShippedFile]) -> ShippedFile | None:
    """The file that `aebert best` names when nothing is asked for; None where it names none."""
    try:
        found = best_file(report, Wish()).file
    except StudyError:  # of a version that did not compare files
        return None
    return next((one for one in files if found is not None and one.file == found.file), None)


def is_tied(one: ShippedFile, other: ShippedFile, report: Report) -> bool:
    """Whether the report rows can't tell the scores of two files apart; no where they were not compared."""
    found = report.difference(one.file, other.file)
    return found is not None and not (found.low > 0 or found.high < 0) and not math.isnan(found.low)
