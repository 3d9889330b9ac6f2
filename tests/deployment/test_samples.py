from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from aebert.deployment.samples import make_probes, word_rule
from aebert.tasks.task import Row, TaskSpec


def _rows(*sentences: str) -> list[Row]:
    return [Row(tuple(sentence.split()), ()) for sentence in sentences]


@pytest.mark.parametrize(
    ("sentences", "rule"),
    [
        (["the cat, sat.", "e-mail me!"], "blanks"),
        (["the cat , sat .", "e-mail me !"], "edges"),
        (["the cat , sat .", "a well-known e - mail"], "edges"),
        (["ataxia - telangiectasia ( A - T )", "e-mail"], "marks"),
        (["the cat , sat ."], "edges"),
    ],
)
def test_words_are_cut_as_the_rows_are(sentences: list[str], rule: str) -> None:
    assert word_rule(_rows(*sentences)) == rule


@pytest.mark.parametrize(
    "spec",
    [
        TaskSpec(
            name="a",
            kind="classification",
            columns=("text",),
            label_column="label",
            labels=("x", "y"),
            metric="accuracy",
            headline="accuracy",
        ),
        TaskSpec(
            name="b",
            kind="regression",
            columns=("one", "two"),
            label_column="label",
            labels=(),
            metric="pearson_spearman",
            headline="spearman",
        ),
        TaskSpec(
            name="c",
            kind="ner",
            columns=("words",),
            label_column="tags",
            labels=("X",),
            metric="seqeval",
            headline="f1",
        ),
    ],
    ids=lambda spec: spec.kind,
)
def test_probes_are_what_training_would_see(spec: TaskSpec, tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    probes = make_probes(spec, tiny_tokenizer, 12)
    assert len(probes) == 5
    for probe in probes:
        if spec.kind == "ner":  # as many whole words as there is room for
            heads = [list(probe.text[:words]) for words in range(1, len(probe.text) + 1)]
            encoded = [tiny_tokenizer(head, is_split_into_words=True)["input_ids"] for head in heads]
            expected = max((ids for ids in encoded if len(ids) <= 12), key=len)
        else:
            expected = tiny_tokenizer(*probe.text, truncation=True, max_length=12)["input_ids"]
        assert list(probe.ids) == expected
    assert max(len(probe.ids) for probe in probes) == 12
