"""Records of a data set of `datasets`: from the hub, or from a Parquet or Arrow file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from aebert.errors import ConfigError, DataError
from aebert.registry import nearest
from aebert.tasks.records import Record
from aebert.tasks.task import TaskKind, TaskSpec

if TYPE_CHECKING:
    from datasets import Dataset

UNLABELLED = -1
"""Id by which data sets mark rows without a class."""

_TEXTS = ("string", "large_string", "string_view")


def read_arrow(path: Path) -> Dataset:
    """The rows of a Parquet file or an Arrow file (stream, file or Feather), with the features that it declares.

    Nothing is written to the cache of `datasets`. Raises: DataError if the file can't be read.
    """
    try:
        with path.open("rb") as file:
            table = _table(file)
        return datasets.Dataset(datasets.table.InMemoryTable(table))
    except FileNotFoundError:
        raise DataError(f"data file {path} must exist; check data.files, data.root and AEBERT_DATA") from None
    except (OSError, pa.ArrowException, ValueError, NotImplementedError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"data file {path} must be a whole Parquet or Arrow file: {reason}") from None


def _table(file: Any) -> pa.Table:
    magic = file.read(6)
    file.seek(0)
    if magic.startswith(b"PAR1"):
        return pq.read_table(file)
    reader = pa.ipc.open_file(file) if magic == b"ARROW1" else pa.ipc.open_stream(file)
    return reader.read_all()


def with_columns(dataset: Dataset, spec: TaskSpec, source: str) -> Dataset:
    """The data set with the columns of the task only; `outer.inner` is a field of a column of records.

    Raises: ConfigError for a column that is not there; DataError for one that can't hold what the task needs.
    """
    columns = [*spec.columns, *[spec.label_column] * bool(spec.label_column)]
    if not set(columns) <= set(dataset.column_names):
        dataset = dataset.flatten()
    there = list(dataset.column_names)
    for column in columns:
        if column not in there:
            known = f"columns: {', '.join(there)}; set task.text and task.label"
            raise ConfigError(f"{source} has no column {column!r}{nearest(column, there)}; {known}")
    for column in columns:
        fits, wanted = (_LABELS if column == spec.label_column else _INPUTS)[spec.kind]
        if not fits(dataset.features[column]):
            found = " ".join(str(dataset.features[column]).split())[:120]
            raise DataError(
                f"{source}: {column} must be {wanted}, got {found}; name another column in task.text or label"
            )
    return dataset.select_columns(columns)


def _is_text(feature: Any) -> bool:
    return isinstance(feature, datasets.Value) and feature.dtype in _TEXTS


def _is_number(feature: Any) -> bool:
    return isinstance(feature, datasets.Value) and feature.dtype.startswith(("int", "uint", "float"))


def _is_words(feature: Any) -> bool:
    return _is_text(_item(feature))


def _is_tags(feature: Any) -> bool:
    return _is_words(feature) or isinstance(_item(feature), datasets.ClassLabel)


def _is_score(feature: Any) -> bool:
    return _is_text(feature) or _is_number(feature) or isinstance(feature, datasets.ClassLabel)


def _is_class(feature: Any) -> bool:
    return _is_score(feature) or (isinstance(feature, datasets.Value) and feature.dtype == "bool")


_Rule = tuple[Callable[[Any], bool], str]
_TEXT: _Rule = (_is_text, "texts")
_INPUTS: dict[TaskKind, _Rule] = {
    "classification": _TEXT,
    "regression": _TEXT,
    "embedding": _TEXT,
    "ner": (_is_words, "lists of texts"),
}
_LABELS: dict[TaskKind, _Rule] = {
    "classification": (_is_class, "class names or ids"),
    "regression": (_is_score, "numbers"),
    "embedding": (_is_score, "numbers"),
    "ner": (_is_tags, "lists of tags with names (texts, or ids with the feature ClassLabel)"),
}


def _item(feature: Any) -> Any:
    """What a list is made of; None for what is no list."""
    return feature.feature if isinstance(feature, datasets.List | datasets.LargeList) else None


def _names(feature: Any) -> list[str] | None:
    """Names of a ClassLabel, or of the ClassLabels of a list."""
    feature = _item(feature) or feature
    return list(feature.names) if isinstance(feature, datasets.ClassLabel) else None


def has_names(dataset: Dataset, spec: TaskSpec) -> bool:
    """Whether the data set declares the names of its labels."""
    return _names(dataset.features[spec.label_column]) is not None


def declared_labels(dataset: Dataset, spec: TaskSpec) -> tuple[str, ...] | None:
    """Class names in the order of their ids, or entity types in the order of their first tag; None if not declared."""
    names = _names(dataset.features[spec.label_column]) if spec.kind not in ("regression", "embedding") else None
    if names is None:
        return None
    if spec.kind == "classification":
        return tuple(names)
    return tuple({name[2:]: None for name in names if name != "O"})


def dataset_records(dataset: Dataset, spec: TaskSpec, source: str, first: int = 0) -> Iterator[Record]:
    """Yield the records of a data set as `source:first` and so on, with names in the place of class and tag ids.

    The label of a row without a class stays what it is, None or `UNLABELLED`.

    Raises: DataError for an id that has no name.
    """
    if not spec.label_column:
        yield from (Record(row, f"{source}:{index}") for index, row in enumerate(dataset, start=first))
        return
    names = _names(dataset.features[spec.label_column])
    for index, row in enumerate(dataset, start=first):
        place = f"{source}:{index}"
        label = row[spec.label_column]
        yield Record({**row, spec.label_column: _named(label, names, f"{place}: {spec.label_column}")}, place)


def _named(label: object, names: Sequence[str] | None, place: str) -> object:
    if names is None or label is None or label == UNLABELLED:
        return label
    if isinstance(label, list):
        return [_name(tag_id, names, place) for tag_id in label]
    return _name(label, names, place)


def _name(label: object, names: Sequence[str], place: str) -> str:
    if not isinstance(label, int) or not 0 <= label < len(names):
        known = f"ids from 0 to {len(names) - 1} ({', '.join(names)})"
        raise DataError(f"{place} must hold {known}, got {label!r}; correct it")
    return names[label]
