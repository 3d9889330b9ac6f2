from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from aebert.config import ModelConfig
from aebert.models.checkpoint import load_checkpoint
from aebert.models.outputs import UnnamedOutputs
from aebert.models.proposal import propose_labels
from aebert.tasks.task import Row, TaskSpec

TinyModel = Callable[..., PreTrainedModel]
TinyTask = Callable[..., tuple[TaskSpec, list[Row]]]


def _save(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> ModelConfig:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return ModelConfig(path=str(folder))


def test_the_order_of_unnamed_outputs_is_found_from_rows(
    tiny_model: TinyModel, tiny_tokenizer: PreTrainedTokenizerFast, tiny_task: TinyTask, tmp_path: Path
) -> None:
    spec, rows = tiny_task(rows=200)
    model = tiny_model("bert", labels=2)
    pooled = _encodings(model, tiny_tokenizer, rows)
    labels = torch.tensor([row.label for row in rows], dtype=torch.float32)
    weights = torch.linalg.lstsq(torch.cat([pooled, torch.ones(len(rows), 1)], 1), 2 * labels[:, None] - 1).solution
    for output, sign in ((0, 1.0), (1, -1.0)):  # output 0 means praise, which is the task's label 1
        model.classifier.weight.data[output] = sign * weights[:-1, 0]
        model.classifier.bias.data[output] = sign * weights[-1, 0]
    config = _save(tmp_path / "model", model, tiny_tokenizer)
    with pytest.raises(UnnamedOutputs):
        load_checkpoint(config, spec, 0)
    names = propose_labels(config, spec, rows, 0, 32)
    assert names == ("good", "bad")
    assert load_checkpoint(config.model_copy(update={"labels": names}), spec, 0).fine_tuned


def _encodings(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, rows: list[Row]) -> torch.Tensor:
    inputs = tokenizer([row.text[0] for row in rows], return_tensors="pt", padding=True)
    with torch.inference_mode():
        pooled: torch.Tensor = model.bert(**inputs).pooler_output
    return pooled.clone()


def test_a_model_that_knows_nothing_gives_no_proposal(
    tiny_model: TinyModel, tiny_tokenizer: PreTrainedTokenizerFast, tiny_task: TinyTask, tmp_path: Path
) -> None:
    spec, rows = tiny_task(rows=40)
    config = _save(tmp_path / "model", tiny_model("bert", labels=2), tiny_tokenizer)
    assert propose_labels(config, spec, rows, 0, 32) is None
