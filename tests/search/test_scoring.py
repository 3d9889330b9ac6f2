from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from aebert.models.evaluation import Prepared, evaluate, prepare
from aebert.pruning.architecture import Architecture
from aebert.pruning.criteria import Importance, select
from aebert.pruning.slicing import masked
from aebert.search.scoring import SubnetworkScorer
from aebert.tasks.task import Kind, Row, TaskSpec

TinyModel = Callable[..., PreTrainedModel]
TinyTask = Callable[..., tuple[TaskSpec, list[Row]]]
ARCHITECTURES = (Architecture((4, 4), (64, 64)), Architecture((3, 1), (20, 64)), Architecture((0, 2), (7, 0)))


@pytest.fixture
def importance() -> Importance:
    rng = np.random.default_rng(5)
    return Importance(tuple(rng.random(4) for _ in range(2)), tuple(rng.random(64) for _ in range(2)))


@pytest.fixture(params=["classification", "ner"])
def scored(
    request: pytest.FixtureRequest, tiny_model: TinyModel, tiny_task: TinyTask, tiny_tokenizer: PreTrainedTokenizerFast
) -> tuple[PreTrainedModel, Prepared]:
    kind: Kind = request.param
    spec, rows = tiny_task(kind)
    head = {"classification": "sequence", "ner": "token"}[kind]
    model = tiny_model("bert", head=head, labels=spec.num_outputs)
    return model, prepare(rows, spec, tiny_tokenizer, 32, 128)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=["dense", "pruned", "empty blocks"])
def test_scores_what_the_masked_model_scores(
    architecture: Architecture, scored: tuple[PreTrainedModel, Prepared], importance: Importance
) -> None:
    model, rows = scored
    found = SubnetworkScorer(model, importance, rows)(architecture)
    with masked(model, select(importance, architecture)) as same:
        expected = evaluate(same, rows)
    assert found.metrics == pytest.approx(expected.metrics)
    assert found.loss == pytest.approx(expected.loss, abs=1e-5)
    np.testing.assert_allclose(found.losses, expected.losses, atol=1e-4)


def test_the_candidates_differ(scored: tuple[PreTrainedModel, Prepared], importance: Importance) -> None:
    """Or the test above could not fail."""
    model, rows = scored
    scorer = SubnetworkScorer(model, importance, rows)
    losses = [scorer(architecture).loss for architecture in ARCHITECTURES]
    assert min(abs(losses[0] - losses[1]), abs(losses[1] - losses[2]), abs(losses[0] - losses[2])) > 1e-3


@pytest.mark.parametrize("training", [False, True])
def test_the_dense_model_is_left_as_found(
    training: bool, scored: tuple[PreTrainedModel, Prepared], importance: Importance
) -> None:
    model, rows = scored
    model.train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modules = [id(module) for module in model.modules()]
    scorer: Any = SubnetworkScorer(model, importance, rows)
    first = [scorer(architecture).loss for architecture in ARCHITECTURES]
    assert [scorer(architecture).loss for architecture in ARCHITECTURES] == first
    assert [id(module) for module in model.modules()] == modules
    assert {module.training for module in model.modules()} == {training}
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
