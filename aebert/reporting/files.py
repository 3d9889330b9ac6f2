"""The small files of a report: front CSV and summary JSON. A file is there whole or not at all."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

from aebert.errors import StudyError
from aebert.files import replacing
from aebert.reporting.front import cost_of, pareto_front, uniform_per_budget
from aebert.reporting.grids import headline
from aebert.reporting.rows import Report
from aebert.search.record import TrialRecord


def write_front_csv(report: Report, path: Path) -> None:
    """Write the Pareto front by share removed, one line per trial, numbers in full precision.

    Columns `search_*` are on the search rows before fine-tuning; differences are shares, not points; heads and ffn
    are counts per block separated by blanks.
    """
    rows = [_csv_row(record, report) for record in pareto_front(report.trials, cost_of(report.info))]
    with replacing(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _csv_columns(report), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _csv_columns(report: Report) -> list[str]:
    names = list(dict.fromkeys(name for trial in report.trials for name in trial.metrics))
    before = ["trial", "origin", "budget", "sparsity", "macs_removed", "params", "macs"]
    return [
        *before,
        *(f"search_{name}" for name in names),
        *("search_loss", "score", *_differences(report), "heads", "ffn", "seconds"),
    ]


def _differences(report: Report) -> tuple[str, str]:
    metric = report.info.metric
    return f"search_{metric}_minus_dense", f"search_{metric}_minus_uniform"


def _csv_row(record: TrialRecord, report: Report) -> dict[str, Any]:
    info, dense = report.info, report.dense
    uniform = uniform_per_budget(report.trials).get(record.budget) if record.budget is not None else None
    to_dense, to_uniform = _differences(report)
    plain = ("origin", "budget", "sparsity", "macs_removed", "params", "macs", "score", "seconds")
    return {
        "trial": record.number,
        **{name: getattr(record, name) for name in plain},
        **{f"search_{name}": value for name, value in record.metrics.items()},
        "search_loss": record.loss,
        to_dense: headline(record, info) - headline(dense, info) if dense else None,
        to_uniform: headline(record, info) - headline(uniform, info) if uniform else None,
        "heads": " ".join(map(str, record.architecture.heads)),
        "ffn": " ".join(map(str, record.architecture.ffn)),
    }


def write_summary_json(report: Report, path: Path) -> None:
    """Write the whole report; `read_summary_json` is the inverse, to the last bit of every number.

    Strict JSON: a number that is not finite becomes {"float": "nan"}, which JSON has no sign for.
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
        return Report.from_dict(_decode(json.loads(path.read_text(encoding="utf-8"))))
    except OSError as error:
        raise StudyError(f"summary {path} can't be read: {error.strerror or error}") from None
    except StudyError as error:
        raise StudyError(f"summary {path}: {error}") from None
    except json.JSONDecodeError as error:
        raise StudyError(f"summary {path} line {error.lineno} must be JSON: {error.msg}; {_REMAKE}") from None
    except KeyError as error:
        raise StudyError(f"summary {path} must have the key {error}; {_REMAKE}") from None
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise StudyError(f"summary {path} must be a report of aebert: {error}; {_REMAKE}") from None


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
