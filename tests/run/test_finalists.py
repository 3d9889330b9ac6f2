from __future__ import annotations

import pytest

from aebert.digests import weights_digest

from .conftest import MakePipeline


def test_finalists_are_trained_once_and_loaded_as_they_were_stored(
    pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = pipeline().finalists
    assert first.name == f"trial-{first.trial.number}"
    assert set(first.select_metrics) == {"accuracy"}
    monkeypatch.setattr("aebert.run.finalists.train_model", lambda *_, **__: pytest.fail("it is trained already"))
    toy = pipeline()
    assert toy.finalists == [first]
    dense, shipped = toy.models
    assert (dense.name, dense.budget) == ("dense", None)
    assert (shipped.name, shipped.budget) == (first.name, 0.5)
    assert weights_digest(shipped.load()) == first.digest == shipped.digest


def test_how_many_are_trained_does_not_change_how(pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = pipeline().finalists
    trained: list[str] = []
    monkeypatch.setattr("aebert.run.finalists.train_model", lambda *_, stage, **__: trained.append(stage))
    two = pipeline(finalists={"count": 2, "epochs": 1}).finalists
    assert two[0] == one
    assert len(trained) == 1
    _ = pipeline(finalists={"count": 1, "epochs": 2}).finalists
    assert len(trained) == 2
