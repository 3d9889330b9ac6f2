from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedModel

from aebert.digests import weights_digest
from aebert.errors import ConfigError
from aebert.models.counting import shape_of
from aebert.pruning.architecture import Architecture
from aebert.pruning.sequential import repair_sequentially
from aebert.pruning.subnetwork import architecture_of, load_subnetwork
from aebert.run.gradual import widths_between
from aebert.run.training import train_model
from aebert.search.space import Grid, load_space, make_grid

from .conftest import MakePipeline

SEARCH = {"trials": 6, "space": "fine-grid", "rungs": "none", "budget": {"sparsity": 0.8}}
GRADUAL = {"count": 1, "epochs": 3, "gradual": 2}


@pytest.fixture
def grid(tiny_model: Callable[..., PreTrainedModel]) -> Grid:
    return make_grid(load_space("fine-grid"), shape_of(tiny_model()))


def test_widths_fall_evenly_from_all_units(grid: Grid) -> None:
    assert widths_between(grid, Architecture((1, 4), (4, 34)), 2) == [
        Architecture((3, 4), (44, 54)),
        Architecture((2, 4), (24, 44)),
    ]
    assert widths_between(grid, Architecture((0, 0), (0, 0)), 1) == [Architecture((2, 2), (32, 32))]
    assert widths_between(grid, Architecture((0, 0), (0, 0)), 0) == []


@pytest.mark.parametrize("seed", range(5))
def test_widths_never_rise_and_are_of_the_grid(tiny_model: Callable[..., PreTrainedModel], seed: int) -> None:
    grid = make_grid(load_space("default"), shape_of(tiny_model()))
    generator = np.random.default_rng(seed)
    last = grid.architecture(generator.integers(0, grid.last + 1))
    chain = [grid.architecture(grid.last), *widths_between(grid, last, 4), last]
    for wide, narrow in pairwise(chain):
        assert np.all(np.array([*narrow.heads, *narrow.ffn]) <= np.array([*wide.heads, *wide.ffn]))
        assert grid.architecture(grid.levels(narrow)) == narrow


def test_a_finalist_is_reached_in_steps_that_share_its_epochs(
    pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Architecture, float, str]] = []

    def train(run: Any, model: PreTrainedModel, tokenizer: Any, config: Any, *, stage: str, **_: Any) -> None:
        seen.append((architecture_of(model.config), config.epochs, stage))

    monkeypatch.setattr("aebert.run.finalists.train_model", train)
    toy = pipeline(search=SEARCH, finalists={**GRADUAL, "repair": "sequential"})
    (finalist,) = toy.finalists
    assert finalist.repair is None  # every step is repaired, so there is nothing to decide
    last = finalist.trial.architecture
    assert [architecture for architecture, _, _ in seen] == [*widths_between(toy.candidates.grid, last, 2), last]
    assert [epochs for _, epochs, _ in seen] == pytest.approx([1.0, 1.0, 1.0])
    key = finalist.folder.name
    assert [stage for *_, stage in seen] == [f"gradual-{key}-1", f"gradual-{key}-2", f"finalist-{key}"]
    assert weights_digest(load_subnetwork(finalist.folder)) == finalist.digest
    assert not list((toy.run.folder / "gradual").iterdir())
    _ = pipeline(search=SEARCH, finalists={**GRADUAL, "repair": "sequential"}).finalists
    assert len(seen) == 3


def test_a_killed_run_goes_on_at_the_step_where_it_was(pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pipeline(name="whole", search=SEARCH, finalists=GRADUAL).finalists
    with monkeypatch.context() as patch:
        patch.setattr("aebert.run.gradual.build_library", _killed)
        with pytest.raises(KeyboardInterrupt):
            _ = pipeline(search=SEARCH, finalists=GRADUAL).finalists
    trained: list[str] = []

    def note(*given: Any, stage: str, **options: Any) -> None:
        trained.append(stage)
        train_model(*given, stage=stage, **options)

    monkeypatch.setattr("aebert.run.finalists.train_model", note)
    found = pipeline(search=SEARCH, finalists=GRADUAL).finalists
    key = found[0].folder.name
    assert trained == [f"gradual-{key}-2", f"finalist-{key}"]
    assert [one.digest for one in found] == [one.digest for one in whole]


def _killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_every_cut_is_repaired_to_the_dense_model(pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    repaired: list[tuple[Any, Architecture]] = []

    def repair(dense: Any, small: PreTrainedModel, *_: Any) -> None:
        repaired.append((dense, architecture_of(small.config)))
        repair_sequentially(dense, small, *_)

    for module in ("gradual", "rungs"):
        monkeypatch.setattr(f"aebert.run.{module}.repair_sequentially", repair)
    monkeypatch.setattr("aebert.run.finalists.train_model", lambda *_, **__: None)
    toy = pipeline(search=SEARCH, finalists=GRADUAL)
    _ = toy.study
    repaired.clear()
    (finalist,) = toy.finalists
    last = finalist.trial.architecture
    assert [architecture for _, architecture in repaired] == [*widths_between(toy.candidates.grid, last, 2), last]
    assert all(dense is toy.dense.model for dense, _ in repaired)


def test_the_next_is_cut_from_trained_weights(pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch) -> None:

    def train(run: Any, model: PreTrainedModel, *_: Any, stage: str, **__: Any) -> None:
        for parameter in model.base_model.embeddings.parameters() if stage.endswith("-1") else ():
            parameter.data.fill_(0.25)

    monkeypatch.setattr("aebert.run.finalists.train_model", train)
    (finalist,) = pipeline(search=SEARCH, finalists=GRADUAL).finalists
    weights = load_subnetwork(finalist.folder).base_model.embeddings.word_embeddings.weight
    assert (weights == 0.25).all()


def test_it_needs_the_block_library(pipeline: MakePipeline) -> None:
    with pytest.raises(ConfigError, match=r"finalists\.gradual: .* set pruning\.method to library, got 'fisher'"):
        pipeline(pruning={"method": "fisher"}, search={"trials": 6, "rungs": "none"}, finalists={"gradual": 1})


def test_without_it_nothing_changes(pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = pipeline(search=SEARCH, finalists={"count": 1, "epochs": 1}).finalists
    monkeypatch.setattr("aebert.run.finalists.train_model", lambda *_, **__: pytest.fail("it is trained already"))
    assert pipeline(search=SEARCH, finalists={"count": 1, "epochs": 1, "gradual": 0}).finalists == [one]
