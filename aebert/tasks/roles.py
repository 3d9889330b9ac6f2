"""Which rows train, search, select and report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from aebert.errors import ConfigError, DataError
from aebert.registry import nearest
from aebert.tasks.task import ROLES, Role, Row

WITH_TEST: Mapping[Role, str] = {
    "train": "train",
    "search": "dev[:67%]",
    "select": "dev[67%:]",
    "report": "test",
}
WITHOUT_TEST: Mapping[Role, str] = {
    "train": "train[:80%]",
    "search": "train[80%:92%]",
    "select": "train[92%:]",
    "report": "dev",
}

_PART = re.compile(r"(?P<split>[A-Za-z_][\w-]*)(?:\[(?:(?P<start>\d{1,3})%)?:(?:(?P<stop>\d{1,3})%)?\])?")


@dataclass(frozen=True)
class Part:
    """A split, or the rows (or documents) from `start` to `stop` percent of it after a shuffle."""

    split: str
    start: int
    stop: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """Read `dev`, `dev[:60%]`, `dev[60%:]` or `dev[20%:60%]`."""
        match = _PART.fullmatch(text)
        if not match:
            raise ConfigError(f"role must be a split or a part of one such as 'dev[:60%]', got {text!r}")
        part = cls(match["split"], int(match["start"] or 0), int(match["stop"] or 100))
        if not part.start < part.stop <= 100:
            raise ConfigError(f"part of a split must run from a smaller to a larger share up to 100%, got {text!r}")
        return part

    def __str__(self) -> str:
        start, stop = f"{self.start}%" * (self.start > 0), f"{self.stop}%" * (self.stop < 100)
        return f"{self.split}[{start}:{stop}]" if start or stop else self.split

    def overlaps(self, other: Part) -> bool:
        """Whether some row is in both."""
        return self.split == other.split and self.start < other.stop and other.start < self.stop

    def take(self, rows: Sequence[Row], seed: int) -> list[Row]:
        """Rows of the part, in the order of the split; a document's rows are taken together, and count as one."""
        names = {row.document or index: 0 for index, row in enumerate(rows)}
        first, last = len(names) * self.start // 100, len(names) * self.stop // 100
        order = np.random.default_rng(seed).permutation(len(names))
        places = list(names)
        taken = {places[index] for index in order[first:last]}
        return [row for index, row in enumerate(rows) if (row.document or index) in taken]


@dataclass(frozen=True)
class Assignment:
    """Rows by role, and what a user should know about them."""

    rows: dict[Role, list[Row]]
    notes: tuple[str, ...]


def assign_roles(
    splits: Mapping[str, Sequence[Row]], roles: Mapping[Role, str] | None, limits: Mapping[Role, int], seed: int
) -> Assignment:
    """Rows by role, each role in the order of its split.

    A role that is not given has its default: with a test split, train trains, dev is divided for search and select,
    test reports; without one, train is divided and dev reports. Parts of a split are taken after a shuffle by `seed`.
    A row whose text also stands in a later role (train, search, select, report) is dropped from the earlier one.
    limits: most rows of a role, a random subset by `seed`.

    Raises: ConfigError for an unknown split or overlapping parts; DataError for a role without rows.
    """
    parts = _parts(splits, roles)
    taken = {role: part.take(splits[part.split], seed) for role, part in parts.items()}
    kept, notes = _without_repeats(taken)
    for role, rows in kept.items():
        if not rows:
            why = f"its {len(taken[role])} rows stand in later roles too" if taken[role] else "the part is empty"
            raise DataError(f"role {role} ({parts[role]}) must have at least one row, but {why}; set data.roles")
    limited = {role: limit_rows(rows, limits.get(role), (seed, ROLES.index(role))) for role, rows in kept.items()}
    return Assignment(limited, tuple(notes))


def default_roles(splits: Mapping[str, Sequence[Row]]) -> Mapping[Role, str]:
    """Roles by the splits that there are."""
    return WITH_TEST if "test" in splits else WITHOUT_TEST


def _parts(splits: Mapping[str, Sequence[Row]], roles: Mapping[Role, str] | None) -> dict[Role, Part]:
    texts = {**default_roles(splits), **(roles or {})}
    parts = {role: Part.parse(texts[role]) for role in ROLES}
    for role, part in parts.items():
        if part.split not in splits:
            there = list(splits)
            hint = nearest(part.split, there) or f"; set data.roles.{role}"
            raise ConfigError(
                f"role {role} must be of a split that exists, got {part}{hint}; "
                f"splits with labels: {', '.join(there) or 'none'}"
            )
    for one, other in combinations(ROLES, 2):
        if parts[one].overlaps(parts[other]):
            raise ConfigError(
                f"roles must not share rows, but {one} is {parts[one]} and {other} is {parts[other]}"
                "; set both in data.roles"
            )
    return parts


def _without_repeats(taken: Mapping[Role, list[Row]]) -> tuple[dict[Role, list[Row]], list[str]]:
    kept: dict[Role, list[Row]] = dict(taken)
    notes: list[str] = []
    for role, later in _with_later():
        seen = {row.text for other in later for row in taken[other]}
        kept[role] = [row for row in taken[role] if row.text not in seen]
        dropped = len(taken[role]) - len(kept[role])
        if dropped:
            rows = "1 row" if dropped == 1 else f"{dropped} rows"
            notes.append(f"{rows} dropped from {role}: the same text stands in {' or '.join(later)}")
    return kept, notes


def _with_later() -> Iterator[tuple[Role, tuple[Role, ...]]]:
    return ((role, ROLES[index + 1 :]) for index, role in enumerate(ROLES[:-1]))


def limit_rows(rows: list[Row], limit: int | None, seed: tuple[int, int]) -> list[Row]:
    """All rows, or a random subset of so many by `seed`, in their order."""
    if limit is None or limit >= len(rows):
        return rows
    chosen = np.random.default_rng(seed).choice(len(rows), size=limit, replace=False)
    return [rows[index] for index in sorted(chosen)]
