from __future__ import annotations

import numpy as np

from aebert.tasks.class_scores import ClassScore, class_scores
from aebert.tasks.task import Row, TaskSpec

CLASSES = TaskSpec(
    name="t",
    kind="classification",
    columns=("text",),
    label_column="label",
    labels=("b", "a", "c"),
    metric="accuracy",
    headline="accuracy",
)
NER = TaskSpec(
    name="ner",
    kind="ner",
    columns=("tokens",),
    label_column="tags",
    labels=("PER", "LOC", "ORG"),
    metric="seqeval",
    headline="f1",
)
SCORES = TaskSpec(
    name="s",
    kind="regression",
    columns=("text",),
    label_column="label",
    labels=(),
    metric="pearson_spearman",
    headline="spearman",
)


def rounded(scores: dict[str, ClassScore]) -> dict[str, ClassScore]:
    return {
        name: ClassScore(
            precision=round(one.precision, 3), recall=round(one.recall, 3), f1=round(one.f1, 3), support=one.support
        )
        for name, one in scores.items()
    }


def test_scores_of_classes() -> None:
    rows = [Row(("x",), label) for label in (0, 0, 0, 1)]
    logits = [np.eye(3)[label] for label in (0, 0, 1, 1)]
    assert rounded(class_scores(CLASSES, rows, [{}] * 4, logits)) == {
        "b": ClassScore(precision=1.0, recall=0.667, f1=0.8, support=3),
        "a": ClassScore(precision=0.5, recall=1.0, f1=0.667, support=1),
        "c": ClassScore(precision=0.0, recall=0.0, f1=0.0, support=0),
    }


def test_scores_of_entity_types() -> None:
    # tags: O B-PER I-PER B-LOC I-LOC B-ORG I-ORG; the second sentence's last word was cut off
    rows = [Row(("a", "b", "c"), (1, 2, 3)), Row(("a", "b"), (1, 1))]
    encoded = [{"labels": [-100, 1, 2, 3, -100]}, {"labels": [-100, 1, -100]}]
    logits = [np.eye(7)[[0, 1, 2, 1, 0]], np.eye(7)[[0, 1, 0]]]
    assert rounded(class_scores(NER, rows, encoded, logits)) == {
        "PER": ClassScore(precision=0.667, recall=0.667, f1=0.667, support=3),
        "LOC": ClassScore(precision=0.0, recall=0.0, f1=0.0, support=1),
        "ORG": ClassScore(precision=0.0, recall=0.0, f1=0.0, support=0),
    }
    nothing = class_scores(NER, [Row(("a",), (0,))], [{"labels": [0]}], [np.eye(7)[[0]]])
    assert nothing == dict.fromkeys(NER.labels, ClassScore(precision=0.0, recall=0.0, f1=0.0, support=0))


def test_numbers_have_no_classes() -> None:
    assert class_scores(SCORES, [Row(("x",), 1.0)], [{}], [np.array([1.0])]) == {}


def test_plain_values() -> None:
    assert ClassScore(precision=0.5, recall=1.0, f1=0.25, support=3).to_dict() == {
        "precision": 0.5,
        "recall": 1.0,
        "f1": 0.25,
        "support": 3,
    }
