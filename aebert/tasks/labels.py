"""Names of classes and entity types: finding them in the data, and refusing those that may not be what was meant.

Names are compared exactly. Two that a reader would take for the same (`spam` and `Spam`, or with a blank at an end) are
never merged: where they look like a mistake, the data is refused until `task.labels` lists what is meant.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from aebert.errors import DataError
from aebert.registry import nearest

RARE = 0.1
"""A name that differs from another one in case only, and has less than this share of its rows, looks like a mistake."""


@dataclass(frozen=True)
class Occurrences:
    """How often a name occurs, and where first."""

    count: int
    source: str


def count_names(named: Iterable[tuple[str, str]]) -> dict[str, Occurrences]:
    """Occurrences by name, of (name, source) pairs."""
    counts: dict[str, int] = {}
    sources: dict[str, str] = {}
    for name, source in named:
        counts[name] = counts.get(name, 0) + 1
        sources.setdefault(name, source)
    return {name: Occurrences(count, sources[name]) for name, count in counts.items()}


def check_names(found: Mapping[str, Occurrences], what: str) -> tuple[str, ...]:
    """Notes on names found in data that are meant to differ, one line each.

    Raises: DataError for names that differ in what can't be seen (blanks at the ends, Unicode form), for those that
    differ in case only if one of them is rare, and for `nan`, which pandas writes where a label is missing.
    """
    for name, place in found.items():
        if name.strip().lower() == "nan":
            fix = "give the rows a label or delete them, or list it in task.labels if it is one"
            raise DataError(
                f"{place.source}: a label in {what} must not be missing, got {name!r} ({place.count:,}×); {fix}"
            )
    for same in _alike(found, _seen):
        raise DataError(_mistaken(same, found, what, "look the same"))
    notes = []
    for same in _alike(found, lambda name: _seen(name).casefold()):
        counts = [found[name].count for name in same]
        if min(counts) < RARE * max(counts):
            raise DataError(_mistaken(same, found, what, "differ in case only"))
        notes.append(f"taken as different, although they differ in case only: {_listed(same, found)}")
    return tuple(notes)


def _seen(name: str) -> str:
    """A name as a reader sees it."""
    return " ".join(unicodedata.normalize("NFKC", name).split())


def _alike(names: Iterable[str], key: Callable[[str], str]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(key(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _mistaken(same: Sequence[str], found: Mapping[str, Occurrences], what: str, how: str) -> str:
    rarest = min(same, key=lambda name: found[name].count)
    fix = "correct the rows, or list what is meant in task.labels"
    return f"{found[rarest].source}: labels in {what} {how}: {_listed(same, found)}; {fix}"


def _listed(names: Sequence[str], found: Mapping[str, Occurrences]) -> str:
    return " and ".join(f"{shown(name)} ({found[name].count:,}×)" for name in names)


def shown(name: str) -> str:
    """A name in quotes; with escapes where it has characters that can't be told from others."""
    return repr(name) if unicodedata.is_normalized("NFKC", name) and name.isprintable() else ascii(name)


def hint(name: str, known: Sequence[str]) -> str:
    """What an unknown name may be: one that differs in case, blanks or Unicode form only, or the closest one."""
    same = [other for other in known if _seen(other).casefold() == _seen(name).casefold()]
    if not same:
        return nearest(name, list(known))
    how = "in case" if _seen(same[0]) != _seen(name) else "in blanks or Unicode form"
    return f", which differs from {shown(same[0])} {how} only"


def is_integer(name: str) -> bool:
    """Whether a name is written as an integer."""
    return bool(re.fullmatch(r"-?[0-9]{1,18}", name))


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Distinct names, sorted: as numbers if all are integers, else as text."""
    distinct = set(names)
    if all(map(is_integer, distinct)):
        return tuple(sorted(distinct, key=lambda name: (int(name), name)))
    return tuple(sorted(distinct))
