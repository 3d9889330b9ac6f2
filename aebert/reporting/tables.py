"""The tables of a report as text cells, drawn by the terminal and by the HTML page alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any, Literal

from aebert.pruning.architecture import Architecture
from aebert.reporting import units
from aebert.reporting.costs import PARAMS, cost_title, cost_titles, finalist_cost
from aebert.reporting.intervals import score_interval
from aebert.reporting.report import FinalistRow, ProfileRow, Report
from aebert.reporting.shipped import unpriced
from aebert.search.front import uniform_per_budget
from aebert.search.kinds import KINDS
from aebert.search.record import StudyInfo, TrialRecord


@dataclass(frozen=True)
class Cell:
    """text: as shown. value: what the column is sorted by, None last. key: the `architecture_key` it stands for."""

    text: str
    value: float | str | None
    key: str | None = None


@dataclass(frozen=True)
class Column:
    """title: with the unit. kind: numbers are aligned right, bars need signs of one width."""

    title: str
    kind: Literal["number", "text", "bars"] = "number"


@dataclass(frozen=True)
class Table:
    """note: one or more lines below the table that say what the columns mean."""

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
    """What was proposed after the first trials: those that a race stopped, or those that saw all rows."""
    after = (trial for trial in trials if trial.origin in ("sampled", "neighbour"))
    return [trial for trial in after if (trial.stopped_at is not None) is stopped]


def full_architecture(report: Report) -> Architecture | None:
    """What nothing was removed from: the dense trial's, else the dense finalist's; None if the report has neither."""
    if report.dense is not None:
        return report.dense.architecture
    row = dense_finalist(report.finalists)
    return row.architecture if row else None


def layer_totals(architecture: Architecture) -> tuple[int, ...]:
    """FFN neurons kept per layer; MobileBERT has several FFN blocks in each."""
    blocks = max(1, len(architecture.ffn) // max(1, len(architecture.heads)))
    return tuple(sum(architecture.ffn[start : start + blocks]) for start in range(0, len(architecture.ffn), blocks))


def is_of_metric(report: Report) -> bool:
    """Whether the search maximized the headline metric, and not another score."""
    return all(_same(trial.score, headline(trial, report.info)) for trial in report.trials)


def scored_on(report: Report) -> str:
    """What every trial's score is: the metric, its rows, and what the search maximized if that is another."""
    metric = report.info.metric
    target = (
        ""
        if is_of_metric(report)
        else "; the search maximized another score (the negative loss), so the front follows that"
    )
    return f"{metric} × 100 on the {report.info.search_rows:,} search rows, before fine-tuning{target}"


def front_grid(report: Report) -> Table:
    """The Pareto front, with each member's distance from dense and from uniform at its budget."""
    columns = _columns(
        "trial", "budget", *cost_titles(report), report.info.metric, "95 %", "loss", "vs dense", "vs uniform"
    )
    uniform = uniform_per_budget(report.trials, report.info)
    rows = tuple(_front_row(record, report, uniform) for record in report.front)
    return Table(
        f"Pareto front of {report.info.name}",
        (*columns, Column("heads", "bars"), Column("FFN", "bars")),
        rows,
        f"{scored_on(report)}. 95 %: interval for rows like these.\n"
        "vs: difference in points. uniform: every layer pruned alike to the same budget.\n"
        + (f"ms: {_milliseconds(report.info)} of one request on {report.info.device}.\n" if report.info.device else "")
        + "heads, FFN: one sign per layer, the first layer left: · nothing kept, ▁ to ▇ a part, █ all.",
    )


def _front_row(record: TrialRecord, report: Report, uniform: dict[float, TrialRecord]) -> tuple[Cell, ...]:
    info, dense = report.info, report.dense
    score = headline(record, info)
    peer = uniform.get(record.budget) if record.budget is not None else None
    bounds = score_interval(record) if _same(score, record.score) else None
    return (
        Cell(trial_name(record), record.number, trial_key(record.number)),
        Cell(units.budget(record.budget, info.budget_kind), record.budget),
        *cost_cells(report.axis.cost(record), record.params, report),
        Cell(units.points(score), score),
        Cell(units.span(bounds), bounds and bounds[0]),
        Cell(f"{record.loss:.3f}", record.loss),
        _difference(score, headline(dense, info) if dense else None),
        _difference(score, headline(peer, info) if peer else None),
        *kept_cells(record.architecture, full_architecture(report)),
    )


def cost_cells(cost: float | None, params: int, report: Report) -> list[Cell]:
    """The cells below `cost_titles`."""
    shown = Cell(units.cost(cost, report.axis.kind), cost)
    return list({cost_title(report): shown, PARAMS: Cell(units.millions(params), params)}.values())


def trial_name(record: TrialRecord) -> str:
    """Its number, and who proposed it unless the sampler did."""
    return f"{record.number}" if record.origin == "sampled" else f"{record.number} {record.origin}"


def kept_cells(architecture: Architecture, full: Architecture | None) -> tuple[Cell, Cell]:
    """What is kept of each layer, as bars: heads and FFN neurons."""
    full = full or architecture
    heads = units.bars(architecture.heads, full.heads)
    ffn = units.bars(layer_totals(architecture), layer_totals(full))
    return Cell(heads, sum(architecture.heads)), Cell(ffn, sum(architecture.ffn))


def finalists_grid(report: Report) -> Table:
    """The fine-tuned models: scores on each role's rows, float32 and int8."""
    metric = report.info.metric
    scores = ("search, before", "select", "report", "95 %", "vs dense", "int8 report", "int8 95 %")
    columns = _columns("trial", *cost_titles(report), *scores)
    report_rows = f"{report.rows['report']:,} " if "report" in report.rows else ""
    timed = KINDS[report.info.budget_kind].is_priced
    latency = (*_columns("measured (ms)"), Column("budget", "text")) if timed else ()
    return Table(
        f"Finalists of {report.info.name}",
        (Column("model", "text"), *columns, *latency),
        tuple(
            (*_finalist_row(row, report), *(_latency_cells(row, report) if timed else ())) for row in report.finalists
        ),
        f"{metric} × 100: on the search rows before fine-tuning; on the select rows and the {report_rows}report rows "
        "after it.\n* best on the select rows. 95 %: interval of the report score, – where the metric has none.\n"
        "int8: the quantized file itself, scored again." + (f"\n{latency_note(report)}" if timed else ""),
    )


def _latency_cells(row: FinalistRow, report: Report) -> tuple[Cell, ...]:
    """What a finalist takes when it is measured, and whether it keeps its budget."""
    verdict = {True: " met", False: " NOT met", None: ""}[row.meets_budget]
    return (
        Cell(units.significant(row.measured_ms), row.measured_ms),
        Cell(units.budget(row.budget, report.info.budget_kind) + verdict, row.budget),
    )


def latency_note(report: Report) -> str:
    """What milliseconds are of, how many finalists keep their budget, and which were predicted in another form."""
    known = [row for row in report.finalists if row.meets_budget is not None]
    met = sum(row.meets_budget is True for row in known)
    if known:
        told = f"{met} of {len(known)} finalists meet their budget when measured."
    elif report.info.estimated:
        told = "The budget is not confirmed by measurement."
    else:
        told = "Not measured: this machine is not that device."
    tuned = [row.name for row in report.finalists if row.trial is not None and row.name in report.forms]
    form = unpriced({name: report.forms[name] for name in tuned})
    note = f"ms: {_milliseconds(report.info)} of one request of the shipped file on {report.info.device}. {told}"
    return f"{note}\n{form}" if form else note


def _milliseconds(info: StudyInfo) -> str:
    return "estimate, not a measurement," if info.estimated else "median"


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
        _difference(score, metric_of(dense.report_metrics, metric) if dense and dense is not row else None),
        Cell(units.points(int8), int8),
        Cell(
            units.span(row.int8_report_interval),
            row.int8_report_interval[0] if row.int8_report_interval else None,
        ),
    )


def profiles_grid(report: Report) -> Table:
    """The exported files as measured: size, latency, throughput, memory, speed-up, score."""
    columns = _columns(
        "size (MB)", "p50 (ms)", "p90 (ms)", "p99 (ms)", "rows/s", "memory (MB)", "speed-up", "p10–p90", "report"
    )
    measured = measured_on(report.machine)
    return Table(
        f"Profiles of {report.info.name}",
        (Column("model", "text"), Column("file", "text"), *columns),
        tuple(_profile_row(row) for row in report.profiles),
        "p50, p90, p99: percentiles of the time of one call. memory: peak of a process with this file alone. "
        "MB: 10^6 bytes.\n"
        "speed-up: against the dense float32 file on the same request, median and middle 80 %. "
        f"report: {report.info.metric} × 100 of this file." + (f"\nMeasured on: {measured}." if measured else ""),
    )


def measured_on(machine: Mapping[str, Any]) -> str:
    """The facts about a measurement that decide its figures, as one line; what is unknown is left out."""
    lengths = machine.get("lengths") or {}
    facts = (
        ("{cpu}", machine),
        ("{cores} cores", machine),
        ("{isa}", {"isa": " ".join(machine.get("isa") or ()) or None}),
        ("{threads} thread(s)", machine),
        ("batch {batch_size}", machine),
        ("{runs} requests per file", machine),
        ("{min}–{max} tokens (median {median:g})", lengths),
        ("onnxruntime {onnxruntime}", machine.get("versions") or {}),
    )
    told = [text.format(**values) for text, values in facts if _known(text, values)]
    if machine.get("all_runs_quiet") is False:
        told.append("other processes were busy in some runs")
    return ", ".join(told)


def _known(text: str, values: Mapping[str, Any]) -> bool:
    names = [name.partition(":")[0] for _, name, _, _ in Formatter().parse(text) if name]
    return all(values.get(name) is not None for name in names)


def _profile_row(row: ProfileRow) -> tuple[Cell, ...]:
    speedup = units.MISSING if row.speedup is None else f"{row.speedup:.2f}×"
    known = row.speedup_low is not None and row.speedup_high is not None
    return (
        Cell(row.name, row.name, finalist_key(row.name)),
        Cell(row.kind, row.kind),
        Cell(units.megabytes(row.size_bytes), row.size_bytes),
        Cell(units.significant(row.p50_ms), row.p50_ms),
        Cell(units.significant(row.p90_ms), row.p90_ms),
        Cell(units.significant(row.p99_ms), row.p99_ms),
        Cell(units.significant(row.throughput_per_s), row.throughput_per_s),
        Cell(units.megabytes(row.peak_memory_bytes), row.peak_memory_bytes),
        Cell(speedup, row.speedup),
        Cell(f"{row.speedup_low:.2f}–{row.speedup_high:.2f}" if known else units.MISSING, row.speedup_low),
        Cell(units.points(row.report_score), row.report_score),
    )


def metric_of(metrics: Mapping[str, float] | None, name: str) -> float | None:
    """One metric; None where nothing was measured."""
    return None if metrics is None else metrics[name]


def _difference(score: float | None, other: float | None) -> Cell:
    value = None if score is None or other is None else score - other
    return Cell(units.difference(value), value)


def _columns(*titles: str) -> tuple[Column, ...]:
    return tuple(Column(title) for title in titles)


def _same(first: float, second: float) -> bool:
    return first == second or (math.isnan(first) and math.isnan(second))


def chosen(rows: Sequence[FinalistRow]) -> FinalistRow | None:
    """The finalist to use; None before one is chosen."""
    return next((row for row in rows if row.chosen), None)


def dense_finalist(rows: Sequence[FinalistRow]) -> FinalistRow | None:
    """The dense model among the finalists; None if it is not there."""
    return next((row for row in rows if row.trial is None), None)
