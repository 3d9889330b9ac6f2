"""Own data: from files or the hub to rows of a task whose labels may still have to be found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar, get_args

from aebert.config import DataConfig
from aebert.errors import ConfigError, DataError
from aebert.files import expand_user
from aebert.tasks.brat import Corpus, corpus_notes, read_brat
from aebert.tasks.conll import Sentence, entity_names, read_conll, tagged_rows, to_bio
from aebert.tasks.delimited import TableStyle, check_unquoted
from aebert.tasks.features import dataset_records, declared_labels, read_arrow, with_columns
from aebert.tasks.labels import check_names, count_names, ordered
from aebert.tasks.paths import find_files
from aebert.tasks.records import Record, pick
from aebert.tasks.sentence_rows import read_lines, sentence_rows
from aebert.tasks.tabular import class_name, is_id, read_table, tagged_sentences, text_rows
from aebert.tasks.task import Row, TaskSpec

T = TypeVar("T")

TextFormat = Literal["csv", "tsv", "jsonl", "parquet", "arrow"]
FileFormat = TextFormat | Literal["conll", "brat", "txt"]

_TEXT_TABLES: tuple[FileFormat, ...] = get_args(TextFormat)
_SENTENCE_FILES: tuple[FileFormat, ...] = (*_TEXT_TABLES, "txt")
_WORD_FILES: tuple[FileFormat, ...] = ("conll", "jsonl", "parquet", "arrow", "brat")

# Keys of `data` that say how a file is written, with their defaults, and the formats that leave that open.
_STYLES: Mapping[str, tuple[object, str, tuple[FileFormat, ...]]] = {
    "header": (None, "CSV and TSV files", ("csv", "tsv")),
    "separator": (None, "CSV files", ("csv",)),
    "encoding": ("utf-8", "text files", ("csv", "tsv", "jsonl", "conll", "brat", "txt")),
}

# What programs write for a missing value; as a whole text it may be one, or a word.
_MISSING = {"nan", "none", "null", "na", "n/a", "#n/a", "<na>"}


class OwnRows(NamedTuple):
    """A task with its labels, its rows by split, and what a user should know about them."""

    spec: TaskSpec
    splits: dict[str, list[Row]]
    notes: tuple[str, ...] = ()


class _File(NamedTuple):
    """What a file holds: records or sentences, the labels that it declares; all documents of a BRAT corpus are one."""

    records: Sequence[Record] = ()
    sentences: Sequence[Sentence] = ()
    labels: tuple[str, ...] | None = None
    corpus: Corpus | None = None


def read_files(spec: TaskSpec, data: DataConfig, root: Path | None, train_split: str) -> OwnRows:
    """Rows of `data.files` by split, and the task with its labels.

    Relative paths start at `root`, else at the working directory.
    """
    start = root or Path()
    paths = {split: expand_user(path) for split, path in (data.files or {}).items()}
    formats = {split: _format(start / path, spec, data) for split, path in paths.items()}
    found = {split: find_files(start, path) for split, path in paths.items()}
    files = {split: _read(found[split], formats[split], spec, data) for split in paths}
    declared = [file.labels for file in files.get(train_split, ()) if file.labels]
    if declared and not spec.labels:
        spec = spec.with_labels(declared[0])
    if spec.kind == "ner":
        sentences = {split: [one for file in read for one in file.sentences] for split, read in files.items()}
        corpora = [file.corpus for read in files.values() for file in read if file.corpus is not None]
        rows = with_tags(spec, sentences, train_split)
        return rows._replace(notes=(*(corpus_notes(corpora) if corpora else ()), *rows.notes))
    records = {split: [one for file in read for one in file.records] for split, read in files.items()}
    if spec.kind == "embedding":
        sentences_of = {split: list(sentence_rows(read, spec)) for split, read in records.items()}
        return OwnRows(spec, sentences_of, tuple(_missing_texts(sentences_of)))
    if isinstance(data.header, tuple) and spec.kind == "classification" and not spec.labels:
        _check_first_lines([file.records for read in files.values() for file in read], spec.label_column)
    return with_classes(spec, records, train_split)


def _format(path: Path, spec: TaskSpec, data: DataConfig) -> FileFormat:
    """How files of a path are written. Raises: ConfigError for one that the task or another key of `data` excludes."""
    allowed = {"ner": _WORD_FILES, "embedding": _SENTENCE_FILES}.get(spec.kind, _TEXT_TABLES)
    found = data.format if data.format != "auto" else _by_ending(path, allowed)
    if found is None:
        endings = ", ".join(f".{name}" for name in allowed)
        raise ConfigError(f"file {path} must end in one of {endings}, or data.format must be set")
    if found not in allowed:
        named = f"{spec.kind} data" if spec.kind != "ner" else "NER data"
        fix = "; conll reads files of a word, a tab and a tag per line" if spec.kind == "ner" else ""
        raise ConfigError(f"data.format of {named} must be one of {', '.join(allowed)}, got {found}{fix}")
    for key, (default, what, formats) in _STYLES.items():
        if getattr(data, key) != default and found not in formats:
            raise ConfigError(f"data.{key} is for {what}, got it for {path}, which is read as {found}; leave it out")
    return found


def _by_ending(path: Path, allowed: Sequence[FileFormat]) -> FileFormat | None:
    named = next((name for name in allowed if path.suffix.lower() == f".{name}"), None)
    if named is None and "conll" in allowed:
        return "brat" if path.is_dir() else "conll"
    return named


def _read(paths: Sequence[Path], file_format: FileFormat, spec: TaskSpec, data: DataConfig) -> list[_File]:
    if file_format == "brat":
        corpus = read_brat(paths, data.encoding)
        return [_File(sentences=corpus.sentences, corpus=corpus)]
    if file_format == "txt":
        return [_lines(path, data.encoding) for path in paths]
    if file_format == "conll":
        return [_File(sentences=read_conll(path, data.encoding)) for path in paths]
    files = [_table(path, file_format, spec, data) for path in paths]
    if spec.kind != "ner":
        return files
    columns = spec.columns[0], spec.label_column
    return [file._replace(sentences=tagged_sentences(file.records, *columns)) for file in files]


def _lines(path: Path, encoding: str) -> _File:
    records = list(read_lines(path, encoding))
    if not records:
        raise DataError(f"{path} must have at least one sentence, it is empty")
    return _File(records)


def _table(path: Path, file_format: TextFormat, spec: TaskSpec, data: DataConfig) -> _File:
    columns = (*spec.columns, *[spec.label_column] * bool(spec.label_column))
    labels = None
    if file_format == "parquet" or file_format == "arrow":
        dataset = with_columns(read_arrow(path), spec, str(path))
        labels = declared_labels(dataset, spec)
        records = list(dataset_records(dataset, spec, str(path), first=1))
    else:
        style = TableStyle(data.header, data.encoding, data.separator)
        if file_format == "tsv" and data.format == "auto":
            check_unquoted(path, style)
        read = read_table(path, file_format, style, columns)
        rows = read if file_format == "jsonl" else (record for record in read if not record.is_empty)
        records = list(pick(rows, columns))
    if not records:
        raise DataError(f"{path} must have at least one row, it is empty")
    return _File(records, labels=labels)


def _check_first_lines(files: Sequence[Sequence[Record]], column: str) -> None:
    """Raise for a class that only the first line of a file has: it is most likely a header line."""
    counts = Counter(class_name(record, column) for records in files for record in records[1:])
    for first in (records[0] for records in files):
        name = class_name(first, column)
        if name not in counts:
            rule = f"{first.source}: the first line must be a row, since data.header is a list, but its class {name!r}"
            fix = "map the names of its header line in data.header, or list task.labels"
            raise DataError(f"{rule} occurs nowhere else; {fix}")


def with_classes(
    spec: TaskSpec, records: Mapping[str, Sequence[Record]], train_split: str, *, blank_texts: bool = False
) -> OwnRows:
    """Rows by split; classes that `spec` doesn't name are those of the train split, sorted.

    blank_texts: see `text_rows`.

    Raises: DataError for labels that may not be what was meant (`check_names`), and for ids that can't be proved to be
    those of `spec`.
    """
    notes: tuple[str, ...] = ()
    given = bool(spec.labels)
    if spec.kind == "classification" and not given:
        spec, notes = _with_found_classes(spec, _train(records, train_split))
    if spec.kind == "classification":
        _check_ids(spec, records, given=given)
    rows = {split: list(text_rows(read, spec, blank_texts=blank_texts)) for split, read in records.items()}
    return OwnRows(spec, rows, (*notes, *_missing_texts(rows)))


def _with_found_classes(spec: TaskSpec, train: Sequence[Record]) -> tuple[TaskSpec, tuple[str, ...]]:
    column = spec.label_column
    found = count_names((class_name(record, column), record.source) for record in train)
    notes = check_names(found, f"column {column!r}")
    spec = spec.with_labels(ordered(name.strip() for name in found))
    if len(spec.labels) < 2:
        rule = f"column {column!r} must have at least two classes"
        raise DataError(f"{train[0].file}: {rule}, got only {spec.labels[0]!r} in {len(train)} rows")
    return spec, notes


def _check_ids(spec: TaskSpec, records: Mapping[str, Sequence[Record]], *, given: bool) -> None:
    """Raise unless ids in the place of names are surely those of the classes: stated, alone in a split, and from 0."""
    column, ids = spec.label_column, set[int]()
    for read in records.values():
        named = [record for record in read if class_name(record, column).strip() in spec.labels]
        by_id = [record for record in read if is_id(class_name(record, column), spec)]
        if by_id and (named or not given):
            place = f"{by_id[0].source}: {column} must be a class name, since "
            why = f"other rows of the split have names ({named[0].source})" if named else "task.labels is not given"
            fix = "use names, or list task.labels in the order of the ids and use ids only"
            raise DataError(f"{place}{why}, got {class_name(by_id[0], column)!r}; {fix}")
        ids |= {int(class_name(record, column)) for record in by_id}
    if ids and 0 not in ids:
        got = ", ".join(map(str, sorted(ids)[:9]))
        raise DataError(f"class ids in column {column!r} must start at 0, as task.labels does, got {got}; use names")


def _missing_texts(rows: Mapping[str, Sequence[Row]]) -> list[str]:
    notes = []
    for split, read in rows.items():
        found = [row for row in read if any(text.strip().lower() in _MISSING for text in row.text)]
        if found:
            word = next(text for text in found[0].text if text.strip().lower() in _MISSING)
            rule = f"texts of {split} such as {word!r} are read as texts, not as missing"
            notes.append(f"{rule}: {len(found)} ({found[0].source} first)")
    return notes


def with_tags(spec: TaskSpec, sentences: Mapping[str, Sequence[Sentence]], train_split: str) -> OwnRows:
    """Rows by split, tags as BIO; entity types that `spec` doesn't name are those of the train split, sorted."""
    bio = to_bio(sentences)
    notes: tuple[str, ...] = ()
    if not spec.labels:
        train = _train(bio, train_split)
        found = count_names(entity_names(train))
        if not found:
            raise DataError(f"{train[0].file}: NER data must have at least one entity, all tags are O")
        notes = check_names(found, "the tags")
        spec = spec.with_labels(sorted(found))
    return OwnRows(spec, {split: list(tagged_rows(rows, spec)) for split, rows in bio.items()}, notes)


def _train(splits: Mapping[str, Sequence[T]], train_split: str) -> Sequence[T]:
    if train_split not in splits:
        there = ", ".join(splits)
        fix = "name it in data.files or data.roles.train, or list task.labels"
        raise ConfigError(f"labels are found in the train split {train_split!r}, got only {there}; {fix}")
    return splits[train_split]


def check_labels(labels: Iterable[str], spec: TaskSpec) -> tuple[str, ...]:
    """The labels of a config; `ConfigError` if the kind of task can't have them."""
    names = tuple(labels)
    if spec.kind in ("regression", "embedding"):
        raise ConfigError(f"task.labels must not be given for {spec.kind}, got {', '.join(names)}")
    if len(set(names)) < len(names) or len(names) < (2 if spec.kind == "classification" else 1):
        raise ConfigError(f"task.labels must be different names, two or more for classification, got {list(names)}")
    prefixed = [name for name in names if spec.kind == "ner" and (name == "O" or name[:2] in {"B-", "I-"})]
    if prefixed:
        raise ConfigError(f"task.labels of NER must be entity types without O, B- and I-, got {prefixed[0]!r}")
    return names
