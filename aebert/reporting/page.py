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
from aebert.reporting.chart import front_chart, front_legend, progress_chart
from aebert.reporting.checked import checked_lines
from aebert.reporting.files_chart import files_charts
from aebert.reporting.fronts import front_table
from aebert.reporting.markup import note_html, table_section
from aebert.reporting.overview import model_tables
from aebert.reporting.page_answer import files_section, ship_section
from aebert.reporting.page_models import models_section
from aebert.reporting.page_study import again_section, cost_section
from aebert.reporting.report import Report
from aebert.reporting.tables import (
    by_layer,
    finalist_key,
    full_architecture,
    headline,
    metric_of,
    removed_text,
    scored_on,
    trial_key,
    unit_names,
)
from aebert.reporting.verdicts import verdict_tables
from aebert.reporting.window import below, score_floor
from aebert.search.record import TrialRecord

_SLOT = re.compile(r"\{\{(\w+)\}\}")
_SIGNS = {  # of plotly's symbols, for the legend
    "circle": "●",
    "x-thin-open": "×",
    "star": "★",
    "square-open": "□",
    "triangle-down-open": "▽",
    "hexagon-open": "⬡",
    "cross-open": "✚",
    "pentagon-open": "⬠",
    "triangle-left-open": "◁",
}


def write_front_html(report: Report, path: Path) -> None:
    """Write the page: about 5 MB, nearly all of it plotly.js."""
    text = front_html(report)
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def front_html(report: Report) -> str:
    """The page: what to ship, the files, how they were found, the models, what it cost, how to run it again.

    The page refers to nothing outside itself, and its security policy forbids the browser to load anything.
    """
    info = report.info
    return _fill(
        _asset("page.html"),
        {
            "title": escape(info.name),
            "subtitle": escape(f"{info.task} · {info.model} · {len(report.trials)} trials, {info.sampler} sampler"),
            "ship": ship_section(report),
            "files": files_section(report),
            "files_link": '<a href="#files">Files</a>' if files_charts(report) else "",
            "found": _found(report),
            "models": models_section(report),
            "tables": _tables(report),
            "cost": cost_section(report),
            "again": again_section(report, _checked(report)),
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
    return f'<pre class="checked" tabindex="0">{escape(lines)}</pre>'


def _tables(report: Report) -> str:
    tables = "".join(map(table_section, model_tables(report)))
    return f'<section id="tables"><h2>All figures of the models</h2>{tables}</section>\n' if tables else ""


def _found(report: Report) -> str:
    """The search: its front with the first trials, its tables, and its progress."""
    legend = "".join(
        f'<span class="mark"><b style="color:var(--{role})">{_SIGNS.get(symbol, "●")}</b> {name}</span>'
        for role, symbol, name in front_legend(report)
    )
    tables = "".join(map(table_section, (*verdict_tables(report), front_table(report))))
    return (
        '<section id="found"><h2>How it was found</h2>'
        f'<div class="framed"><div id="chart" class="chart"></div><p class="legend">{legend}</p></div>'
        f"{note_html([_chart_note(report)])}{_asset('progress.html') if _progress(report) else ''}{tables}</section>\n"
    )


def _chart_note(report: Report) -> str:
    floor = score_floor(report)
    hidden = (
        "" if floor is None else f" {below(report, floor)} trials below {floor:.1f} are further down: drag the axis."
    )
    click = "Click a point to see what it keeps."
    return f"Scores are {scored_on(report)}. The dashed line is the dense model.{hidden} {click}"


def _fill(template: str, slots: Mapping[str, str]) -> str:
    """Fill every slot in one pass, so that no filled-in text is taken for a slot."""
    return _SLOT.sub(lambda match: slots[match.group(1)], template)


def _asset(name: str) -> str:
    return resources.files("aebert.reporting").joinpath(name).read_text(encoding="utf-8")


def _script_json(value: Any) -> str:
    """JSON that can't end the script element it stands in."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")


def _data(report: Report) -> dict[str, Any]:
    return {
        "chart": _figure(front_chart(report)),
        "files": {key: _figure(figure) for key, (_, figure) in files_charts(report).items()},
        "progress": _progress(report),
        "full": _kept(full_architecture(report), report),
        "units": list(unit_names(report.info)),
        "models": _models(report),
    }


def _progress(report: Report) -> dict[str, Any] | None:
    figure = progress_chart(report)
    return None if figure is None else _figure(figure)


def _figure(figure: go.Figure) -> dict[str, Any]:
    chart = json.loads(figure.to_json())
    return {"data": chart["data"], "layout": chart["layout"]}


def _kept(architecture: Architecture | None, report: Report) -> dict[str, list[int]] | None:
    return by_layer(architecture, report.info).to_dict() if architecture else None


def _models(report: Report) -> dict[str, dict[str, Any]]:
    metric = report.info.metric
    models = {
        trial_key(trial.number): {
            "title": f"Trial {trial.number} ({trial.origin})",
            "facts": f"{metric} {units.points(headline(trial, report.info))} {_seen(trial, report)}",
            "removed": removed_text(trial.sparsity, trial.macs_removed, trial.params, report.info),
            **by_layer(trial.architecture, report.info).to_dict(),
        }
        for trial in report.trials
    }
    for row in report.finalists:
        score = units.points(metric_of(row.report_metrics, metric))
        kind = "fine-tuned" if row.is_finalist else "baseline, fine-tuned" if row.is_baseline else "dense model"
        models[finalist_key(row.name)] = {
            "title": f"{row.name} ({kind}{', chosen' if row.chosen else ''})",
            "facts": f"{metric} {score} on the report rows",
            "removed": removed_text(row.sparsity, row.macs_removed, row.params, report.info),
            **by_layer(row.architecture, report.info).to_dict(),
        }
    return models


def _seen(trial: TrialRecord, report: Report) -> str:
    if trial.stopped_at is None:
        return "on the search rows before fine-tuning"
    rows = f"{trial.stopped_at:,} of {report.info.scored_rows:,} search rows"
    return f"estimated: a race stopped it after {rows}"
