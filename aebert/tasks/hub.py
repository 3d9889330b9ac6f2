"""Data sets of the hub, read through `datasets`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import datasets

from aebert.errors import ConfigError, DataError
from aebert.registry import nearest
from aebert.tasks.catalog import GLUE_HUB
from aebert.tasks.tabular import Record
from aebert.tasks.task import TaskSpec

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

# Names of the splits on the hub that differ from ours; MNLI's `dev` is the matched one, as in the official layout.
_SPLITS = {"validation": "dev", "validation_matched": "dev", "validation_mismatched": "dev_mismatched"}


@dataclass(frozen=True)
class HubData:
    """What was read: records by split (class and tag ids replaced by their names), names that the data set declares.

    labels: class names in the order of their ids, or entity types in the order of their first tag; None if the data
    set declares none.
    """

    splits: dict[str, list[Record]]
    labels: tuple[str, ...] | None
    notes: tuple[str, ...] = ()


def read_hub(spec: TaskSpec, name: str, config: str | None = None) -> HubData:
    """Labelled records of a data set of the hub (or of the cache of `datasets`).

    Raises: DataError, one line with the way to use local files, if it can't be had; ConfigError for a wrong column.
    """
    try:
        loaded = datasets.load_dataset(name, config)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        shown = f"{name} ({config})" if config else name
        fix = "set data.root or AEBERT_DATA (GLUE folders) or data.files to use local files"
        raise DataError(f"data set {shown} can't be had from the hub: {reason}; {fix}") from None
    return from_dataset_dict(loaded, spec, name)


def from_dataset_dict(loaded: DatasetDict, spec: TaskSpec, name: str) -> HubData:
    """Records of an already loaded data set.

    Splits are renamed to ours (validation is dev). Rows without a label (-1, None) are left out; so is a split that
    has none, as GLUE's tests.
    """
    splits: dict[str, list[Record]] = {}
    notes: list[str] = []
    for hub_split, dataset in loaded.items():
        _check_columns(dataset, spec, f"{name}:{hub_split}")
        records = list(_records(dataset, spec, name, hub_split))
        if records:
            splits[_SPLITS.get(hub_split, hub_split)] = records
        if 0 < len(records) < len(dataset):
            notes.append(f"left out of {name}:{hub_split}, rows without a label: {len(dataset) - len(records)}")
    if not splits:
        raise DataError(f"data set {name} must have labelled rows in column {spec.label_column}, found none")
    features = next(iter(loaded.values())).features
    return HubData(splits, _declared(features[spec.label_column], spec), tuple(notes))


def _check_columns(dataset: Dataset, spec: TaskSpec, source: str) -> None:
    there = list(dataset.column_names)
    for column in (*spec.columns, spec.label_column):
        if column not in there:
            columns = f"columns: {', '.join(there)}; set task.text and task.label"
            raise ConfigError(f"{source} has no column {column!r}{nearest(column, there)}; {columns}")


def _names(feature: Any) -> list[str] | None:
    """Names of a ClassLabel, or of the ClassLabels of a list."""
    feature = getattr(feature, "feature", feature)
    return list(feature.names) if isinstance(feature, datasets.ClassLabel) else None


def _declared(feature: Any, spec: TaskSpec) -> tuple[str, ...] | None:
    names = _names(feature)
    if names is None or spec.kind == "regression":
        return None
    if spec.kind == "classification":
        return tuple(names)
    return tuple({name[2:]: None for name in names if name != "O"})


def _records(dataset: Dataset, spec: TaskSpec, name: str, split: str) -> Iterator[Record]:
    names = _names(dataset.features[spec.label_column])
    # GLUE marks missing scores by -1 too; in other data sets that is a score
    without_label = (None, -1) if names is not None or name == GLUE_HUB else (None,)
    for index, row in enumerate(dataset.select_columns([*spec.columns, spec.label_column])):
        label = row[spec.label_column]
        if label not in without_label:
            yield Record({**row, spec.label_column: _named(label, names)}, f"{name}:{split}:{index}")


def _named(label: object, names: Sequence[str] | None) -> object:
    if names is None:
        return label
    if isinstance(label, list):
        return [names[tag_id] for tag_id in label]
    return names[label] if isinstance(label, int) else label
