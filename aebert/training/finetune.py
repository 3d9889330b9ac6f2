"""Fine-tuning with transformers' Trainer, resumable, with or without a dense teacher."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from aebert.config import DistillConfig, TrainConfig
from aebert.digests import weights_digest
from aebert.errors import ModelError
from aebert.models.evaluation import model_inputs
from aebert.models.families import family_of
from aebert.progress import SILENT, Bar, Progress
from aebert.sections import digest, plain
from aebert.tasks.encoding import collate, encode_windows
from aebert.tasks.task import Row, TaskSpec
from aebert.training.losses import hidden_loss, logits_loss, task_loss

CHECKPOINTS = 5  # per training run, so that a killed one loses at most a fifth of its steps


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

    folder: where the run's checkpoints are kept until it ends. If there are some of a run with the same rows, settings
      and first weights, training goes on from the last whole one; checkpoints of other runs are deleted.
    With `distill`, the losses to `teacher` are added (the dense model, in eval mode, which is not changed).

    Raises: ModelError at the first step whose loss is not finite, and at the end where weights are not.
    """
    encoded = [window for row in encode_windows(rows, spec, tokenizer, max_length) for window in row]
    settings = {name: getattr(config, name) for name in TrainConfig.model_fields}  # without those of finalists alone
    checkpoints = _own_folder(
        folder,
        digest(
            settings,
            plain(distill) if distill else None,
            [weights_digest(one) for one in (model, teacher) if one is not None],
            [seed, spec.kind],
            encoded,
        ),
    )
    with progress.bar(title, _steps(len(encoded), config)) as bar:
        trainer = _DistillingTrainer(
            model=model,
            args=_arguments(config, checkpoints, seed),
            train_dataset=encoded,  # a list of rows is a map-style data set
            data_collator=lambda batch: collate(batch, tokenizer),
            callbacks=[_Report(bar)],
        )
        trainer.objective, trainer.title = _objective(spec, teacher, distill), title
        trainer.head_learning_rate = config.head_learning_rate
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=last_whole_checkpoint(checkpoints))
    # the Trainer moves models to a GPU if it finds one; everything else runs on the CPU
    for used in (model, teacher):
        if used is not None:
            used.to("cpu")
    model.eval()
    if not all(torch.isfinite(parameter).all() for parameter in model.parameters()):
        raise ModelError(f"{title}: weights must stay finite, they did not: lower learning_rate")
    shutil.rmtree(folder, ignore_errors=True)


def _own_folder(folder: Path, inputs: str) -> Path:
    """The folder of the run with these inputs. Folders of other runs, whose checkpoints don't fit, are deleted."""
    for other in folder.glob("*"):
        if other.name != inputs:
            shutil.rmtree(other, ignore_errors=True)
    return folder / inputs


def last_whole_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written completely, so that its state file, which comes last, is whole."""
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
        warmup_steps=config.warmup_ratio,  # a number below 1 is a share of all steps
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


LossFunction = Callable[[PreTrainedModel, dict[str, torch.Tensor]], torch.Tensor]


class _EpochSampler(LengthGroupedSampler):  # type: ignore[misc]
    """Groups rows of similar length, in an order that follows from the seed and the epoch alone.

    transformers' sampler draws the order from the global generator, so a run that is resumed within an epoch would see
    some rows twice and others never.
    """

    epoch, seed = 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by accelerate's data loader before each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        state = np.random.SeedSequence([self.seed, self.epoch]).generate_state(1)[0]
        self.generator = torch.Generator().manual_seed(int(state))
        yield from super().__iter__()


class _DistillingTrainer(Trainer):  # type: ignore[misc]
    """transformers' Trainer with our loss: the task's, plus the teacher's when there is one."""

    objective: LossFunction
    title: str
    head_learning_rate: float | None = None

    def create_optimizer(self, *arguments: Any, **options: Any) -> torch.optim.Optimizer:
        """AdamW as the Trainer makes it, with separate groups for the output layer if it has a rate of its own."""
        optimizer: torch.optim.Optimizer = super().create_optimizer(*arguments, **options)
        if self.head_learning_rate is not None:
            head = {id(p) for p in family_of(self.model.config).output_layer(self.model).parameters()}
            for group in list(optimizer.param_groups):
                mine = [p for p in group["params"] if id(p) in head]
                group["params"] = [p for p in group["params"] if id(p) not in head]
                if mine:
                    optimizer.add_param_group({**group, "params": mine, "lr": self.head_learning_rate})
        return optimizer

    def _get_train_sampler(self, train_dataset: Any = None) -> _EpochSampler:
        # rows of similar length share a batch, so there is less padding to compute
        sampler = _EpochSampler(self.args.train_batch_size, dataset=self.train_dataset)
        sampler.seed = self.args.data_seed
        return sampler

    def compute_loss(
        self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        loss = self.objective(model, inputs)
        if not torch.isfinite(loss):
            step = self.state.global_step + 1
            raise ModelError(f"{self.title}: the loss must stay finite, at step {step} it is not: lower learning_rate")
        return loss


def _objective(spec: TaskSpec, teacher: PreTrainedModel | None, distill: DistillConfig | None) -> LossFunction:
    def plain(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return task_loss(spec, model(**model_inputs(model, batch)).logits, batch["labels"])

    def distilled(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        assert teacher is not None
        assert distill is not None
        inputs, labels = model_inputs(model, batch), batch["labels"]
        outputs = model(**inputs, output_hidden_states=distill.hidden > 0)
        with torch.no_grad():
            wanted = teacher.to(labels.device)(**inputs, output_hidden_states=distill.hidden > 0)
        loss = logits_loss(spec, outputs.logits, wanted.logits, labels, distill.temperature)
        if spec.kind != "embedding":  # which has no labels to learn from
            loss = (1 - distill.logits) * task_loss(spec, outputs.logits, labels) + distill.logits * loss
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
    """Advances the progress bar and shows the training loss."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.advance(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.advance(1)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self._bar.advance(0, f"loss {float(logs['loss']):.3f}")
