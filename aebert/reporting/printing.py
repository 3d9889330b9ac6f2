"""Tables for the terminal: aligned, and readable without colour."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from aebert.errors import StudyError
from aebert.reporting import units
from aebert.reporting.forms import forms_grid
from aebert.reporting.intervals import score_interval
from aebert.reporting.report import Report
from aebert.reporting.tables import (
    Column,
    Table,
    finalists_grid,
    front_grid,
    full_architecture,
    headline,
    profiles_grid,
    scored_on,
)
from aebert.reporting.verdicts import verdict_grids
from aebert.search.front import best_per_budget
from aebert.search.kinds import KINDS
from aebert.search.record import TrialRecord

_BAR_WIDTH = 20
# For streams that can't show the signs (a log in ASCII): shares kept become digits, # for all.
_ASCII = str.maketrans(
    {
        **dict(zip("·▁▂▃▄▅▆▇█", "01234567#", strict=True)),
        "–": "-",
        "×": "x",
        "±": "+",
        "─": "-",
        "…": "~",
        "░": ".",
    }
)


def front_table(report: Report) -> RenderableType:
    """The Pareto front."""
    return _table(front_grid(report))


def verdict_table(report: Report) -> RenderableType:
    """What the search found at each budget, and what it won over the first trials."""
    first, *others = map(_table, verdict_grids(report))
    return Group(first, *(Group(Text(), other) for other in others))


def finalists_table(report: Report) -> RenderableType:
    """The fine-tuned models."""
    return _table(finalists_grid(report))


def profiles_table(report: Report) -> RenderableType:
    """The exported files as measured."""
    return _table(profiles_grid(report))


def grid_table(grid: Table) -> RenderableType:
    """Any grid with its title and note."""
    return _table(grid)


def print_grid(grid: Table) -> None:
    """Print one table of a report."""
    print_table(grid_table(grid))


def forms_table(forms: Mapping[str, Mapping[str, Any]], metric: str) -> RenderableType:
    """The quantized forms of each model, as tried."""
    return grid_table(forms_grid(forms, metric))


def studies_table(reports: Sequence[Report]) -> RenderableType:
    """One line per study: what it searches, how far it is, its best score at each budget."""
    columns = ("study", "task", "model", "sampler", "trials", "metric", "dense", "best at each budget")
    table = _empty(
        "Studies", [Column(title, "number" if title in ("trials", "dense") else "text") for title in columns]
    )
    for report in reports:
        info, dense = report.info, report.dense
        best = best_per_budget(report.trials, info).items()
        table.add_row(
            *map(Text, (info.name, info.task, info.model, info.sampler)),
            f"{len(report.trials)}/{info.trials}",
            Text(info.metric),
            units.points(headline(dense, info) if dense else None),
            ", ".join(
                f"{units.points(headline(trial, info))} at {units.budget(budget, info.budget_kind)}"
                for budget, trial in best
            ),
        )
    return Group(table, Text("Scores × 100 on each study's search rows, before fine-tuning."))


def trial_detail(report: Report, number: int) -> RenderableType:
    """All facts of one trial and what it keeps of each layer; `StudyError` if there is no such trial."""
    record = next((trial for trial in report.trials if trial.number == number), None)
    if record is None:
        known = f"0..{max(trial.number for trial in report.trials)}" if report.trials else "none yet"
        raise StudyError(f"study {report.info.name!r} must have the trial to show, got {number} (its trials: {known})")
    return Group(_facts(record, report), Text(f"{scored_on(report)}.\n"), _layers(record, report))


def print_table(table: RenderableType, file: TextIO | None = None) -> None:
    """Print to a terminal in its width, to anything else in full width and without control codes."""
    stream = sys.stdout if file is None else file
    console = Console(file=stream)
    if console.is_terminal:
        console.print(table)
        return
    wide = Console(width=10_000)
    width = Measurement.get(wide, wide.options, table).maximum
    plain = Console(width=max(width, 40), color_system=None, force_terminal=False)
    with plain.capture() as capture:
        plain.print(table)
    text = "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())
    stream.write(text if _can_show(text, stream) else text.translate(_ASCII).encode("ascii", "replace").decode())


def _can_show(text: str, stream: TextIO) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _empty(title: str | None, columns: Sequence[Column]) -> RichTable:
    table = RichTable(
        title=None if title is None else Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for column in columns:
        table.add_column(Text(column.title), justify="right" if column.kind == "number" else "left", overflow="fold")
    return table


def _table(grid: Table) -> Group:
    table = _empty(None, grid.columns)
    for row in grid.rows:
        table.add_row(*(Text(cell.text) for cell in row))
    # not as the table's title and caption: those would be broken to the table's width
    return Group(Text(grid.title, style="table.title"), table, Text(grid.note))


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
        ("architecture", record.architecture.key()),
        ("on the Pareto front", "yes" if record.number in front else "no"),
        (f"budget ({report.info.budget_kind})", units.budget(record.budget, report.info.budget_kind)),
        *_cost_lines(record, report),
        ("parameters removed", f"{units.percent(record.sparsity)} of the encoder"),
        ("MACs removed", f"{units.percent(record.macs_removed)} of the encoder"),
        ("parameters", f"{record.params:,} (with embeddings)"),
        ("MACs", f"{record.macs:,} (encoder, {report.info.length} tokens)"),
        *((name, f"{units.points(value)}{estimated}") for name, value in record.metrics.items()),
        ("loss", f"{record.loss:.4f}{estimated}"),
        ("score", f"{record.score:.4f}{estimated}{_between(record)}"),
        ("time", f"{record.seconds:.1f} s"),
    ]


def _cost_lines(record: TrialRecord, report: Report) -> list[tuple[str, str]]:
    """The cost that the budget limits, where none of the counts below is it."""
    kind = KINDS[report.info.budget_kind]
    known = kind.is_of_file and record.cost is not None
    return [(kind.title(estimated=report.info.estimated), units.cost(record.cost, kind))] if known else []


def _race_lines(record: TrialRecord, report: Report) -> list[tuple[str, str]]:
    if record.stopped_at is None:
        return []
    rows = f"{record.stopped_at:,} of {report.info.search_rows:,} search rows"
    return [("stopped", f"by a race after {rows}, clearly behind the best of its budget; scores are estimates")]


def _between(record: TrialRecord) -> str:
    bounds = score_interval(record)
    return "" if bounds is None else f" (95 %: {bounds[0]:.4f} to {bounds[1]:.4f})"


def _layers(record: TrialRecord, report: Report) -> RichTable:
    architecture, full = record.architecture, full_architecture(report) or record.architecture
    per_layer = len(full.ffn) // max(1, len(full.heads))
    table = _empty("Kept per layer, the first layer at the top", _LAYER_COLUMNS)
    for block, (kept, most) in enumerate(zip(architecture.ffn, full.ffn, strict=True)):
        layer, part = divmod(block, per_layer)
        # a layer's heads stand beside its first FFN block only
        heads = (architecture.heads[layer], full.heads[layer]) if part == 0 else None
        name = str(layer + 1) if part == 0 else ""
        table.add_row(name, *(_kept(*heads) if heads else ("", "")), *_kept(kept, most))
    return table


_LAYER_COLUMNS = (
    Column("layer"),
    Column("heads"),
    Column("", "bars"),
    Column("FFN neurons"),
    Column("", "bars"),
)


def _kept(count: int, most: int) -> tuple[str, str]:
    filled = round(_BAR_WIDTH * count / most) if most else 0
    return f"{count}/{most}", "█" * filled + "░" * (_BAR_WIDTH - filled)
