from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from aebert.errors import ModelError
from aebert.models.sanity import check_sanity, propose_names
from aebert.tasks.task import Row, TaskSpec

BINARY = TaskSpec(
    name="toy",
    kind="classification",
    columns=("text",),
    label_column="label",
    labels=("bad", "good"),
    metric="accuracy",
    headline="accuracy",
)
THREE = replace(BINARY, labels=("no", "maybe", "yes"))
SCORE = replace(BINARY, kind="regression", labels=(), metric="pearson_spearman", headline="spearman")
NER = replace(
    BINARY, kind="ner", columns=("words",), label_column="tags", labels=("PER", "LOC"), metric="seqeval", headline="f1"
)


def sanity(spec: TaskSpec, labels: Sequence[Any], predicted: Sequence[Any], trust: bool = False) -> tuple[str, ...]:
    rows = [Row(("x",) * (len(label) if spec.kind == "ner" else 1), label) for label in labels]
    return check_sanity(spec, rows, _encoded(spec, labels), _logits(spec, predicted), trust=trust)


def _encoded(spec: TaskSpec, labels: Sequence[Any]) -> list[dict[str, Any]]:
    if spec.kind == "ner":
        return [{"input_ids": [0] * (len(tags) + 2), "labels": [-100, *tags, -100]} for tags in labels]
    return [{"input_ids": [0], "labels": label} for label in labels]


def _logits(spec: TaskSpec, predicted: Sequence[Any]) -> list[np.ndarray]:
    if spec.kind == "regression":
        return [np.array([score]) for score in predicted]
    one_hot = np.eye(spec.num_outputs)
    return [one_hot[[0, *tags, 0]] if spec.kind == "ner" else one_hot[tags] for tags in predicted]


def mostly(labels: Sequence[int], right: float, classes: int, seed: int = 0) -> list[int]:
    """The labels, with others in their place in a share of the rows."""
    generator = np.random.default_rng(seed)
    wrong = generator.random(len(labels)) > right
    others = [int((label + generator.integers(1, classes)) % classes) for label in labels]
    return [other if bad else label for label, other, bad in zip(labels, others, wrong, strict=True)]


def draw(classes: Sequence[float], count: int) -> list[int]:
    return [int(one) for one in np.random.default_rng(1).choice(len(classes), size=count, p=classes)]


@pytest.mark.parametrize("right", [0.8, 0.9, 1.0])
def test_a_model_that_beats_the_majority_passes_in_silence(right: float) -> None:
    labels = draw([0.6, 0.4], 300)
    assert sanity(BINARY, labels, mostly(labels, right, 2)) == ()


def test_a_model_that_always_says_the_same_is_refused() -> None:
    labels = [0] * 120 + [1] * 180
    with pytest.raises(
        ModelError,
        match=r"its accuracy of 0\.600 on 300 rows is not above 0\.600, that of always saying 'good'; .*--trust",
    ):
        sanity(BINARY, labels, [1] * 300)


def test_a_model_that_guesses_is_refused() -> None:
    labels = draw([0.5, 0.5], 1000)
    with pytest.raises(ModelError, match=r"is not above .*, that of always saying"):
        sanity(BINARY, labels, np.random.default_rng(5).integers(2, size=1000).tolist())


def test_few_rows_that_decide_nothing_are_a_note() -> None:
    labels = [0, 1] * 8
    (note,) = sanity(BINARY, labels, mostly(labels, 0.6, 2))
    assert note.endswith("by an interval; 16 rows are too few to tell")


def test_few_rows_decide_where_the_model_is_right() -> None:
    assert sanity(BINARY, [0, 1] * 8, [0, 1] * 8) == ()


def test_trust_makes_the_sentence_a_note() -> None:
    (note,) = sanity(BINARY, [0] * 120 + [1] * 180, [1] * 300, trust=True)
    assert note.startswith("the model counts as fine-tuned, but its accuracy of 0.600")
    assert note.endswith("model.trust lets the run go on")


def test_swapped_labels_are_named() -> None:
    labels = draw([0.5, 0.5], 100)
    swapped = [1 - label for label in mostly(labels, 0.9, 2)]
    with pytest.raises(
        ModelError,
        match=r"outputs are in another order: it says 'bad' where the label is 'good', 'good' where .* 'bad';",
    ):
        sanity(BINARY, labels, swapped)


def test_two_of_three_labels_swapped_are_named_although_the_model_beats_the_majority() -> None:
    labels = draw([0.4, 0.2, 0.4], 400)
    swapped = [(2, 1, 0)[label] for label in mostly(labels, 0.95, 3)]
    with pytest.raises(ModelError, match=r"it says 'no' where the label is 'yes', 'yes' where the label is 'no';"):
        sanity(THREE, labels, swapped)


def test_labels_that_are_all_one_further_are_named() -> None:
    """As of textattack's model for MNLI (QData/TextAttack#684)."""
    labels = draw([0.33, 0.33, 0.34], 300)
    with pytest.raises(
        ModelError, match="'no' where the label is 'maybe', 'maybe' where the label is 'yes', 'yes' where"
    ):
        sanity(THREE, labels, [(label + 2) % 3 for label in mostly(labels, 0.85, 3)])


def test_a_model_that_is_often_one_class_too_high_is_not_in_another_order() -> None:
    labels = draw([0.33, 0.33, 0.34], 300)
    assert sanity(THREE, labels, [min(label + (index % 2), 2) for index, label in enumerate(labels)]) == ()


def test_scores_that_rise_with_the_labels_pass() -> None:
    labels = np.linspace(0, 5, 200)
    noise = np.random.default_rng(0).normal(size=200)
    assert sanity(SCORE, labels.tolist(), (labels + noise).tolist()) == ()


@pytest.mark.parametrize("sign", [0.0, -1.0])
def test_scores_that_do_not_rise_with_the_labels_are_refused(sign: float) -> None:
    labels = np.linspace(0, 5, 600)
    noise = np.random.default_rng(0).normal(size=600)
    with pytest.raises(
        ModelError, match=r"its spearman of -?0\.\d+ on 600 rows is not above 0\.000, that of scores that"
    ):
        sanity(SCORE, labels.tolist(), (sign * labels + noise).tolist())


TAGS = [(1, 2, 0), (0, 1, 0), (3, 4, 0), (0, 3, 0)]


def test_a_tagger_that_finds_entities_passes() -> None:
    assert sanity(NER, TAGS * 20, TAGS * 20) == ()


def test_a_tagger_that_finds_nothing_is_refused() -> None:
    with pytest.raises(ModelError, match=r"its f1 of 0\.000 on 80 rows is not above 0\.050, that of entities found"):
        sanity(NER, TAGS * 20, [(0, 0, 0)] * 80)


def test_swapped_types_are_named() -> None:
    other = {0: 0, 1: 3, 2: 4, 3: 1, 4: 2}
    with pytest.raises(
        ModelError, match="it says 'B-PER' where the label is 'B-LOC', 'B-LOC' where the label is 'B-PER'"
    ):
        sanity(NER, TAGS * 20, [tuple(other[tag] for tag in tags) for tags in TAGS] * 20)


def test_a_tagger_of_the_older_scheme_passes() -> None:
    """IOB1 begins an entity with I- unless another one stands before it; the metric counts it as right."""
    assert sanity(NER, TAGS * 20, [tuple({1: 2, 3: 4}.get(tag, tag) for tag in tags) for tags in TAGS] * 20) == ()


def propose(spec: TaskSpec, labels: Sequence[Any], outputs: Sequence[Any]) -> tuple[str, ...] | None:
    return propose_names(spec, _encoded(spec, labels), _logits(spec, outputs))


def test_names_are_proposed_where_rows_leave_no_doubt() -> None:
    labels = draw([0.33, 0.33, 0.34], 300)
    outputs = [(label + 2) % 3 for label in mostly(labels, 0.85, 3)]  # output 0 says label 1
    assert propose(THREE, labels, outputs) == ("maybe", "yes", "no")


def test_one_output_is_named_by_elimination() -> None:
    labels = [0] * 40 + [1] * 40 + [2] * 3
    assert propose(THREE, labels, [1] * 40 + [2] * 40 + [0] * 3) == ("yes", "no", "maybe")


@pytest.mark.parametrize(
    "outputs",
    [
        [0] * 90,  # says one thing only
        draw([0.33, 0.33, 0.34], 90)[::-1],  # knows nothing
        [0, 1, 2] * 2 + [0] * 84,  # too few rows for two of its outputs
    ],
)
def test_nothing_is_proposed_in_doubt(outputs: list[int]) -> None:
    assert propose(THREE, draw([0.33, 0.33, 0.34], 90), outputs) is None


def test_two_outputs_that_mean_the_same_are_no_proposal() -> None:
    labels = [0] * 60 + [1] * 30
    assert propose(THREE, labels, [0] * 30 + [1] * 30 + [2] * 30) is None


def test_names_are_proposed_for_tags() -> None:
    order = (2, 0, 1, 4, 3)
    named = propose(NER, TAGS * 20, [tuple(order[tag] for tag in tags) for tags in TAGS] * 20)
    assert named == ("B-PER", "I-PER", "O", "I-LOC", "B-LOC")
