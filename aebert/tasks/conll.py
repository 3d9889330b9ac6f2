"""Sentences with one tag per word: CoNLL-style files, and the tag schemes they are written in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from aebert.errors import DataError
from aebert.runtime.decoding import UTF_8
from aebert.tasks.labels import hint, shown
from aebert.tasks.task import Row, TaskSpec
from aebert.tasks.text_files import numbered_lines

Scheme = Literal["IOB1", "IOB2", "IOBES", "BILOU"]

# What a scheme calls the last word of an entity, and an entity of one word.
_MARKED: Mapping[Scheme, str] = {"IOBES": "ES", "BILOU": "LU"}

_TAG = re.compile(r"O|[BIESLU]-\S.*")


class Sentence(NamedTuple):
    """Words and tags as read, the number of the first word's line, and the file.

    step: lines from one word to the next; 0 where a line holds a whole sentence (JSON lines, hub rows).
    document: see `Row`.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    line: int
    file: str = ""
    step: int = 1
    document: str = ""

    def at(self, index: int) -> str:
        """`file:line` of a word."""
        return f"{self.file}:{self.line + self.step * index}"


class _Token(NamedTuple):
    line: int
    word: str
    tag: str


def read_conll(path: Path, encoding: str = UTF_8) -> list[Sentence]:
    """Sentences of a CoNLL-style file: first column the word, last column the tag, blank lines between sentences.

    Columns are separated by tabs if the file has a tab in any line, else by blanks; all lines have the same number.
    `-DOCSTART-` lines only end a sentence. A line that starts with `#` before a sentence's first word is a comment
    unless it has the file's columns and a tag in the last, so `#` can be a word.

    Raises: DataError naming file and line of the first bad line, or the file if it has no sentence.
    """
    lines = [(number, line.strip(" \r\n")) for number, line in numbered_lines(path, encoding)]
    tabs = any("\t" in line.strip() for _, line in lines)
    tokens: list[_Token] = []
    sentences: list[Sentence] = []
    for token in (*_tokens(path, lines, tabs), None):
        if token is not None:
            tokens.append(token)
        elif tokens:
            words, tags = tuple(t.word for t in tokens), tuple(t.tag for t in tokens)
            sentences.append(Sentence(words, tags, tokens[0].line, str(path)))
            tokens = []
    if not sentences:
        raise DataError(f"{path} must have at least one sentence (a line per word: word and tag), it is empty")
    if _are_numbered(sentences):
        got = f"got {' '.join(sentences[0].words[:3])} ..."
        raise DataError(
            f"{path}: the first column must hold the words, but it numbers them ({got}); delete that column"
        )
    return sentences


def _are_numbered(sentences: Sequence[Sentence]) -> bool:
    """Whether the words of every sentence are 1, 2, 3 and so on, and some sentence has several."""
    numbers = [str(number) for number in range(1, 1 + max(len(sentence.words) for sentence in sentences))]
    counted = all(list(sentence.words) == numbers[: len(sentence.words)] for sentence in sentences)
    return counted and len(numbers) > 1


def _tokens(path: Path, lines: Sequence[tuple[int, str]], tabs: bool) -> Iterator[_Token | None]:
    """Yield tokens, and None where a sentence ends."""
    width, width_line, inside = 0, 0, False
    for number, line in lines:
        cells = line.split("\t") if tabs else re.split(r"[ \t]+", line)
        if not line.strip() or cells[0] == "-DOCSTART-":
            inside = False
            yield None
            continue
        if line.startswith("#") and not inside and not _is_token(cells, width):
            continue
        if not width:
            width, width_line = len(cells), number
        _check_columns(f"{path}:{number}", cells, width, width_line)
        inside = True
        yield _Token(number, cells[0], cells[-1])


def _is_token(cells: Sequence[str], width: int) -> bool:
    """Whether a line starting with `#` is a word `#…` with its tag; `width` 0: no word was seen yet."""
    return len(cells) in ({width} if width else {2, 4}) and bool(_TAG.fullmatch(cells[-1]))


def _check_columns(source: str, cells: Sequence[str], width: int, width_line: int) -> None:
    if len(cells) < 2:
        raise DataError(f"{source} must have a word and a tag, separated by a tab or blanks, got {cells[0]!r}")
    if len(cells) != width:
        raise DataError(f"{source} must have {width} columns as line {width_line} has, got {len(cells)}")
    if not cells[0] or not cells[-1].strip():
        raise DataError(f"{source} must have a word and a tag, got {cells[0]!r} and {cells[-1]!r}")


def to_bio(splits: Mapping[str, Sequence[Sentence]]) -> dict[str, list[Sentence]]:
    """The same sentences with BIO (IOB2) tags, whatever scheme they were written in.

    The scheme is found from the tags of all splits together. An E- or S- tag means IOBES, an L- or U- tag BILOU. Else
    the tags are IOB2 if every entity starts with B-, IOB1 if every B- comes right after an entity of its type. Tags
    without any entity meet both and are the same in both; tags that meet neither are an error at the first I- that
    starts an entity.

    Raises: DataError naming file and line of an unknown prefix, a mixture of schemes or an illegal sequence.
    """
    sentences = [sentence for split in splits.values() for sentence in split]
    for sentence in sentences:
        _check_prefixes(sentence)
    scheme = find_scheme(sentences)
    return {name: [_convert(sentence, scheme) for sentence in split] for name, split in splits.items()}


def _check_prefixes(sentence: Sentence) -> None:
    for index, tag in enumerate(sentence.tags):
        if not _TAG.fullmatch(tag):
            rule = "tag must be O or B-, I-, E-, S-, L- or U- and an entity type"
            raise DataError(f"{sentence.at(index)}: {rule}, got {tag!r}")


def find_scheme(sentences: Sequence[Sentence]) -> Scheme:
    """Tag scheme that all sentences meet; see `to_bio`."""
    marked = {scheme: _first_with(sentences, prefixes) for scheme, prefixes in _MARKED.items()}
    if all(marked.values()):
        places = " and ".join(f"{place} ({scheme})" for scheme, place in marked.items())
        raise DataError(f"tags must be of one scheme, got {places}; convert one of them")
    for scheme, place in marked.items():
        if place:
            illegal = _first_illegal(sentences, scheme)
            if illegal is None:
                return scheme
            raise DataError(f"{_illegal(*illegal)} in {scheme} (which the files are, by {place})")
    illegal = _first_illegal(sentences, "IOB2")
    if illegal is None:
        return "IOB2"
    if _first_illegal(sentences, "IOB1") is None:
        return "IOB1"
    rule = "in IOB2, and the files are not IOB1 either (a B- tag starts an entity elsewhere)"
    raise DataError(f"{_illegal(*illegal)} {rule}")


def _first_with(sentences: Sequence[Sentence], prefixes: str) -> str:
    """The first tag with one of the prefixes and where it is; empty if there is none."""
    for sentence in sentences:
        for index, tag in enumerate(sentence.tags):
            if tag[0] in prefixes:
                return f"{tag!r} at {sentence.at(index)}"
    return ""


def _first_illegal(sentences: Sequence[Sentence], scheme: Scheme) -> tuple[Sentence, int] | None:
    """Sentence and index of its first illegal tag; the index after its last tag if an entity is left open."""
    for sentence in sentences:
        previous = "O"
        for index, tag in enumerate(sentence.tags):
            if not _may_follow(previous, tag, scheme):
                return sentence, index
            previous = tag
        if scheme in _MARKED and previous[0] in "BI":
            return sentence, len(sentence.tags)
    return None


def _illegal(sentence: Sentence, index: int) -> str:
    """Where the illegal tag is and what it follows; an index behind the last tag means that the sentence ends there."""
    if index == len(sentence.tags):
        return f"{sentence.at(index - 1)}: a sentence can't end with {sentence.tags[-1]!r}"
    before = repr(sentence.tags[index - 1]) if index else "the start of the sentence"
    return f"{sentence.at(index)}: tag {sentence.tags[index]!r} can't follow {before}"


def _may_follow(previous: str, tag: str, scheme: Scheme) -> bool:
    same_type = previous[1:] == tag[1:] and previous != "O"
    if scheme == "IOB1":
        return tag[0] != "B" or same_type
    if scheme == "IOB2":
        return tag[0] != "I" or same_type
    is_open, goes_on = previous[0] in "BI", tag[0] in "I" + _MARKED[scheme][0]
    return (same_type if goes_on else True) and is_open == goes_on


def _convert(sentence: Sentence, scheme: Scheme) -> Sentence:
    if scheme == "IOB2":
        return sentence
    if scheme in _MARKED:
        names = dict(zip(_MARKED[scheme], "IB", strict=True))
        return sentence._replace(tags=tuple(names.get(tag[0], tag[0]) + tag[1:] for tag in sentence.tags))
    starts = [
        tag[0] == "I" and tag[1:] != before[1:]
        for before, tag in zip(("O", *sentence.tags), sentence.tags, strict=False)
    ]
    tags = (f"B{tag[1:]}" if start else tag for start, tag in zip(starts, sentence.tags, strict=True))
    return sentence._replace(tags=tuple(tags))


def entity_names(sentences: Sequence[Sentence]) -> Iterator[tuple[str, str]]:
    """Yield the type of each entity of BIO sentences, and where it starts."""
    for sentence in sentences:
        for index, tag in enumerate(sentence.tags):
            if tag[0] == "B":
                yield tag[2:], sentence.at(index)


def entity_types(sentences: Sequence[Sentence]) -> tuple[str, ...]:
    """Distinct entity types of BIO sentences, sorted."""
    return tuple(sorted({tag[2:] for sentence in sentences for tag in sentence.tags if tag != "O"}))


def tagged_rows(sentences: Sequence[Sentence], spec: TaskSpec) -> Iterator[Row]:
    """Yield the rows of BIO sentences; `DataError` naming file and line of an unknown entity type."""
    ids = {tag: tag_id for tag_id, tag in enumerate(spec.tags)}
    for sentence in sentences:
        for index, tag in enumerate(sentence.tags):
            if tag not in ids:
                raise DataError(_unknown_type(sentence.at(index), tag[2:], spec))
        label = tuple(ids[tag] for tag in sentence.tags)
        yield Row(sentence.words, label, sentence.at(0), sentence.document)


def _unknown_type(source: str, name: str, spec: TaskSpec) -> str:
    fix = "correct it, or list all types in task.labels"
    rule = f"{source}: entity type must be known from the train rows or task.labels"
    return f"{rule}, got {shown(name)}{hint(name, spec.labels)}; known: {', '.join(spec.labels)}; {fix}"
