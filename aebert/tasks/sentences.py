"""Sentences of a plain text, by rule."""

from __future__ import annotations

import re
from collections.abc import Iterator

# What may end a sentence: marks with closing quotes and brackets and blanks behind them, and every line break.
_END = re.compile(r"[.!?]+[\"'”’»)\]]*\s+|[。！？]+[”’」』)]*\s*|\s*\n\s*")
_ABBREVIATION = re.compile(
    r"\b(?:[a-z]|al|approx|ca|cf|dr|eq|etc|figs?|inc|mr|mrs|ms|prof|refs?|resp|spp?|st|vol|vs|wt)\.$", re.IGNORECASE
)
_LONGEST = 7  # characters of an abbreviation with its point


def split_sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each sentence, without blanks at its ends.

    A sentence ends at `.`, `!` or `?` before a blank, but not before a small letter and not behind an abbreviation or a
    single letter; at the full stops of Chinese and Japanese; and at every line break.
    """
    start = 0
    for end in _END.finditer(text):
        if "\n" in end[0] or not (_is_inside(text, end) and end[0][0] in ".!?"):
            yield from _trimmed(text, start, end.end())
            start = end.end()
    yield from _trimmed(text, start, len(text))


def _is_inside(text: str, end: re.Match[str]) -> bool:
    after = text[end.end() : end.end() + 1]
    stop = end.start() + 1
    shortened = end[0].strip() == "." and _ABBREVIATION.search(text, max(0, stop - _LONGEST - 1), stop)
    return after.islower() or bool(shortened)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    sentence = text[start:end]
    if sentence.strip():
        first = start + len(sentence) - len(sentence.lstrip())
        yield first, first + len(sentence.strip())
