"""How long rows are in tokens, and what is lost of those that are too long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from seqeval.metrics.sequence_labeling import get_entities

from aebert.tasks.encoding import IGNORED, UNCUT, encode
from aebert.tasks.task import Role, Row, TaskSpec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Lengths:
    """Of the rows of a role at one `max_length`.

    longest: tokens of the longest row before it is cut, special ones included. cut: rows that are cut. tokens: of all
    rows, after that. words, entities: of NER rows, all of them; lost_words, lost_entities: those that are cut off, the
    latter wholly or in part.
    """

    rows: int
    longest: int
    cut: int
    tokens: int
    words: int = 0
    lost_words: int = 0
    entities: int = 0
    lost_entities: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def lengths_of(rows: Sequence[Row], spec: TaskSpec, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Lengths:
    """Count the tokens of rows, and what `encode` loses of those with more than `max_length`; nothing with windows.

    Of embeddings, a row is a text: pairs count as two.
    """
    if spec.kind == "embedding":
        rows = [replace(row, text=(text,)) for row in rows for text in row.text]
    lengths = [len(row["input_ids"]) for row in encode(rows, spec, tokenizer, UNCUT)]
    long = [] if spec.window else [row for row, length in zip(rows, lengths, strict=True) if length > max_length]
    tokens = sum(length if spec.window else min(length, max_length) for length in lengths)
    found = Lengths(len(rows), max(lengths, default=0), len(long), tokens)
    if spec.kind != "ner":
        return found
    kept = [sum(label != IGNORED for label in row["labels"]) for row in encode(long, spec, tokenizer, max_length)]
    cut = list(zip(long, kept, strict=True))
    return replace(
        found,
        words=sum(len(row.text) for row in rows),
        lost_words=sum(len(row.text) - words for row, words in cut),
        entities=sum(len(_ends(row, spec)) for row in rows),
        lost_entities=sum(end > words for row, words in cut for end in _ends(row, spec)),
    )


def _ends(row: Row, spec: TaskSpec) -> list[int]:
    """The word behind each entity of a row."""
    tags = [spec.tags[tag] for tag in row.label]  # type: ignore[union-attr]
    return [last + 1 for _, _, last in get_entities(tags)]


def length_notes(lengths: Mapping[Role, Lengths], max_length: int) -> tuple[str, ...]:
    """One line for each role of which rows are cut."""
    return tuple(_note(role, found, max_length) for role, found in lengths.items() if found.cut)


def _note(role: Role, found: Lengths, max_length: int) -> str:
    lost = f", which loses {found.lost_entities:,} of {found.entities:,} entities" if found.words else ""
    rule = f"longer than data.max_length ({max_length}; the longest has {found.longest:,} tokens)"
    return f"{role}: {found.cut:,} of {found.rows:,} rows are {rule} and are cut{lost}"
