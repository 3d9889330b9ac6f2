"""Tables as text cells, drawn by the terminal and by the HTML page alike, and what several tables of a report share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from aebert.models.shape import ATTENTION_MATRICES
from aebert.pruning.architecture import Architecture
from aebert.reporting import units
from aebert.reporting.costs import PARAMS, cost_title
from aebert.reporting.report import Report
from aebert.reporting.rows import FinalistRow
from aebert.search.kinds import KINDS
from aebert.search.record import LATER, StudyInfo, TrialRecord


@dataclass(frozen=True)
class Cell:
    """text: as shown. value: what the column is sorted by, None last. key: the `architecture_key` it stands for."""

    text: str
    value: float | str | None
    key: str | None = None


@dataclass(frozen=True)
class Column:
    """title: with the unit. kind: numbers are aligned right, bars need signs of one width.

    rank: where a terminal is too narrow, columns of the highest rank are left out first; those of rank 0 stay.
    """

    title: str
    kind: Literal["number", "text", "bars"] = "number"
    rank: int = 1


@dataclass(frozen=True)
class Table:
    """note: lines below the table: what to conclude from it, then how to read its columns."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str


def trial_key(number: int) -> str:
    """Key of a trial's architecture, unique in a report."""
    return f"trial:{number}"


def finalist_key(name: str) -> str:
    """Key of a finalist's architecture, unique in a report."""
    return f"finalist:{name}"


def headline(record: TrialRecord, info: StudyInfo) -> float:
    """The headline metric of a trial, also where the search maximized something else."""
    return record.metrics[info.metric]


def explored(trials: Sequence[TrialRecord], *, stopped: bool) -> list[TrialRecord]:
    """The trials after the first ones: either those that a race stopped, or those that saw all rows."""
    after = (trial for trial in trials if trial.origin in LATER)
    return [trial for trial in after if (trial.stopped_at is not None) is stopped]


def full_architecture(report: Report) -> Architecture | None:
    """The dense architecture, from the dense trial or the dense finalist; None if the report has neither."""
    if report.dense is not None:
        return report.dense.architecture
    row = dense_finalist(report.finalists)
    return row.architecture if row else None


def by_layer(architecture: Architecture, info: StudyInfo) -> Architecture:
    """The same, or of a study that sets weights to zero, what each layer keeps in its attention and in its FFN."""
    if not sets_zeros(info):
        return architecture
    layers = len(architecture.heads) // ATTENTION_MATRICES
    heads, ffn = (_sums(part, layers) for part in (architecture.heads, architecture.ffn))
    return Architecture(heads, ffn)


def sets_zeros(info: StudyInfo) -> bool:
    """Whether the study sets single weights to zero, so that its models keep their size."""
    return info.budget_kind == "zeros"


def removed_title(info: StudyInfo) -> str:
    """Title of a column of shares removed."""
    return KINDS["zeros" if sets_zeros(info) else "sparsity"].title()


def removed_text(sparsity: float, macs_removed: float, params: int, info: StudyInfo) -> str:
    """What is gone of a model, in one sentence."""
    if sets_zeros(info):
        return (
            f"{units.percent(sparsity)} of the weights in the encoder's matrices are zero; none are removed: "
            f"{units.millions(params)} M parameters in all"
        )
    return (
        f"{units.percent(sparsity)} of the encoder's parameters and {units.percent(macs_removed)} of its MACs "
        f"removed; {units.millions(params)} M parameters in all"
    )


def unit_names(info: StudyInfo) -> tuple[str, str]:
    """What attention and FFN are counted in."""
    return ("attention weights", "FFN weights") if sets_zeros(info) else ("heads", "FFN neurons")


def _sums(counts: Sequence[int], layers: int) -> tuple[int, ...]:
    each = len(counts) // layers
    return tuple(sum(counts[layer * each : (layer + 1) * each]) for layer in range(layers))


def layer_totals(architecture: Architecture) -> tuple[int, ...]:
    """FFN neurons kept per layer; MobileBERT has several FFN blocks per layer."""
    blocks = max(1, len(architecture.ffn) // max(1, len(architecture.heads)))
    return tuple(sum(architecture.ffn[start : start + blocks]) for start in range(0, len(architecture.ffn), blocks))


def is_of_metric(report: Report) -> bool:
    """Whether the search maximized the headline metric, and not another score."""
    return all(same_score(trial.score, headline(trial, report.info)) for trial in report.trials)


def scored_on(report: Report) -> str:
    """What every trial's score is: the metric, its rows, and what the search maximized if that is another."""
    metric = report.info.metric
    target = (
        ""
        if is_of_metric(report)
        else f"; the search maximized another score ({other_score(report)}), so the front follows that"
    )
    return f"{metric} × 100 on the {report.info.search_rows:,} search rows, before fine-tuning{target}"


def other_score(report: Report) -> str:
    """What the search maximized where that is not the headline metric."""
    if report.info.objective != "divergence":
        return "the negative loss"
    rows = report.info.unlabelled_rows
    more = f", on {rows:,} rows without labels too" if rows else ""
    return f"the negative divergence from the dense model{more}"


def cost_cells(cost: float | None, params: int, report: Report) -> list[Cell]:
    """The cells below `cost_titles`."""
    shown = Cell(units.cost(cost, report.axis.kind), cost)
    return list({cost_title(report): shown, PARAMS: Cell(units.millions(params), params)}.values())


def trial_name(record: TrialRecord) -> str:
    """Its number, and who proposed it unless the sampler did."""
    return f"{record.number}" if record.origin == "sampled" else f"{record.number} {record.origin}"


def kept_cells(architecture: Architecture, report: Report) -> tuple[Cell, Cell]:
    """What is kept of each layer, as bars: heads and FFN neurons, or weights of the two."""
    full = by_layer(full_architecture(report) or architecture, report.info)
    architecture = by_layer(architecture, report.info)
    heads = units.bars(architecture.heads, full.heads)
    ffn = units.bars(layer_totals(architecture), layer_totals(full))
    return Cell(heads, sum(architecture.heads)), Cell(ffn, sum(architecture.ffn))


def metric_of(metrics: Mapping[str, float] | None, name: str) -> float | None:
    """One metric; None where nothing was measured."""
    return None if metrics is None else metrics[name]


def difference_cell(score: float | None, other: float | None) -> Cell:
    """One score minus another, in points; missing if either is."""
    value = None if score is None or other is None else score - other
    return Cell(units.difference(value), value)


def number_columns(*titles: str, rank: int = 1) -> tuple[Column, ...]:
    """Columns of numbers, all of one rank."""
    return tuple(Column(title, rank=rank) for title in titles)


def ranked_columns(ranks: Mapping[str, int]) -> tuple[Column, ...]:
    """Columns of numbers from their ranks by title."""
    return tuple(Column(title, rank=rank) for title, rank in ranks.items())


def same_score(first: float, second: float) -> bool:
    """Whether two scores are equal; NaN equals NaN."""
    return first == second or (math.isnan(first) and math.isnan(second))


def chosen(rows: Sequence[FinalistRow]) -> FinalistRow | None:
    """The finalist to use; None before one is chosen."""
    return next((row for row in rows if row.chosen), None)


def dense_finalist(rows: Sequence[FinalistRow]) -> FinalistRow | None:
    """The dense model among the finalists; None if it is not there."""
    return next((row for row in rows if row.trial is None and not row.is_baseline), None)
