"""The dense model of a run: as it came if it has an output layer for the task, else fine-tuned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from aebert.config import ModelConfig
from aebert.errors import StudyError
from aebert.models.checkpoint import Checkpoint, load_checkpoint
from aebert.models.counting import shape_of
from aebert.models.evaluation import evaluate
from aebert.models.shape import ModelShape
from aebert.run.check import is_trained
from aebert.run.run import Run
from aebert.run.training import settings_given, store_model, train_model
from aebert.studies.folder import DENSE

_SHOWN = 3  # changes that a message names


@dataclass(frozen=True)
class Dense:
    """The dense model of a run, fine-tuned. digest: of its weights; seconds: of its training."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    shape: ModelShape
    digest: str
    seconds: float


def dense_model(run: Run, start: Checkpoint, check: Callable[[], None], *, in_use: bool) -> Dense:
    """The dense model, from the run's folder or made now of the checkpoint that the run starts from.

    check: raises whatever speaks against the model, before hours are spent on training.
    in_use: whether there are trials of the model that the folder holds.

    Raises: StudyError where a model in use would be overwritten by another one.
    """
    config, spec, train = run.config, run.task.spec, is_trained(run.config, start)
    stage = run.stage(DENSE, _inputs(run, start, train), outputs=[DENSE])

    if stage.done() is None:
        if in_use and (changes := stage.changes()):
            raise StudyError(
                f"study {run.config.name!r} has trials of another dense model: {_shortly(changes)}. Restore what that "
                "was made from to resume the study, or choose another name; nothing was overwritten"
            )
        check()

    def make() -> dict[str, Any]:
        if train:
            title = f"fine-tune dense {config.model.path}"
            train_model(run, start.model, start.tokenizer, config.dense, title=title, stage=stage.name)
        store_model(start.model, start.tokenizer, run.folder / DENSE)
        return {"fine_tuned_here": train}

    result = stage.run(make)
    stored = load_checkpoint(ModelConfig(path=str(run.folder / DENSE)), spec, config.seed)
    return Dense(
        model=stored.model,
        tokenizer=stored.tokenizer,
        shape=shape_of(stored.model),
        digest=stored.digest,
        seconds=result["seconds"],
    )


def _shortly(changes: Sequence[str]) -> str:
    """The first few changes; a section that was not there before has many."""
    more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
    return "; ".join(changes[:_SHOWN]) + more


def _inputs(run: Run, start: Checkpoint, train: bool) -> dict[str, Any]:
    config = run.config
    trained_on = {**settings_given(config.dense), "rows": run.task.digests["train"], "seed": config.seed}
    return {
        "weights": start.digest,
        "labels": run.task.spec.output_names,
        "train": trained_on if train else None,
        "max_length": config.data.max_length,
    }


def select_metrics(run: Run, dense: Dense) -> Mapping[str, float]:
    """Metrics of the dense model on the select rows, which finalists are compared with."""
    stage = run.stage("dense-select", {"dense": dense.digest, "rows": run.rows_digest("select")})

    def make() -> dict[str, Any]:
        return {"metrics": dict(evaluate(dense.model, run.rows("select", dense.tokenizer)).metrics)}

    metrics: Mapping[str, float] = stage.run(make)["metrics"]
    return metrics
