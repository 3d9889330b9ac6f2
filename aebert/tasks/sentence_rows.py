"""Rows of embedding tasks: sentences, and pairs of sentences with a similarity score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aebert.errors import ConfigError, DataError
from aebert.tasks.records import Record
from aebert.tasks.tabular import is_blank, text_of, text_rows
from aebert.tasks.task import ROLES, Role, Row, TaskSpec
from aebert.tasks.text_files import numbered_lines

SENTENCE = "sentence"
"""What the column of sentences is called where a file has no columns."""

_SCORED: tuple[Role, ...] = ("search", "select", "report")


def one_split_roles(split: str) -> Mapping[Role, str]:
    """Which parts of the only split have which role."""
    return {
        "train": f"{split}[:70%]",
        "search": f"{split}[70%:80%]",
        "select": f"{split}[80%:87%]",
        "report": f"{split}[87%:]",
    }


def read_lines(path: Path, encoding: str) -> Iterator[Record]:
    """Yield each line that isn't blank as a record with the column `SENTENCE`."""
    for number, line in numbered_lines(path, encoding):
        if not is_blank(line):
            yield Record({SENTENCE: line.strip()}, f"{path}:{number}")


def sentence_rows(records: Iterable[Record], spec: TaskSpec) -> Iterator[Row]:
    """Yield rows of one sentence, or of a pair with its score where the record has one.

    Raises: DataError naming file and line of a missing column, an empty text or a bad score.
    """
    for record in records:
        if spec.label_column and spec.label_column in record.values:
            yield from text_rows([record], spec)
        else:
            yield Row((text_of(record, next(iter(record.values))),), 0.0, record.source)


@dataclass(frozen=True)
class Sentences:
    """Rows by role, and what a user should know about them."""

    rows: dict[Role, list[Row]]
    notes: tuple[str, ...]


def by_role(spec: TaskSpec, taken: Mapping[Role, Sequence[Row]]) -> Sentences:
    """Rows of embedding tasks in their roles.

    The train rows are sentences: both of every pair, each once, without those that stand in another role. The other
    roles have pairs, or sentences, each once. A pair that stands in a later role the other way round is dropped.

    Raises: ConfigError for a role of sentences where there are to be pairs; DataError for a role without rows.
    """
    notes: list[str] = []
    for role in _SCORED:
        _check_pairs(spec, role, taken[role])
    rows: dict[Role, list[Row]] = {}
    for role in reversed(_SCORED):
        known = {_key(row) for later in rows.values() for row in later}
        new = [row for row in taken[role] if _key(row) not in known]
        notes += _dropped(role, len(taken[role]) - len(new), "the same pair stands in a later role", "pair")
        # an official set of pairs may have one twice, and its published scores count both
        rows[role] = new if spec.has_pairs else list({row.text: row for row in reversed(new)}.values())[::-1]
        notes += _dropped(role, len(new) - len(rows[role]), "the same sentence stands there twice", "sentence")
    elsewhere = {text for kept in rows.values() for row in kept for text in row.text}
    sentences = {text: Row((text,), 0.0, row.source) for row in reversed(taken["train"]) for text in row.text[::-1]}
    rows["train"] = [row for text, row in reversed(sentences.items()) if text not in elsewhere]
    notes += _dropped("train", len(sentences) - len(rows["train"]), "they stand in other roles too", "sentence")
    for role in ROLES:
        if not rows[role]:
            raise DataError(f"role {role} must have at least one row, but all stand in other roles too; set data.roles")
    return Sentences({role: rows[role] for role in ROLES}, tuple(notes))


def _check_pairs(spec: TaskSpec, role: Role, rows: Sequence[Row]) -> None:
    alone = next((row for row in rows if len(row.text) == 1), None)
    if spec.has_pairs and alone is not None:
        raise ConfigError(
            f"role {role} must have pairs with a score, since task.label names one, but {alone.source} is a sentence; "
            f"set data.roles.{role} to a split of pairs, or leave out task.label"
        )


def _key(row: Row) -> tuple[str, ...]:
    """What two rows that say the same share."""
    return tuple(sorted(row.text))


def _dropped(role: Role, count: int, why: str, noun: str = "row") -> list[str]:
    return [f"{count:,} {noun}{'s' * (count != 1)} dropped from {role}: {why}"] if count else []
