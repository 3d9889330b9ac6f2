"""The table of a study's Pareto front."""

from __future__ import annotations

from collections.abc import Iterator

from aebert.reporting import units
from aebert.reporting.costs import cost_titles, milliseconds, step_name
from aebert.reporting.intervals import score_interval
from aebert.reporting.report import Report
from aebert.reporting.tables import (
    Cell,
    Column,
    Table,
    cost_cells,
    difference_cell,
    headline,
    kept_cells,
    ranked_columns,
    same_score,
    scored_on,
    trial_key,
    trial_name,
)
from aebert.search.front import uniform_per_budget
from aebert.search.record import TrialRecord


def front_table(report: Report) -> Table:
    """The Pareto front, with the difference of each member's score from that of dense and of uniform at its budget."""
    costs = dict(zip(cost_titles(report), (0, 2), strict=False))
    scores = {report.info.metric: 0, "95 %": 1, "loss": 3, "vs dense": 0, "vs uniform": 2}
    columns = ranked_columns({"trial": 0, "budget": 1, **costs, **scores})
    uniform = uniform_per_budget(report.trials, report.info)
    rows = tuple(_front_row(record, report, uniform) for record in report.front)
    return Table(
        f"Pareto front of {report.info.name}",
        (*columns, Column("heads", "bars"), Column("FFN", "bars")),
        rows,
        "\n".join(_note(report)),
    )


def _note(report: Report) -> Iterator[str]:
    step = f"; costs less than one grid step ({step_name(report)}) apart count as one" if report.axis.step else ""
    yield f"Each candidate listed scores higher than every cheaper one{step}."
    yield f"Scores are {scored_on(report)}; 95 % is the interval of a score for rows like these."
    yield "vs dense and vs uniform are differences in points; uniform prunes every layer alike to the same budget."
    if report.axis.kind.is_priced:
        yield f"{milliseconds(report.info)}."
    yield "heads and FFN show one sign per layer, the first layer on the left: · nothing kept, ▁ to ▇ a part, █ all."


def _front_row(record: TrialRecord, report: Report, uniform: dict[float, TrialRecord]) -> tuple[Cell, ...]:
    info, dense = report.info, report.dense
    score = headline(record, info)
    peer = uniform.get(record.budget) if record.budget is not None else None
    bounds = score_interval(record) if same_score(score, record.score) else None
    return (
        Cell(trial_name(record), record.number, trial_key(record.number)),
        Cell(units.budget(record.budget, info.budget_kind), record.budget),
        *cost_cells(report.axis.cost(record), record.params, report),
        Cell(units.points(score), score),
        Cell(units.span(bounds), bounds and bounds[0]),
        Cell(f"{record.loss:.3f}", record.loss),
        difference_cell(score, headline(dense, info) if dense else None),
        difference_cell(score, headline(peer, info) if peer else None),
        *kept_cells(record.architecture, report),
    )
