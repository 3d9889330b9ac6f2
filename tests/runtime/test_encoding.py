"""The runtime must see a text exactly as training did: `aebert.tasks.encoding` over transformers is the oracle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer, Tokenizer
from transformers import BertTokenizerFast, PreTrainedTokenizerFast, RobertaTokenizerFast

from aebert.config import DataConfig, TaskConfig
from aebert.errors import BundleError, DataError
from aebert.runtime.container import MANIFEST
from aebert.runtime.encoding import Encoder, parse_tokenizer, window_ends
from aebert.runtime.manifest import Manifest, parse_manifest
from aebert.tasks.encoding import collate, encode, encode_windows, join_windows
from aebert.tasks.load import load_task
from aebert.tasks.task import Row

from .conftest import SPECS

FAMILIES = ("bert", "roberta")
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


@pytest.fixture(scope="module")
def sentences() -> list[Row]:
    """Sentences of the generated corpus: words, numbers, marks, long words."""
    data = DataConfig(limits={"train": 150, "search": 10, "select": 10, "report": 10})
    return list(load_task(TaskConfig(), data, None, 0).rows["train"])


@pytest.fixture(scope="module")
def trained(sentences: list[Row]) -> dict[str, PreTrainedTokenizerFast]:
    """A tokenizer of each kind, with the sub-words of the sentences."""
    texts = [" ".join(map(str, row.text)) for row in sentences]
    pieces, merges = BertWordPieceTokenizer(), ByteLevelBPETokenizer(add_prefix_space=True)
    pieces.train_from_iterator(iter(texts), vocab_size=400, show_progress=False)
    merges.train_from_iterator(iter(texts), vocab_size=500, special_tokens=[*SPECIAL], show_progress=False)
    return {
        "bert": BertTokenizerFast(vocab=pieces.get_vocab()),
        "roberta": RobertaTokenizerFast(
            vocab=merges.get_vocab(),
            merges=[tuple(pair) for pair in _merges(merges)],
            add_prefix_space=True,
        ),
    }


def _merges(tokenizer: Any) -> list[Any]:
    found = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in found]


def _manifest(made: dict[str, Path], kind: str, tokenizer: PreTrainedTokenizerFast) -> Manifest:
    path = made[kind]
    known = parse_manifest((path / MANIFEST).read_bytes(), path)
    return replace(
        known,
        pad_id=tokenizer.pad_token_id,
        pad_type_id=tokenizer.pad_token_type_id,
        unknown=str(tokenizer.unk_token),
    )


def _compare(manifest: Manifest, tokenizer: PreTrainedTokenizerFast, rows: Sequence[Row], max_length: int) -> None:
    spec = replace(SPECS[manifest.kind], window=manifest.window)
    parts = encode_windows(rows, spec, tokenizer, max_length)
    expected = [join_windows(windows) for windows in parts]
    encoder = Encoder(Tokenizer.from_str(tokenizer.backend_tokenizer.to_str()), manifest, max_length, "blanks")
    mine = encoder.encode([row.text if manifest.kind != "classification" else row.text[0] for row in rows])
    for one, other in zip(mine, expected, strict=True):
        assert list(one.ids) == other["input_ids"]
        assert list(one.type_ids) == other.get("token_type_ids", [0] * len(one.ids))
        if manifest.kind == "ner":
            places = [place for place, label in enumerate(other["labels"]) if label != -100]
            assert list(one.first_tokens) == places
        if not spec.window:
            (whole,) = encode(rows[:1], spec, tokenizer, 10**6)
            assert mine[0].truncated == (len(whole["input_ids"]) > max_length)
    inputs = encoder.pad([window for one in mine for window in one.windows()])
    for name, tensor in collate([window for windows in parts for window in windows], tokenizer).items():
        if name != "labels":
            assert inputs[name].tolist() == tensor.tolist()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("max_length", [9, 24, 200])
def test_real_rows(
    family: str, max_length: int, made: dict[str, Path], trained: dict[str, Any], sentences: list[Row]
) -> None:
    tokenizer = trained[family]
    texts = [" ".join(map(str, row.text)) for row in sentences]
    single = [Row((text,), 0) for text in texts]
    pairs = [Row((one, two), 0.0) for one, two in zip(texts, texts[7:], strict=False)]
    tagged = [Row(row.text, (0,) * len(row.text)) for row in sentences]
    for kind, rows in (("classification", single), ("regression", pairs), ("ner", tagged)):
        _compare(_manifest(made, kind, tokenizer), tokenizer, rows, max_length)
    _compare(replace(_manifest(made, "ner", tokenizer), window=True), tokenizer, tagged, max_length)


WORDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), min_size=1, max_size=12)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=60, deadline=None)
@given(words=WORDS, other=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text(family: str, words: list[str], other: str, made: dict[str, Path], trained: dict[str, Any]) -> None:
    tokenizer, text = trained[family], " ".join(words)
    _compare(_manifest(made, "classification", tokenizer), tokenizer, [Row((text,), 0)], 12)
    _compare(_manifest(made, "regression", tokenizer), tokenizer, [Row((text, other), 0.0)], 12)
    # blanks in a word are a matter of the data's format: rows of NER never have them
    parts = tuple(part for word in words if (part := "".join(word.split())))
    if parts:
        manifest = _manifest(made, "ner", tokenizer)
        for window in (False, True):
            _compare(replace(manifest, window=window), tokenizer, [Row(parts, (0,) * len(parts))], 12)


@pytest.mark.parametrize("text", ["good bad " * 5000, "good" + "x" * 9000, " " * 9000 + "good bad nice fine"])
def test_very_long_texts_are_read_as_the_whole_text(
    text: str, made: dict[str, Path], tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    manifest, words = _manifest(made, "classification", tiny_tokenizer), tuple(text.split())
    _compare(manifest, tiny_tokenizer, [Row((text,), 0)], 8)
    _compare(_manifest(made, "regression", tiny_tokenizer), tiny_tokenizer, [Row((text, "the film"), 0.0)], 8)
    _compare(_manifest(made, "ner", tiny_tokenizer), tiny_tokenizer, [Row(words, (0,) * len(words))], 8)


def test_windows_are_few_and_even() -> None:
    assert window_ends([1] * 10, 8) == [5, 10]
    assert window_ends([1] * 8, 8) == [8]
    assert window_ends([3, 3, 1, 1, 0], 5) == [1, 2, 5]
    assert window_ends([1, 9, 1, 1], 5) == [1, 2, 4]  # a word that is too long stands alone
    assert window_ends([], 5) == [0]


@given(tokens=st.lists(st.integers(0, 12), max_size=40), room=st.integers(1, 10))
def test_windows_fit_and_no_fewer_would_do(tokens: list[int], room: int) -> None:
    ends = window_ends(tokens, room)
    windows = [[max(1, one) for one in tokens[start:end]] for start, end in pairwise([0, *ends])]
    assert [one for window in windows for one in window] == [max(1, one) for one in tokens]
    assert all(sum(window) <= room or len(window) == 1 for window in windows)
    greedy: list[list[int]] = [[]]
    for one in (max(1, one) for one in tokens):
        if greedy[-1] and sum(greedy[-1]) + one > room:
            greedy.append([])
        greedy[-1].append(one)
    assert len(windows) == len(greedy)
    assert max(map(sum, windows)) <= max(map(sum, greedy))


def test_windows_lose_no_word(made: dict[str, Path], tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    manifest = replace(_manifest(made, "ner", tiny_tokenizer), window=True)
    encoder = Encoder(Tokenizer.from_str(tiny_tokenizer.backend_tokenizer.to_str()), manifest, 8, "blanks")
    short, long, none = encoder.encode(["the film", "the film is good " * 5, ""])
    assert (short.cuts, short.truncated, none.cuts) == ((), False, ())
    assert (len(long.words), len(long.first_tokens), long.truncated) == (20, 20, False)
    assert [len(one.ids) for one in long.windows()] == [7, 7, 7, 7]


def test_what_was_cut_is_said(made: dict[str, Path], tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    manifest = _manifest(made, "classification", tiny_tokenizer)
    encoder = Encoder(Tokenizer.from_str(tiny_tokenizer.backend_tokenizer.to_str()), manifest, 8, "blanks")
    just, over = encoder.encode(["the film is a very story", "the film is a very story and"])
    assert (len(just.ids), just.truncated) == (8, False)
    assert (len(over.ids), over.truncated) == (8, True)
    assert just.ids == over.ids[:7] + just.ids[7:]


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("classification", ("one", "two"), "text 1 must be one text for bundle toy, got 2"),
        ("regression", "one", "text 1 must be two texts for bundle toy, got 1"),
        ("classification", "a\ud800", "text 1 must be Unicode, character 1 is half of a surrogate pair"),
        ("ner", ["good", "\udfff"], "text 1 must be Unicode, character 0 is half of a surrogate pair"),
    ],
)
def test_a_text_that_cannot_be_encoded(
    kind: str, text: Any, message: str, made: dict[str, Path], tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    manifest = _manifest(made, kind, tiny_tokenizer)
    encoder = Encoder(Tokenizer.from_str(tiny_tokenizer.backend_tokenizer.to_str()), manifest, 8, "blanks")
    fine: Any = ("good", "film") if kind == "regression" else "good film"
    with pytest.raises(DataError, match=message):
        encoder.encode([fine, text])


def test_a_tokenizer_that_cannot_be_read() -> None:
    with pytest.raises(BundleError, match=r"^bundle x: tokenizer.json can't be read: .*Model missing"):
        parse_tokenizer(b"{}", Path("x"))
