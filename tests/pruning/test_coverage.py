from __future__ import annotations

from dataclasses import replace

import pytest

from aebert.errors import ModelError
from aebert.pruning.coverage import coverage, piece_counts
from aebert.pruning.reading import Read
from aebert.tasks.encoding import UNCUT, encode
from aebert.tasks.task import Row, TaskSpec

from ..models.checkpoints import SPECS
from .test_vocabulary import CORPUS, cut, trained

SPEC = SPECS["classification"]


def rows(*texts: str) -> list[Row]:
    return [Row((text,), 0) for text in texts]


def read(spec: TaskSpec, some: list[Row], max_length: int = 64) -> Read:
    small, kept = cut("WordPiece", ("the film",))
    return coverage("rows", some, spec, trained("WordPiece"), small, kept, max_length)


def test_counts_of_a_case_by_hand() -> None:
    """`the` and `film` are kept, `was` and `good` fall apart into letters; 日 is unknown to both."""
    whole = [len(trained("WordPiece").tokenize(word)) for word in ("was", "good")]
    found = read(SPEC, rows("the film was good", "the film", "日"), max_length=8)
    assert found == Read(
        name="rows",
        rows=3,
        words=7,
        broken=2,
        whole_tokens=(2 + sum(whole) + 2) + 4 + 3,
        small_tokens=(2 + 3 + 4 + 2) + 4 + 3,
        whole_cut=0,
        small_cut=1,
        whole_unknown=1,
        small_unknown=1,
    )


@pytest.mark.parametrize("kind", ["classification", "regression", "ner"])
def test_tokens_are_those_of_the_encoded_rows(kind: str) -> None:
    spec = SPECS[kind]  # type: ignore[index]
    texts: list[tuple[str, ...]] = [(text,) for text in CORPUS]
    if kind == "ner":
        texts = [tuple(text.split()) for text in CORPUS]
    if kind == "regression":
        spec = replace(spec, columns=("one", "two"))
        texts = [(text, CORPUS[0]) for text in CORPUS]
    some = [Row(text, (0,) * len(text) if kind == "ner" else 0) for text in texts]
    small, kept = cut("WordPiece", (CORPUS[0],))
    found = coverage("rows", some, spec, trained("WordPiece"), small, kept, 30)
    for tokenizer, tokens, is_cut in (
        (trained("WordPiece"), found.whole_tokens, found.whole_cut),
        (small, found.small_tokens, found.small_cut),
    ):
        lengths = [len(row["input_ids"]) for row in encode(some, spec, tokenizer, UNCUT)]
        assert tokens == sum(lengths)
        assert is_cut == sum(length > 30 for length in lengths)
    assert found.small_tokens > found.whole_tokens
    expected = sum(len(text.split()) for text in CORPUS) if kind == "ner" else found.words
    assert found.words == expected


def test_rows_that_are_read_in_windows_are_not_cut() -> None:
    sentences = [Row(tuple(text.split()), (0,) * len(text.split())) for text in CORPUS]
    assert read(SPECS["ner"], sentences, 12).small_cut > 0
    found = read(replace(SPECS["ner"], window=True), sentences, 12)
    assert (found.whole_cut, found.small_cut) == (0, 0)


def test_nothing_is_counted_of_no_rows() -> None:
    assert read(SPEC, []) == Read("rows", *(0,) * 9)


def test_pieces_are_counted_in_whole_texts() -> None:
    ids = trained("WordPiece").get_vocab()
    counts = piece_counts(rows("the film", "the the"), SPEC, trained("WordPiece"))
    assert counts == {ids["the"]: 3, ids["film"]: 1}


def test_a_tokenizer_that_reads_otherwise_is_refused() -> None:
    whole, (small, kept) = trained("WordPiece"), cut("WordPiece", ("the film",))
    swapped = list(kept)
    swapped[-1], swapped[-2] = swapped[-2], swapped[-1]
    with pytest.raises(ModelError, match=r"must be read as before, text 0 of select rows is not"):
        coverage("select rows", rows("the film"), SPEC, whole, small, swapped, 64)
