from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aebert.config import RunConfig
from aebert.models.counting import shape_of
from aebert.models.shape import ModelShape
from aebert.run.expected import Timed, expected_bytes, expected_seconds, macs_by_token
from aebert.search.space import load_space, make_grid
from aebert.sections import check
from aebert.tasks.task import Role

from .conftest import MakePipeline

TOKENS: dict[Role, int] = {"train": 10_000, "search": 2_000, "select": 1_000, "report": 1_000}
TIMED = Timed(seconds=1e-3, macs=1e6)


@pytest.fixture
def shape(tiny_model: Any) -> ModelShape:
    return shape_of(tiny_model("bert"))


def config(**values: Any) -> RunConfig:
    return check(RunConfig, {"name": "toy", **values}, "test")


def seconds(
    shape: ModelShape,
    timed: Timed = TIMED,
    *,
    trains: bool = True,
    rungs: int = 0,
    unlabelled: float = 0.0,
    **values: Any,
) -> dict[str, float]:
    return expected_seconds(
        config(**values), shape, TOKENS, 100, timed, trains=trains, rungs=rungs, unlabelled=unlabelled
    )


def test_macs_by_token_are_those_of_the_sequence(shape: ModelShape) -> None:
    # 2 layers: 4 projections of 32 x 32 and 2 of 32 x 64 each, and attention over 16 tokens
    assert macs_by_token(shape, 16) == 2 * (4 * 32 * 32 + 2 * 32 * 64 + 2 * 32 * 16)


def test_parts_scale_with_what_they_do(shape: ModelShape) -> None:
    once = seconds(shape)
    assert seconds(shape, search={"trials": 120})["search"] == pytest.approx(2 * once["search"])
    assert seconds(shape, dense={"epochs": 6})["dense"] == pytest.approx(2 * once["dense"])
    assert seconds(shape, finalists={"count": 4})["finalists"] == pytest.approx(2 * once["finalists"])
    reached = seconds(shape, finalists={"gradual": 2})  # a library of trained weights for each step of both finalists
    assert reached["finalists"] - once["finalists"] == pytest.approx(4 * 0.4 * once["library"])
    held = seconds(shape, finalists={"baselines": ["layers"]})  # at most one for each finalist
    assert held["finalists"] == pytest.approx(2 * once["finalists"])
    assert held["files"] == pytest.approx(once["files"] * 5 / 3)
    assert seconds(shape, pruning={"calibration_rows": 50})["library"] < once["library"]
    assert seconds(shape, replace(TIMED, seconds=2e-3))["library"] == pytest.approx(2 * once["library"])


def test_a_ladder_takes_a_library_for_each_budget_and_repairs(shape: ModelShape) -> None:
    none, one, two = (seconds(shape, rungs=rungs) for rungs in range(3))
    assert one["search"] > none["search"]
    assert two["library"] > one["library"] == none["library"]


def test_rows_without_labels_take_as_long_as_others(shape: ModelShape) -> None:
    assert seconds(shape, unlabelled=2.0)["search"] == pytest.approx(3 * seconds(shape)["search"])


def test_a_search_that_ends_by_itself_takes_at_least_its_first_visits(shape: ModelShape) -> None:
    one, two = ({"trials": "auto", "budget": {"sparsity": targets}} for targets in (0.3, [0.3, 0.5]))
    assert seconds(shape, search=two)["search"] > seconds(shape, search=one)["search"] > 0


def test_all_rungs_of_a_run_are_expected(pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def noted(*_: Any, rungs: int, **__: Any) -> dict[str, float]:
        seen.append(rungs)
        return {}

    monkeypatch.setattr("aebert.run.check.expected_seconds", noted)
    for rungs in ("auto", "none"):
        toy = pipeline(search={"trials": 40, "space": "fine-grid", "budget": {"sparsity": [0.3, 0.8]}, "rungs": rungs})
        toy.inspect()
    assert seen == [5, 0]


def test_no_more_rows_calibrate_than_there_are(shape: ModelShape) -> None:
    many, all_rows = (seconds(shape, pruning={"calibration_rows": count})["library"] for count in (10_000, 100))
    assert many == all_rows


def test_what_is_not_done_takes_nothing(shape: ModelShape) -> None:
    assert seconds(shape, trains=False)["dense"] == 0
    assert seconds(shape, pruning={"method": "magnitude"})["library"] == 0
    assert "search" not in seconds(shape, search={"device": "cuda"})


def test_a_library_takes_the_bytes_that_are_expected(pipeline: MakePipeline) -> None:
    toy = pipeline(search={"trials": 8, "space": "default", "budget": {"sparsity": 0.5}})
    _ = toy.candidates.library
    shape = shape_of(toy.dense.model)
    found = expected_bytes(toy.run.config, shape, make_grid(load_space("default"), shape), 1000, trains=False)
    stored = sum(path.stat().st_size for path in (toy.run.folder / "library").glob("*.safetensors"))
    assert found["library"] < stored < 2 * found["library"] + 20_000  # and units, biases and headers


def test_bytes_of_models_follow_their_parameters(shape: ModelShape) -> None:
    grid, run = make_grid(load_space("default"), shape), config(finalists={"count": 2})
    parameters = 10 * shape.other_params
    found = expected_bytes(run, shape, grid, parameters, trains=True)
    assert found["dense"] == 4 * parameters
    assert found["training"] == 12 * parameters
    assert found["finalists"] < 2 * found["dense"]
