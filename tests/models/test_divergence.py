from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from aebert.models.divergence import divergences
from aebert.tasks.encoding import IGNORED
from aebert.tasks.task import TaskKind, TaskSpec


def spec(kind: TaskKind) -> TaskSpec:
    labels = () if kind == "regression" else ("a", "b", "c")
    return TaskSpec("task", kind, ("text",), "label", labels, "accuracy", "accuracy")


def test_of_classes_it_is_what_torch_says() -> None:
    rng = np.random.default_rng(0)
    dense, mine = rng.normal(size=(2, 5, 3)).astype(np.float32)
    found = divergences(spec("classification"), [{"labels": 0}] * 5, list(dense), list(mine))
    ours, theirs = (functional.log_softmax(torch.tensor(one), -1) for one in (mine, dense))
    wanted = functional.kl_div(ours, theirs, reduction="none", log_target=True).sum(-1)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5)
    assert found.min() > 0


def test_of_entities_it_is_the_mean_over_words() -> None:
    rng = np.random.default_rng(1)
    dense, mine = rng.normal(size=(2, 4, 7))
    labels = [IGNORED, 0, 3, IGNORED]
    (found,) = divergences(spec("ner"), [{"labels": labels}], [dense], [mine])
    one, two = (
        divergences(spec("classification"), [{"labels": 0}], [dense[place]], [mine[place]])[0] for place in (1, 2)
    )
    assert found == pytest.approx((one + two) / 2)
    assert divergences(spec("ner"), [{"labels": [IGNORED] * 4}], [dense], [mine]).tolist() == [0.0]


def test_of_scores_it_is_the_squared_difference() -> None:
    found = divergences(
        spec("regression"), [{"labels": 1.0}] * 2, [np.array([1.0]), np.array([3.0])], [np.zeros(1)] * 2
    )
    assert found.tolist() == [1.0, 9.0]


@pytest.mark.parametrize("kind", ["classification", "regression", "ner"])
def test_a_model_is_no_way_from_itself(kind: TaskKind) -> None:
    logits = [np.random.default_rng(2).normal(size=(1,) if kind == "regression" else (3, 3)[: 1 + (kind == "ner")])]
    labels = [0, 1, 2] if kind == "ner" else 0
    assert divergences(spec(kind), [{"labels": labels}], logits, logits) == pytest.approx([0.0])
