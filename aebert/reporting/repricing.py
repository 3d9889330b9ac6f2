"""New prices for an old study: its scored candidates by what they cost elsewhere, without scoring anything again."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aebert.errors import ConfigError, StudyError
from aebert.files import replacing
from aebert.latency.sources import EstimatedPrices
from aebert.latency.table import LatencyTable, TableShape, Workload
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.pruning.cost import block_bytes, fixed_bytes
from aebert.registry import nearest
from aebert.reporting import units
from aebert.reporting.report import Report
from aebert.reporting.tables import (
    Cell,
    Column,
    Table,
    full_architecture,
    headline,
    kept_cells,
    scored_on,
    trial_key,
    trial_name,
)
from aebert.search.front import standing
from aebert.search.kinds import KINDS
from aebert.search.record import TrialRecord

_SHARES = ("sparsity", "macs")
_TITLES = {
    "latency_ms": "ms",
    "size_mb": "MB",
    "params": "params",
    "sparsity": "parameters removed (%)",
    "macs": "MACs removed (%)",
}


@dataclass(frozen=True)
class Repricing:
    """What the candidates of a study cost by another measure.

    spent: by number of the trial, less is better: ms, MB, parameters, or the share of the dense model that is left.
    about: what they hold for, in one line, or several that each say one thing.
    estimated: whether they are milliseconds of a device that is only estimated.
    """

    kind: str
    spent: Mapping[int, float]
    about: str
    estimated: bool = False

    @property
    def title(self) -> str:
        """Title of a column of them, with the unit."""
        return f"estimated {_TITLES[self.kind]}" if self.estimated else _TITLES[self.kind]

    def meets(self, record: TrialRecord, target: float) -> bool:
        """Whether a record costs no more than a target, stated as in `search.budget`."""
        limit = 1 - target if self.kind in _SHARES else target
        return self.spent[record.number] <= limit + 1e-9 * max(1.0, abs(limit))

    def cell(self, record: TrialRecord) -> Cell:
        """A record's cost in the words of its kind."""
        value = self.spent[record.number]
        if self.kind in _SHARES:
            return Cell(units.percent(1 - value), 1 - value)
        return Cell(units.budget(value, "params") if self.kind == "params" else units.significant(value), value)


def parse_budgets(texts: Sequence[str]) -> dict[str, list[float]]:
    """Budgets written as `latency_ms=8`, by kind. Raises: ConfigError for an unknown kind or a value out of range."""
    found: dict[str, list[float]] = {}
    for text in texts:
        kind, _, value = text.partition("=")
        if kind not in KINDS:
            hint = nearest(kind, list(KINDS))
            raise ConfigError(f"--budget takes KIND=VALUE with one of {', '.join(KINDS)}, got {text!r}{hint}")
        found.setdefault(kind, []).append(_target(kind, value, text))
    return found


def _target(kind: str, value: str, text: str) -> float:
    try:
        target = float(value)
    except ValueError:
        target = math.nan
    if not (0 <= target < 1 if kind in _SHARES else 0 < target < math.inf):
        rule = "a share in 0..1" if kind in _SHARES else "a number above 0"
        raise ConfigError(f"--budget {kind} must be {rule}, got {text!r}")
    return target


def latency_prices(
    report: Report, table: LatencyTable, setting: Workload, shape: ModelShape | None = None
) -> Repricing:
    """Predicted milliseconds of every candidate on the device of a table.

    shape: of the study's encoder; where it isn't at hand, only its block sizes are compared with the table's.

    Raises: ConfigError when the table is of another encoder, or does not cover the setting.
    """
    if shape is not None:
        table.check(TableShape.of(shape))
    elif (full := full_architecture(report)) is not None and full != Architecture(table.shape.heads, table.shape.ffn):
        raise ConfigError(
            f"latency table must be of the study's encoder: its blocks are heads {list(table.shape.heads)} and "
            f"ffn {list(table.shape.ffn)}, the study's {list(full.heads)} and {list(full.ffn)}"
        )
    blocks = table.blocks(setting)
    spent = {record.number: blocks.predict(record.architecture) for record in report.trials}
    accuracy = table.accuracy(setting)
    error = "" if accuracy is None else f"; median error {units.percent(accuracy.median)} of {accuracy.models} models"
    return Repricing("latency_ms", spent, f"predicted ms on {table.device}, {setting}{error}")


def estimated_prices(report: Report, source: EstimatedPrices, setting: Workload) -> Repricing:
    """Estimated milliseconds of every candidate on a device that isn't at hand; what they rest on is told along.

    Raises: ConfigError when the device's model says nothing about such work.
    """
    source.check(setting)
    spent = {each.number: source.estimate(each.architecture, setting).estimated_ms for each in report.trials}
    dense = source.estimate(Architecture.dense(source.shape), setting)
    about = (
        f"an estimate, not a measurement: {source.told(setting)}, {source.form}, {dense.kind}",
        f"{dense.checked} (`aebert devices show` lists them)",
        *(f"assumed: {each}" for each in dense.assumptions),
    )
    return Repricing("latency_ms", spent, "\n".join(about), estimated=True)


def counted_prices(report: Report, kind: str, shape: ModelShape | None, *, int8: bool) -> Repricing:
    """What every candidate costs by counting.

    Raises: StudyError for a file size when the study's dense model, which tells it, is not at hand.
    """
    if kind == "size_mb":
        if shape is None:
            raise StudyError(f"sizes of study {report.info.name!r} can't be told: its folder has no dense model")
        about = f"MB of 10^6 bytes of the {'int8' if int8 else 'float32'} file"
        return Repricing(
            kind, {each.number: _megabytes(each.architecture, shape, int8) for each in report.trials}, about
        )
    spent = {
        "params": {each.number: float(each.params) for each in report.trials},
        "sparsity": {each.number: 1 - each.sparsity for each in report.trials},
        "macs": {each.number: 1 - each.macs_removed for each in report.trials},
    }[kind]
    return Repricing(kind, spent, {"macs": f"counted at {report.info.length} tokens"}.get(kind, "counted"))


def _megabytes(architecture: Architecture, shape: ModelShape, int8: bool) -> float:
    widths = (*architecture.heads, *architecture.ffn)
    blocks = sum(block_bytes(shape, block, width, int8=int8) for block, width in enumerate(widths))
    return (fixed_bytes(shape, int8=int8) + blocks) / 1e6


def repriced_front(records: Sequence[TrialRecord], prices: Repricing) -> list[TrialRecord]:
    """The records that no other beats in score or cost without losing in the other; dearest first.

    Candidates that a race stopped are left out, since their scores are estimates; so are NaN scores.
    """
    ordered = sorted(_comparable(records), key=lambda record: (prices.spent[record.number], *standing(record)))
    front: list[TrialRecord] = []
    for record in ordered:
        if not front or record.score > front[-1].score:
            front.append(record)
    return front[::-1]


def best_within(records: Sequence[TrialRecord], prices: Repricing, target: float) -> TrialRecord | None:
    """The record with the highest score that meets a target, the dense model too; None if there is none."""
    return min((each for each in _comparable(records) if prices.meets(each, target)), key=standing, default=None)


def _comparable(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    return [each for each in records if each.stopped_at is None and not math.isnan(each.score)]


def repriced_table(report: Report, prices: Repricing) -> Table:
    """The front of score against cost."""
    columns = ("trial", prices.title, report.info.metric, "params (M)")
    return Table(
        f"Front of {report.info.name} by {_cost(prices)}",
        (*map(Column, columns), Column("heads", "bars"), Column("FFN", "bars")),
        tuple(_row(record, report, prices) for record in repriced_front(report.trials, prices)),
        f"{scored_on(report)}.\n{prices.title}: {prices.about}.",
    )


def _cost(prices: Repricing) -> str:
    return f"estimated {prices.kind}" if prices.estimated else prices.kind


def _row(record: TrialRecord, report: Report, prices: Repricing) -> tuple[Cell, ...]:
    score = headline(record, report.info)
    return (
        Cell(trial_name(record), record.number, trial_key(record.number)),
        prices.cell(record),
        Cell(units.points(score), score),
        Cell(units.millions(record.params), record.params),
        *kept_cells(record.architecture, full_architecture(report)),
    )


def budgets_table(report: Report, prices: Repricing, targets: Sequence[float]) -> Table:
    """The best candidate within each budget."""
    rows = []
    for target in targets:
        best, asked = best_within(report.trials, prices, target), Cell(units.budget(target, prices.kind), target)
        none = (Cell("none meets it", None), *(Cell(units.MISSING, None) for _ in range(3)))
        rows.append((asked, *(_row(best, report, prices)[:4] if best else none)))
    cheapest = min(prices.spent.values(), default=math.nan)
    note = f"cheapest candidate scored: {units.significant(cheapest)} {prices.title}."
    note = note if prices.kind == "latency_ms" else ""
    columns = ("budget", "best trial", prices.title, report.info.metric, "params (M)")
    return Table("Best within each budget", tuple(map(Column, columns)), tuple(rows), note)


def write_repriced_csv(report: Report, prices: Repricing, path: Path) -> Path:
    """Write all candidates with their new costs, one line each, in the order of their numbers."""
    front = {record.number for record in repriced_front(report.trials, prices)}
    cost = {"sparsity": "parameters_left", "macs": "macs_left"}.get(prices.kind, _cost(prices).replace(" ", "_"))
    with replacing(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["trial", cost, "score", "stopped_at", "on_front", "heads", "ffn"])
        for each in report.trials:
            widths = (" ".join(map(str, part)) for part in (each.architecture.heads, each.architecture.ffn))
            known = (each.number, prices.spent[each.number], each.score, each.stopped_at, each.number in front)
            writer.writerow([*known, *widths])
    return path
