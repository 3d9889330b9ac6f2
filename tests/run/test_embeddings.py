"""A whole run for embeddings over a tiny random encoder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from aebert.errors import ConfigError
from aebert.models.checkpoint import load_checkpoint
from aebert.models.pooling import Pooling, layout, write_layout
from aebert.run.directions import along, with_directions
from aebert.run.pipeline import Pipeline
from aebert.run.report import build_report
from aebert.run.requests import requests_of
from aebert.runtime import EmbeddingPrediction, Model
from aebert.tasks.task import Row

MakePipeline = Callable[..., Pipeline]


@pytest.fixture(scope="module")
def sentence_model(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy encoder in the layout of sentence-transformers."""
    folder = tmp_path_factory.mktemp("sentence") / "my-embedder"
    AutoModel.from_pretrained(made["my-encoder"]).save_pretrained(folder)
    AutoTokenizer.from_pretrained(made["my-encoder"]).save_pretrained(folder)
    write_layout(folder, layout(Pooling("mean", True, ""), 32))
    return folder


@pytest.fixture
def embedder(pipeline: MakePipeline, sentence_model: Path, made: dict[str, Path], tmp_path: Path) -> MakePipeline:
    """A pipeline over sentences, or with `scored` over pairs of them."""

    def make(*, scored: bool = False, **values: Any) -> Pipeline:
        lines = {split: _reviews(made["data"] / f"{split}.csv") for split in ("train", "dev", "test")}
        files = {}
        for split, texts in lines.items():
            files[split] = str(tmp_path / f"{split}{'.tsv' if scored else '.txt'}")
            pairs = zip(texts[::2], texts[1::2], strict=True)
            rows = [f"{one}\t{other}\t{place * 7 % 5}" for place, (one, other) in enumerate(pairs)]
            Path(files[split]).write_text("\n".join(["a\tb\tscore", *rows] if scored else texts) + "\n")
        task = {"name": "mine", "kind": "embedding", **({"text": ["a", "b"], "label": "score"} if scored else {})}
        return pipeline(
            **{
                "model": {"path": str(sentence_model), "trust": True},
                "task": task,
                "data": {"files": files, "max_length": 16},
                "finalists": {"count": 1, "epochs": 1, "baselines": "layers"},
                **values,
            }
        )

    return make


def _reviews(path: Path) -> list[str]:
    return [line.rpartition(",")[0] for line in path.read_text().splitlines()[1:]]


def _by_text(row: Row) -> list[tuple[str, np.ndarray]]:
    assert row.targets is not None
    return list(zip(row.text, row.targets, strict=True))


def _embed(folder: Path, texts: list[str]) -> np.ndarray:
    """What transformers and mean pooling by hand make of texts, one by one."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    vectors = []
    for text in texts:
        inputs = tokenizer(text, truncation=True, max_length=16, return_tensors="pt")
        with torch.no_grad():
            vectors.append(model(**inputs).last_hidden_state[0].mean(0).numpy())
    return np.stack([vector / np.linalg.norm(vector) for vector in vectors])


@pytest.mark.slow
def test_a_run_without_labels(embedder: MakePipeline, sentence_model: Path) -> None:
    work = embedder()
    report = build_report(work)
    assert report.info.metric == "agreement"
    dense, finalist, baseline = report.finalists
    assert dense.search_score == pytest.approx(1.0)
    assert dense.report_metrics is not None
    assert dense.report_metrics["agreement"] == pytest.approx(1.0, abs=1e-5)
    assert finalist.search_score is not None
    assert finalist.report_metrics is not None
    assert 0.3 < finalist.report_metrics["agreement"] < 1
    assert baseline.guess is not None
    assert baseline.guess < 1
    named = {(row.name, row.kind): row for row in report.embeddings}
    assert named["dense", "float32"].overlap == pytest.approx(1.0)
    assert named[finalist.name, "float32"].overlap < 1
    assert named[finalist.name, "float32"].agreement == pytest.approx(finalist.report_metrics["agreement"])
    low, high = named[finalist.name, "int8"].overlap_interval or (1.0, 0.0)
    assert low < named[finalist.name, "int8"].overlap < high
    # the config is a file of its own
    assert report.from_dict(json.loads(json.dumps(report.to_dict()))) == replace(report, config="")

    texts = [row.text[0] for row in work.run.task.rows["report"]]
    expected = _embed(sentence_model, texts)
    stored = _embed(work.run.folder / "dense", texts)  # any program that reads stock models reads it
    np.testing.assert_allclose(stored, expected, atol=1e-6)
    reloaded = load_checkpoint(work.run.config.model.model_copy(update={"path": str(work.run.folder / "dense")}),
                               work.run.task.spec, 0)  # fmt: skip
    assert reloaded.digest == work.dense.digest


@pytest.mark.slow
def test_a_run_with_pairs_ships_what_it_scored(embedder: MakePipeline) -> None:
    from aebert.run.bundles import bundles

    work = embedder(scored=True)
    report = build_report(work)
    assert report.info.metric == "spearman"
    assert set(report.finalists[1].report_metrics or ()) == {"spearman", "pearson", "agreement"}
    rows = work.run.task.rows["report"]
    assert all(len(row.text) == 2 for row in rows)
    model = Model.load(bundles(work)[report.finalists[1].name])
    vectors: dict[str, np.ndarray] = {}
    for text in {text for row in rows for text in row.text}:
        (one,) = model.predict([text])
        assert isinstance(one, EmbeddingPrediction)
        assert np.linalg.norm(one.vector) == pytest.approx(1.0, abs=1e-5)
        vectors[text] = one.vector
    shipped = work.export.shipped(report.finalists[1].name)
    targets = [(text, target) for row in work.run.with_targets(rows) for text, target in _by_text(row)]
    agreed = [float(vectors[text] @ target) for text, target in targets]
    assert np.mean(agreed) == pytest.approx(work.scores[shipped]["metrics"]["agreement"], abs=0.02)  # int8 in batches


def test_finalists_learn_the_dense_embeddings(embedder: MakePipeline) -> None:
    finalists = {"count": 1, "epochs": 30, "learning_rate": 1e-3}
    work = embedder(
        finalists=finalists, search={"trials": 5, "rungs": "none", "space": "fine-grid", "budget": {"sparsity": 0.8}}
    )
    (finalist,) = work.finalists
    assert finalist.select_metrics["agreement"] > finalist.trial.metrics["agreement"] + 0.01


def test_requests_are_single_texts(embedder: MakePipeline) -> None:
    work = embedder(scored=True)
    rows = work.run.task.rows["report"][:3]
    requests = requests_of(work.run, work.start.tokenizer, rows, 1)
    assert [len(one["input_ids"]) for one in requests] == [1] * 6


def test_directions_give_a_fisher_where_the_dense_loss_is_flat() -> None:
    rows = with_directions([Row(("a",), 0.0), Row(("b",), 0.0)], 4, 0)
    directions = torch.tensor(np.concatenate([row.targets for row in rows if row.targets is not None]))
    assert set(directions.flatten().tolist()) == {-1.0, 1.0}
    vectors = torch.randn(2, 4, requires_grad=True)
    along(vectors, directions).sum().backward()  # type: ignore[no-untyped-call]
    assert torch.equal(vectors.grad, directions)  # type: ignore[arg-type]


REFUSED: dict[str, dict[str, Any]] = {
    "dense.train": {"dense": {"train": "always"}},
    "finalists.distill": {"finalists": {"distill": None}},
    "head_learning_rate": {"finalists": {"head_learning_rate": 1e-3}},
    "search.objective": {"search": {"objective": "loss"}},
    "deploy.litert": {"deploy": {"litert": {}}},
}


@pytest.mark.parametrize("key", list(REFUSED))
def test_settings_that_mean_nothing_here_are_refused(key: str, embedder: MakePipeline) -> None:
    with pytest.raises(ConfigError, match=rf"^{key}.* embeddings") as caught:
        embedder(**REFUSED[key])
    assert "\n" not in str(caught.value)


def test_what_the_checkpoint_cannot_say_the_config_must(embedder: MakePipeline, made: dict[str, Path]) -> None:
    from aebert.errors import ModelError

    model = {"path": str(made["my-encoder"])}
    with pytest.raises(ModelError, match=r"set task\.pooling to one of mean, cls, max"):
        _ = embedder(model=model).start
    task = {"name": "mine", "kind": "embedding", "pooling": "cls"}
    digests = {embedder(model=model, task={**task, "normalize": on}).start.digest for on in (True, False)}
    assert len(digests) == 2  # stages must not take one for the other
    with pytest.raises(ModelError, match="embeddings need an encoder without an output layer for labels"):
        _ = embedder(model={"path": str(made["my-checkpoint"])}, task=task).start
