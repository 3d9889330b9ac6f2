from __future__ import annotations

from dataclasses import replace

import pytest
from transformers import PreTrainedTokenizerFast

from aebert.tasks.lengths import Lengths, length_notes, lengths_of
from aebert.tasks.task import Row, TaskSpec

TEXT = TaskSpec(
    name="s",
    kind="classification",
    columns=("text",),
    label_column="label",
    labels=("a", "b"),
    metric="accuracy",
    headline="accuracy",
)
PAIR = TaskSpec(
    name="p",
    kind="regression",
    columns=("one", "two"),
    label_column="label",
    labels=(),
    metric="pearson_spearman",
    headline="spearman",
)
NER = TaskSpec(
    name="n", kind="ner", columns=("tokens",), label_column="tags", labels=("X", "Y"), metric="seqeval", headline="f1"
)  # O B-X I-X B-Y I-Y


def test_texts(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = [Row(("the cats sat",), 0), Row(("the",), 1), Row(("the cats sat on",), 1)]
    assert lengths_of(rows, TEXT, tokenizer, 6) == Lengths(rows=3, longest=7, cut=1, tokens=6 + 3 + 6)
    assert lengths_of(rows, TEXT, tokenizer, 7).cut == 0
    assert lengths_of([], TEXT, tokenizer, 7) == Lengths(rows=0, longest=0, cut=0, tokens=0)


def test_pairs(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = [Row(("the cats", "sat"), 0.0)]
    assert lengths_of(rows, PAIR, tokenizer, 6) == Lengths(rows=1, longest=7, cut=1, tokens=6)


@pytest.mark.parametrize(
    ("max_length", "lost_words", "lost_entities"),
    [(10, 0, 0), (9, 1, 1), (8, 2, 1), (7, 3, 1), (6, 4, 2), (5, 5, 2), (4, 6, 3), (3, 6, 3)],
)
def test_words_and_entities(
    tokenizer: PreTrainedTokenizerFast, max_length: int, lost_words: int, lost_entities: int
) -> None:
    # [CLS] the cat ##s sat [UNK] up on mat [SEP]; the entities are `the cats`, `running` and `on mat`
    long = Row(("the", "cats", "sat", "running", "up", "on", "mat"), (1, 2, 0, 3, 0, 1, 2))
    short = Row(("the",), (1,))
    found = lengths_of([long, short], NER, tokenizer, max_length)
    counted = {"words": 8, "lost_words": lost_words, "entities": 4, "lost_entities": lost_entities}
    assert found == Lengths(rows=2, longest=10, cut=int(max_length < 10), tokens=max_length + 3, **counted)


def test_entities_side_by_side(tokenizer: PreTrainedTokenizerFast) -> None:
    row = Row(("the", "the", "the"), (1, 1, 4))
    counted = {"words": 3, "lost_words": 1, "entities": 3, "lost_entities": 1}
    assert lengths_of([row], NER, tokenizer, 4) == Lengths(rows=1, longest=5, cut=1, tokens=4, **counted)


def test_words_that_the_tokenizer_makes_nothing_of_have_a_token(tokenizer: PreTrainedTokenizerFast) -> None:
    row = Row(("the", "\u200b", "the"), (0, 0, 1))
    counted = {"words": 3, "lost_words": 1, "entities": 1, "lost_entities": 1}
    assert lengths_of([row], NER, tokenizer, 4) == Lengths(rows=1, longest=5, cut=1, tokens=4, **counted)
    assert lengths_of([row], NER, tokenizer, 5).cut == 0


def test_windows_lose_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    row = Row(("the", "cats", "sat", "on"), (1, 2, 0, 3))
    found = lengths_of([row], replace(NER, window=True), tokenizer, 4)
    assert found == Lengths(rows=1, longest=7, cut=0, tokens=7, words=4, entities=2)


def test_notes() -> None:
    lengths = {
        "train": Lengths(rows=1200, longest=700, cut=30, tokens=5000),
        "search": Lengths(rows=9, longest=8, cut=0, tokens=50),
        "report": Lengths(rows=10, longest=130, cut=1, tokens=70, words=99, lost_words=4, entities=20, lost_entities=3),
    }
    assert length_notes(lengths, 128) == (  # type: ignore[arg-type]
        "train: 30 of 1,200 rows are longer than data.max_length (128; the longest has 700 tokens) and are cut",
        "report: 1 of 10 rows are longer than data.max_length (128; the longest has 130 tokens) and are cut, "
        "which loses 3 of 20 entities",
    )
    assert length_notes({"train": Lengths(rows=9, longest=8, cut=0, tokens=50)}, 128) == ()


def test_plain_values() -> None:
    found = Lengths(rows=1, longest=2, cut=3, tokens=9, words=4, lost_words=5, entities=6, lost_entities=7)
    assert found.to_dict() == {
        "rows": 1,
        "longest": 2,
        "cut": 3,
        "tokens": 9,
        "words": 4,
        "lost_words": 5,
        "entities": 6,
        "lost_entities": 7,
    }
