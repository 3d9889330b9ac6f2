"""Texts as token ids, exactly as in training, by `tokenizers` alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from aebert.errors import BundleError, DataError
from aebert.runtime.container import TOKENIZER
from aebert.runtime.manifest import Manifest
from aebert.runtime.words import Word, join_words, split_words

Text = Union[str, Sequence[str]]
"""A text; two texts for a bundle of sentence pairs; or, for NER, words."""

_CHARACTERS = 64  # per token: a text longer than that is cut before it is tokenized


@dataclass(frozen=True)
class Encoded:
    """A row as token ids. ids, type_ids: [seq]. truncated: something was cut off.

    text, words, first_tokens: for NER, the text, its words, and the index of each word's first token.
    cuts: where in the ids the second and each later window of a long NER text begins.
    """

    ids: tuple[int, ...]
    type_ids: tuple[int, ...]
    truncated: bool
    text: str = ""
    words: tuple[Word, ...] = ()
    first_tokens: tuple[int, ...] = ()
    cuts: tuple[int, ...] = ()

    def windows(self) -> list[Encoded]:
        """What the graph takes one at a time: the ids alone."""
        bounds = zip((0, *self.cuts), (*self.cuts, len(self.ids)))
        return [Encoded(self.ids[start:end], self.type_ids[start:end], False) for start, end in bounds]


def parse_tokenizer(content: bytes, path: Path) -> Tokenizer:
    """The tokenizer of a `tokenizer.json`. Raises: BundleError naming the bundle `path`."""
    try:
        return Tokenizer.from_buffer(content)
    except Exception as error:  # tokenizers raises bare exceptions, also for panics of its Rust code
        reason = str(error).splitlines()[0]
        raise BundleError(f"bundle {path}: {TOKENIZER} can't be read: {reason} (newer tokenizers needed?)") from None


def check_size(tokenizer: Tokenizer, manifest: Manifest) -> None:
    """Raise BundleError unless a tokenizer has as many ids as its bundle's embeddings were made for."""
    size = tokenizer.get_vocab_size()
    if size != manifest.vocabulary:
        raise BundleError(f"{TOKENIZER} must have the {manifest.vocabulary} ids of the training, it has {size}")


class Encoder:
    """Encodes texts for one bundle. max_length: most tokens of a row, special ones included."""

    def __init__(self, tokenizer: Tokenizer, manifest: Manifest, max_length: int, words: str) -> None:
        self._tokenizer, self._manifest = tokenizer, manifest
        self._max_length, self._words = max_length, words
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length, strategy="longest_first")

    def encode(self, texts: Sequence[Text]) -> list[Encoded]:
        """Rows of token ids, not padded. Raises: DataError naming the index of a text that can't be encoded."""
        if self._manifest.kind == "ner":
            return [self._encode_words(index, text) for index, text in enumerate(texts)]
        rows = [self._sides(index, text) for index, text in enumerate(texts)]
        found = self._tokenizer.encode_batch([row if len(row) == 2 else row[0] for row in rows])
        return [Encoded(tuple(one.ids), tuple(one.type_ids), bool(one.overflowing)) for one in found]

    def _sides(self, index: int, text: Text) -> tuple[str, ...]:
        sides = (text,) if isinstance(text, str) else tuple(text)
        if len(sides) != (2 if self._manifest.pair else 1):
            wanted = "two texts" if self._manifest.pair else "one text"
            raise DataError(f"text {index} must be {wanted} for bundle {self._manifest.name}, got {len(sides)}")
        return tuple(self._head(_valid(index, side)) for side in sides)

    def _head(self, text: str) -> str:
        """The text, or a beginning of whole words that fills the length limit alone: the rest can't change the ids."""
        if len(text) <= _CHARACTERS * self._max_length:
            return text
        head = text[: _CHARACTERS * self._max_length].rpartition(" ")[0]
        enough = self._tokenizer.encode(head, add_special_tokens=False).overflowing
        return head if enough else text

    def _encode_words(self, index: int, text: Text) -> Encoded:
        whole, places = (text, split_words(text, self._words)) if isinstance(text, str) else join_words(text)
        most = None if self._manifest.window else self._max_length  # each word has at least one token
        windows = [self._window(words) for words in self._split([_valid(index, word.text) for word in places[:most]])]
        starts = [0, *accumulate(len(one.ids) for one in windows)]
        first_tokens = [start + place for start, one in zip(starts, windows) for place in one.first_tokens]
        return Encoded(
            tuple(chain.from_iterable(one.ids for one in windows)),
            tuple(chain.from_iterable(one.type_ids for one in windows)),
            len(first_tokens) < len(places) or any(one.truncated for one in windows),
            whole,
            tuple(places),
            tuple(first_tokens),
            tuple(starts[1:-1]),
        )

    def _split(self, words: list[str]) -> list[list[str]]:
        """The words of each window; all in one where a text that is too long is cut."""
        if not self._manifest.window:
            return [words]
        found = self._pre_split(words)
        tokens = Counter(word for part in (found, *found.overflowing) for word in part.word_ids)
        room = self._max_length - self._tokenizer.num_special_tokens_to_add(False)
        ends = window_ends([tokens[place] for place in range(len(words))], room)
        return [words[start:end] for start, end in zip([0, *ends], ends)]

    def _window(self, words: list[str]) -> Encoded:
        """Words that follow each other, cut where they are too long."""
        found = self._pre_split(words)
        seen = {word for word in found.word_ids if word is not None}
        end = len(words) if len(found.ids) < self._max_length else max(seen, default=0)
        lost = [word for word in range(end) if word not in seen]
        if lost and self._manifest.unknown is not None:  # as in training, so that no word loses its place
            words = [self._manifest.unknown if place in lost else word for place, word in enumerate(words)]
            found = self._pre_split(words)
        half = half_word(found)
        cut = bool(found.overflowing)
        if half:
            found = self._pre_split(words[:half])
        firsts = {word: place for place, word in reversed(list(enumerate(found.word_ids))) if word is not None}
        first_tokens = tuple(firsts[word] for word in sorted(firsts))
        return Encoded(tuple(found.ids), tuple(found.type_ids), cut, first_tokens=first_tokens)

    def _pre_split(self, words: list[str]) -> Any:
        return self._tokenizer.encode(words, is_pretokenized=True)

    def pad(self, rows: Sequence[Encoded]) -> dict[str, NDArray[np.int64]]:
        """Inputs of the graph [batch, seq], padded on the right to the longest row."""
        longest = max(len(row.ids) for row in rows)
        ids = np.full((len(rows), longest), self._manifest.pad_id, dtype=np.int64)
        types, mask = np.full_like(ids, self._manifest.pad_type_id), np.zeros_like(ids)
        for index, row in enumerate(rows):
            ids[index, : len(row.ids)], types[index, : len(row.ids)] = row.ids, row.type_ids
            mask[index, : len(row.ids)] = 1
        return {"input_ids": ids, "token_type_ids": types, "attention_mask": mask}


def window_ends(tokens: Sequence[int], room: int) -> list[int]:
    """The word behind each window of a sentence: as few windows as possible, and those as even as possible.

    tokens: of each word; one for a word without any, which becomes the unknown token. room: tokens of a window, special
    ones left out. A word that alone is longer has a window for itself.
    """
    sizes = [max(1, count) for count in tokens]
    fewest, low, high = len(_filled(sizes, room)), 1, room
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if len(_filled(sizes, middle)) == fewest else (middle + 1, high)
    return _filled(sizes, low)


def _filled(sizes: Sequence[int], room: int) -> list[int]:
    ends, used = [], 0
    for place, size in enumerate(sizes):
        if used and used + size > room:
            ends.append(place)
            used = 0
        used += size
    return [*ends, len(sizes)]


def half_word(found: Any) -> int:
    """Place of the word in whose middle an encoding of `tokenizers` was cut off; 0 if none was, or the first."""
    if not found.overflowing:
        return 0
    last = max(word for word in found.word_ids if word is not None)
    goes_on = next(word for word in found.overflowing[0].word_ids if word is not None)
    return int(last) if goes_on == last else 0


def _valid(index: int, text: str) -> str:
    """The text. Raises: DataError for half of a surrogate pair, which JSON can state but which is not a character."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"text {index} must be Unicode, character {error.start} is half of a surrogate pair") from None
    return text
