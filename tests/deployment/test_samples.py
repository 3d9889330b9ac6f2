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
        TaskSpec("a", "classification", ("text",), "label", ("x", "y"), "accuracy", "accuracy"),
        TaskSpec("b", "regression", ("one", "two"), "label", (), "pearson_spearman", "spearman"),
        TaskSpec("c", "ner", ("words",), "tags", ("X",), "seqeval", "f1"),
    ],
    ids=lambda spec: spec.kind,
)
def test_probes_are_what_training_would_see(spec: TaskSpec, tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    probes = make_probes(spec, tiny_tokenizer, 12)
    assert len(probes) == 5
    for probe in probes:
        split = spec.kind == "ner"
        texts = (list(probe.text),) if split else probe.text
        expected = tiny_tokenizer(*texts, truncation=True, max_length=12, is_split_into_words=split)["input_ids"]
        assert list(probe.ids) == expected
    assert max(len(probe.ids) for probe in probes) == 12
