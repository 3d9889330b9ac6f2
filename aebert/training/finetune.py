"""Fine-tuning with transformers' Trainer, resumable, with or without a dense teacher."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from aebert.config import DistillConfig, TrainConfig
from aebert.errors import ModelError
from aebert.models.evaluation import model_inputs
from aebert.progress import SILENT, Bar, Progress
from aebert.tasks.encoding import collate, encode
from aebert.tasks.task import Row, TaskSpec
from aebert.training.losses import hidden_loss, logits_loss, task_loss

CHECKPOINTS = 5  # per training run; a killed one loses at most a fifth of its steps


def fine_tune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    spec: TaskSpec,
    config: TrainConfig,
    *,
    max_length: int,
    seed: int,
    folder: Path,
    teacher: PreTrainedModel | None = None,
    distill: DistillConfig | None = None,
    title: str = "fine-tune",
    progress: Progress = SILENT,
) -> None:
    """Train `model` in place and leave it in eval mode.

    folder: where checkpoints of the run are kept until it ends; if it holds some, training goes on from the last whole
      one. With `distill`, `teacher` (the dense model, in eval mode, left unchanged) adds its losses.

    Raises: ModelError when the loss stops being finite.
    """
    encoded = encode(rows, spec, tokenizer, max_length)
    with progress.bar(title, _steps(len(rows), config)) as bar:
        trainer = _DistillingTrainer(
            model=model,
            args=_arguments(config, folder, seed),
            train_dataset=encoded,  # a list of rows is a map-style data set
            data_collator=lambda batch: collate(batch, tokenizer),
            callbacks=[_Report(bar)],
        )
        trainer.objective = _objective(spec, teacher, distill)
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=last_whole_checkpoint(folder))
    # the Trainer moves models to a GPU that it finds; everything else here runs on the CPU
    for used in (model, teacher):
        if used is not None:
            used.to("cpu")
    model.eval()
    if not all(torch.isfinite(parameter).all() for parameter in model.parameters()):
        raise ModelError(f"{title}: weights must stay finite, they did not: lower learning_rate")
    shutil.rmtree(folder, ignore_errors=True)


def last_whole_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end: its state file, which comes last, is whole."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for checkpoint in found:
        try:
            json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return str(checkpoint)
    return None


def _steps(rows: int, config: TrainConfig) -> int:
    return int(-(-rows // config.batch_size) * config.epochs)


def _arguments(config: TrainConfig, folder: Path, seed: int) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=config.epochs,
        learning_rate=config.learning_rate,
        per_device_train_batch_size=config.batch_size,
        weight_decay=config.weight_decay,
        warmup_steps=config.warmup_ratio,  # below 1 it is a share of all steps
        train_sampling_strategy="group_by_length",  # rows of like length share a batch: less padding to compute
        save_strategy="steps",
        save_steps=1 / CHECKPOINTS,
        save_total_limit=1,
        logging_steps=10,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        seed=seed,
        data_seed=seed,
    )


Objective = Callable[[PreTrainedModel, dict[str, torch.Tensor]], torch.Tensor]


class _DistillingTrainer(Trainer):  # type: ignore[misc]
    """transformers' Trainer with our loss: the task's, plus the teacher's when there is one."""

    objective: Objective

    def compute_loss(
        self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        return self.objective(model, inputs)


def _objective(spec: TaskSpec, teacher: PreTrainedModel | None, distill: DistillConfig | None) -> Objective:
    def plain(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return task_loss(spec, model(**model_inputs(model, batch)).logits, batch["labels"])

    def distilled(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        assert teacher is not None
        assert distill is not None
        inputs, labels = model_inputs(model, batch), batch["labels"]
        outputs = model(**inputs, output_hidden_states=distill.hidden > 0)
        with torch.no_grad():
            wanted = teacher.to(labels.device)(**inputs, output_hidden_states=distill.hidden > 0)
        loss = (1 - distill.logits) * task_loss(spec, outputs.logits, labels)
        loss = loss + distill.logits * logits_loss(spec, outputs.logits, wanted.logits, labels, distill.temperature)
        if distill.hidden > 0:
            states = hidden_loss(outputs.hidden_states, wanted.hidden_states, batch["attention_mask"])
            loss = loss + distill.hidden * states
        return loss

    if distill is None:
        return plain
    if teacher is None:
        raise ModelError("distillation needs a teacher: pass the dense model, or set finalists.distill to null")
    return distilled


class _Report(TrainerCallback):  # type: ignore[misc]
    """Moves the progress bar; shows the training loss."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.advance(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.advance(1)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self._bar.advance(0, f"loss {float(logs['loss']):.3f}")
