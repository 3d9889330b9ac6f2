"""The section of the page on models: what each keeps of every layer, and what became of each finalist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from aebert.pruning.architecture import Architecture
from aebert.reporting import units
from aebert.reporting.baselines import baseline_difference
from aebert.reporting.costs import cost_text, finalist_cost
from aebert.reporting.files import paired_interval
from aebert.reporting.forms import forms_table
from aebert.reporting.markup import definitions, note_html, pick_html, table_html
from aebert.reporting.report import Report
from aebert.reporting.rows import FinalistRow, ProfileRow
from aebert.reporting.tables import (
    Cell,
    Column,
    Table,
    by_layer,
    finalist_key,
    full_architecture,
    metric_of,
    number_columns,
    removed_text,
    trial_key,
    trial_name,
    unit_names,
)

_DARK = 0.55  # share from which a cell is so dark that its text is light


def models_section(report: Report) -> str:
    """Heat maps of widths, then each fine-tuned model on its own."""
    cards = "".join(_model(row, report) for row in report.finalists)
    return f'<section id="models"><h2>The models</h2>{_heat_maps(report)}{cards}</section>\n'


# --- heat maps ---------------------------------------------------------------------------------------------------


def _heat_maps(report: Report) -> str:
    dense = full_architecture(report)
    if dense is None:
        return ""
    full, (attention, ffn_units) = by_layer(dense, report.info), unit_names(report.info)
    # a folder whose database was replaced has finalists of another encoder
    rows = [row for row in _rows(report) if (len(row[2].heads), len(row[2].ffn)) == (len(dense.heads), len(dense.ffn))]
    rows = [(key, name, by_layer(one, report.info)) for key, name, one in rows]
    if not rows:
        return ""
    heads = _heat_map(f"{attention.capitalize()} kept", [(key, name, one.heads) for key, name, one in rows], full.heads)
    ffn = _heat_map(f"{ffn_units} kept", [(key, name, one.ffn) for key, name, one in rows], full.ffn)
    note = note_html(
        [
            "One row per model of the front, from the dearest to the cheapest, then the fine-tuned ones; one column "
            "per block, the first layer on the left. The stronger the colour, the larger the share that is kept.",
        ]
    )
    return f'<div class="pair">{heads}{ffn}</div>{note}'


def _rows(report: Report) -> Iterator[tuple[str, str, Architecture]]:
    """Key, name and widths: the search's front without the dense model, then the finalists."""
    for trial in report.front:
        if trial.origin != "dense":
            cost = cost_text(report.axis.cost(trial), report)
            yield trial_key(trial.number), f"trial {trial_name(trial)}, {cost}", trial.architecture
    for row in report.finalists:
        if row.is_finalist:
            cost = cost_text(finalist_cost(row, report), report)
            yield finalist_key(row.name), f"{row.name} (fine-tuned), {cost}", row.architecture


def _heat_map(title: str, rows: Sequence[tuple[str, str, Sequence[int]]], full: Sequence[int]) -> str:
    heads = "".join(f'<th scope="col">{place}</th>' for place in range(1, len(full) + 1))
    body = "".join(
        f'<tr><th scope="row">{pick_html(key, name)}</th>'
        + "".join(_heat(kept, most) for kept, most in zip(widths, full, strict=True))
        + "</tr>"
        for key, name, widths in rows
    )
    box = f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}">'
    table = f'<table class="heat"><thead><tr><th>block</th>{heads}</tr></thead><tbody>{body}</tbody></table>'
    return f"<div><h3>{escape(title)}</h3>{box}{table}</div></div>"


def _heat(kept: int, most: int) -> str:
    share = kept / most if most else 0.0
    dark = ' class="dark"' if share >= _DARK else ""
    return f'<td{dark} style="--share:{100 * share:.0f}%" title="{kept} of {most}">{kept}</td>'


# --- one model ---------------------------------------------------------------------------------------------------


def _model(row: FinalistRow, report: Report) -> str:
    kind = "" if row.is_finalist else ", baseline" if row.is_baseline else ", for comparison"
    chosen = ", to use at its budget" if row.chosen else ""
    score = units.points(metric_of(row.report_metrics, report.info.metric))
    title = (
        f"<strong>{escape(row.name)}</strong>{kind}{chosen}: {escape(report.info.metric)} {score} on the report rows"
    )
    form = report.forms.get(row.name)
    forms = "" if form is None or form.quantization is None else _forms(row.name, report)
    inner = f"<dl>{definitions(dict(_facts(row, report)))}</dl>{forms}{_lengths(row, report)}"
    return f"<details{' open' if row.chosen else ''}><summary>{title}</summary>{inner}</details>\n"


def _facts(row: FinalistRow, report: Report) -> Iterator[tuple[str, str]]:
    metric = report.info.metric
    yield (
        "size",
        removed_text(row.sparsity, row.macs_removed, row.params, report.info),
    )
    if row.search_score is not None:
        after = "" if row.is_finalist else ", as it is"
        yield f"{metric} before fine-tuning", f"{units.points(row.search_score)} on the search rows{after}"
    yield f"{metric} after fine-tuning", f"{units.points(row.select_score)} on the select rows"
    for kind, metrics, interval in (
        ("float32", row.report_metrics, row.report_interval),
        ("int8", row.int8_report_metrics, row.int8_report_interval),
    ):
        if metrics is not None:
            between = "" if interval is None else f" (95 %: {units.span(interval)})"
            yield f"{metric}, {kind} file", f"{units.points(metrics[metric])}{between} on the report rows"
    if row.repair is not None:
        yield "repair before training", f"{units.difference(row.repair.value)} points on the select rows"
    if row.behind is not None:
        yield "behind the best", f"{units.difference(row.behind.value)} points behind {row.behind.best}, select rows"
    won = baseline_difference(row, report)
    if won is not None:
        yield f"against {row.baseline}", f"{units.difference(won.value)} points ({paired_interval(won)}), report rows"


def _forms(name: str, report: Report) -> str:
    table = forms_table({name: report.forms[name]}, report.info.metric)
    return f"<h3>Quantized forms</h3>{table_html(table)}{note_html(table.note.splitlines()[-2:])}"


def _lengths(row: FinalistRow, report: Report) -> str:
    files = [profile for profile in report.profiles if profile.name == row.name]
    known = [profile for profile in files if profile.by_length]
    if not files:
        return ""
    if not known:
        return note_html(["Latency by length was not recorded by the version of aebert that measured this study."])
    return f"<h3>Latency by length</h3>{table_html(_lengths_table(known))}"


def _lengths_table(files: Sequence[ProfileRow]) -> Table:
    columns = (Column("tokens", "text"), *number_columns("requests", *(f"{one.kind} (ms)" for one in files)))
    spans = [(one.shortest, one.longest, one.runs) for one in files[0].by_length]
    rows = tuple(
        (
            Cell(str(low) if low == high else f"{low}–{high}", low),
            Cell(str(runs), runs),
            *(_median(one, low, high) for one in files),
        )
        for low, high, runs in spans
    )
    return Table("Latency by length", columns, rows, "")


def _median(one: ProfileRow, low: int, high: int) -> Cell:
    found = next((part.p50_ms for part in one.by_length if (part.shortest, part.longest) == (low, high)), None)
    return Cell(units.significant(found), found)
