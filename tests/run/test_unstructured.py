"""A run that sets single weights to zero, as AE-BERT does."""

from __future__ import annotations

from typing import Any

import onnx
import pytest
from onnx import numpy_helper

from aebert.errors import ConfigError
from aebert.pruning.architecture import Architecture
from aebert.pruning.masks import kept_weights
from aebert.reporting.page import front_html
from aebert.reporting.trials import trial_detail
from aebert.run.report import build_report

from .conftest import MakePipeline

PRUNING = {"method": "magnitude-unstructured"}
SEARCH: dict[str, Any] = {"trials": 8, "space": "per-layer", "budget": {"zeros": [0.3, 0.7]}}


def test_all_files_have_exactly_the_zeros_that_were_asked_for(pipeline: MakePipeline) -> None:
    toy = pipeline(pruning=PRUNING, search=SEARCH, finalists={"count": 2, "epochs": 1})
    total = sum(Architecture.dense(toy.setup.shape).heads) + sum(Architecture.dense(toy.setup.shape).ffn)
    for trial in toy.trials:
        kept = sum(trial.architecture.heads) + sum(trial.architecture.ffn)
        assert total - kept == (0 if trial.budget is None else -int(-total * trial.budget // 1))
        assert trial.macs_removed == 0.0
        assert trial.params == toy.trials[0].params
    assert {trial.origin for trial in toy.trials} == {"dense", "uniform", "magnitude", "sampled"}
    for finalist, model in zip(toy.finalists, toy.models[1:], strict=True):
        assert kept_weights(model.load()) == finalist.trial.architecture
        assert model.architecture == Architecture.dense(toy.dense.shape)
        stored = onnx.load(toy.export.files[finalist.name])
        zeros = sum(int((numpy_helper.to_array(one) == 0).sum()) for one in stored.graph.initializer if _is_matrix(one))
        assert zeros >= round(finalist.trial.sparsity * total)
    report = build_report(toy)
    assert report.axis.kind.name == "zeros"
    assert [row.sparsity for row in report.finalists] == [0.0, *(one.trial.sparsity for one in toy.finalists)]
    trial_detail(report, 1)
    page = front_html(report)
    assert "Attention weights kept" in page
    assert "matrices are zero; none are removed" in page
    assert "of its MACs removed" not in page


def _is_matrix(tensor: onnx.TensorProto) -> bool:
    return len(tensor.dims) == 2


def test_a_killed_training_goes_on_to_the_same_zeros(pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aebert.run.finalists.check_kept", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        _ = pipeline(pruning=PRUNING, search=SEARCH).finalists
    monkeypatch.undo()
    (finalist,) = pipeline(pruning=PRUNING, search=SEARCH).finalists
    assert kept_weights(pipeline(pruning=PRUNING, search=SEARCH).models[1].load()) == finalist.trial.architecture


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"pruning": PRUNING, "search": {"trials": 8, "budget": {"sparsity": 0.5}}},
            "search.budget must be of kind zeros for magnitude-unstructured, which makes no model smaller or faster, "
            "got sparsity",
        ),
        (
            {"search": {"trials": 8, "budget": {"zeros": 0.5}}},
            "search.budget: zeros are of pruning.method magnitude-unstructured, got 'library'; ask for sparsity",
        ),
        (
            {"pruning": PRUNING, "search": SEARCH, "finalists": {"repair": "sequential"}},
            "finalists.repair must be none for magnitude-unstructured",
        ),
        (
            {"pruning": PRUNING, "search": SEARCH, "finalists": {"baselines": "layers"}},
            "finalists.baselines: first layers have no cost in zeros",
        ),
        (
            {"pruning": PRUNING, "search": {**SEARCH, "first": ["knapsack"]}},
            "search.first: knapsack needs the block library's errors",
        ),
    ],
)
def test_what_does_not_go_with_zeros_is_refused(pipeline: MakePipeline, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        pipeline(**values)
    assert message in str(caught.value)
