"""Texts without labels, as rows that models are compared on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from aebert.errors import ConfigError, DataError
from aebert.files import expand_user
from aebert.tasks.delimited import TableStyle
from aebert.tasks.records import Record, pick
from aebert.tasks.tabular import TableFormat, is_blank, read_table, strings_of, text_of
from aebert.tasks.task import Row, TaskSpec
from aebert.tasks.text_files import numbered_lines

_TABLES: dict[str, TableFormat] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl"}
_LINES = (".txt", "")


def unlabelled_rows(
    paths: Sequence[Path],
    spec: TaskSpec,
    root: Path | None,
    encoding: str,
    separator: str | None = None,
    *,
    key: str = "search.unlabelled.texts",
) -> list[Row]:
    """The different texts of some files; the labels of these rows mean nothing.

    Files that end in .csv, .tsv or .jsonl are read by the text columns of the task; of a .txt file every line is a
    text, and pairs have a tab between the two (not those of embeddings, which are read alone). Words of NER are
    separated by blanks, or are a list in JSON lines.

    root: where relative paths start; the working directory when None. separator: of CSV files; found by their header
      lines when None, which a single column leaves open. key: the one of the config that names the files, for messages.

    Raises: ConfigError for a file of another kind, DataError naming file and line of what is no text.
    """
    start = root or Path()
    found = [
        row
        for path in paths
        for row in _rows(start / expand_user(path), spec, TableStyle(None, encoding, separator), key)
    ]
    return list({row.text: row for row in found}.values())


def _rows(path: Path, spec: TaskSpec, style: TableStyle, key: str) -> list[Row]:
    kind = path.suffix.lower()
    if kind not in (*_TABLES, *_LINES):
        known = ", ".join((".txt", *_TABLES))
        raise ConfigError(f"{key} must be files that end in one of {known}, got {path}; convert it")
    if not path.is_file():
        raise DataError(f"text file {path} must exist; check {key}, data.root and AEBERT_DATA")
    texts = _of_table(path, _TABLES[kind], spec, style) if kind in _TABLES else _of_lines(path, spec, style.encoding)
    rows = [Row(text, _no_label(text, spec), source) for text, source in texts]
    if not rows:
        raise DataError(f"text file {path} must have at least one text, it is empty")
    return rows


def _no_label(text: tuple[str, ...], spec: TaskSpec) -> int | float | tuple[int, ...]:
    """What a model's inputs need in the place of a label."""
    return (0,) * len(text) if spec.kind == "ner" else 0.0 if spec.kind in ("regression", "embedding") else 0


def _of_table(
    path: Path, table: TableFormat, spec: TaskSpec, style: TableStyle
) -> Iterator[tuple[tuple[str, ...], str]]:
    records = read_table(path, table, style, spec.columns)
    for record in pick((one for one in records if table == "jsonl" or not one.is_empty), spec.columns):
        yield _words(record, spec) if spec.kind == "ner" else _sides(record, spec), record.source


def _sides(record: Record, spec: TaskSpec) -> tuple[str, ...]:
    return tuple(text_of(record, column) for column in spec.columns)


def _words(record: Record, spec: TaskSpec) -> tuple[str, ...]:
    (column,) = spec.columns
    if isinstance(record.values[column], str):
        return tuple(text_of(record, column).split())
    words = strings_of(record, column)
    if not words:
        raise DataError(f"{record.source}: {column} must have at least one word, got an empty list; delete the row")
    return words


def _of_lines(path: Path, spec: TaskSpec, encoding: str) -> Iterator[tuple[tuple[str, ...], str]]:
    for number, line in numbered_lines(path, encoding):
        if is_blank(line):
            continue
        source, text = f"{path}:{number}", line.rstrip("\r\n")
        sides = tuple(text.split()) if spec.kind == "ner" else tuple(text.split("\t"))
        if spec.kind == "embedding" or (spec.kind != "ner" and len(spec.columns) == 1):
            sides = (text,)
        elif spec.kind != "ner" and (len(sides) != 2 or any(map(is_blank, sides))):
            raise DataError(f"{source} must be two texts with a tab between them, got {len(sides) - 1} tabs")
        yield sides, source
