from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedModel
from typer.testing import CliRunner

from aebert.cli import app
from aebert.deployment.session import OnnxModel
from aebert.digests import weights_digest
from aebert.models.counting import shape_of
from aebert.models.depth import first_layers
from aebert.pruning.architecture import Architecture
from aebert.pruning.cost import block_bytes, fixed_bytes
from aebert.reporting.baselines import baseline_difference
from aebert.reporting.documents import read_summary_json
from aebert.run.baselines import Cut, cut_at, layer_cuts, load_baseline
from aebert.run.bundles import bundles
from aebert.run.pipeline import Pipeline
from aebert.run.report import report

from .conftest import MakePipeline

ASKED = {"count": 1, "epochs": 1, "baselines": ["layers"]}


def test_none_are_made_unless_asked_for(pipeline: MakePipeline) -> None:
    toy = pipeline()
    assert toy.baselines == []
    assert [model.name for model in toy.models] == ["dense", toy.finalists[0].name]


def test_a_baseline_is_trained_once_as_finalists_are_and_loaded_as_it_was_stored(
    pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr("aebert.run.finalists.train_model", lambda run, *_, **given: calls.append(given))
    toy = pipeline(finalists=ASKED)
    (finalist,), (baseline,) = toy.finalists, toy.baselines
    assert (baseline.name, baseline.finalists, baseline.budget) == ("first-1-layer", (finalist.name,), 0.5)
    of_finalist, of_baseline = calls
    named = ("title", "stage")
    assert {key: of_baseline[key] for key in of_baseline if key not in named} == {
        key: of_finalist[key] for key in of_finalist if key not in named
    }
    assert of_baseline["teacher"] is toy.dense.model
    labels = [row.label for row in toy.run.task.rows["select"]]
    assert baseline.guess == max(labels.count(label) for label in (0, 1)) / len(labels)  # always the commonest class
    # nothing was trained, so it is what it was cut as
    assert baseline.digest == weights_digest(first_layers(toy.dense.model, 1))
    again = pipeline(finalists=ASKED)
    assert again.baselines == [baseline]
    assert len(calls) == 2
    shipped = again.models[-1]
    assert (shipped.name, shipped.budget, shipped.digest) == ("first-1-layer", 0.5, baseline.digest)
    assert weights_digest(shipped.load()) == baseline.digest
    assert shape_of(shipped.load()).layers == 1


def test_asking_for_baselines_does_not_train_finalists_again(
    pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    (finalist,) = pipeline().finalists
    trained: list[str] = []
    monkeypatch.setattr("aebert.run.finalists.train_model", lambda *_, stage, **__: trained.append(stage))
    toy = pipeline(finalists=ASKED)
    assert (toy.finalists, trained) == ([finalist], [])
    _ = toy.baselines
    assert trained == ["baseline-first-1-layer"]
    _ = pipeline(finalists={**ASKED, "learning_rate": 1e-4}).baselines
    assert len(trained) == 3  # both, since both are trained otherwise


def test_a_killed_training_of_a_baseline_goes_on(pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = pipeline(finalists=ASKED)
    _ = toy.finalists
    with monkeypatch.context() as patch:
        patch.setattr("aebert.run.finalists.store_model", _killed)
        with pytest.raises(KeyboardInterrupt):
            _ = toy.baselines
    assert not (toy.run.folder / "stages" / "baseline-first-1-layer.json").exists()
    (made,) = pipeline(finalists=ASKED).baselines
    assert weights_digest(load_baseline(toy.run, made)) == made.digest


def _killed(*_: Any) -> None:
    raise KeyboardInterrupt


BUDGETS: dict[str, float] = {"sparsity": 0.5, "macs": 0.4, "params": 12_000, "size_mb": 0.06}


def cuts_of(toy: Pipeline) -> list[Cut]:
    return layer_cuts(toy.run, toy.dense, toy.setup, toy.latency_prices)


@pytest.mark.parametrize("kind", list(BUDGETS))
def test_cuts_are_counted_in_the_unit_of_the_budget(pipeline: MakePipeline, kind: str) -> None:
    toy = pipeline(search={"trials": 8, "space": "fine-grid", "budget": {kind: BUDGETS[kind]}})
    one, two = cuts_of(toy)
    params = [sum(p.numel() for p in first_layers(toy.dense.model, count).parameters()) for count in (1, 2)]
    assert [one.params, two.params] == params
    # both layers are alike, and what is not in them doesn't count
    assert [one.sparsity, two.sparsity] == pytest.approx([0.5, 0.0])
    assert [one.macs_removed, two.macs_removed] == pytest.approx([0.5, 0.0])
    assert [one.cost, two.cost] == [COSTS[kind](cut, first_layers(toy.dense.model, cut.layers)) for cut in (one, two)]


def _megabytes(cut: Cut, model: PreTrainedModel) -> float:
    shape = shape_of(model)
    widths = enumerate((*shape.heads, *shape.ffn))
    return (fixed_bytes(shape, int8=True) + sum(block_bytes(shape, *each, int8=True) for each in widths)) / 1e6


COSTS: dict[str, Callable[[Cut, PreTrainedModel], float]] = {
    "sparsity": lambda cut, _: cut.sparsity,
    "macs": lambda cut, _: cut.macs_removed,
    "params": lambda cut, _: cut.params,
    "size_mb": _megabytes,
}


def test_cuts_are_priced_by_the_device(pipeline: MakePipeline, board: Callable[..., Path]) -> None:
    budget = {"latency_ms": 15, "length": 16, "device": str(board())}
    one, two = cuts_of(pipeline(search={"trials": 8, "space": "fine-grid", "budget": budget}))
    # 2 ms for a request; for each layer 1 ms and 1 ms a head, and 1 ms and 0.05 ms a neuron
    assert one.cost == pytest.approx(2 + (1 + 4) + (1 + 64 * 0.05))
    assert two.cost == pytest.approx(2 + 2 * ((1 + 4) + (1 + 64 * 0.05)))


def test_a_cut_has_as_many_layers_as_cost_no_more(pipeline: MakePipeline) -> None:
    found = pipeline().setup
    shares = copy.copy(found)  # `replace` would count the step of its grid again
    object.__setattr__(shares, "info", replace(found.info, step=0.0))
    megabytes = copy.copy(shares)
    object.__setattr__(megabytes, "info", replace(shares.info, budget_kind="params"))
    few, some, all_of_it = (replace(CUT, layers=layers, cost=cost) for layers, cost in ((1, 0.75), (2, 0.5), (3, 0.0)))
    for removed, layers in ((0.0, 3), (0.1, 2), (0.5, 2), (0.5 - 1e-12, 2), (0.51, 1), (0.75, 1), (0.9, 1)):
        assert cut_at([few, some, all_of_it], removed, shares).layers == layers
    few, some = replace(CUT, layers=1, cost=100), replace(CUT, layers=2, cost=200)
    for most, layers in ((500, 2), (200, 2), (199, 1), (100, 1), (50, 1)):
        assert cut_at([few, some], most, megabytes).layers == layers


def test_less_than_one_step_of_the_grid_is_no_difference(pipeline: MakePipeline) -> None:
    setup = pipeline().setup
    step = setup.info.step
    assert 0 < step < 0.01
    half, quarter = replace(CUT, layers=2, cost=0.5), replace(CUT, layers=1, cost=0.75)
    for removed, layers in ((0.5 + 0.9 * step, 2), (0.5 + step, 1), (0.5 + 1.1 * step, 1)):
        assert cut_at([quarter, half], removed, setup).layers == layers


CUT = Cut(layers=1, architecture=Architecture((4,), (64,)), cost=0.0, params=0, sparsity=0.0, macs_removed=0.0)


def test_finalists_of_about_one_cost_share_a_baseline(pipeline: MakePipeline) -> None:
    search = {"trials": 10, "space": "fine-grid", "rungs": "none", "budget": {"sparsity": [0.3, 0.9]}}
    toy = pipeline(search=search, finalists={**ASKED, "count": 3, "epochs": 0.1})
    assert len(toy.finalists) == 3
    (baseline,) = toy.baselines  # two layers cost more than any finalist, and one more than the smallest
    assert baseline.finalists == tuple(finalist.name for finalist in toy.finalists)
    assert baseline.budget == 0.3


@pytest.mark.slow
def test_a_report_holds_finalists_against_baselines(pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    confirmed: dict[str, Path] = {}
    monkeypatch.setattr("aebert.run.pipeline.confirm_latency", lambda _, __, files: confirmed.update(files) or {})
    toy = pipeline(finalists=ASKED)
    found = report(toy)
    (finalist,) = toy.finalists
    assert {name: path.name for name, path in confirmed.items()} == {
        name: f"{name}.int8.onnx" for name in (finalist.name, "first-1-layer")
    }
    assert [row.name for row in found.finalists] == ["dense", finalist.name, "first-1-layer"]
    _, mine, baseline = found.finalists
    assert (mine.baseline, mine.chosen) == ("first-1-layer", True)
    assert (baseline.layers, baseline.trial, baseline.chosen, baseline.search_score) == (1, None, False, None)
    assert baseline.guess == toy.baselines[0].guess
    assert baseline.select_score == toy.baselines[0].select_metrics["accuracy"]
    assert baseline.report_metrics == toy.scores["first-1-layer"]["metrics"]
    assert baseline.int8_report_metrics == toy.scores["first-1-layer.int8"]["metrics"]
    assert dict(found.forms)["first-1-layer"].quantization is not None
    names = ["dense", finalist.name, "first-1-layer"]
    assert [row.file for row in found.profiles] == [f"{name} {kind}" for name in names for kind in ("float32", "int8")]
    assert toy.profiles["profiles"][-1]["name"] == "first-1-layer.int8"  # timed with the others, in one run
    won = baseline_difference(mine, found)
    assert won is not None
    scores = {row.file: row.report_score or 0.0 for row in found.profiles}
    assert won.value == pytest.approx(scores[f"{mine.name} int8"] - scores["first-1-layer int8"])
    # the config is a file of its own
    assert read_summary_json(toy.run.folder / "summary.json") == replace(found, config="")
    # it ships only where that is asked for
    assert {path.name for path in (toy.run.folder / "bundles").iterdir()} == {"dense", finalist.name}
    (folder,) = bundles(toy, ["first-1-layer"]).values()
    shown = CliRunner().invoke(app, ["bundle", "show", str(folder)]).output.splitlines()
    assert [line.split() for line in shown if line.startswith(("heads", "layers"))] == [
        ["heads", "4/4"],
        ["layers", "1/2,", "the", "last", "1", "dropped"],
    ]
    assert len(OnnxModel(toy.export.files["first-1-layer"], 1).inputs) == 3
