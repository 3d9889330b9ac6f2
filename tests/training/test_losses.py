from __future__ import annotations

import math

import pytest
import torch

from aebert.tasks.task import TaskSpec
from aebert.training.losses import hidden_loss, logits_loss, task_loss, teacher_layers

CLASSES = TaskSpec(
    name="toy",
    kind="classification",
    columns=("text",),
    label_column="label",
    labels=("a", "b"),
    metric="accuracy",
    headline="accuracy",
)
SCORE = TaskSpec(
    name="toy",
    kind="regression",
    columns=("text",),
    label_column="label",
    labels=(),
    metric="pearson_spearman",
    headline="spearman",
)
NER = TaskSpec(
    name="toy", kind="ner", columns=("words",), label_column="tags", labels=("X",), metric="seqeval", headline="f1"
)
LN2, LN3 = math.log(2), math.log(3)


def close(found: torch.Tensor, expected: float) -> None:
    torch.testing.assert_close(found, torch.tensor(expected))


def test_cross_entropy_is_the_mean_over_rows() -> None:
    logits = torch.tensor([[0.0, LN3], [0.0, LN3]])  # softmax (1/4, 3/4)
    close(task_loss(CLASSES, logits, torch.tensor([0, 1])), (math.log(4) + math.log(4 / 3)) / 2)


def test_squared_error_is_the_mean_over_rows() -> None:
    close(task_loss(SCORE, torch.tensor([[1.0], [5.0]]), torch.tensor([3.0, 4.0])), 2.5)


def test_ner_loss_is_the_mean_over_labelled_words_of_all_rows() -> None:
    even, sure = [0.0, 0.0, 0.0], [LN2, 0.0, 0.0]  # softmax 1/3 each; 1/2, 1/4, 1/4
    logits = torch.tensor([[even, sure], [even, sure]])
    labels = torch.tensor([[0, 0], [1, -100]])
    close(task_loss(NER, logits, labels), (LN3 + LN2 + LN3) / 3)


def test_divergence_by_hand() -> None:
    # teacher (1/4, 3/4), student (1/2, 1/2): 1/4 ln(1/2) + 3/4 ln(3/2) = 3/4 ln 3 - ln 2
    teacher, student = torch.tensor([[0.0, LN3]]), torch.tensor([[0.0, 0.0]])
    close(logits_loss(CLASSES, student, teacher, torch.tensor([0]), temperature=1.0), 0.75 * LN3 - LN2)


def test_temperature_softens_and_scales_back() -> None:
    teacher, student = torch.tensor([[0.0, 2 * LN3]]), torch.tensor([[0.0, 0.0]])
    close(logits_loss(CLASSES, student, teacher, torch.tensor([0]), temperature=2.0), 4 * (0.75 * LN3 - LN2))


def test_divergence_is_the_mean_over_rows() -> None:
    teacher = torch.tensor([[0.0, LN3], [1.0, 1.0]])
    close(logits_loss(CLASSES, torch.zeros(2, 2), teacher, torch.tensor([0, 1]), 1.0), (0.75 * LN3 - LN2) / 2)


def test_divergence_of_ner_reads_labelled_words_alone() -> None:
    teacher = torch.tensor([[[0.0, LN3, -1e9], [5.0, 0.0, 0.0], [0.0, 7.0, 0.0]]])
    student = torch.tensor([[[0.0, 0.0, -1e9], [0.0, 9.0, 0.0], [3.0, 0.0, 0.0]]])
    labels = torch.tensor([[0, -100, -100]])
    close(logits_loss(NER, student, teacher, labels, 1.0), 0.75 * LN3 - LN2)


def test_scores_are_distilled_by_squared_error() -> None:
    student, teacher = torch.tensor([[1.0], [5.0]]), torch.tensor([[3.0], [4.0]])
    close(logits_loss(SCORE, student, teacher, torch.tensor([9.0, 9.0]), temperature=3.0), 2.5)


def test_hidden_loss_by_hand() -> None:
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])  # 3 real tokens of width 2
    zeros = torch.zeros(2, 3, 2)
    after_first, after_second = zeros.clone(), zeros.clone()
    after_first[0, 1] = torch.tensor([3.0, 0.0])  # 9 / (3 × 2)
    after_second[1, 0] = torch.tensor([0.0, 1.0])  # 1 / (3 × 2)
    after_second[0, 2] = 100.0  # padding
    embeddings = torch.full((2, 3, 2), 50.0)  # not a layer
    found = hidden_loss([embeddings, zeros, zeros], [zeros, after_first, after_second], mask)
    close(found, (9 / 6 + 1 / 6) / 2)


def test_the_layers_of_a_smaller_student_learn_from_layers_spread_evenly_over_the_teacher() -> None:
    assert teacher_layers(6, 6) == [1, 2, 3, 4, 5, 6]
    assert teacher_layers(4, 12) == [3, 6, 9, 12]  # TinyBERT
    assert teacher_layers(6, 12) == [2, 4, 6, 8, 10, 12]  # DistilBERT
    assert teacher_layers(1, 6) == [6]
    assert teacher_layers(4, 6) == [2, 3, 5, 6]  # halves go up: 1.5 and 4.5
    assert teacher_layers(5, 12) == [2, 5, 7, 10, 12]


@pytest.mark.parametrize("teacher", range(1, 25))
def test_every_layer_has_a_teacher_of_its_own_and_the_last_one_the_last(teacher: int) -> None:
    for student in range(1, teacher + 1):
        layers = teacher_layers(student, teacher)
        assert len(layers) == student
        assert layers == sorted(set(layers))
        assert (layers[0] >= 1, layers[-1]) == (True, teacher)
        assert all(abs(layer - (i + 1) * teacher / student) <= 0.5 for i, layer in enumerate(layers))


@pytest.mark.parametrize("student", [0, 3])
def test_a_student_has_no_more_layers_than_its_teacher(student: int) -> None:
    with pytest.raises(ValueError, match=f"1 to 2 layers as its teacher has, got {student}"):
        teacher_layers(student, 2)


def test_hidden_loss_of_a_smaller_student_by_hand() -> None:
    mask = torch.ones(1, 1)
    states = [torch.full((1, 1, 2), value) for value in (7.0, 1.0, 2.0, 3.0, 4.0)]  # of embeddings and four layers
    # two layers learn from the second and the fourth: ((1 - 2)² + (9 - 4)²) / 2
    close(hidden_loss([states[0], states[1], torch.full((1, 1, 2), 9.0)], states, mask), 13.0)
