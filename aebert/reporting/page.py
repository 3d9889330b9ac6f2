"""The report as one HTML page that opens without a network."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from aebert.files import replacing
from aebert.pruning.architecture import Architecture
from aebert.reporting import units
from aebert.reporting.chart import front_chart, progress_chart
from aebert.reporting.checked import checked_lines
from aebert.reporting.costs import budget_name, cost_text, finalist_cost
from aebert.reporting.fronts import front_table
from aebert.reporting.overview import model_tables
from aebert.reporting.report import Report
from aebert.reporting.rows import FinalistRow
from aebert.reporting.tables import (
    Cell,
    Column,
    Table,
    chosen,
    dense_finalist,
    finalist_key,
    full_architecture,
    headline,
    metric_of,
    scored_on,
    trial_key,
)
from aebert.reporting.verdicts import Standing, standings, verdict_tables
from aebert.reporting.window import below, score_floor
from aebert.search.record import TrialRecord

_SLOT = re.compile(r"\{\{(\w+)\}\}")


def write_front_html(report: Report, path: Path) -> None:
    """Write the page: about 5 MB, nearly all of it plotly.js."""
    text = front_html(report)
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def front_html(report: Report) -> str:
    """The page: interactive chart, what a picked point keeps of each layer, sortable tables, provenance.

    The page refers to nothing outside itself, and its security policy forbids the browser to load anything.
    """
    info = report.info
    return _fill(
        _asset("page.html"),
        {
            "title": escape(info.name),
            "subtitle": escape(f"{info.task} · {info.model} · {len(report.trials)} trials, {info.sampler} sampler"),
            "facts": _facts(report),
            "chart_note": escape(_chart_note(report)),
            "progress": _asset("progress.html") if _progress(report) else "",
            "tables": "".join(map(_table, _tables(report))),
            "checked": _checked(report),
            "notes": "".join(f"<li>{escape(note)}</li>" for note in info.notes),
            "provenance": _definitions({"seed": info.seed, **report.provenance, **_role_rows(report)}),
            "style": _asset("page.css"),
            "plotly": get_plotlyjs(),
            "data": _script_json(_data(report)),
            "script": _asset("page.js"),
        },
    )


def _checked(report: Report) -> str:
    if report.checked is None:
        return ""
    lines = "\n".join(checked_lines(report.checked, finished=True))
    return f'<pre class="checked">{escape(lines)}</pre>'


def _chart_note(report: Report) -> str:
    tuned = (
        " Fine-tuned models are on the report rows, float32 a little left and int8 a little right of their true "
        "place, with 95 % intervals where the metric has them. The dotted line is the dense model on the report rows."
    )
    search = f"Scores are {scored_on(report)}. The dashed line is the dense model on the search rows."
    floor = score_floor(report)
    hidden = (
        "" if floor is None else f" {below(report, floor)} trials below {floor:.1f} are further down: drag the axis."
    )
    return f"{search}{tuned if report.finalists else ''}{hidden} Click a point to see what it keeps."


def _fill(template: str, slots: Mapping[str, str]) -> str:
    """Fill every slot in one pass, so that no filled-in text is taken for a slot."""
    return _SLOT.sub(lambda match: slots[match.group(1)], template)


def _asset(name: str) -> str:
    return resources.files("aebert.reporting").joinpath(name).read_text(encoding="utf-8")


def _script_json(value: Any) -> str:
    """JSON that can't end the script element it stands in."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")


def _tables(report: Report) -> list[Table]:
    """All tables of the page; the front comes second, since the chart above them shows it."""
    return [*verdict_tables(report), front_table(report), *model_tables(report)]


def _table(table: Table) -> str:
    heads = "".join(
        f'<th scope="col" class="{column.kind}"><button type="button">{escape(column.title)}</button></th>'
        for column in table.columns
    )
    body = "".join(
        "<tr>" + "".join(_cell(cell, column) for cell, column in zip(row, table.columns, strict=True)) + "</tr>"
        for row in table.rows
    )
    note = "<br>".join(escape(line) for line in table.note.splitlines())
    return (
        f'<section><h2>{escape(table.title)}</h2><div class="scroll"><table><thead><tr>{heads}</tr></thead>'
        f'<tbody>{body}</tbody></table></div><p class="note">{note}</p></section>\n'
    )


def _cell(cell: Cell, column: Column) -> str:
    text = escape(cell.text)
    if cell.key is not None:
        text = f'<button type="button" class="pick" data-key="{escape(cell.key)}">{text}</button>'
    value = "" if cell.value is None else escape(str(cell.value))
    return f'<td data-value="{value}" class="{column.kind}">{text}</td>'


def _facts(report: Report) -> str:
    """The cards at the top: the dense model, the search's best at the hardest budget, the chosen model."""
    info = report.info
    cards = []
    if report.dense is not None:
        cards.append(("dense model", units.points(headline(report.dense, info)), f"{info.metric}, search rows"))
    for standing in standings(report)[-1:]:
        text = f"{info.metric}, search rows, no fine-tuning{_won(standing, report)}"
        score = units.points(headline(standing.best, info))
        cards.append((f"best at {budget_name(standing.budget, info)}", score, text))
    cards += _chosen_cards(report)
    return "".join(_card(*card) for card in cards)


def _card(title: str, value: str, text: str) -> str:
    inner = f"<span>{escape(title)}</span><strong>{escape(value)}</strong><small>{escape(text)}</small>"
    return f'<div class="card">{inner}</div>'


def _won(standing: Standing, report: Report) -> str:
    """How many points the best wins over the strongest first trial, as the end of a sentence."""
    method = standing.strongest
    if method is None:
        return ""
    other = next(trial for trial in report.trials if trial.number == standing.gains[method].number)
    if other.architecture == standing.best.architecture:
        return f"; it is the first trial {method}"
    won = headline(standing.best, report.info) - headline(other, report.info)
    return f", {units.difference(won)} points over {method}, the best first trial"


def _chosen_cards(report: Report) -> list[tuple[str, str, str]]:
    """Cards of the model to use; with several budgets, of the one to use at each."""
    return [card for row in report.finalists if row.chosen for card in _cards_of(row, report)]


def _cards_of(row: FinalistRow, report: Report) -> list[tuple[str, str, str]]:
    dense, metric = dense_finalist(report.finalists), report.info.metric
    score, level = metric_of(row.report_metrics, metric), metric_of(dense.report_metrics, metric) if dense else None
    cost = cost_text(finalist_cost(row, report), report)
    against = f", dense {units.points(level)}" if level is not None else ""
    cards = [(f"chosen: {row.name}", units.points(score), f"{metric}, report rows{against}; {cost}")]
    fastest = [profile for profile in report.profiles if profile.name == row.name and profile.speedup is not None]
    for profile in sorted(fastest, key=lambda profile: profile.p50_ms)[:1]:
        costs = f"{units.significant(profile.p50_ms)} ms, {units.megabytes(profile.size_bytes)} MB"
        text = f"{costs}; compared with the dense float32 file"
        cards.append((f"its {profile.kind} file", f"{profile.speedup:.1f}× as fast", text))
    return cards


def _role_rows(report: Report) -> dict[str, str]:
    return {f"{role} rows": f"{count:,}" for role, count in report.rows.items()}


def _definitions(values: Mapping[str, Any]) -> str:
    return "".join(f"<dt>{escape(str(name))}</dt><dd>{escape(_plain(value))}</dd>" for name, value in values.items())


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _data(report: Report) -> dict[str, Any]:
    return {
        "chart": _figure(front_chart(report)),
        "progress": _progress(report),
        "full": _kept(full_architecture(report)),
        "models": _models(report),
        "first": _first(report),
    }


def _progress(report: Report) -> dict[str, Any] | None:
    figure = progress_chart(report)
    return None if figure is None else _figure(figure)


def _figure(figure: go.Figure) -> dict[str, Any]:
    chart = json.loads(figure.to_json())
    return {"data": chart["data"], "layout": chart["layout"]}


def _kept(architecture: Architecture | None) -> dict[str, list[int]] | None:
    return architecture.to_dict() if architecture else None


def _models(report: Report) -> dict[str, dict[str, Any]]:
    metric = report.info.metric
    models = {
        trial_key(trial.number): {
            "title": f"Trial {trial.number} ({trial.origin})",
            "facts": f"{metric} {units.points(headline(trial, report.info))} {_seen(trial, report)}",
            "removed": _removed_text(trial.sparsity, trial.macs_removed, trial.params),
            **trial.architecture.to_dict(),
        }
        for trial in report.trials
    }
    for row in report.finalists:
        score = units.points(metric_of(row.report_metrics, metric))
        kind = "fine-tuned" if row.is_finalist else "baseline, fine-tuned" if row.is_baseline else "dense model"
        models[finalist_key(row.name)] = {
            "title": f"{row.name} ({kind}{', chosen' if row.chosen else ''})",
            "facts": f"{metric} {score} on the report rows",
            "removed": _removed_text(row.sparsity, row.macs_removed, row.params),
            **row.architecture.to_dict(),
        }
    return models


def _seen(trial: TrialRecord, report: Report) -> str:
    if trial.stopped_at is None:
        return "on the search rows before fine-tuning"
    rows = f"{trial.stopped_at:,} of {report.info.scored_rows:,} search rows"
    return f"estimated: a race stopped it after {rows}"


def _removed_text(sparsity: float, macs_removed: float, params: int) -> str:
    return (
        f"{units.percent(sparsity)} of the encoder's parameters and {units.percent(macs_removed)} of its MACs "
        f"removed; {units.millions(params)} M parameters in all"
    )


def _first(report: Report) -> str | None:
    """Key of the model shown at first: the chosen one, else the cheapest on the front."""
    row = chosen(report.finalists)
    if row is not None:
        return finalist_key(row.name)
    return trial_key(report.front[-1].number) if report.front else None
