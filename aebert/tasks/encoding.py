"""Rows as model inputs: sub-words, label alignment, padding, batches of similar length."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from aebert.errors import ModelError
from aebert.runtime.encoding import half_word, window_ends
from aebert.tasks.task import EncodedRow, Row, TaskSpec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
"""Label of a position that loss and metric leave out."""

UNCUT = 10**9
"""A `max_length` that no row reaches."""

BATCH_TOKENS = 64
"""What starting a batch costs, in positions: of the order of what a forward pass costs beside its matrix products."""


@dataclass(frozen=True)
class Batch:
    """Padded inputs [batch, seq] and labels of some rows; `indices` are their places among the encoded ones."""

    indices: tuple[int, ...]
    tensors: dict[str, torch.Tensor]


def encode(
    rows: Sequence[Row], spec: TaskSpec, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> list[dict[str, Any]]:
    """Unpadded model inputs of each row: input_ids, attention_mask, token_type_ids if the tokenizer makes them, labels.

    labels: class id, score, or for NER one tag id per position: a word's tag at its first sub-word, -100 at its other
    sub-words and at special tokens; the target [hidden] of a sentence to embed, or nothing [0] without one. Texts
    longer than `max_length` are cut at their end, a pair at its longer text, and words between two of them (only a
    first word that alone is too long is cut itself); `aebert.tasks.lengths` counts what that loses. A word that the
    tokenizer makes nothing of (a zero-width character) becomes its unknown token, so no word loses its place.

    Raises: ModelError if the tokenizer can't align sub-words with words, or cuts texts at their start.
    """
    if not rows:
        return []
    if tokenizer.truncation_side != "right":
        rule = "texts that are too long are cut at their end, but the tokenizer's truncation_side is"
        raise ModelError(f"{rule} {tokenizer.truncation_side!r}; set it to 'right' in tokenizer_config.json")
    if spec.kind == "ner":
        return _encode_words(rows, tokenizer, max_length)
    texts = [[row.text[side] for row in rows] for side in range(1 if spec.kind == "embedding" else len(spec.columns))]
    inputs = tokenizer(*texts, truncation=True, max_length=max_length)
    labels = [_label(row, spec) for row in rows]
    return [
        {**{name: values[index] for name, values in inputs.items()}, "labels": label}
        for index, label in enumerate(labels)
    ]


def _label(row: Row, spec: TaskSpec) -> Any:
    if spec.kind == "embedding":
        return np.zeros(0, np.float32) if row.targets is None else row.targets[0]
    return float(row.label) if spec.kind == "regression" else row.label  # type: ignore[arg-type]


def encode_windows(
    rows: Sequence[Row], spec: TaskSpec, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> list[list[dict[str, Any]]]:
    """What `encode` makes of each row's windows: of the whole row, unless `spec.window` splits it.

    Of embeddings, each sentence of a pair is a window of its own.

    The windows of a sentence that is too long are whole words that follow each other, as few as possible. Labels have
    no say in where it is split, since a served model does not know them.
    """
    if spec.kind == "embedding":
        parts = [_sentences(row) for row in rows]
    else:
        parts = _split(rows, tokenizer, max_length) if spec.window and rows else [[row] for row in rows]
    encoded = iter(encode([part for row in parts for part in row], spec, tokenizer, max_length))
    return [[next(encoded) for _ in row] for row in parts]


def _sentences(row: Row) -> list[Row]:
    """The texts of a row as rows of their own."""
    targets = [None] * len(row.text) if row.targets is None else [target[None] for target in row.targets]
    return [replace(row, text=(text,), targets=target) for text, target in zip(row.text, targets, strict=True)]


def _split(rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> list[list[Row]]:
    _check_aligns(tokenizer)
    words = [list(row.text) for row in rows]
    inputs = tokenizer(words, is_split_into_words=True, truncation=True, max_length=UNCUT)
    room = max_length - tokenizer.num_special_tokens_to_add()
    return [_windows(row, Counter(inputs.word_ids(index)), room) for index, row in enumerate(rows)]


def _windows(row: Row, tokens: Mapping[int | None, int], room: int) -> list[Row]:
    ends = window_ends([tokens[word] for word in range(len(row.text))], room)
    bounds = pairwise([0, *ends])
    return [replace(row, text=row.text[start:end], label=row.label[start:end]) for start, end in bounds]  # type: ignore[index]


def join_windows(windows: Sequence[EncodedRow]) -> EncodedRow:
    """The encoded windows of a row behind each other, special tokens included, as one encoded row."""
    if len(windows) == 1:
        return windows[0]
    return {
        name: np.stack([one[name] for one in windows])
        if isinstance(first, np.ndarray)
        else list(chain.from_iterable(one[name] for one in windows))
        for name, first in windows[0].items()
    }


def _encode_words(rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> list[dict[str, Any]]:
    _check_aligns(tokenizer)
    words = [list(row.text) for row in rows]
    inputs = tokenizer(words, is_split_into_words=True, truncation=True, max_length=max_length)
    lost = [_lost_words(inputs.word_ids(index), len(row.text), max_length) for index, row in enumerate(rows)]
    if any(lost):
        for sentence, places in zip(words, lost, strict=True):
            for place in places:
                sentence[place] = _unknown(tokenizer)
        inputs = tokenizer(words, is_split_into_words=True, truncation=True, max_length=max_length)
    half = [half_word(encoding) for encoding in inputs.encodings]
    if any(half):
        words = [sentence[:place] if place else sentence for sentence, place in zip(words, half, strict=True)]
        inputs = tokenizer(words, is_split_into_words=True, truncation=True, max_length=max_length)
    return [
        {
            **{name: values[index] for name, values in inputs.items()},
            "labels": _word_labels(inputs.word_ids(index), row.label),  # type: ignore[arg-type]
        }
        for index, row in enumerate(rows)
    ]


def _check_aligns(tokenizer: PreTrainedTokenizerBase) -> None:
    name = type(tokenizer).__name__
    if not tokenizer.is_fast:
        raise ModelError(f"NER needs a fast tokenizer (one with a tokenizer.json), got {name}")
    pre_tokenizer = tokenizer.backend_tokenizer.pre_tokenizer
    # transformers 5 no longer refuses this: every word is then read as the end of a longer one, and scores drop
    if pre_tokenizer is not None and _joins_words(json.loads(pre_tokenizer.__getstate__())):
        fix = "load it with AutoTokenizer.from_pretrained(..., add_prefix_space=True)"
        raise ModelError(f"NER needs a tokenizer that puts a blank before each word, got {name}; {fix}")


def _joins_words(pre_tokenizer: dict[str, Any]) -> bool:
    steps = pre_tokenizer.get("pretokenizers") or [pre_tokenizer]
    return any(step["type"] == "ByteLevel" and not step["add_prefix_space"] for step in steps)


def _lost_words(word_ids: Sequence[int | None], num_words: int, max_length: int) -> list[int]:
    """Words without a sub-word that were not cut off."""
    seen = {word for word in word_ids if word is not None}
    end = num_words if len(word_ids) < max_length else max(seen, default=0)
    return [word for word in range(end) if word not in seen]


def _unknown(tokenizer: PreTrainedTokenizerBase) -> str:
    if tokenizer.unk_token is None:
        raise ModelError(f"NER needs a tokenizer with an unknown token, {type(tokenizer).__name__} has none")
    return str(tokenizer.unk_token)


def _word_labels(word_ids: Sequence[int | None], tags: Sequence[int]) -> list[int]:
    previous = (None, *word_ids[:-1])
    return [
        IGNORED if word is None or word == before else tags[word]
        for before, word in zip(previous, word_ids, strict=True)
    ]


def collate(rows: Sequence[EncodedRow], tokenizer: PreTrainedTokenizerBase) -> dict[str, torch.Tensor]:
    """Encoded rows as tensors, padded on the right to the longest row.

    Inputs [batch, seq] int64; labels [batch] int64 (classes) or float32 (scores), [batch, seq] int64 padded with
    -100 (NER), or [batch, hidden] float32 (embeddings).
    """
    fills = {"input_ids": _pad_id(tokenizer), "token_type_ids": tokenizer.pad_token_type_id, "labels": IGNORED}
    tensors = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if isinstance(values[0], np.ndarray):
            tensors[name] = torch.from_numpy(np.stack(values))
        else:
            tensors[name] = _pad(values, fills.get(name, 0)) if isinstance(values[0], list) else torch.tensor(values)
    return tensors


def _pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    if tokenizer.pad_token_id is None:
        raise ModelError(f"batches need a tokenizer with a padding token, {type(tokenizer).__name__} has none")
    return int(tokenizer.pad_token_id)


def _pad(values: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
    longest = max(map(len, values))
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in values])


def batches(encoded: Sequence[EncodedRow], tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> Iterator[Batch]:
    """Yield all rows once, longest first, in batches of at most `max_tokens` padded positions (but at least a row).

    Batches are cut where that costs least padding; a further batch must save more than `BATCH_TOKENS` positions.
    """
    lengths = [len(row["input_ids"]) for row in encoded]
    order = sorted(range(len(encoded)), key=lambda index: -lengths[index])
    for start, end in _cuts([lengths[index] for index in order], max_tokens):
        count = max(1, max_tokens // lengths[order[start]])
        for first in range(start, end, count):
            indices = tuple(order[first : min(first + count, end)])
            yield Batch(indices, collate([encoded[index] for index in indices], tokenizer))


def _cuts(lengths: Sequence[int], max_tokens: int) -> list[tuple[int, int]]:
    """Start and end of runs of rows (lengths falling) that are padded alike, at the least total cost.

    Dynamic programming over the places where the length changes: O(different lengths squared).
    """
    if not lengths:
        return []
    places = [0, *(place for place in range(1, len(lengths)) if lengths[place] != lengths[place - 1]), len(lengths)]
    best = [0.0] + [float("inf")] * (len(places) - 1)
    before = [0] * len(places)
    for end in range(1, len(places)):
        for start in range(end):
            padded = lengths[places[start]] * (places[end] - places[start])
            cost = best[start] + padded + BATCH_TOKENS * -(-padded // max_tokens)
            if cost < best[end]:
                best[end], before[end] = cost, start
    cuts: list[tuple[int, int]] = []
    end = len(places) - 1
    while end > 0:
        cuts.append((places[before[end]], places[end]))
        end = before[end]
    return cuts[::-1]
