"""Tables of a study's scored candidates by what they cost by another measure."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aebert.files import replacing
from aebert.reporting import units
from aebert.reporting.costs import cost_title, cost_titles
from aebert.reporting.report import Report
from aebert.reporting.tables import (
    Cell,
    Column,
    Table,
    cost_cells,
    headline,
    kept_cells,
    scored_on,
    trial_key,
    trial_name,
)
from aebert.search.front import best_per_budget
from aebert.search.record import TrialRecord

_LEFT = {"sparsity": "parameters_left", "macs": "macs_left"}  # columns of a CSV file, where less is better


@dataclass(frozen=True)
class Repricing:
    """A study by another measure.

    report: the study's, with the kind of budget and the costs of the trials replaced. about: what the costs hold for,
    in one line or several.
    """

    report: Report
    about: str

    @property
    def measure(self) -> str:
        """Name of the kind of budget; estimated milliseconds are called so."""
        info = self.report.info
        return f"estimated {info.budget_kind}" if info.estimated else info.budget_kind


def repriced_table(prices: Repricing) -> Table:
    """The front of score against cost."""
    report = prices.report
    columns = ("trial", *cost_titles(report), report.info.metric)
    return Table(
        f"Front of {report.info.name} by {prices.measure}",
        (*map(Column, columns), Column("heads", "bars"), Column("FFN", "bars")),
        tuple((*_cells(each, report), *_kept(each, report)) for each in report.front),
        f"{scored_on(report)}.\n{cost_title(report)}: {prices.about}.",
    )


def _cells(record: TrialRecord, report: Report) -> tuple[Cell, ...]:
    score = headline(record, report.info)
    return (
        Cell(trial_name(record), record.number, trial_key(record.number)),
        *cost_cells(record.cost, record.params, report),
        Cell(units.points(score), score),
    )


def _kept(record: TrialRecord, report: Report) -> tuple[Cell, Cell]:
    return kept_cells(record.architecture, report)


def budgets_table(prices: Repricing, targets: Sequence[float]) -> Table:
    """The best candidate within each budget."""
    report, kind = prices.report, prices.report.axis.kind
    best = best_per_budget(report.trials, replace(report.info, targets=tuple(targets)))
    columns = ("budget", "best trial", *cost_titles(report), report.info.metric)
    none = (Cell("none meets it", None), *(Cell(units.MISSING, None) for _ in columns[2:]))
    rows = tuple(
        (Cell(kind.text(target), target), *(_cells(best[target], report) if target in best else none))
        for target in targets
    )
    return Table("Best within each budget", tuple(map(Column, columns)), rows, _cheapest(report))


def _cheapest(report: Report) -> str:
    """What the cheapest candidate takes, where nobody can know it without the prices."""
    kind = report.axis.kind
    if not kind.is_priced:
        return ""
    cost = min(map(report.axis.cost, report.trials), default=math.nan)
    source = "estimated" if report.info.estimated else "predicted"
    return f"cheapest candidate scored: {source} {units.cost(cost, kind)}{kind.ending}."


def write_repriced_csv(prices: Repricing, path: Path) -> Path:
    """Write all candidates with their new costs, one line each, in the order of their numbers."""
    report, front = prices.report, {record.number for record in prices.report.front}
    kind = report.axis.kind
    column = _LEFT[kind.name] if kind.is_share else prices.measure.replace(" ", "_")
    with replacing(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["trial", column, "score", "stopped_at", "on_front", "heads", "ffn"])
        for each in report.trials:
            cost = 1 - report.axis.cost(each) if kind.is_share else report.axis.cost(each)
            widths = (" ".join(map(str, part)) for part in (each.architecture.heads, each.architecture.ffn))
            writer.writerow([each.number, cost, each.score, each.stopped_at, each.number in front, *widths])
    return path
