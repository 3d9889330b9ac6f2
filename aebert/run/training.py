"""Training a model and storing it in a run's folder, as the dense model and finalists are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from aebert.config import DistillConfig, TrainConfig
from aebert.files import write_json
from aebert.models.embedding import embedding_class_names
from aebert.models.heads import base_class
from aebert.models.pooling import layout, pooling_of_config, write_layout
from aebert.run.run import Run
from aebert.sections import plain
from aebert.training.finetune import fine_tune


def train_model(
    run: Run,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    config: TrainConfig,
    *,
    title: str,
    stage: str,
    teacher: PreTrainedModel | None = None,
    distill: DistillConfig | None = None,
) -> None:
    """Fine-tune a model in place on the train rows; after a kill, training goes on from its last checkpoint.

    stage: name of the stage that it belongs to, which its checkpoints are called.
    """
    fine_tune(
        model,
        tokenizer,
        run.task.rows["train"],
        run.task.spec,
        config,
        max_length=run.config.data.max_length,
        seed=run.config.seed,
        folder=run.folder / "checkpoints" / stage,
        title=title,
        progress=run.progress,
        teacher=teacher,
        distill=distill,
    )


def store_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Save model and tokenizer. The stage that calls this marks the folder as done only when it is whole.

    A dense model for embeddings is stored as sentence-transformers stores it, which is how it is read again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if type(model).__name__ in embedding_class_names():
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        encoder = base_class(model.config.model_type).__name__
        write_json(folder / "config.json", {**values, "architectures": [encoder]})
        write_layout(folder, layout(pooling_of_config(model.config), model.config.hidden_size))


def settings_given(section: TrainConfig) -> dict[str, Any]:
    """Settings that are set: an option that a later version adds does not undo what was trained without it."""
    return {key: value for key, value in plain(section).items() if value is not None}
