"""The last sections of the page: what the study cost, and how to run it again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

from aebert.reporting import units
from aebert.reporting.markup import command_html, definitions, listed, note_html, table_html
from aebert.reporting.report import Report
from aebert.reporting.tables import Cell, Column, Table, number_columns

# What the stages of a run are part of, by how their names begin; the first that fits counts.
_PARTS = {
    "check": "checks",
    "dense": "the dense model",
    "library": "what candidates are made of",
    "rung-": "what candidates are made of",
    "importance-": "what candidates are made of",
    "doubt": "what candidates are made of",
    "search": "scoring candidates",
    "repair-": "finalists",
    "gradual-": "finalists",
    "finalist-": "finalists",
    "select-": "finalists",
    "baseline-": "baselines",
    "export-": "export and quantization",
    "litert-": "export and quantization",
    "report-": "scores on the report rows",
    "profile": "measurement",
    "confirm": "measurement",
    "bundle-": "bundles",
}


def cost_section(report: Report) -> str:
    """Seconds of each part of the run, and of each model."""
    stages = stage_table(report)
    if not stages.rows:
        text = note_html(["What the stages took was not recorded by the version of aebert that made this study."])
        models = ""
    else:
        text = f"{table_html(stages)}{note_html(stages.note.splitlines())}"
    trained = model_table(report)
    models = f"<div><h3>Each model</h3>{table_html(trained)}</div>" if trained.rows else ""
    inner = f'<div class="pair"><div><h3>Each part</h3>{text}</div>{models}</div>'
    return f'<section id="cost"><h2>What the study cost</h2>{inner}</section>\n'


def stage_table(report: Report) -> Table:
    """Seconds by part of the run, in the order of the work; stages of an unknown name are called other."""
    parts = dict.fromkeys([*_PARTS.values(), "other"], 0.0)
    for stage, seconds in report.seconds.items():
        if _is_inner(stage, report.seconds):
            continue
        part = next((part for begin, part in _PARTS.items() if stage.startswith(begin)), "other")
        parts[part] += seconds
    total = sum(parts.values())
    rows = tuple(
        (Cell(part, part), Cell(_time(seconds), seconds), Cell(units.percent(seconds / total), seconds / total))
        for part, seconds in parts.items()
        if seconds > 0
    )
    note = (
        f"{_time(total)} in all, on {report.machine.get('cpu') or 'an unknown processor'}. Stages that were done again "
        "count once; energy was not measured."
    )
    return Table("Each part", (Column("part", "text"), *number_columns("time", "share")), rows, note)


def _is_inner(stage: str, stages: Iterable[str]) -> bool:
    """Whether a stage is a part of another one's time, as `export-dense-fused` is of that of `export-dense`."""
    return any(stage.startswith(f"{other}-") for other in stages if other.startswith("export-"))


def model_table(report: Report) -> Table:
    """Seconds that each model was trained for, and exported and quantized in."""
    trained: Mapping[str, float] = report.provenance.get("seconds", {})
    rows = tuple(
        (
            Cell(row.name, row.name),
            _seconds(trained.get(row.name)),
            _seconds(_of_export(row.name, report.seconds)),
        )
        for row in report.finalists
        if row.name in trained
    )
    return Table("Each model", (Column("model", "text"), *number_columns("trained", "exported")), rows, "")


def _of_export(name: str, seconds: Mapping[str, float]) -> float | None:
    return seconds.get(f"export-{name}")


def _seconds(value: float | None) -> Cell:
    return Cell(units.MISSING if value is None else _time(value), value)


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def again_section(report: Report, checked: str) -> str:
    """The command, config, seed, versions and data of the study; checked: how model and rows were understood."""
    config = (
        "<details><summary>config.yaml, with all defaults</summary>"
        f'<pre tabindex="0">{escape(report.config)}</pre></details>'
        if report.config
        else note_html(["The config is not at hand: it is config.yaml in the folder of the study."])
    )
    command = report.provenance.get("command")
    typed = command_html(str(command)) if command else ""
    return (
        '<section id="again"><h2>How to run it again</h2>'
        f"{typed}{config}{checked}{listed(report.info.notes)}"
        f"<dl>{definitions(dict(_facts(report)))}</dl></section>\n"
    )


def _facts(report: Report) -> Iterator[tuple[str, Any]]:
    yield "seed", report.info.seed
    shown = {name: value for name, value in report.provenance.items() if name not in ("seed", "command", "seconds")}
    for name, value in shown.items():
        if isinstance(value, Mapping):  # digests of the rows of each role
            yield from ((f"{name} {part}", inner) for part, inner in value.items())
        else:
            yield name, value
    versions = report.machine.get("versions")
    if versions:
        yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items())
    yield from ((f"{role} rows", f"{count:,}") for role, count in report.rows.items())
