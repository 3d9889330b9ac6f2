"""Tables of labelled texts: CSV, TSV and JSON lines as records, records as rows."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aebert.errors import ConfigError, DataError
from aebert.registry import nearest
from aebert.tasks.conll import Sentence
from aebert.tasks.task import Row, TaskSpec
from aebert.tasks.text_files import numbered_lines

TableFormat = Literal["csv", "tsv", "jsonl"]


@dataclass(frozen=True)
class Record:
    """One line of a table as read: column → value; `source` is `file:line`."""

    values: Mapping[str, object]
    source: str


def read_table(path: Path, table_format: TableFormat, header: Sequence[str] | None = None) -> Iterator[Record]:
    """Yield the records of a file.

    CSV follows RFC 4180 quoting (a value may hold commas, quotes and line breaks); TSV is split at tabs and knows no
    quotes; a JSON line is one object. header: column names of a CSV or TSV file without a header line.

    Raises: DataError naming file and line of the first bad record, or the file if it has none.
    """
    if table_format == "jsonl":
        if header is not None:
            raise ConfigError(f"data.header is for CSV and TSV files; {path} is JSON lines, which name their columns")
        records = _jsonl(path)
    elif table_format == "csv":
        records = _with_header(path, _csv_cells(path), header)
    else:
        records = _with_header(path, _tsv_cells(path), header)
    first = next(records, None)
    if first is None:
        raise DataError(f"{path} must have at least one row, it is empty")
    yield first
    yield from records


def read_tsv(path: Path, header: Sequence[str] | None, broken: list[str], optional: int = 0) -> Iterator[Record]:
    """Yield the records of a TSV file that has lines to be forgiven.

    Lines with a wrong number of columns are left out; what is wrong with them is added to `broken`. The last `optional`
    columns may be missing from a line, all together.
    """
    yield from _with_header(path, _tsv_cells(path), header, broken, optional)


def _tsv_cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    for number, line in numbered_lines(path):
        text = line.rstrip("\r\n")
        if text:
            yield number, text.split("\t")


def _csv_cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader((line for _, line in numbered_lines(path)), strict=True)
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{path}:{start} must be CSV with values quoted as in RFC 4180: {error}") from None
        if cells:
            yield start, cells


def _with_header(
    path: Path,
    lines: Iterator[tuple[int, list[str]]],
    header: Sequence[str] | None,
    broken: list[str] | None = None,
    optional: int = 0,
) -> Iterator[Record]:
    names = tuple(header) if header else tuple(name.strip() for name in next(lines, (0, []))[1])
    if len(set(names)) < len(names):
        raise DataError(f"{path}: column names must differ, got {', '.join(names)}")
    for number, cells in lines:
        source = f"{path}:{number}"
        if len(cells) > len(names) and not any(cells[len(names) :]):
            cells = cells[: len(names)]  # empty extra columns, as some SemEval rows have
        if len(cells) in {len(names), len(names) - optional}:
            yield Record(dict(zip(names, cells, strict=False)), source)
            continue
        problem = f"{source} must have {len(names)} columns ({', '.join(names)}), got {len(cells)}"
        if broken is None:
            raise DataError(problem)
        broken.append(problem)


def _jsonl(path: Path) -> Iterator[Record]:
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        source = f"{path}:{number}"
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{source} must be one JSON object: {error.msg} at column {error.colno}") from None
        if not isinstance(values, dict):
            raise DataError(f"{source} must be one JSON object, got {type(values).__name__}")
        yield Record(values, source)


def pick(records: Iterable[Record], columns: Sequence[str]) -> Iterator[Record]:
    """Yield records with these columns only; `DataError` on the first that lacks one."""
    for record in records:
        for column in columns:
            if column not in record.values:
                raise DataError(_no_column(record, column))
        yield Record({column: record.values[column] for column in columns}, record.source)


def _no_column(record: Record, column: str) -> str:
    there = list(record.values)
    shown = ", ".join(name if len(name) <= 40 else f"{name[:37]}..." for name in there)
    hint = "set task.text and task.label, or data.header if the file has no header line"
    return f"{record.source} has no column {column!r}{nearest(column, there)}; columns: {shown}; {hint}"


def class_names(records: Iterable[Record], column: str) -> tuple[str, ...]:
    """Distinct labels of a column, sorted: as numbers if all are integers, else as text."""
    names = {_class_name(record, column) for record in records}
    if all(_is_integer(name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def text_rows(records: Iterable[Record], spec: TaskSpec) -> Iterator[Row]:
    """Yield the rows of a classification or regression task.

    A class may be given by name or by its id; where a name looks like an integer, the name counts.

    Raises: DataError naming file and line of a missing column, an empty text, an unknown class or a bad score.
    """
    for record in pick(records, (*spec.columns, spec.label_column)):
        texts = tuple(_text(record, column) for column in spec.columns)
        label = _score(record, spec) if spec.kind == "regression" else _class_id(record, spec)
        yield Row(texts, label, record.source)


def _text(record: Record, column: str) -> str:
    value = record.values[column]
    if not isinstance(value, str):
        raise DataError(f"{record.source}: {column} must be a text, got {value!r}")
    return value


def _class_name(record: Record, column: str) -> str:
    value = record.values[column]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{record.source}: {column} must be a class name or id, got {value!r}")
    return value.strip()


def _class_id(record: Record, spec: TaskSpec) -> int:
    name = _class_name(record, spec.label_column)
    if name in spec.labels:
        return spec.labels.index(name)
    if _is_integer(name) and not any(map(_is_integer, spec.labels)) and 0 <= int(name) < len(spec.labels):
        return int(name)
    known = list(spec.labels)
    raise DataError(
        f"{record.source}: {spec.label_column} must be a class of {spec.name}, "
        f"got {name!r}{nearest(name, known)}; known: {', '.join(known)} (or their ids from 0)"
    )


def _is_integer(name: str) -> bool:
    return name.isascii() and name.removeprefix("-").isdigit()


def _score(record: Record, spec: TaskSpec) -> float:
    value = record.values[spec.label_column]
    try:
        score = math.nan if isinstance(value, bool) or not isinstance(value, str | int | float) else float(value)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise DataError(f"{record.source}: {spec.label_column} must be a finite number, got {value!r}")
    return score


def tagged_sentences(records: Iterable[Record], words: str, tags: str) -> list[Sentence]:
    """Sentences of records with a list of words and a list of tags of the same length."""
    return [_tagged(record, words, tags) for record in pick(records, (words, tags))]


def _tagged(record: Record, words_column: str, tags_column: str) -> Sentence:
    words, tags = (_strings(record, column) for column in (words_column, tags_column))
    if len(words) != len(tags) or not words:
        rule = f"{words_column} and {tags_column} must be lists of one length, at least 1"
        raise DataError(f"{record.source}: {rule}, got {len(words)} and {len(tags)}")
    file, _, line = record.source.rpartition(":")
    return Sentence(words, tags, int(line), file, step=0)


def _strings(record: Record, column: str) -> tuple[str, ...]:
    value = record.values[column]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise DataError(f"{record.source}: {column} must be a list of texts, got {str(value)[:60]}")
    return tuple(value)
