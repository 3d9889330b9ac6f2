"""From config to task: where the rows come from, what their labels are, which role they have."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aebert.config import DataConfig, TaskConfig
from aebert.errors import ConfigError, DataError
from aebert.registry import nearest
from aebert.tasks import endpoints
from aebert.tasks.catalog import GLUE_HUB, TASKS
from aebert.tasks.coverage import coverage_notes
from aebert.tasks.glue import LAYOUTS, read_glue
from aebert.tasks.hub import read_hub
from aebert.tasks.metrics import metric_for
from aebert.tasks.own import check_labels, read_files, with_classes, with_tags
from aebert.tasks.roles import Assignment, Part, assign_roles, limit_rows
from aebert.tasks.sentence_rows import SENTENCE, by_role, one_split_roles
from aebert.tasks.tabular import tagged_sentences
from aebert.tasks.task import ROLES, Role, Row, Task, TaskKind, TaskSpec

_METRIC_OF_KIND: Mapping[TaskKind, str] = {
    "classification": "accuracy",
    "regression": "pearson_spearman",
    "ner": "seqeval",
    "embedding": "agreement",
}


@dataclass(frozen=True)
class _Loaded:
    """A task with all its labels, its labelled rows by split, and notes."""

    spec: TaskSpec
    splits: Mapping[str, Sequence[Row]]
    notes: tuple[str, ...] = ()


def load_task(task: TaskConfig, data: DataConfig, root: Path | None, seed: int) -> Task:
    """The task of a config with its rows by role.

    Rows come from `data.files`, else `data.hub`; else a GLUE task is read from its folder below `root` (from the hub
    if there is no root) and endpoints-synthetic is generated from `seed`.

    root: folder that relative paths start from (`RunConfig.data_root`).
    seed: of the generated data, of the shuffle before splits are divided, and of the subsets that `limits` take.

    Raises: ConfigError or DataError, one line.
    """
    spec = replace(task_spec(task), window=data.window)
    if spec.window and spec.kind != "ner":
        raise ConfigError(f"data.window must be false for {spec.kind} (only sentences of ner have windows), got true")
    loaded = _load(spec, task, data, root, seed)
    _check_metric(loaded.spec)
    assignment = _assigned(loaded, data, seed)
    _check_classes(loaded.spec, assignment.rows["train"])
    how = metric_for(loaded.spec.kind, loaded.spec.metric).script_hash + ("windows" if loaded.spec.window else "")
    digests: dict[Role, str] = {role: rows_digest(rows, how) for role, rows in assignment.rows.items()}
    notes = (*loaded.notes, *assignment.notes, *coverage_notes(loaded.spec, assignment.rows))
    return Task(loaded.spec, assignment.rows, digests, notes)


def _assigned(loaded: _Loaded, data: DataConfig, seed: int) -> Assignment:
    if loaded.spec.kind != "embedding":
        return assign_roles(loaded.splits, data.roles, data.limits, seed)
    roles = dict(data.roles or {})
    if len(loaded.splits) == 1:
        roles = {**one_split_roles(next(iter(loaded.splits))), **roles}
    # pairs of train rows are cut into sentences before they are counted
    limits: dict[Role, int] = {role: limit for role, limit in data.limits.items() if role != "train"}
    taken = assign_roles(loaded.splits, roles, limits, seed)
    found = by_role(loaded.spec, taken.rows)
    train = limit_rows(found.rows["train"], data.limits.get("train"), (seed, ROLES.index("train")))
    return Assignment({**found.rows, "train": train}, (*taken.notes, *found.notes))


def task_spec(task: TaskConfig) -> TaskSpec:
    """The task of a config before its data is read; labels are empty if they are to be found in the data."""
    spec = _registered(task) if task.name in TASKS else _own(task)
    if task.labels is not None:
        spec = spec.with_labels(check_labels(task.labels, spec))
    if isinstance(task.labels, dict):
        spec = replace(spec, groups=_groups(task.labels, spec))
    if spec.kind == "embedding":
        spec = replace(spec, pooling=task.pooling, normalize=task.normalize)
        if task.metric not in (None, spec.metric):
            what = "pairs with scores" if spec.has_pairs else "sentences without scores"
            raise ConfigError(f"task.metric of {what} must be {spec.metric}, got {task.metric}; leave it out")
        return spec
    if stray := [key for key in ("pooling", "normalize", "corpus") if getattr(task, key) is not None]:
        raise ConfigError(f"task.{stray[0]} is for embeddings, {spec.name} is a task of kind {spec.kind}; leave it out")
    if task.metric is None:
        return spec
    return replace(spec, metric=task.metric, headline=metric_for(spec.kind, task.metric).headline)


def _groups(labels: Mapping[str, Sequence[str]], spec: TaskSpec) -> tuple[tuple[str, str], ...]:
    if spec.kind != "classification":
        raise ConfigError(f"task.labels must be a list for {spec.kind}, got a mapping; values are of classes alone")
    return tuple((value, name) for name, values in labels.items() for value in values)


def _registered(task: TaskConfig) -> TaskSpec:
    spec = TASKS[task.name]
    fix = "leave it out, or give the task another name"
    if task.kind not in (None, spec.kind):
        raise ConfigError(f"task.kind of {spec.name} is {spec.kind}, got {task.kind}; {fix}")
    if task.labels not in (None, spec.labels):
        raise ConfigError(f"task.labels of {spec.name} are {list(spec.labels)}, got {list(task.labels or ())}; {fix}")
    if task.text is not None and len(task.text) != len(spec.columns):
        raise ConfigError(f"task.text of {spec.name} must be {len(spec.columns)} columns, got {list(task.text)}")
    return replace(spec, columns=task.text or spec.columns, label_column=task.label or spec.label_column)


def _own(task: TaskConfig) -> TaskSpec:
    if task.kind is None:
        known = list(TASKS)
        own = "own data needs task.kind: classification, regression, ner or embedding"
        raise ConfigError(f"unknown task {task.name!r}{nearest(task.name, known)}; known: {', '.join(known)}; {own}")
    text, label = task.text, task.label
    if task.kind == "ner":
        text, label = text or ("tokens",), label or "tags"
    if task.kind == "embedding":
        return _own_embedding(task)
    if not text or not label:
        raise ConfigError(f"task.text and task.label must name the columns of own {task.kind} data, got neither or one")
    if len(text) > (1 if task.kind == "ner" else 2):
        raise ConfigError(f"task.text must be one column, or two for a pair of texts, got {list(text)}")
    metric = _METRIC_OF_KIND[task.kind]
    return TaskSpec(task.name, task.kind, text, label, (), metric, metric_for(task.kind, metric).headline)


def _own_embedding(task: TaskConfig) -> TaskSpec:
    """Sentences, or pairs with a score."""
    columns = task.text or (SENTENCE,)
    if len(columns) > 2:
        raise ConfigError(f"task.text must be one column of sentences, or two of pairs, got {list(columns)}")
    if len(columns) == 2 and not task.label:
        raise ConfigError(
            f"task.label must name the column with the scores of the pairs in {' and '.join(columns)}, got none; "
            "without scores, name one column of sentences in task.text"
        )
    if len(columns) == 1 and task.label:
        raise ConfigError(
            f"task.text must name the two columns of the pairs that {task.label} scores, got {list(task.text or ())}; "
            "sentences alone have no label"
        )
    metric = "pearson_spearman" if task.label else "agreement"
    headline = metric_for("embedding", metric).headline
    return TaskSpec(task.name, "embedding", columns, task.label or "", (), metric, headline)


def _load(spec: TaskSpec, task: TaskConfig, data: DataConfig, root: Path | None, seed: int) -> _Loaded:
    train_split = Part.parse((data.roles or {}).get("train", "train")).split
    if data.files:
        return _Loaded(*read_files(spec, data, root, train_split))
    if data.hub:
        config = data.hub_config or (_glue_name(spec) if data.hub == GLUE_HUB else None)
        return _from_hub(spec, data.hub, config, train_split)
    if task.text or task.label or task.name not in TASKS:
        raise ConfigError(
            f"task {task.name} with own columns must have its data in data.files or data.hub, got neither"
        )
    if spec.name in LAYOUTS:
        return _from_glue(spec, root, train_split)
    return _Loaded(spec, endpoints.splits(seed), (f"{spec.name} is {spec.source}",))


def _from_glue(spec: TaskSpec, root: Path | None, train_split: str) -> _Loaded:
    if root is None:
        return _from_hub(spec, GLUE_HUB, _glue_name(spec), train_split)
    read = read_glue(spec, root)
    return _Loaded(spec, read.splits, read.notes)


def _glue_name(spec: TaskSpec) -> str:
    return spec.name.removesuffix("-embedding")


def _from_hub(spec: TaskSpec, name: str, config: str | None, train_split: str) -> _Loaded:
    if spec.kind == "embedding" and not spec.has_pairs:
        raise ConfigError(
            f"data.hub must be a data set of pairs with scores for embeddings, got {name}; use data.files"
        )
    read = read_hub(spec, name, config)
    if not spec.labels and read.labels:
        spec = spec.with_labels(read.labels)
    if spec.kind == "ner":
        words, tags = spec.columns[0], spec.label_column
        sentences = {split: tagged_sentences(records, words, tags) for split, records in read.splits.items()}
        rows = with_tags(spec, sentences, train_split)
    else:
        rows = with_classes(spec, read.splits, train_split, blank_texts=name == GLUE_HUB)
    return _Loaded(rows.spec, rows.splits, (*read.notes, *rows.notes))


def _check_metric(spec: TaskSpec) -> None:
    needed = metric_for(spec.kind, spec.metric).num_labels
    if needed is not None and len(spec.labels) != needed:
        raise ConfigError(
            f"task.metric {spec.metric} needs {needed} classes, got {len(spec.labels)}: {list(spec.labels)}"
        )


def _check_classes(spec: TaskSpec, rows: Sequence[Row]) -> None:
    if spec.kind == "classification" and len({row.label for row in rows}) < 2:
        name = spec.labels[int(rows[0].label)]  # type: ignore[arg-type]
        rule = "role train must have rows of at least two classes"
        raise DataError(f"{rule}, got only {name!r} in {len(rows)} rows (the first is {rows[0].source})")


def rows_digest(rows: Sequence[Row], how: str = "") -> str:
    """SHA-256 (hex) of the rows' texts and labels, in their order.

    how: how they are read and scored: the hash of a metric that the user may change, and whether there are windows.
    Other ways make other trials, as other rows do.
    """
    sha = hashlib.sha256(how.encode())
    for row in rows:
        sha.update(json.dumps([row.text, row.label], ensure_ascii=True).encode() + b"\n")
    return sha.hexdigest()
