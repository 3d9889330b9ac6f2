"""Costs in words: those on the axis of a report's front, and those of its budgets."""

from __future__ import annotations

import math

from aebert.reporting import units
from aebert.reporting.report import Report
from aebert.reporting.rows import FinalistRow
from aebert.search.kinds import KINDS
from aebert.search.record import StudyInfo, TrialRecord

PARAMS = "params (M)"  # title of a column of parameters


def budget_name(target: float, info: StudyInfo) -> str:
    """A budget with what it limits: `50 % of MACs removed`, `11M params`, `20 MB`."""
    kind = KINDS[info.budget_kind]
    return kind.text(target) + (kind.ending if kind.is_share else "")


def milliseconds(info: StudyInfo, what: str = "") -> str:
    """A sentence, without its full stop, on what the milliseconds of a latency budget are; `what` follows `request`."""
    title = KINDS[info.budget_kind].title(estimated=info.estimated)
    value = "an estimate, not a measurement," if info.estimated else "the median"
    return f"{title} is {value} of one request{what} on {info.device}"


def step_name(report: Report) -> str:
    """The step of the axis in two significant digits: `0.46 %`, `49K params`, `0.049 MB`."""
    return report.axis.kind.text(float(f"{report.axis.step:.2g}"))


def cost_text(cost: float | None, report: Report) -> str:
    """A cost on the axis with what it is: `50.0 % of MACs removed`, `22.71 M parameters`, `9.87 ms`."""
    return units.cost(cost, report.axis.kind) + report.axis.kind.ending


def axis_label(report: Report) -> str:
    """Label of the axis of a chart."""
    return report.axis.kind.axis(report.info.length, estimated=report.info.estimated)


def cost_title(report: Report) -> str:
    """Title of a column of costs on the axis."""
    return report.axis.kind.title(estimated=report.info.estimated)


def cost_titles(report: Report) -> list[str]:
    """Titles of the columns for the cost on the axis and for the parameters; one title where they are the same."""
    return list(dict.fromkeys([cost_title(report), PARAMS]))


def finalist_cost(row: FinalistRow, report: Report) -> float | None:
    """What a finalist costs on the axis; None if only its trial knows that and the report lacks the trial."""
    counted = report.axis.kind.counted
    if counted is not None:
        return counted(row)
    if row.is_baseline:
        return row.cost
    trials = (trial for trial in report.trials if trial.number == row.trial)
    trial = report.dense if row.trial is None else next(trials, None)
    return None if trial is None else trial.cost


def trial_place(trial: TrialRecord, report: Report) -> float:
    """Where a trial stands on the axis of a chart."""
    return report.axis.kind.factor * report.axis.cost(trial)


def finalist_place(row: FinalistRow, report: Report) -> float:
    """Where a finalist stands on the axis of a chart; NaN, which is not drawn, if its cost is not known."""
    cost = finalist_cost(row, report)
    return math.nan if cost is None else report.axis.kind.factor * cost
