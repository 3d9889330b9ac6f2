"""BRAT stand-off annotation: documents (.txt) with spans (.ann), as sentences of tagged words.

Source of the format: https://brat.nlplab.org/standoff.html. What one tag per word can't express is read as
https://github.com/spyysalo/standoff2conll reads it by default: a span with gaps as one from its first to its last
character; of two spans that overlap, the longer one. How often that happens is counted.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from aebert.errors import DataError
from aebert.runtime.decoding import UTF_8
from aebert.runtime.words import Word, split_words
from aebert.tasks.conll import Sentence
from aebert.tasks.sentences import split_sentences
from aebert.tasks.text_files import numbered_lines

WORDS = "marks"
"""How texts are cut into words: every mark is one, so that few spans end inside of a word."""

_SPAN = re.compile(r"T\S*\t(?P<type>\S+) (?P<places>\d+ \d+(?:;\d+ \d+)*)\t(?P<text>.*)")
_OTHERS = {
    "R": "relations",
    "E": "events",
    "A": "attributes",
    "M": "attributes",
    "N": "normalizations",
    "*": "relations",
    "#": "notes",
}
_OTHER = {".txt": ".ann", ".ann": ".txt"}  # the file that each of a pair must have beside it
_NEAR = 10  # characters from its offsets within which the text of a span is looked for


@dataclass(frozen=True)
class Span:
    """An annotated span. start, end: its first character and the one behind its last."""

    type: str
    start: int
    end: int

    @property
    def length(self) -> int:
        """In characters."""
        return self.end - self.start

    def overlaps(self, other: Span) -> bool:
        """Whether a character is in both."""
        return self.start < other.end and other.start < self.end


class _Annotation(NamedTuple):
    """A line of an .ann file: places are the first character of each piece of the span and the one behind its last."""

    type: str
    places: tuple[tuple[int, int], ...]
    text: str
    source: str

    def is_in(self, text: str) -> bool:
        """Whether its text is where its places say."""
        there = " ".join(text[start:end] for start, end in self.places)
        return there.split() == self.text.split()


@dataclass(frozen=True)
class Corpus:
    """Sentences of documents with BIO tags, and how many documents, spans and other annotations were met."""

    sentences: tuple[Sentence, ...]
    counts: Mapping[str, int]


def read_brat(places: Sequence[Path], encoding: str = UTF_8) -> Corpus:
    """Read all documents of some folders, or some .txt files, each with its .ann file beside it.

    Words are cut as the runtime cuts them, so a span that starts or ends inside a word is extended to all of it. No
    sentence ends inside a span.

    Raises: DataError naming file and line of an annotation that can't be read, or whose text is not at its offsets.
    """
    texts = [text for place in places for text in _texts(place)]
    counts = Counter(documents=len(texts))
    sentences = [sentence for text in texts for sentence in _document(text, encoding, counts)]
    if not sentences:
        raise DataError(f"{places[0]} must have at least one sentence, all its documents are empty")
    return Corpus(tuple(sentences), dict(counts))


def _texts(place: Path) -> list[Path]:
    """The .txt file, or all of a folder. Raises: DataError unless each has its .ann file, and the other way round."""
    files = sorted(place.iterdir()) if place.is_dir() else [place, place.with_suffix(".ann")]
    names = {ending: {file.stem for file in files if file.suffix == ending} for ending in (".txt", ".ann")}
    if not names[".txt"]:
        raise DataError(
            f"{place} must be a folder with .txt and .ann files, or a .txt file with an .ann file beside it"
        )
    alone = [file for file in files if file.suffix in names and not file.with_suffix(_OTHER[file.suffix]).is_file()]
    if alone:
        rule = f"{alone[0]} must have a file of the same name that ends in {_OTHER[alone[0].suffix]}"
        raise DataError(f"{rule} ({len(alone)} of {len(files)} files lack it); add it, or move the file elsewhere")
    return [file for file in files if file.suffix == ".txt"]


def _document(path: Path, encoding: str, counts: Counter[str]) -> Iterator[Sentence]:
    text = "".join(line for _, line in numbered_lines(path, encoding))
    annotations = list(_annotations(path.with_suffix(".ann"), encoding, counts))
    if "\r\n" in text and not all(annotation.is_in(text) for annotation in annotations):
        text = text.replace("\r\n", "\n")  # annotated before another system wrote its line ends
    spans = _apart([_placed(text, annotation, counts) for annotation in annotations], counts)
    words = split_words(text, WORDS)
    tags, starts = _tags(words, spans, counts), [word.start for word in words]
    for start, end in _sentences(text, spans):
        inside = slice(bisect_left(starts, start), bisect_left(starts, end))
        line = text.count("\n", 0, start) + 1
        there = tuple(word.text for word in words[inside])
        yield Sentence(there, tuple(tags[inside]), line, str(path), step=0, document=str(path))


def _annotations(path: Path, encoding: str, counts: Counter[str]) -> Iterator[_Annotation]:
    for number, line in numbered_lines(path, encoding):
        line, source = line.rstrip("\r\n"), f"{path}:{number}"
        found = _SPAN.fullmatch(line)
        if found:
            counts["spans"] += 1
            places = tuple((int(start), int(end)) for start, end in map(str.split, found["places"].split(";")))
            yield _Annotation(found["type"], places, found["text"], source)
        elif line[:1] in _OTHERS:
            counts[_OTHERS[line[0]]] += 1
        elif line.strip():
            rule = "must be a span (T1, a tab, type, start and end, a tab, its text) or another annotation of BRAT"
            raise DataError(f"{source} {rule}, got {line[:60]!r}")


def _placed(text: str, annotation: _Annotation, counts: Counter[str]) -> Span:
    """The span from its first to its last character, without blanks at its ends."""
    places, said = annotation.places, annotation.text
    start, end = min(first for first, _ in places), max(last for _, last in places)
    if not annotation.is_in(text):
        start = _near(text, start, annotation)
        end = start + len(said)
        counts["moved"] += 1
    gaps = [text[before:after] for (_, before), (after, _) in pairwise(places)]
    counts["with gaps"] += any(gap.strip() for gap in gaps)  # BRAT cuts a span at line breaks: that is no gap
    inside = text[start:end]
    start, end = start + len(inside) - len(inside.lstrip()), end - len(inside) + len(inside.rstrip())
    if start >= end:
        raise DataError(f"{annotation.source}: a span must hold more than blanks, got {said!r}; delete it")
    return Span(annotation.type, start, end)


def _near(text: str, start: int, annotation: _Annotation) -> int:
    """Where the only occurrence of a span's text near its offset starts."""
    said = annotation.text
    first = max(0, start - _NEAR)
    around = text[first : start + len(said) + _NEAR]
    if not said.strip() or around.count(said) != 1:
        rule = f"{annotation.source}: the text of a span must be at its offsets in characters of the .txt file"
        there = text[start : start + len(said)]
        raise DataError(f"{rule}, got {said[:60]!r} at {start}, where {there[:60]!r} is; correct the line")
    return first + around.index(said)


def _apart(spans: Sequence[Span], counts: Counter[str]) -> list[Span]:
    """The spans that a tag per word can express: of those that overlap the longest, the first of equal ones."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (-span.length, span.start)):
        others = [other for other in kept if span.overlaps(other)]
        if not others:
            kept.append(span)
        else:
            same = any((other.type, other.start, other.end) == (span.type, span.start, span.end) for other in others)
            counts["repeated" if same else "overlapping"] += 1
    return sorted(kept, key=lambda span: span.start)


def _tags(words: Sequence[Word], spans: Sequence[Span], counts: Counter[str]) -> list[str]:
    """BIO tags; a word belongs to the first span that has a character of it."""
    tags = ["O"] * len(words)
    place = 0
    for span in spans:
        while place < len(words) and words[place].end <= span.start:
            place += 1
        first = place
        while place < len(words) and words[place].start < span.end:
            tags[place] = f"{'I' if place > first else 'B'}-{span.type}"
            place += 1
        if place == first:
            counts["in a word of another"] += 1
        elif (words[first].start, words[place - 1].end) != (span.start, span.end):
            counts["extended"] += 1
    return tags


def _sentences(text: str, spans: Sequence[Span]) -> Iterator[tuple[int, int]]:
    """Sentences; those that a span reaches into are one with the sentence in which it starts."""
    place = 0
    joined: list[tuple[int, int]] = []
    for start, end in split_sentences(text):
        while place < len(spans) and spans[place].end <= start:
            place += 1
        if joined and place < len(spans) and spans[place].start < start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    yield from joined


def corpus_notes(corpora: Sequence[Corpus]) -> tuple[str, ...]:
    """What was read, and what the tags don't show of it."""
    counts = sum((Counter(corpus.counts) for corpus in corpora), Counter[str]())
    lost = counts["overlapping"] + counts["in a word of another"]
    kept = counts["spans"] - lost - counts["repeated"]
    notes = [f"BRAT: documents {counts['documents']:,}, spans {counts['spans']:,}, tagged {kept:,}"]
    affected = {
        "are lost because a longer one overlaps them": counts["overlapping"],
        "are lost because another one has their word": counts["in a word of another"],
        "are annotated twice": counts["repeated"],
        "have gaps and are read as one from first to last character": counts["with gaps"],
        "start or end inside a word and are extended to all of it": counts["extended"],
        "stand a few characters from their offsets and are read where their text is": counts["moved"],
    }
    notes += [f"BRAT spans that {what}: {count:,}" for what, count in affected.items() if count]
    ignored = [f"{name} {counts[name]:,}" for name in dict.fromkeys(_OTHERS.values()) if counts[name]]
    if ignored:
        notes.append(f"BRAT annotations that are not read: {', '.join(ignored)}")
    return tuple(notes)
