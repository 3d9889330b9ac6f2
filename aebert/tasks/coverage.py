"""Which classes or entity types the rows of a role have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aebert.tasks.task import ROLES, Role, Row, TaskSpec

_SHOWN = 6


def coverage_notes(spec: TaskSpec, rows: Mapping[Role, Sequence[Row]]) -> tuple[str, ...]:
    """One line for the classes or entity types that the rows of some roles lack, for each set of roles."""
    if spec.kind == "regression":
        return ()
    there = {role: _labels(spec, rows[role]) for role in ROLES}
    groups: dict[tuple[Role, ...], list[str]] = {}
    for label in spec.labels:
        roles = tuple(role for role in ROLES if label in there[role])
        if roles != ROLES:
            groups.setdefault(roles, []).append(label)
    return tuple(_note(spec, labels, roles) for roles, labels in groups.items())


def _labels(spec: TaskSpec, rows: Sequence[Row]) -> set[str]:
    if spec.kind == "ner":
        tags = {tag for row in rows for tag in row.label}  # type: ignore[union-attr]
        return {spec.tags[tag][2:] for tag in tags}
    return {spec.labels[int(label)] for label in {row.label for row in rows}}  # type: ignore[arg-type]


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
