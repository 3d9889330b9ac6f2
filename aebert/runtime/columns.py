"""Texts of the columns of a table: CSV, TSV, or JSON lines."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from aebert.errors import DataError
from aebert.runtime.decoding import Lines
from aebert.runtime.encoding import Text

TABLES = (".csv", ".tsv", ".jsonl")
SEPARATORS = (",", ";", "\t", "|")  # of CSV files, as for training
MOST_BYTES = 2**24  # of a line, and characters of a CSV row: one without an end must not fill the memory
_SHOWN = 20  # columns of a table in a message
_EXCEL_SEPARATOR = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)


@dataclass(frozen=True)
class _Record:
    """A row of a table: column → value, and where it starts, as `file:line`."""

    values: Mapping[str, Any]
    place: str


def column_texts(
    lines: Lines, source: str, columns: Sequence[str], *, separator: str | None = None, word_lists: bool
) -> Iterator[tuple[Text, ...]]:
    """Yield the texts of some columns, row by row; the ending of `source` says which table it is.

    separator: of a CSV file; found by the columns when not given.
    word_lists: JSON lines may have lists of words instead of texts.

    Raises: DataError naming file and line of a row that is damaged, lacks a column, or has something else in it.
    """
    kind = _kind(source)
    if kind == ".jsonl":
        records = _json_records(lines, source)
    else:
        cells = _csv_cells(lines, source, columns, separator) if kind == ".csv" else _tsv_cells(lines)
        records = _with_header(cells, source, columns)
    for record in records:
        _check_columns(columns, list(record.values), record.place, kind)
        yield tuple(_text(record, column, word_lists) for column in columns)


def _kind(source: str) -> str:
    return Path(source).suffix.lower()


def _text(record: _Record, column: str, word_lists: bool) -> Text:
    value = record.values[column]
    words: list[Any] = value if isinstance(value, list) and word_lists else [value]
    for word in words:
        if not isinstance(word, str):
            wanted = "a text or a list of words" if word_lists else "a text"
            raise DataError(f"{record.place}: {column} must be {wanted}, got {json.dumps(value)[:60]}")
        try:
            word.encode()
        except UnicodeEncodeError as error:  # JSON can state half of a surrogate pair, which is no character
            reason = f"character {error.start + 1} is half of a surrogate pair"
            raise DataError(f"{record.place}: {column} must be Unicode, {reason}") from None
    text: Text = value
    return text


def _check_columns(columns: Sequence[str], there: Sequence[str], place: str, kind: str) -> None:
    for column in columns:
        if column not in there:
            names = [name if len(name) <= 40 else f"{name[:37]}..." for name in there[:_SHOWN]]
            shown = ", ".join([*names, *(["…"] if len(there) > _SHOWN else [])]) or "none"
            fix = "name the text's with --text" + (
                ", or what separates them with --separator" if kind == ".csv" else ""
            )
            raise DataError(f"{place} has no column {column!r}; its columns: {shown}; {fix}")


def _with_header(cells: Iterator[tuple[int, list[str]]], source: str, columns: Sequence[str]) -> Iterator[_Record]:
    number, header = next(cells, (1, []))
    names = _names(header)
    if not names:
        raise DataError(f"{source} must start with a header line that names its columns, it is empty")
    if len(set(filter(None, names))) < len(list(filter(None, names))):
        raise DataError(f"{source}:{number}: column names must differ, got {', '.join(names[:_SHOWN])}")
    _check_columns(columns, names, f"{source}:{number}", _kind(source))
    for number, row in cells:
        place = f"{source}:{number}"
        if _names(row) == names:
            raise DataError(f"{place} must be a row, it is the header line again; delete the line")
        behind = row[len(names) :]
        values = row if any(cell.strip() for cell in behind) else row[: len(names)]
        if len(values) != len(names):
            fix = "; if other characters separate them, give --separator" if _kind(source) == ".csv" else ""
            raise DataError(f"{place} must have {len(names)} columns as the header has, got {len(values)}{fix}")
        yield _Record(dict(zip(names, values)), place)


def _names(header: Sequence[str]) -> list[str]:
    """Column names, without empty ones at the end."""
    names = [name.strip() for name in header]
    while names and not names[-1]:
        names.pop()
    return names


def _tsv_cells(lines: Lines) -> Iterator[tuple[int, list[str]]]:
    for number, line in lines:
        text = line.rstrip("\r\n")
        if text:
            yield number, text.split("\t")


def _csv_cells(lines: Lines, source: str, columns: Sequence[str], given: str | None) -> Iterator[tuple[int, list[str]]]:
    """Numbers and cells of a CSV file's rows; its separator is found by the columns of the header line if not given."""
    _, first = next(lines, (1, ""))
    stated = _EXCEL_SEPARATOR.fullmatch(first)
    separator = given or (stated[1] if stated else _separator(first, source, columns))
    size = 0

    def texts() -> Iterator[str]:
        nonlocal size
        for line in chain([] if stated else [first], (line for _, line in lines)):
            size += len(line)
            if size > MOST_BYTES:
                raise DataError(f"{source}:{start} must be a row of at most {MOST_BYTES} characters; close its quote")
            yield line

    csv.field_size_limit(2**31 - 1)  # rows are limited already; by default the csv module refuses cells of 128 KB
    reader = csv.reader(texts(), delimiter=separator, strict=True)
    while True:
        start, size = reader.line_num + (2 if stated else 1), 0
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{source}:{start} must be CSV with values quoted as in RFC 4180: {error}") from None
        if cells:
            yield start, cells


def _separator(header: str, source: str, columns: Sequence[str]) -> str:
    """The separator at which a header line has the columns; the comma if there is none, or if it has one column."""
    fitting = {}
    for separator in SEPARATORS:
        try:
            names = tuple(_names(next(csv.reader([header], delimiter=separator, strict=True), [])))
        except csv.Error:  # a quoted name with a line break
            continue
        if set(columns) <= set(names):
            fitting[separator] = names
    if len(set(fitting.values())) > 1:
        found = " and ".join(map(repr, fitting))
        raise DataError(f"{source} can be read as CSV with the separators {found}; give the right one as --separator")
    return next(iter(fitting), ",")


def _json_records(lines: Lines, source: str) -> Iterator[_Record]:
    for number, line in lines:
        if not line.strip():
            continue
        place = f"{source}:{number}"
        try:
            values = json.loads(line, object_pairs_hook=_checked_keys)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place} must be one JSON object: {error}") from None
        if not isinstance(values, dict):
            raise DataError(f"{place} must be one JSON object, got {type(values).__name__}")
        yield _Record(values, place)


def _checked_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key is there twice")
    return values
