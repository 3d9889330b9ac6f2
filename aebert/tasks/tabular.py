"""Tables of labelled texts: CSV, TSV and JSON lines as records, records as rows."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from aebert.errors import DataError
from aebert.runtime.decoding import UTF_8
from aebert.tasks.conll import Sentence
from aebert.tasks.delimited import TableStyle, read_csv, read_tsv
from aebert.tasks.labels import hint, is_integer, shown
from aebert.tasks.records import Record, pick
from aebert.tasks.task import Row, TaskSpec
from aebert.tasks.text_files import numbered_lines

TableFormat = Literal["csv", "tsv", "jsonl"]


def read_table(
    path: Path, table_format: TableFormat, style: TableStyle | None = None, wanted: Sequence[str] = ()
) -> Iterator[Record]:
    """Yield the records of a file; a JSON line is one object, `aebert.tasks.delimited` has the other formats.

    wanted: columns by which the separator of a CSV file is found when the style has none.

    Raises: DataError naming file and line of the first bad record, or the file if it has none.
    """
    style = style or TableStyle()
    if table_format == "csv":
        records = read_csv(path, style, wanted)
    elif table_format == "tsv":
        records = read_tsv(path, style)
    else:
        records = _jsonl(path, style.encoding)
    first = next(records, None)
    if first is None:
        raise DataError(f"{path} must have at least one row, it is empty")
    yield first
    yield from records


def _jsonl(path: Path, encoding: str = UTF_8) -> Iterator[Record]:
    for number, line in numbered_lines(path, encoding):
        if not line.strip():
            continue
        source = f"{path}:{number}"
        try:
            values = json.loads(line, object_pairs_hook=partial(_one_of_each, source))
        except json.JSONDecodeError as error:
            raise DataError(f"{source} must be one JSON object: {error.msg} at column {error.colno}") from None
        except DataError:
            raise
        except (ValueError, RecursionError) as error:  # an integer of thousands of digits, brackets without end
            raise DataError(f"{source} must be one JSON object: {error}") from None
        if not isinstance(values, dict):
            raise DataError(f"{source} must be one JSON object, got {type(values).__name__}")
        yield Record(values, source)


def _one_of_each(source: str, pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = next(name for index, (name, _) in enumerate(pairs) if name in dict(pairs[:index]))
        raise DataError(f"{source} must have each key once, got {twice!r} twice")
    return values


def text_rows(records: Iterable[Record], spec: TaskSpec, *, blank_texts: bool = False) -> Iterator[Row]:
    """Yield the rows of a classification or regression task, or of pairs of sentences with a score.

    A class is given by its exact name, by its name with blanks around it, or, if no class is called like an integer, by
    its id. blank_texts: keep rows whose text is empty or blank, as some official corpora have.

    Raises: DataError naming file and line of a missing column, an empty text, an unknown class or a bad score.
    """
    for record in pick(records, (*spec.columns, spec.label_column)):
        texts = tuple(text_of(record, column, blank_texts=blank_texts) for column in spec.columns)
        scored = spec.kind in ("regression", "embedding")
        label = _score(record, spec) if scored else _class_id(record, spec)
        yield Row(texts, label, record.source)


def text_of(record: Record, column: str, *, blank_texts: bool = False) -> str:
    """The text that a record has in a column. Raises: DataError for what is none, or a blank one."""
    value = record.values[column]
    if not isinstance(value, str):
        raise DataError(f"{record.source}: {column} must be a text, got {value!r}; give the row one or delete it")
    if not blank_texts and is_blank(value):
        raise DataError(f"{record.source}: {column} must not be empty or blank, got {value!r}; delete the row")
    return _unicode(value, record, column)


def _unicode(text: str, record: Record, column: str) -> str:
    """The text, if it is one: half of a surrogate pair, which JSON can state, is no character."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        rule = f"{record.source}: {column} must be Unicode, character {error.start + 1} is half of a surrogate pair"
        raise DataError(f"{rule}: {text[error.start]!a}; write the whole character") from None
    return text


def is_blank(text: str) -> bool:
    """Whether a text has no visible character."""
    return not any(character.isprintable() and not character.isspace() for character in text)


def class_name(record: Record, column: str) -> str:
    """The class that a record states, as it is written there."""
    value = record.values[column]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{record.source}: {column} must be a class name or id, got {value!r}")
    return value


def is_id(name: str, spec: TaskSpec) -> bool:
    """Whether a stated class is an id, not a name: an integer, where the data calls no class like one."""
    return is_integer(name.strip()) and not spec.groups and not any(map(is_integer, spec.labels))


def _class_id(record: Record, spec: TaskSpec) -> int:
    name = class_name(record, spec.label_column)
    if spec.groups:
        return _grouped(name, record, spec)
    for known in (name, name.strip()):
        if known in spec.labels:
            return spec.labels.index(known)
    if is_id(name, spec) and 0 <= int(name) < len(spec.labels):
        return int(name)
    ids = "" if any(map(is_integer, spec.labels)) else " (or their ids from 0)"
    raise DataError(
        f"{record.source}: {spec.label_column} must be a class of {spec.name}, "
        f"got {shown(name)}{hint(name, spec.labels)}; known: {', '.join(spec.labels)}{ids}"
    )


def _grouped(name: str, record: Record, spec: TaskSpec) -> int:
    classes = dict(spec.groups)
    for known in (name, name.strip()):
        if known in classes:
            return spec.labels.index(classes[known])
    raise DataError(
        f"{record.source}: {spec.label_column} must be a value that task.labels lists, "
        f"got {shown(name)}{hint(name, list(classes))}; known: {', '.join(classes)}"
    )


def _score(record: Record, spec: TaskSpec) -> float:
    value = record.values[spec.label_column]
    try:
        score = math.nan if isinstance(value, bool) or not isinstance(value, str | int | float) else float(value)
    except (ValueError, OverflowError):
        score = math.nan
    if not math.isfinite(score):
        raise DataError(f"{record.source}: {spec.label_column} must be a finite number, got {value!r}")
    return score


def tagged_sentences(records: Iterable[Record], words: str, tags: str) -> list[Sentence]:
    """Sentences of records with a list of words and a list of tags of the same length."""
    return [_tagged(record, words, tags) for record in pick(records, (words, tags))]


def _tagged(record: Record, words_column: str, tags_column: str) -> Sentence:
    words, tags = (strings_of(record, column) for column in (words_column, tags_column))
    if len(words) != len(tags) or not words:
        rule = f"{words_column} and {tags_column} must be lists of one length, at least 1"
        raise DataError(f"{record.source}: {rule}, got {len(words)} and {len(tags)}")
    file, _, line = record.source.rpartition(":")
    return Sentence(words, tags, int(line), file, step=0)


def strings_of(record: Record, column: str) -> tuple[str, ...]:
    """The list of texts that a record has in a column. Raises: DataError for what is none."""
    value = record.values[column]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise DataError(f"{record.source}: {column} must be a list of texts, got {str(value)[:60]}")
    return tuple(_unicode(item, record, column) for item in value)
