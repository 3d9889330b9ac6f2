"""What the outputs of a checkpoint mean: their names, and which of them is which label of a task."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aebert.errors import ModelError
from aebert.tasks.task import TaskSpec

DEFAULT_OUTPUTS = 2
"""Outputs of a model whose config.json doesn't say how many, by transformers."""

_TAG_FORMS = (
    re.compile(r"(?P<prefix>[BIESLU])(?P<mark>[-_.:/|])(?P<type>.+)", re.IGNORECASE),
    re.compile(r"(?P<type>.+)(?P<mark>[-_.:/|])(?P<prefix>[BIESLU])", re.IGNORECASE),
)


class OtherHead(ModelError):
    """A checkpoint's output layer is of another type of task, or of another number of labels."""


class UnnamedOutputs(ModelError):
    """A checkpoint doesn't say which of its outputs is which label."""


@dataclass(frozen=True)
class Outputs:
    """Outputs of a checkpoint. names: in the order of their ids; None where its config has none but `LABEL_0` …"""

    count: int
    names: tuple[str, ...] | None


def stated_outputs(stated: Mapping[str, Any]) -> Outputs:
    """The outputs that a config.json describes.

    Raises: ModelError when `id2label`, `label2id` and `num_labels` contradict each other or name an output twice.
    """
    forward = _by_id(stated["id2label"]) if stated.get("id2label") else None
    backward = _by_name(stated["label2id"]) if stated.get("label2id") else None
    names = forward if forward and not _are_numbers(forward) else None
    other = backward if backward and not _are_numbers(backward) else None
    if names and other and names != other:
        raise ModelError(
            f"id2label and label2id must agree, got {', '.join(names)} and {', '.join(other)}; correct config.json"
        )
    known = names or other or forward or backward or ()
    count = stated.get("num_labels", stated.get("_num_labels", len(known) or DEFAULT_OUTPUTS))
    if not isinstance(count, int) or count < 1 or (known and count != len(known)):
        rule = f"the number of labels, {len(known)}" if known else "a positive integer"
        raise ModelError(f"num_labels must be {rule}, got {count!r}; correct config.json")
    return Outputs(count, names or other)


def _by_id(ids: Any) -> tuple[str, ...]:
    if not isinstance(ids, Mapping) or not all(re.fullmatch(r"\d+", str(key)) for key in ids):
        raise ModelError(f"id2label must be a table from ids to names, got {ids!r}; correct config.json")
    return _in_order({int(key): name for key, name in ids.items()}, "id2label", ids)


def _by_name(names: Any) -> tuple[str, ...]:
    if not isinstance(names, Mapping) or not all(re.fullmatch(r"\d+", str(index)) for index in names.values()):
        raise ModelError(f"label2id must be a table from names to ids, got {names!r}; correct config.json")
    return _in_order({int(index): name for name, index in names.items()}, "label2id", names)


def _in_order(table: Mapping[int, Any], key: str, given: Mapping[Any, Any]) -> tuple[str, ...]:
    if sorted(table) != list(range(len(given))):
        raise ModelError(
            f"{key} must have the ids 0 to {len(given) - 1}, each once, got {dict(given)}; correct config.json"
        )
    values = [table[index] for index in range(len(table))]
    if bad := [value for value in values if not isinstance(value, str | int | float)]:
        raise ModelError(f"{key} must name every output, got {bad[0]!r}; correct config.json")
    names = tuple(str(value) for value in values)
    if twice := [name for name in names if names.count(name) > 1]:
        raise ModelError(f"{key} must name every output differently, got {twice[0]!r} twice; correct config.json")
    return names


def _are_numbers(names: Sequence[str]) -> bool:
    """Whether these are the names that transformers gives to outputs without names."""
    return list(names) == [f"LABEL_{index}" for index in range(len(names))]


def name_order(outputs: Outputs, spec: TaskSpec, given: Sequence[str] | None, labels_stated: bool) -> tuple[int, ...]:
    """For each label of the task, the id of the checkpoint's output that means it.

    given: names of the outputs that the user states (`model.labels`). labels_stated: the user states the task's labels
      in the order of their ids (`task.labels`), which then are those of outputs without names.

    Raises: UnnamedOutputs when nothing tells which output is which; OtherHead when the labels are others and not as
      many; ModelError when they are as many, or more, but don't fit.
    """
    names = _given_names(given, outputs) if given else outputs.names
    if names is None:
        return _numbered_order(outputs.count, spec, labels_stated)
    for have in (names, _tags(names) if spec.kind == "ner" else None):
        order = _match(have, spec.output_names) if have else None
        if order is not None:
            return order
    raise _misfit(names, spec)


def _given_names(given: Sequence[str], outputs: Outputs) -> tuple[str, ...]:
    if len(given) != outputs.count or len(set(given)) < len(given):
        rule = f"model.labels must be {outputs.count} different names, one for each output of the checkpoint"
        raise ModelError(f"{rule}, got {', '.join(given)}")
    if outputs.names and set(outputs.names) == set(given) and outputs.names != tuple(given):
        raise ModelError(
            f"model.labels must not contradict the checkpoint, whose outputs are {', '.join(outputs.names)}, got "
            f"{', '.join(given)}; leave model.labels out, or correct id2label in config.json"
        )
    return tuple(given)


def _numbered_order(count: int, spec: TaskSpec, labels_stated: bool) -> tuple[int, ...]:
    """The order of outputs that are only numbered: by the task's labels where these are the numbers, or as stated."""
    want = spec.output_names
    if count != len(want):
        raise OtherHead(f"the checkpoint has {count} outputs, task {spec.name} has {len(want)} ({', '.join(want)})")
    for numbered in ([f"LABEL_{index}" for index in range(count)], [str(index) for index in range(count)]):
        if (order := _match(numbered, want)) is not None:
            return order
    if labels_stated and spec.kind == "classification":
        return tuple(range(count))
    raise UnnamedOutputs(
        f"outputs must have the names of the labels of task {spec.name} ({', '.join(want)}), got LABEL_0 to "
        f"LABEL_{count - 1}; set model.labels to the task's names in the order of the checkpoint's ids"
    )


def _match(have: Sequence[str], want: Sequence[str]) -> tuple[int, ...] | None:
    """Places of `want` in `have`: by exact names, else by names without case where these still are all different."""
    for fold in (str, str.casefold):
        here, there = [fold(name) for name in have], [fold(name) for name in want]
        if len(set(here)) == len(here) and sorted(here) == sorted(there):
            return tuple(here.index(name) for name in there)
    return None


def _tags(names: Sequence[str]) -> tuple[str, ...] | None:
    """The names as `O`, `B-PER`, `I-PER` …, if all are written in one form, such as `B_PER` or `PER-B`."""
    rest = [name for name in names if name.upper() != "O"]
    for form in _TAG_FORMS:
        found = [form.fullmatch(name) for name in rest]
        if rest and all(found) and len({match["mark"] for match in found if match}) == 1:
            tags = iter([f"{match['prefix'].upper()}-{match['type']}" for match in found if match])
            return tuple("O" if name.upper() == "O" else next(tags) for name in names)
    return None


def _misfit(names: Sequence[str], spec: TaskSpec) -> ModelError:
    """Why no order fits, as the error to raise."""
    want = spec.output_names
    shown = f"outputs must be the labels of task {spec.name} ({', '.join(want)}), got {', '.join(names)}"
    fresh = "dense.train to always for a new output layer"
    if spec.kind == "ner" and (scheme := _scheme(names, spec)):
        return ModelError(f"{shown}, {scheme}; set {fresh} over BIO tags")
    if len(names) > len(want) and {name.casefold() for name in want} <= {name.casefold() for name in names}:
        return ModelError(f"{shown}; set task.labels to all labels of the checkpoint, or {fresh}")
    if len(names) != len(want):
        shown = f"the checkpoint has {len(names)} outputs ({', '.join(names)})"
        return OtherHead(f"{shown}, task {spec.name} has {len(want)} ({', '.join(want)})")
    return ModelError(f"{shown}; set model.labels to the task's names in the checkpoint's order, or {fresh}")


def _scheme(names: Sequence[str], spec: TaskSpec) -> str | None:
    """How the task's entity types are tagged where it isn't BIO with all tags."""
    types = {label.casefold() for label in spec.labels}
    bare = {name.casefold() for name in names} - {"o"}
    if bare == types:
        return "which don't tell where an entity begins"
    tags = _tags(names)
    if tags is None or {tag[2:].casefold() for tag in tags} - {""} != types:
        return None
    prefixes = {tag[0] for tag in tags} - {"O"}
    if prefixes & set("ESLU"):
        return "which also mark the ends of entities (BIOES or BILOU)"
    lacking = [tag for tag in spec.tags if tag.casefold() not in {found.casefold() for found in tags}]
    return f"which lack {', '.join(lacking)}" if lacking else None
