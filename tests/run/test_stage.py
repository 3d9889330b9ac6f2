from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from aebert.run.stage import Stage, recorded_seconds

INPUTS = {"seed": 1, "rows": ["a", "b"], "train": {"epochs": 2.0}}


class Work:
    """Makes the output and counts its calls."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder, 0

    def __call__(self) -> dict[str, Any]:
        self.calls += 1
        (self.folder / "model").mkdir(parents=True, exist_ok=True)
        return {"accuracy": 0.5 + self.calls}


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


@pytest.fixture
def stage(tmp_path: Path) -> Callable[..., Stage]:
    def make(inputs: Mapping[str, Any] = INPUTS, name: str = "dense") -> Stage:
        return Stage(folder=tmp_path, name=name, inputs=inputs, outputs=["model"])

    return make


def test_a_stage_runs_once_for_the_same_inputs(stage: Callable[..., Stage], work: Work) -> None:
    assert stage().done() is None
    first = stage().run(work)
    assert (first["accuracy"], work.calls) == (1.5, 1)
    assert first["seconds"] >= 0.0
    assert stage().done() == first
    assert stage(dict(reversed(INPUTS.items()))).run(work) == first  # the order of inputs does not count
    assert work.calls == 1


@pytest.mark.parametrize(
    "changed", [{"seed": 2}, {"rows": ["b", "a"]}, {"train": {"epochs": 3.0}}, {"more": None}], ids=str
)
def test_a_stage_runs_again_for_changed_inputs(
    stage: Callable[..., Stage], work: Work, changed: dict[str, Any]
) -> None:
    stage().run(work)
    assert stage({**INPUTS, **changed}).run(work)["accuracy"] == 2.5
    assert stage().done() is None  # the record is of the last run


def test_a_stage_runs_again_when_an_output_is_gone(stage: Callable[..., Stage], work: Work, tmp_path: Path) -> None:
    stage().run(work)
    (tmp_path / "model").rmdir()
    assert stage().done() is None
    stage().run(work)
    assert work.calls == 2


@pytest.mark.parametrize("damage", ["", '{"inputs": "', "\x00", "[]", "{}", '{"result": {}}'])
def test_a_stage_runs_again_when_its_record_is_damaged(
    stage: Callable[..., Stage], work: Work, tmp_path: Path, damage: str
) -> None:
    stage().run(work)
    (tmp_path / "stages" / "dense.json").write_text(damage)
    assert stage().run(work)["accuracy"] == 2.5
    assert stage().done() is not None


def test_work_that_fails_leaves_no_record(stage: Callable[..., Stage], work: Work) -> None:
    def fails() -> dict[str, Any]:
        work()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stage().run(fails)
    assert stage().done() is None


def test_work_that_fails_for_new_inputs_spoils_the_old_result(stage: Callable[..., Stage], work: Work) -> None:
    """Its outputs may be half overwritten."""
    stage().run(work)
    with pytest.raises(ZeroDivisionError):
        stage({"seed": 9}).run(lambda: {"x": 1 // 0})
    assert stage({"seed": 9}).done() is None
    assert stage().done() is None


def test_stages_of_one_folder_do_not_mix(stage: Callable[..., Stage], work: Work) -> None:
    stage().run(work)
    assert stage(name="search").done() is None
    assert stage(name="search").digest != stage().digest


def test_the_digest_is_of_the_inputs(stage: Callable[..., Stage]) -> None:
    assert stage().digest == stage(dict(reversed(INPUTS.items()))).digest
    assert stage().digest != stage({**INPUTS, "seed": 2}).digest


def test_seconds_that_the_work_states_are_kept(stage: Callable[..., Stage], tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert stage().run(lambda: {"seconds": 12.5})["seconds"] == 12.5
    again = stage().done()
    assert again is not None
    assert again["seconds"] == 12.5


def test_the_first_result_is_what_later_runs_read(stage: Callable[..., Stage], work: Work) -> None:
    """A result that JSON stores in another form would look different on the second run."""
    first = stage().run(lambda: {**work(), "shape": (1, 2), "by id": {1: "one"}, "place": Path("models")})
    assert first == stage().done()


def test_seconds_of_all_stages_are_read_back(tmp_path: Path) -> None:
    Stage(tmp_path, "a", {"x": 1}).run(lambda: {"seconds": 1.26})
    Stage(tmp_path, "b.int8", {"x": 1}).run(lambda: {"y": 1})
    found = recorded_seconds(tmp_path)
    assert found["a"] == 1.3
    assert 0 <= found["b.int8"] < 60
    assert recorded_seconds(tmp_path / "none") == {}
