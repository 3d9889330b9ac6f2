"""How a smaller vocabulary reads texts, compared with the whole one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from transformers import PreTrainedTokenizerBase

from aebert.pruning.reading import Read
from aebert.pruning.vocabulary import check_same_reading
from aebert.tasks.task import Row, TaskSpec


def piece_counts(rows: Sequence[Row], spec: TaskSpec, tokenizer: PreTrainedTokenizerBase) -> Counter[int]:
    """How often rows use each piece, by its id; special tokens around a text are left out."""
    return Counter(chain.from_iterable(one.ids for texts in _texts(rows, spec, tokenizer) for one in texts))


def coverage(
    name: str,
    rows: Sequence[Row],
    spec: TaskSpec,
    whole: PreTrainedTokenizerBase,
    small: PreTrainedTokenizerBase,
    kept: Sequence[int],
    max_length: int,
) -> Read:
    """Count how rows are read by both tokenizers.

    name: of the rows. kept: ids of `whole` of the pieces of `small`, in the order of their ids there.

    Raises: ModelError where a text whose pieces are all kept is read otherwise.
    """
    before, after = (list(_texts(rows, spec, tokenizer)) for tokenizer in (whole, small))
    for mine, other in zip(before, after, strict=True):
        check_same_reading(name, [one.ids for one in mine], [one.ids for one in other], kept)
    stays = frozenset(kept)
    words = [_words(one, stays) for texts in before for one in texts]
    whole_lengths, small_lengths = _lengths(before, spec, whole), _lengths(after, spec, small)
    most = math.inf if spec.window else max_length
    return Read(
        name=name,
        rows=len(rows),
        words=sum(count for count, _ in words),
        broken=sum(broken for _, broken in words),
        whole_tokens=sum(whole_lengths),
        small_tokens=sum(small_lengths),
        whole_cut=sum(length > most for length in whole_lengths),
        small_cut=sum(length > most for length in small_lengths),
        whole_unknown=_unknown(before, whole),
        small_unknown=_unknown(after, small),
    )


def _texts(rows: Sequence[Row], spec: TaskSpec, tokenizer: PreTrainedTokenizerBase) -> Iterator[tuple[Any, ...]]:
    """Yield the encodings of each row's texts (for NER, of its words): uncut, without special tokens."""
    if not rows:
        return
    options = {"add_special_tokens": False, "truncation": False, "verbose": False}
    if spec.kind == "ner":
        found = tokenizer([list(row.text) for row in rows], is_split_into_words=True, **options)
        yield from ((one,) for one in found.encodings)
        return
    if spec.kind == "embedding":  # each text is read alone
        yield from ((one,) for one in tokenizer([text for row in rows for text in row.text], **options).encodings)
        return
    sides = [tokenizer([row.text[side] for row in rows], **options).encodings for side in range(len(spec.columns))]
    yield from zip(*sides, strict=True)


def _words(encoding: Any, stays: frozenset[int]) -> tuple[int, int]:
    """How many words a text has, and how many of them have a piece that does not stay."""
    words = encoding.word_ids
    broken = {word for word, index in zip(words, encoding.ids, strict=True) if index not in stays}
    return len(set(words)), len(broken)


def _lengths(rows: Sequence[tuple[Any, ...]], spec: TaskSpec, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Tokens of each row, with the special ones around its texts."""
    special = int(tokenizer.num_special_tokens_to_add(pair=len(spec.columns) == 2 and spec.kind != "embedding"))
    return [special + sum(len(one.ids) for one in texts) for texts in rows]


def _unknown(rows: Sequence[tuple[Any, ...]], tokenizer: PreTrainedTokenizerBase) -> int:
    return sum(one.ids.count(tokenizer.unk_token_id) for texts in rows for one in texts)
