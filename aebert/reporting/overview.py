"""The tables of a whole report in order, and the list of all studies."""

from __future__ import annotations

from collections.abc import Sequence

from aebert.reporting import units
from aebert.reporting.classes import classes_table
from aebert.reporting.embeddings_table import embeddings_table
from aebert.reporting.finalists import finalists_table
from aebert.reporting.forms import forms_table
from aebert.reporting.fronts import front_table
from aebert.reporting.profiles import profiles_table
from aebert.reporting.report import Report
from aebert.reporting.tables import Cell, Column, Table, headline
from aebert.reporting.verdicts import verdict_tables
from aebert.reporting.vocabulary_table import vocabulary_table
from aebert.search.front import best_per_budget


def search_tables(report: Report) -> list[Table]:
    """The result of the search: the Pareto front, what was found at each budget, and what that won."""
    return [front_table(report), *verdict_tables(report)]


def model_tables(report: Report, *, most_classes: int | None = None) -> list[Table]:
    """What was made of the best candidates so far: finalists, scores of each class, quantized forms, profiles.

    most_classes: how many classes are shown, those that lose most; None for all.
    """
    tables = [finalists_table(report)] if report.finalists else []
    tables += [embeddings_table(report)] if report.embeddings else []
    tables += [classes_table(report, most_classes)] if report.classes else []
    tables += [forms_table(report.forms, report.info.metric)] if report.forms else []
    vocabulary = report.checked and report.checked.vocabulary
    tables += [vocabulary_table(vocabulary)] if vocabulary else []
    return tables + ([profiles_table(report)] if report.profiles else [])


def studies_table(reports: Sequence[Report]) -> Table:
    """One line per study, with what it searches, how far it is, and its best score at each budget."""
    ranks = {"study": 0, "task": 1, "model": 2, "sampler": 3}
    texts = (Column(title, "text", rank) for title, rank in ranks.items())
    others = (
        Column("trials"),
        Column("metric", "text"),
        Column("dense", rank=0),
        Column("best at each budget", "text", 0),
    )
    return Table(
        "Studies",
        (*texts, *others),
        tuple(map(_study_row, reports)),
        "Scores are the headline metric × 100 on each study's search rows, before fine-tuning.",
    )


def _study_row(report: Report) -> tuple[Cell, ...]:
    info = report.info
    dense = None if report.dense is None else headline(report.dense, info)
    best = ", ".join(
        f"{units.points(headline(trial, info))} at {units.budget(budget, info.budget_kind)}"
        for budget, trial in best_per_budget(report.trials, info).items()
    )
    return (
        *(Cell(text, text) for text in (info.name, info.task, info.model, info.sampler)),
        Cell(f"{len(report.trials)}/{info.trials or 'auto'}", len(report.trials)),
        Cell(info.metric, info.metric),
        Cell(units.points(dense), dense),
        Cell(best, best),
    )
