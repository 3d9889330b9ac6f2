"""A fine-tuned checkpoint scores as transformers' own pipeline scores it, whatever format it was saved in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import pipeline

from aebert.config import ModelConfig
from aebert.models.checkpoint import load_checkpoint
from aebert.models.evaluation import evaluate, prepare
from aebert.models.families import FAMILIES
from aebert.tasks.task import Row, TaskKind

from .cases import as_dtype, legacy, nothing, pickled, sharded
from .checkpoints import SPECS, TEXTS, Folder, fine_tuned, save_checkpoint


def _sharded_safetensors(folder: Folder) -> None:
    model = fine_tuned(folder.family, "ner" if "Token" in folder.stated["architectures"][0] else "classification")
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder.path, max_shard_size="20KB")
    assert (folder / "model.safetensors.index.json").is_file()


FORMATS: dict[str, Callable[[Folder], object]] = {
    "safetensors": nothing,
    "sharded safetensors": _sharded_safetensors,
    "bin": pickled(Folder.tensors),
    "old bin": legacy,
    "sharded bin": sharded,
    "float16": as_dtype(torch.float16),
    "bfloat16": as_dtype(torch.bfloat16),
}


def _scores(folder: Folder, kind: TaskKind) -> list[np.ndarray]:
    """Logits of each text, by aebert."""
    spec = SPECS[kind]
    loaded = load_checkpoint(ModelConfig(path=str(folder.path)), spec, 0)
    rows = [Row(tuple(t.split()), (0,) * len(t.split())) if kind == "ner" else Row((t,), 0) for t in TEXTS]
    return list(evaluate(loaded.model, prepare(rows, spec, loaded.tokenizer, 64, 64)).logits)


def _pipeline(folder: Folder, task: str, **options: Any) -> list[Any]:
    run = pipeline(task, model=str(folder.path), tokenizer=str(folder.path), dtype=torch.float32, device="cpu")
    return [run(text, **options) for text in TEXTS]


@pytest.mark.parametrize("form", list(FORMATS))
@pytest.mark.parametrize("family", list(FAMILIES))
def test_classes_have_the_scores_of_the_pipeline(family: str, form: str, tmp_path: Path) -> None:
    folder = _saved(tmp_path, family, "classification", form)
    for logits, theirs in zip(
        _scores(folder, "classification"), _pipeline(folder, "text-classification", top_k=None), strict=True
    ):
        mine = torch.tensor(logits).softmax(-1).tolist()
        by_name = {one["label"]: one["score"] for one in theirs}
        expected = [by_name[name] for name in SPECS["classification"].labels]
        assert mine == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("form", ["safetensors", "bin"])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_scores_are_those_of_the_pipeline(family: str, form: str, tmp_path: Path) -> None:
    folder = _saved(tmp_path, family, "regression", form)
    theirs = _pipeline(folder, "text-classification", function_to_apply="none")
    mine = [float(logits[0]) for logits in _scores(folder, "regression")]
    assert mine == pytest.approx([one[0]["score"] for one in theirs], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("form", ["safetensors", "sharded safetensors", "bin"])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_tags_are_those_of_the_pipeline(family: str, form: str, tmp_path: Path) -> None:
    folder = _saved(tmp_path, family, "ner", form)
    for logits, theirs in zip(
        _scores(folder, "ner"), _pipeline(folder, "token-classification", ignore_labels=[]), strict=True
    ):
        chances = torch.tensor(logits[1:-1]).softmax(-1)  # the pipeline leaves special tokens out
        assert len(chances) == len(theirs)
        assert [SPECS["ner"].tags[index] for index in chances.argmax(-1)] == [one["entity"] for one in theirs]
        assert chances.max(-1).values.tolist() == pytest.approx([one["score"] for one in theirs], rel=1e-4)


def _saved(path: Path, family: str, kind: TaskKind, form: str) -> Folder:
    save_checkpoint(path / "model", family, kind)
    folder = Folder(path / "model", family)
    FORMATS[form](folder)
    return folder
