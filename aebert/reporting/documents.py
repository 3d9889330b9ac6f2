"""The small files of a report: the front as CSV and the summary as JSON. A file is written whole or not at all."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from aebert.errors import StudyError
from aebert.files import replacing
from aebert.reporting.profiles import measured_on
from aebert.reporting.report import Report
from aebert.reporting.tables import headline
from aebert.reporting.verdicts import first_trial
from aebert.search.first import first_origins
from aebert.search.record import TrialRecord

SUMMARY = "summary.json"  # in a run's folder


def write_front_csv(report: Report, path: Path) -> None:
    """Write the Pareto front, one line per trial, from the dearest to the cheapest, with numbers in full precision.

    Columns `search_*` are on the search rows before fine-tuning. Differences from the dense model and from each first
    trial of the same budget are shares, not points. cost is in the budget's own unit, std_error is that of score, and
    hypervolume that of all trials up to this one. heads and ffn are counts per block, separated by blanks.
    """
    rows = [_csv_row(record, report) for record in report.front]
    with replacing(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _csv_columns(report), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _csv_columns(report: Report) -> list[str]:
    names = list(dict.fromkeys(name for trial in report.trials for name in trial.metrics))
    before = ["trial", "origin", "budget", "cost", "sparsity", "macs_removed", "params", "macs"]
    return [
        *before,
        *(f"search_{name}" for name in names),
        *("search_loss", "score", "std_error", *(_minus(name, report) for name in ("dense", *_methods(report)))),
        *("hypervolume", "heads", "ffn", "base", "repaired", "seconds"),
    ]


def _methods(report: Report) -> list[str]:
    """The methods and other studies whose first trials the study has."""
    known = {trial.origin for trial in report.trials}
    return [origin for origin in first_origins(report.trials) if origin in known]


def _minus(name: str, report: Report) -> str:
    return f"search_{report.info.metric}_minus_{name}"


def _csv_row(record: TrialRecord, report: Report) -> dict[str, Any]:
    info = report.info
    others: dict[str, TrialRecord | None] = {"dense": report.dense}
    others |= {method: first_trial(report.trials, method, record.budget) for method in _methods(report)}
    plain = ("origin", "budget", "cost", "sparsity", "macs_removed", "params", "macs", "score", "std_error")
    return {
        "trial": record.number,
        **{name: getattr(record, name) for name in (*plain, "hypervolume", "base", "repaired", "seconds")},
        **{f"search_{name}": value for name, value in record.metrics.items()},
        "search_loss": record.loss,
        **{
            _minus(name, report): headline(record, info) - headline(other, info) if other else None
            for name, other in others.items()
        },
        "heads": " ".join(map(str, record.architecture.heads)),
        "ffn": " ".join(map(str, record.architecture.ffn)),
    }


def write_summary_json(report: Report, path: Path) -> None:
    """Write the whole report; `read_summary_json` is the inverse, to the last bit of every number.

    The file is strict JSON. A number that is not finite, for which JSON has no sign, becomes {"float": "nan"}.
    """
    sections = (f"{_dump(name)}: {_section(value)}" for name, value in report.to_dict().items())
    text = "{\n" + ",\n".join(sections) + "\n}\n"
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def _section(value: Any) -> str:
    """A list with one line per item, so that a change of one trial is a change of one line."""
    if not isinstance(value, list) or not value:
        return _dump(value)
    return "[\n" + ",\n".join(f"  {_dump(item)}" for item in value) + "\n]"


def _dump(value: Any) -> str:
    return json.dumps(_encode(value), ensure_ascii=False, allow_nan=False)


def read_summary_json(path: Path) -> Report:
    """Read a report; `StudyError` in one line if the file is missing, damaged or of another format."""
    try:
        report = Report.from_dict(_decode(json.loads(path.read_text(encoding="utf-8"))))
        checked = _of_its_types().validate_python(asdict(report))
        _check_references(checked)
        return checked
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        rule = first["msg"][0].lower() + first["msg"][1:]
        raise StudyError(f"summary {path} must be a report of aebert: {place}: {rule}; {_REMAKE}") from None
    except OSError as error:
        raise StudyError(f"summary {path} can't be read: {error.strerror or error}") from None
    except StudyError as error:
        raise StudyError(f"summary {path}: {error}") from None
    except json.JSONDecodeError as error:
        raise StudyError(f"summary {path} line {error.lineno} must be JSON: {error.msg}; {_REMAKE}") from None
    except KeyError as error:
        raise StudyError(f"summary {path} must have the key {error}; {_REMAKE}") from None
    except (TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise StudyError(f"summary {path} must be a report of aebert: {error}; {_REMAKE}") from None


def _check_references(report: Report) -> None:
    """Raise what a table would raise whose values are of the right types, but speak of what is not there."""
    for row in report.finalists:
        _ = [found[report.info.metric] for found in (row.report_metrics, row.int8_report_metrics) if found]
    trials = {trial.number: trial for trial in report.trials}
    for verdict in report.verdicts:
        numbers = (verdict.best, verdict.chosen, *verdict.tied, *(gain.number for gain in verdict.gains.values()))
        _ = [trials[number] for number in numbers]
    _ = measured_on(report.machine)


@cache
def _of_its_types() -> TypeAdapter[Report]:
    """Checks that all values of a report have the types that its dataclasses state."""
    return TypeAdapter(Report)


_REMAKE = "delete it and run the study again to have it made from the database"


def _encode(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _encode(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(inner) for inner in value]
    return {"float": repr(value)} if isinstance(value, float) and not math.isfinite(value) else value


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        return float(value["float"]) if set(value) == {"float"} else {k: _decode(v) for k, v in value.items()}
    return [_decode(inner) for inner in value] if isinstance(value, list) else value
