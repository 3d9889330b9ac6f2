from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aebert.digests import weights_digest
from aebert.errors import StudyError
from aebert.run.dense import dense_model, select_metrics

from .conftest import MakePipeline


def accept(*_: Any) -> None:
    """Nothing is wrong with the model."""


def start_digest(pipeline: Any) -> str:
    return weights_digest(pipeline.start.model)


def test_a_fine_tuned_checkpoint_is_taken_as_it_is(pipeline: MakePipeline) -> None:
    toy = pipeline()
    dense = dense_model(toy.run, toy.start, accept, in_use=False)
    assert dense.digest == start_digest(toy)
    assert (toy.run.folder / "dense" / "model.safetensors").is_file()


def test_an_encoder_is_fine_tuned_once(
    pipeline: MakePipeline, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"model": {"path": str(made["my-encoder"])}, "dense": {"epochs": 1}}
    toy = pipeline(**values)
    before = start_digest(toy)
    first = dense_model(toy.run, toy.start, accept, in_use=False)
    assert first.digest != before
    assert toy.start.digest == before != start_digest(toy)  # training changes the model in place
    record = json.loads((toy.run.folder / "stages" / "dense.json").read_text())
    assert record["detail"]["weights"] == before
    monkeypatch.setattr("aebert.run.dense.train_model", lambda *_, **__: pytest.fail("it is trained already"))
    again = pipeline(**values)
    assert dense_model(again.run, again.start, accept, in_use=True).digest == first.digest


def test_what_a_later_stage_would_refuse_is_refused_before_training(
    pipeline: MakePipeline, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise StudyError("out of reach")

    monkeypatch.setattr("aebert.run.dense.train_model", lambda *_, **__: pytest.fail("it is trained"))
    toy = pipeline(model={"path": str(made["my-encoder"])})
    with pytest.raises(StudyError, match="out of reach"):
        dense_model(toy.run, toy.start, refuse, in_use=False)


def test_a_model_in_use_is_not_overwritten_by_another_one(pipeline: MakePipeline) -> None:
    toy = pipeline()
    first = dense_model(toy.run, toy.start, accept, in_use=False)
    other = pipeline(dense={"train": "always", "epochs": 1})
    with pytest.raises(
        StudyError,
        match=r"^study 'toy' has trials of another dense model: train\.epochs was None, now 1\.0; .* and 5 more\. Re",
    ):
        dense_model(other.run, other.start, accept, in_use=True)
    again = pipeline()
    assert dense_model(again.run, again.start, accept, in_use=True).digest == first.digest
    assert dense_model(other.run, other.start, accept, in_use=False).digest != first.digest


def test_select_metrics_are_taken_once(pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = pipeline()
    metrics = select_metrics(toy.run, toy.dense)
    assert set(metrics) == {"accuracy"}
    monkeypatch.setattr("aebert.run.dense.evaluate", lambda *_: pytest.fail("it is known"))
    assert select_metrics(toy.run, toy.dense) == metrics
