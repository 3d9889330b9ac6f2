"""All that is known of one trial."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from aebert.errors import StudyError
from aebert.reporting import units
from aebert.reporting.intervals import score_interval
from aebert.reporting.printing import rich_table
from aebert.reporting.report import Report
from aebert.reporting.tables import Column, by_layer, full_architecture, scored_on, sets_zeros, unit_names
from aebert.search.kinds import KINDS
from aebert.search.record import TrialRecord

_BAR_WIDTH = 20


def trial_detail(report: Report, number: int) -> RenderableType:
    """All facts of one trial and what it keeps of each layer; `StudyError` if there is no such trial."""
    record = next((trial for trial in report.trials if trial.number == number), None)
    if record is None:
        known = f"0..{max(trial.number for trial in report.trials)}" if report.trials else "none yet"
        raise StudyError(f"study {report.info.name!r} must have the trial to show, got {number} (its trials: {known})")
    return Group(_facts(record, report), Text(f"Scores are {scored_on(report)}.\n"), _layers(record, report))


def _facts(record: TrialRecord, report: Report) -> RichTable:
    table = RichTable(
        title=Text(f"Trial {record.number} of {report.info.name}"),
        title_justify="left",
        show_header=False,
        box=None,
        pad_edge=False,
    )
    for name, value in _fact_lines(record, report):
        table.add_row(Text(name), Text(value))
    return table


def _fact_lines(record: TrialRecord, report: Report) -> list[tuple[str, str]]:
    front = {member.number for member in report.front}
    taken = "" if record.same_as is None else f", score taken over from trial {record.same_as} (same architecture)"
    estimated = "" if record.stopped_at is None else " (estimated)"
    return [
        ("origin", f"{record.origin}{taken}"),
        *_race_lines(record, report),
        *_recipe_lines(record),
        ("architecture", record.architecture.key()),
        ("on the Pareto front", "yes" if record.number in front else "no"),
        (f"budget ({report.info.budget_kind})", units.budget(record.budget, report.info.budget_kind)),
        *_cost_lines(record, report),
        *_removed_lines(record, report),
        ("parameters", f"{record.params:,} (with embeddings)"),
        ("MACs", f"{record.macs:,} (encoder, {report.info.length} tokens)"),
        *((name, f"{units.points(value)}{estimated}") for name, value in record.metrics.items()),
        ("loss", f"{record.loss:.4f}{estimated}"),
        ("score", f"{record.score:.4f}{estimated}{_between(record)}"),
        ("time", f"{record.seconds:.1f} s"),
    ]


def _removed_lines(record: TrialRecord, report: Report) -> list[tuple[str, str]]:
    if sets_zeros(report.info):
        return [
            ("weights zero", f"{units.percent(record.sparsity)} of those in the encoder's matrices; none are removed")
        ]
    return [
        ("parameters removed", f"{units.percent(record.sparsity)} of the encoder"),
        ("MACs removed", f"{units.percent(record.macs_removed)} of the encoder"),
    ]


def _recipe_lines(record: TrialRecord) -> list[tuple[str, str]]:
    """How the sub-network is made, unless it comes straight from the dense model's library."""
    lines = [] if record.base is None else [("cut from", f"the library built from trial {record.base}")]
    return [*lines, ("repaired", "yes")] if record.repaired else lines


def _cost_lines(record: TrialRecord, report: Report) -> list[tuple[str, str]]:
    """The cost that the budget limits, unless it is one of the counts below."""
    kind = KINDS[report.info.budget_kind]
    known = kind.is_of_file and record.cost is not None
    return [(kind.title(estimated=report.info.estimated), units.cost(record.cost, kind))] if known else []


def _race_lines(record: TrialRecord, report: Report) -> list[tuple[str, str]]:
    if record.stopped_at is None:
        return []
    rows = f"{record.stopped_at:,} of {report.info.scored_rows:,} search rows"
    return [("stopped", f"by a race after {rows}, clearly behind the best of its budget; scores are estimates")]


def _between(record: TrialRecord) -> str:
    bounds = score_interval(record)
    return "" if bounds is None else f" (95 %: {bounds[0]:.4f} to {bounds[1]:.4f})"


def _layers(record: TrialRecord, report: Report) -> RichTable:
    full = by_layer(full_architecture(report) or record.architecture, report.info)
    architecture = by_layer(record.architecture, report.info)
    per_layer = len(full.ffn) // max(1, len(full.heads))
    table = rich_table("Kept per layer, the first layer at the top", _layer_columns(report))
    for block, (kept, most) in enumerate(zip(architecture.ffn, full.ffn, strict=True)):
        layer, part = divmod(block, per_layer)
        # a layer's heads stand beside its first FFN block only
        heads = (architecture.heads[layer], full.heads[layer]) if part == 0 else None
        name = str(layer + 1) if part == 0 else ""
        table.add_row(name, *(_kept(*heads) if heads else ("", "")), *_kept(kept, most))
    return table


def _layer_columns(report: Report) -> tuple[Column, ...]:
    attention, ffn = unit_names(report.info)
    return Column("layer"), Column(attention), Column("", "bars"), Column(ffn), Column("", "bars")


def _kept(count: int, most: int) -> tuple[str, str]:
    filled = round(_BAR_WIDTH * count / most) if most else 0
    return f"{count}/{most}", "█" * filled + "░" * (_BAR_WIDTH - filled)
