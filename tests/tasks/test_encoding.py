from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertTokenizerFast, PreTrainedTokenizerFast, RobertaTokenizerFast

from aebert.errors import ModelError
from aebert.tasks.encoding import batches, collate, encode, encode_windows, join_windows
from aebert.tasks.task import Row, TaskSpec

SINGLE = TaskSpec(
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
)
CLS, SEP, THE, CAT, S, SAT = 2, 3, 5, 6, 7, 8


def roberta(*, add_prefix_space: bool) -> PreTrainedTokenizerFast:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "t", "Ġt", "he", "h", "e", "Ġ"]
    return RobertaTokenizerFast(
        vocab={piece: index for index, piece in enumerate(pieces)},
        merges=[("Ġ", "t"), ("h", "e")],
        add_prefix_space=add_prefix_space,
    )


def test_a_text(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = [Row(("the cats sat",), 1), Row(("sat",), 0)]
    assert encode(rows, SINGLE, tokenizer, 16) == [
        {
            "input_ids": [CLS, THE, CAT, S, SAT, SEP],
            "token_type_ids": [0] * 6,
            "attention_mask": [1] * 6,
            "labels": 1,
        },
        {"input_ids": [CLS, SAT, SEP], "token_type_ids": [0] * 3, "attention_mask": [1] * 3, "labels": 0},
    ]
    assert encode([], SINGLE, tokenizer, 16) == []


def test_a_pair_is_cut_at_its_longer_text(tokenizer: PreTrainedTokenizerFast) -> None:
    (row,) = encode([Row(("the cats sat sat", "the"), 3)], PAIR, tokenizer, 7)
    assert row["input_ids"] == [CLS, THE, CAT, S, SEP, THE, SEP]
    assert row["token_type_ids"] == [0, 0, 0, 0, 0, 1, 1]
    assert row["labels"] == 3.0
    assert isinstance(row["labels"], float)


def test_tags_stand_at_first_sub_words(tokenizer: PreTrainedTokenizerFast) -> None:
    (row,) = encode([Row(("the", "cats", "sat"), (0, 1, 3))], NER, tokenizer, 16)
    assert row["input_ids"] == [CLS, THE, CAT, S, SAT, SEP]
    assert row["labels"] == [-100, 0, 1, -100, 3, -100]


def test_windows_hold_all_words_of_a_sentence(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = [Row(("the", "cats", "sat"), (0, 1, 3)), Row(("the", "\u200b", "cats"), (1, 3, 2)), Row(("sat",), (4,))]
    spec = replace(NER, window=True)
    first, second, third = encode_windows(rows, spec, tokenizer, 4)
    assert [one["input_ids"] for one in first] == [[CLS, THE, SEP], [CLS, CAT, S, SEP], [CLS, SAT, SEP]]
    assert [one["labels"] for one in first] == [[-100, 0, -100], [-100, 1, -100, -100], [-100, 3, -100]]
    assert [one["labels"] for one in second] == [[-100, 1, 3, -100], [-100, 2, -100, -100]]
    assert join_windows(second)["labels"] == [-100, 1, 3, -100, -100, 2, -100, -100]
    assert third == encode(rows[2:], NER, tokenizer, 4)
    # labels have no say
    other = [replace(row, label=(0,) * len(row.text)) for row in rows]
    ids = [[one["input_ids"] for one in row] for row in (first, second, third)]
    assert [[one["input_ids"] for one in row] for row in encode_windows(other, spec, tokenizer, 4)] == ids


def test_without_windows_a_row_is_cut(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = [Row(("the", "cats", "sat"), (0, 1, 3))]
    assert encode_windows(rows, NER, tokenizer, 4) == [encode(rows, NER, tokenizer, 4)]
    assert encode_windows([], replace(NER, window=True), tokenizer, 4) == []


def test_words_are_cut_between(tokenizer: PreTrainedTokenizerFast) -> None:
    (row,) = encode([Row(("the", "cats", "sat"), (0, 1, 3))], NER, tokenizer, 4)
    assert (row["input_ids"], row["labels"]) == ([CLS, THE, SEP], [-100, 0, -100])
    # nothing would be left
    (row,) = encode([Row(("cats", "sat"), (1, 3))], NER, tokenizer, 3)
    assert (row["input_ids"], row["labels"]) == ([CLS, CAT, SEP], [-100, 1, -100])


def test_a_tokenizer_that_cuts_at_the_start_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    left = BertTokenizerFast(vocab=tokenizer.get_vocab(), truncation_side="left")
    for row, spec in ((Row(("the",), 0), SINGLE), (Row(("the",), (0,)), NER)):
        with pytest.raises(
            ModelError, match=r"cut at their end, but the tokenizer's truncation_side is 'left'; set it"
        ):
            encode([row], spec, left, 8)


def test_cut_words_have_no_label(tokenizer: PreTrainedTokenizerFast) -> None:
    (row,) = encode([Row(("the", "cats", "sat"), (0, 1, 3))], NER, tokenizer, 5)
    assert row["labels"] == [-100, 0, 1, -100, -100]


def test_words_without_a_sub_word_keep_their_place(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = [Row(("the", "\u200b", "sat", "\u200d"), (1, 2, 3, 4)), Row(("\u200b",), (1,)), Row(("sat",), (3,))]
    encoded = encode(rows, NER, tokenizer, 16)
    assert [row["labels"] for row in encoded] == [[-100, 1, 2, 3, 4, -100], [-100, 1, -100], [-100, 3, -100]]
    assert encoded[0]["input_ids"] == [CLS, THE, 1, SAT, 1, SEP]


@given(
    words=st.lists(st.sampled_from(["the", "cats", "running", "\u200b", "x"]), min_size=1, max_size=9),
    cut=st.integers(3, 12),
)
def test_labels_are_those_of_the_first_words(tokenizer: PreTrainedTokenizerFast, words: list[str], cut: int) -> None:
    tags = tuple(index % 5 for index in range(len(words)))
    (row,) = encode([Row(tuple(words), tags)], NER, tokenizer, cut)
    read = [label for label in row["labels"] if label != -100]
    assert read == list(tags[: len(read)])
    assert len(row["labels"]) == len(row["input_ids"]) <= cut
    if len(read) < len(words):  # the next word does not fit
        pieces = max(len(tokenizer.tokenize(words[len(read)])), 1)
        assert len(row["input_ids"]) + pieces > cut


def test_roberta_reads_words_with_a_blank_before_each() -> None:
    (row,) = encode([Row(("the", "t"), (1, 3))], NER, roberta(add_prefix_space=True), 16)
    assert row["input_ids"] == [0, 6, 7, 6, 2]
    assert row["labels"] == [-100, 1, -100, 3, -100]
    assert "token_type_ids" not in row


def test_roberta_without_prefix_space_says_what_to_do() -> None:
    with pytest.raises(ModelError, match=r"puts a blank before each word, got Roberta\w+; .*add_prefix_space=True"):
        encode([Row(("the",), (1,))], NER, roberta(add_prefix_space=False), 16)


def test_whole_texts_need_no_prefix_space() -> None:
    (row,) = encode([Row(("the",), 0)], SINGLE, roberta(add_prefix_space=False), 16)
    assert row["input_ids"] == [0, 5, 7, 2]


def test_a_tokenizer_without_an_unknown_token_is_refused_when_needed() -> None:
    backend = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    bare = PreTrainedTokenizerFast(tokenizer_object=backend)
    with pytest.raises(ModelError, match=r"NER needs a tokenizer with an unknown token"):
        encode([Row(("a", " "), (1, 0))], NER, bare, 16)
    with pytest.raises(ModelError, match=r"batches need a tokenizer with a padding token"):
        collate([{"input_ids": [0], "labels": 1}], bare)


def test_rows_are_padded_on_the_right(tokenizer: PreTrainedTokenizerFast) -> None:
    tensors = collate(encode([Row(("the", "cats"), (0, 1)), Row(("sat",), (3,))], NER, tokenizer, 16), tokenizer)
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {
        "input_ids": [[CLS, THE, CAT, S, SEP], [CLS, SAT, SEP, 0, 0]],
        "token_type_ids": [[0] * 5, [0] * 5],
        "attention_mask": [[1] * 5, [1, 1, 1, 0, 0]],
        "labels": [[-100, 0, 1, -100, -100], [-100, 3, -100, -100, -100]],
    }
    assert all(tensor.dtype == torch.int64 for tensor in tensors.values())


def test_padding_is_that_of_the_tokenizer() -> None:
    tokenizer = roberta(add_prefix_space=False)
    tensors = collate(encode([Row(("the",), 0), Row(("t",), 1)], SINGLE, tokenizer, 16), tokenizer)
    assert tensors["input_ids"].tolist() == [[0, 5, 7, 2], [0, 5, 2, 1]]


def test_label_types(tokenizer: PreTrainedTokenizerFast) -> None:
    classes = collate(encode([Row(("the",), 1), Row(("sat",), 0)], SINGLE, tokenizer, 8), tokenizer)["labels"]
    scores = collate(encode([Row(("the", "the"), 2), Row(("sat", "the"), 0.5)], PAIR, tokenizer, 8), tokenizer)[
        "labels"
    ]
    assert (classes.dtype, classes.tolist()) == (torch.int64, [1, 0])
    assert (scores.dtype, scores.tolist()) == (torch.float32, [2.0, 0.5])


@given(lengths=st.lists(st.integers(1, 12), max_size=20), max_tokens=st.integers(1, 40))
def test_batches_hold_every_row_once_within_the_budget(
    tokenizer: PreTrainedTokenizerFast, lengths: list[int], max_tokens: int
) -> None:
    encoded = [{"input_ids": [5] * n, "attention_mask": [1] * n, "labels": place} for place, n in enumerate(lengths)]
    made = list(batches(encoded, tokenizer, max_tokens))
    order = [index for batch in made for index in batch.indices]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[index] for index in order] == sorted(lengths, reverse=True)
    for batch in made:
        assert batch.tensors["labels"].tolist() == list(batch.indices)
        assert batch.tensors["attention_mask"].sum(dim=1).tolist() == [lengths[index] for index in batch.indices]
        assert batch.tensors["input_ids"].numel() <= max_tokens or len(batch.indices) == 1


def test_batches_are_as_large_as_the_budget_allows(tokenizer: PreTrainedTokenizerFast) -> None:
    encoded = [{"input_ids": [5] * length} for length in (2, 4, 4, 2, 2)]
    assert [batch.indices for batch in batches(encoded, tokenizer, 8)] == [(1, 2), (0, 3, 4)]
