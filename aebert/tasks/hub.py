"""Data sets of the hub, read through `datasets`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import datasets

from aebert.errors import DataError
from aebert.tasks.catalog import GLUE_HUB
from aebert.tasks.features import UNLABELLED, dataset_records, declared_labels, has_names, with_columns
from aebert.tasks.records import Record
from aebert.tasks.tabular import is_blank
from aebert.tasks.task import TaskSpec

if TYPE_CHECKING:
    from datasets import DatasetDict

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

    Raises: DataError, one line with the way to use local files, if it can't be loaded; ConfigError for a wrong column.
    """
    try:
        loaded = datasets.load_dataset(name, config)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        shown = f"{name} ({config})" if config else name
        fix = "set data.root or AEBERT_DATA (GLUE folders) or data.files to use local files"
        raise DataError(f"data set {shown} can't be loaded from the hub: {reason}; {fix}") from None
    return from_dataset_dict(loaded, spec, name)


def from_dataset_dict(loaded: DatasetDict, spec: TaskSpec, name: str) -> HubData:
    """Records of an already loaded data set.

    Splits are renamed to ours (validation is dev). Rows without a label (-1, None) or without a text are left out, and
    so is a split that has no others, as GLUE's tests. The official GLUE data keeps its few rows with an empty text.
    """
    splits: dict[str, list[Record]] = {}
    notes: list[str] = []
    labels: list[tuple[str, ...] | None] = []
    for hub_split, dataset in loaded.items():
        source = f"{name}:{hub_split}"
        dataset = with_columns(dataset, spec, source)
        labels.append(declared_labels(dataset, spec))
        # GLUE marks missing scores by -1 too; in other data sets that is a score
        unlabelled = (None, UNLABELLED) if has_names(dataset, spec) or name == GLUE_HUB else (None,)
        read = list(dataset_records(dataset, spec, source))
        labelled = [record for record in read if record.values[spec.label_column] not in unlabelled]
        kept = [record for record in labelled if name == GLUE_HUB or not _lacks_text(record, spec)]
        if kept:
            splits[_our_name(hub_split, loaded)] = kept
            notes += _left_out(source, "a label", len(read) - len(labelled))
            notes += _left_out(source, "a text", len(labelled) - len(kept))
    if not splits:
        raise DataError(f"data set {name} must have labelled rows in column {spec.label_column}, found none")
    return HubData(splits, labels[0], tuple(notes))


def _our_name(split: str, loaded: DatasetDict) -> str:
    name = _SPLITS.get(split, split)
    return split if name in loaded or sum(_SPLITS.get(other) == name for other in loaded) > 1 else name


def _lacks_text(record: Record, spec: TaskSpec) -> bool:
    values = [record.values[column] for column in spec.columns]
    return any(value is None or (isinstance(value, str) and is_blank(value)) for value in values)


def _left_out(source: str, what: str, rows: int) -> list[str]:
    return [f"rows of {source} without {what} are left out: {rows}"] if rows else []
