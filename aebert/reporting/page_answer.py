"""The first sections of the page: which file to ship, and the files that it was chosen from."""

from __future__ import annotations

import math
import shlex
from html import escape

from aebert.errors import StudyError
from aebert.reporting import units
from aebert.reporting.answer import best_file
from aebert.reporting.best import Wish
from aebert.reporting.costs import budget_name
from aebert.reporting.files import files_table, paired_interval
from aebert.reporting.files_chart import TIED, files_charts
from aebert.reporting.markup import card, command_html, note_html, table_html
from aebert.reporting.report import Report
from aebert.reporting.rows import ProfileRow
from aebert.reporting.shipping import ShippedFile, answer_of, files_of
from aebert.reporting.tables import headline
from aebert.reporting.verdicts import Standing, standings


def ship_section(report: Report) -> str:
    """The answer; before there is one, what is known so far."""
    best = answer_of(report, files_of(report))
    if best is None:
        return _section(*_without_answer(report))
    lines = best_file(report, Wish()).lines
    cards = "".join(card(*one) for one in _cards(best, report))
    commands = (
        f"aebert predict bundles/{shlex.quote(best.model.name)} --input rows.csv",
        f"aebert best {shlex.quote(report.info.name)} --to FOLDER",
    )
    said = "".join(f"<p>{escape(line)}</p>" for line in lines[1:])
    where = note_html(
        ["The first runs it, from the folder that this page lies in; the second writes its bundle elsewhere."]
    )
    return _section(f"Ship {best.file}", f'<div class="cards">{cards}</div>{said}{command_html(*commands)}{where}')


def _section(title: str, inner: str) -> str:
    return f'<section id="ship" class="answer"><h2>{escape(title)}</h2>{inner}</section>\n'


def _cards(best: ShippedFile, report: Report) -> list[tuple[str, str, str]]:
    metric, found, row = report.info.metric, best.from_dense, best.profile
    interval = "" if best.interval is None else f", 95 % interval {units.span(best.interval)}"
    cards = [(f"{metric} on the report rows", units.points(best.score), f"points{interval}")]
    if found is not None and not math.isnan(found.low):
        cards.append(("against the dense model", units.difference(found.value), f"points, {paired_interval(found)}"))
    dense = next((one for one in files_of(report) if one.is_dense and one != best), None)
    faster, smaller = ("", "") if dense is None else _compared(row, dense)
    cards.append(("time", f"{units.significant(row.p50_ms)} ms", f"median of a call{faster}"))
    cards.append(("size", f"{units.megabytes(row.size_bytes)} MB", f"MB of 10^6 bytes{smaller}"))
    return cards


def _compared(row: ProfileRow, dense: ShippedFile) -> tuple[str, str]:
    """How much faster and smaller a file is than one of the dense model, as ends of sentences."""
    speed, size = dense.profile.p50_ms / row.p50_ms, dense.profile.size_bytes / row.size_bytes
    return f", {speed:.1f} times as fast as {dense.file}", f", {size:.1f} times smaller than {dense.file}"


def _without_answer(report: Report) -> tuple[str, str]:
    """Title and text: what `aebert best` says where it names no file, or how far the study is."""
    title = "No file loses as little as is allowed"
    try:
        lines = best_file(report, Wish()).lines
    except StudyError:
        chosen = [row.name for row in report.finalists if row.chosen]
        title = "No file can be named" if report.profiles else "No file to ship yet"
        if report.profiles:
            lines = (
                "This study was made by a version that did not compare files row by row, so that no file can be named. "
                f"By the select rows the model to use is {' or '.join(chosen) or 'not known'}.",
            )
        else:
            lines = ("No model of this study was fine-tuned and measured yet: aebert run goes on with it.",)
    said = "".join(f"<p>{escape(line)}</p>" for line in lines)
    return title, f'<div class="cards">{"".join(card(*one) for one in _search_cards(report))}</div>{said}'


def _search_cards(report: Report) -> list[tuple[str, str, str]]:
    """The dense model, and the search's best at the hardest budget."""
    info, cards = report.info, []
    if report.dense is not None:
        cards.append(("dense model", units.points(headline(report.dense, info)), f"{info.metric}, search rows"))
    for standing in standings(report)[-1:]:
        text = f"{info.metric}, search rows, no fine-tuning{_won(standing, report)}"
        score = units.points(headline(standing.best, info))
        cards.append((f"best at {budget_name(standing.budget, info)}", score, text))
    return cards


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


def files_section(report: Report) -> str:
    """The chart of the files that ship with its axes to choose from, and the table behind it."""
    charts = files_charts(report)
    if not charts:
        return ""
    choices = "".join(
        f'<label><input type="radio" name="axis" value="{key}"{" checked" if place == 0 else ""}>'
        f"<span>{escape(axis.title)}</span></label>"
        for place, (key, (axis, _)) in enumerate(charts.items())
    )
    table = files_table(report)
    return (
        '<section id="files"><h2>The files that ship</h2>'
        f'<fieldset class="choices"><legend>Score against</legend>{choices}</fieldset>'
        f'<div class="framed"><div id="files-chart" class="chart"></div></div>{note_html(_chart_note(report))}'
        f"{table_html(table)}{note_html(table.note.splitlines())}</section>\n"
    )


def _chart_note(report: Report) -> list[str]:
    files = files_of(report)
    best, baselines = answer_of(report, files), any(one.model.is_baseline for one in files)
    marks = ["stars are the dense model, the dotted line is its float32 score"]
    if best is not None:
        marks.append(f"blue is the file to ship,{TIED} means that the report rows can't tell a score from its")
    marks.append("faded files are beaten: another costs no more and scores no less")
    marks += ["squares are baselines"] if baselines else []
    text = "; ".join(marks)
    return [f"Bars are 95 % intervals. {text[0].upper()}{text[1:]}. Click a point to see what the model keeps."]
