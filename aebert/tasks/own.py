"""Own data: from files or the hub to rows of a task whose labels may still have to be found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from aebert.config import DataConfig
from aebert.errors import ConfigError, DataError
from aebert.tasks.conll import Sentence, entity_types, read_conll, tagged_rows, to_bio
from aebert.tasks.tabular import Record, TableFormat, class_names, pick, read_table, tagged_sentences, text_rows
from aebert.tasks.task import Row, TaskSpec

T = TypeVar("T")

_TABLES: Mapping[str, TableFormat] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl"}


def read_files(
    spec: TaskSpec, data: DataConfig, root: Path | None, train_split: str
) -> tuple[TaskSpec, dict[str, list[Row]]]:
    """Rows of `data.files` by split, and the task with its labels.

    Relative paths start at `root`, else at the working directory.
    """
    paths = {split: (root or Path()) / path.expanduser() for split, path in (data.files or {}).items()}
    if spec.kind == "ner":
        sentences = {split: _sentences(path, spec, data) for split, path in paths.items()}
        return with_tags(spec, sentences, train_split)
    records = {split: _records(path, spec, data) for split, path in paths.items()}
    return with_classes(spec, records, train_split)


def _sentences(path: Path, spec: TaskSpec, data: DataConfig) -> list[Sentence]:
    if data.format in ("csv", "tsv"):
        fix = "conll reads files of a word, a tab and a tag per line"
        raise ConfigError(f"data.format of NER data must be conll or jsonl, got {data.format}; {fix}")
    if data.header:
        raise ConfigError(f"data.header is for CSV and TSV tables only, got it for the NER file {path}")
    if data.format == "jsonl" or (data.format == "auto" and path.suffix.lower() == ".jsonl"):
        return tagged_sentences(read_table(path, "jsonl"), spec.columns[0], spec.label_column)
    return read_conll(path)


def _records(path: Path, spec: TaskSpec, data: DataConfig) -> list[Record]:
    if data.format == "conll":
        raise ConfigError(f"data.format of {spec.kind} data must be csv, tsv or jsonl, got conll; conll is for NER")
    table_format = _TABLES.get(path.suffix.lower()) if data.format == "auto" else data.format
    if table_format is None:
        raise ConfigError(f"file {path} must end in .csv, .tsv or .jsonl, or data.format must be set")
    records = read_table(path, table_format, data.header)
    return list(pick(records, (*spec.columns, spec.label_column)))


def with_classes(
    spec: TaskSpec, records: Mapping[str, Sequence[Record]], train_split: str
) -> tuple[TaskSpec, dict[str, list[Row]]]:
    """Rows by split; classes that `spec` doesn't name are those of the train split, sorted."""
    if spec.kind == "classification" and not spec.labels:
        train = _train(records, train_split)
        spec = spec.with_labels(class_names(train, spec.label_column))
        if len(spec.labels) < 2:
            rule = f"column {spec.label_column!r} must have at least two classes"
            file = train[0].source.rpartition(":")[0]
            raise DataError(f"{file}: {rule}, got only {spec.labels[0]!r} in {len(train)} rows")
    return spec, {split: list(text_rows(rows, spec)) for split, rows in records.items()}


def with_tags(
    spec: TaskSpec, sentences: Mapping[str, Sequence[Sentence]], train_split: str
) -> tuple[TaskSpec, dict[str, list[Row]]]:
    """Rows by split, tags as BIO; entity types that `spec` doesn't name are those of the train split, sorted."""
    bio = to_bio(sentences)
    if not spec.labels:
        train = _train(bio, train_split)
        spec = spec.with_labels(entity_types(train))
        if not spec.labels:
            raise DataError(f"{train[0].file}: NER data must have at least one entity, all tags are O")
    return spec, {split: list(tagged_rows(rows, spec)) for split, rows in bio.items()}


def _train(splits: Mapping[str, Sequence[T]], train_split: str) -> Sequence[T]:
    if train_split not in splits:
        there = ", ".join(splits)
        fix = "name it in data.files or data.roles.train, or list task.labels"
        raise ConfigError(f"labels are found in the train split {train_split!r}, got only {there}; {fix}")
    return splits[train_split]


def check_labels(labels: Iterable[str], spec: TaskSpec) -> tuple[str, ...]:
    """The labels of a config; `ConfigError` if the kind of task can't have them."""
    names = tuple(labels)
    if spec.kind == "regression":
        raise ConfigError(f"task.labels must not be given for regression, got {', '.join(names)}")
    if len(set(names)) < len(names) or len(names) < (2 if spec.kind == "classification" else 1):
        raise ConfigError(f"task.labels must be different names, two or more for classification, got {list(names)}")
    prefixed = [name for name in names if spec.kind == "ner" and (name == "O" or name[:2] in {"B-", "I-"})]
    if prefixed:
        raise ConfigError(f"task.labels of NER must be entity types without O, B- and I-, got {prefixed[0]!r}")
    return names
