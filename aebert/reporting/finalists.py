"""The table of a study's finalists: the fine-tuned models, the dense one, and the baselines."""

from __future__ import annotations

import math
from collections.abc import Iterator

from aebert.reporting import units
from aebert.reporting.baselines import COLUMN, baseline_difference, baseline_note, has_baselines
from aebert.reporting.costs import cost_titles, finalist_cost, milliseconds
from aebert.reporting.report import Report
from aebert.reporting.rows import Behind, FinalistRow, Repair
from aebert.reporting.shipped import unpriced
from aebert.reporting.tables import (
    Cell,
    Column,
    Table,
    cost_cells,
    dense_finalist,
    difference_cell,
    finalist_key,
    metric_of,
    number_columns,
    ranked_columns,
)
from aebert.search.kinds import KINDS


def finalists_table(report: Report) -> Table:
    """The fine-tuned models with their scores on the rows of each role, in float32 and int8."""
    costs = dict(zip(cost_titles(report), (0, 2), strict=False))
    before = {"search, before": 2, "select": 2}
    after = {"report": 0, "95 %": 1, "vs dense": 0, "int8 report": 0, "int8 95 %": 1}
    compared = {COLUMN: 1} if has_baselines(report) else {}
    columns = ranked_columns({"trial": 3, **costs, **before, **after, **compared})
    latency = (*number_columns("measured (ms)"), Column("budget", "text")) if _is_timed(report) else ()
    return Table(
        f"Finalists of {report.info.name}",
        (Column("model", "text", 0), *columns, *latency),
        tuple(tuple(_cells(row, report)) for row in report.finalists),
        "\n".join(_note(report)),
    )


def _is_timed(report: Report) -> bool:
    return KINDS[report.info.budget_kind].is_priced


def _cells(row: FinalistRow, report: Report) -> Iterator[Cell]:
    yield from _finalist_row(row, report)
    if has_baselines(report):
        found = baseline_difference(row, report)
        won = None if found is None else found.value
        yield Cell(units.difference(won), won)
    if _is_timed(report):
        yield from _latency_cells(row, report)


def _note(report: Report) -> Iterator[str]:
    kept = ", before those that miss the budget" if _is_timed(report) else ""
    rows = f"{report.rows['report']:,} " if "report" in report.rows else ""
    rule = "the one that scores best on the select rows"
    if any(row.behind for row in report.finalists):
        rule = "the first that was picked of those that the select rows can't tell from the best there"
    yield f"* marks the model to use at each budget, {rule}{kept}."
    yield from (_why(row, row.behind) for row in report.finalists if row.chosen and row.behind)
    yield from (_repaired(row.name, row.repair) for row in report.finalists if row.repair)
    yield from (
        f"{row.name} was reached in {row.steps} steps, each cut, repaired and trained for an equal part of the epochs."
        for row in report.finalists
        if row.steps > 1
    )
    if has_baselines(report):
        yield from baseline_note(report)
    yield (
        f"Scores are {report.info.metric} × 100: on the search rows before fine-tuning, on the select rows and the "
        f"{rows}report rows after it."
    )
    yield (
        "95 % is the interval of the report score before it, – where the metric has none; vs dense is a difference in "
        "points; int8 is the quantized file itself, scored again."
    )
    if _is_timed(report):
        yield from _latency_note(report)


def _why(row: FinalistRow, behind: Behind) -> str:
    """Why a finalist is chosen that is not the best on the select rows."""
    known = not math.isnan(behind.low)
    between = f", {units.difference(behind.low)} to {units.difference(behind.high)}" if known else ""
    return (
        f"{row.name} is chosen: the select rows can't tell {behind.best} from it ({units.difference(behind.value)} "
        f"points{between}), and it was picked first."
    )


def _repaired(name: str, repair: Repair) -> str:
    """What repair brought before training, and whether training started from it."""
    start = "starts repaired" if repair.used else "starts unrepaired, since repair loses"
    between = "" if math.isnan(repair.low) else f", {units.difference(repair.low)} to {units.difference(repair.high)}"
    return f"{name} {start} ({units.difference(repair.value)} points on the select rows before training{between})."


def _latency_cells(row: FinalistRow, report: Report) -> tuple[Cell, ...]:
    """How long a finalist takes when it is measured, and whether it keeps its budget."""
    verdict = {True: " met", False: " NOT met", None: ""}[row.meets_budget]
    return (
        Cell(units.significant(row.measured_ms), row.measured_ms),
        Cell(units.budget(row.budget, report.info.budget_kind) + verdict, row.budget),
    )


def _latency_note(report: Report) -> Iterator[str]:
    """What milliseconds are, how many finalists keep their budget, and which files the predictions do not hold for."""
    yield f"{milliseconds(report.info, ' of the shipped file')}. {_confirmed(report)}"
    dense = dense_finalist(report.finalists)
    tuned = [row.name for row in report.finalists if row is not dense and row.name in report.forms]
    if form := unpriced({name: report.forms[name] for name in tuned}):
        yield form


def _confirmed(report: Report) -> str:
    known = [row for row in report.finalists if row.is_finalist and row.meets_budget is not None]
    met = sum(row.meets_budget is True for row in known)
    if known:
        return f"{met} of {len(known)} finalists meet their budget when measured."
    if report.info.estimated:
        return "The budget is not confirmed by measurement."
    return "Nothing was measured, since this machine is not that device."


def _finalist_row(row: FinalistRow, report: Report) -> tuple[Cell, ...]:
    metric = report.info.metric
    score, int8 = metric_of(row.report_metrics, metric), metric_of(row.int8_report_metrics, metric)
    dense = dense_finalist(report.finalists)
    return (
        Cell(f"{row.name} *" if row.chosen else row.name, row.name, finalist_key(row.name)),
        Cell(units.MISSING if row.trial is None else str(row.trial), row.trial),
        *cost_cells(finalist_cost(row, report), row.params, report),
        Cell(units.points(row.search_score), row.search_score),
        Cell(units.points(row.select_score), row.select_score),
        Cell(units.points(score), score),
        Cell(units.span(row.report_interval), row.report_interval[0] if row.report_interval else None),
        difference_cell(score, metric_of(dense.report_metrics, metric) if dense and dense is not row else None),
        Cell(units.points(int8), int8),
        Cell(
            units.span(row.int8_report_interval),
            row.int8_report_interval[0] if row.int8_report_interval else None,
        ),
    )
