"""Words of a text, and entities of their tags."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, NamedTuple

WORD_RULES = ("blanks", "edges", "marks")
"""How a text is cut into words: at blanks only; with marks cut off the ends too; or with every mark as a word."""


class Word(NamedTuple):
    """A word and where it starts in its text, in characters."""

    text: str
    start: int

    @property
    def end(self) -> int:
        """Index of the first character after it."""
        return self.start + len(self.text)


@dataclass(frozen=True)
class Entity:
    """A span of one label. start, end: characters of the text (of the words joined by blanks, if words were given).

    probability: that of the tag of its least certain word.
    """

    label: str
    start: int
    end: int
    text: str
    probability: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def split_words(text: str, rule: str) -> list[Word]:
    """Words of a text by one of `WORD_RULES`; marks are Unicode's punctuation and symbols."""
    chunks = [Word(found[0], found.start()) for found in re.finditer(r"\S+", text)]
    if rule == "blanks":
        return chunks
    cut = _off_marks if rule == "marks" else _off_edges
    return [word for chunk in chunks for word in cut(chunk)]


def is_mark(character: str) -> bool:
    """Whether it is punctuation or a symbol."""
    return unicodedata.category(character)[0] in "PS"


def _off_marks(chunk: Word) -> Iterator[Word]:
    place = chunk.start
    for marks, run in groupby(chunk.text, is_mark):
        for text in run if marks else ("".join(run),):
            yield Word(text, place)
            place += len(text)


def _off_edges(chunk: Word) -> Iterator[Word]:
    inner = [place for place, character in enumerate(chunk.text) if not is_mark(character)]
    first, last = (inner[0], inner[-1] + 1) if inner else (len(chunk.text), len(chunk.text))
    pieces = [*chunk.text[:first], *([chunk.text[first:last]] if inner else []), *chunk.text[last:]]
    place = chunk.start
    for text in pieces:
        yield Word(text, place)
        place += len(text)


def join_words(words: Sequence[str]) -> tuple[str, list[Word]]:
    """The words as a text with blanks between them, and where each of them is in it."""
    places, place = [], 0
    for word in words:
        places.append(Word(word, place))
        place += len(word) + 1
    return " ".join(words), places


def find_entities(
    text: str, words: Sequence[Word], tags: Sequence[str], probabilities: Sequence[float]
) -> tuple[Entity, ...]:
    """Entities of BIO tags, one tag per word; as in conlleval, an I- that continues nothing starts an entity."""
    spans: list[list[int]] = []
    for index, tag in enumerate(tags):
        follows = tag[0] == "I" and index > 0 and tags[index - 1][1:] == tag[1:]
        if follows:
            spans[-1][1] = index + 1
        elif tag != "O":
            spans.append([index, index + 1])
    return tuple(_entity(text, words[first:last], tags[first], min(probabilities[first:last])) for first, last in spans)


def _entity(text: str, words: Sequence[Word], tag: str, probability: float) -> Entity:
    start, end = words[0].start, words[-1].end
    return Entity(tag[2:], start, end, text[start:end], float(probability))
