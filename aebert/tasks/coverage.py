"""Which classes or entity types the rows of a role have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from seqeval.metrics.sequence_labeling import get_entities

from aebert.tasks.task import ROLES, Role, Row, TaskSpec

_SHOWN = 6


def class_counts(spec: TaskSpec, rows: Sequence[Row]) -> dict[str, int]:
    """How many rows each class has, or how many entities each type has, in the order of the labels; none for scores."""
    if spec.kind in ("regression", "embedding"):
        return {}
    if spec.kind == "ner":
        found = Counter(kind for row in rows for kind, _, _ in get_entities([spec.tags[tag] for tag in row.label]))  # type: ignore[union-attr]
    else:
        found = Counter(spec.labels[int(row.label)] for row in rows)  # type: ignore[arg-type]
    return {label: found[label] for label in spec.labels}


def coverage_notes(spec: TaskSpec, rows: Mapping[Role, Sequence[Row]]) -> tuple[str, ...]:
    """One line for the classes or entity types that the rows of some roles lack, for each set of roles."""
    if spec.kind in ("regression", "embedding"):
        return ()
    there = {role: {label for label, count in class_counts(spec, rows[role]).items() if count} for role in ROLES}
    groups: dict[tuple[Role, ...], list[str]] = {}
    for label in spec.labels:
        roles = tuple(role for role in ROLES if label in there[role])
        if roles != ROLES:
            groups.setdefault(roles, []).append(label)
    return tuple(_note(spec, labels, roles) for roles, labels in groups.items())


def _note(spec: TaskSpec, labels: Sequence[str], roles: Sequence[Role]) -> str:
    what = "class" if spec.kind == "classification" else "entity type"
    many = {"class": "classes", "entity type": "entity types"}[what]
    names = [repr(label) for label in labels[:_SHOWN]]
    names += [f"{len(labels) - _SHOWN} more"] * (len(labels) > _SHOWN)
    subject = f"{what if len(labels) == 1 else many} {_joined(names)}"
    verb = "occurs" if len(labels) == 1 else "occur"
    return f"{subject} {verb} in {_joined(roles)} rows only" if roles else f"{subject} {verb} in no row"


def _joined(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
