"""Loading dense checkpoints for a task."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from aebert.config import ModelConfig
from aebert.errors import AebertError, ModelError
from aebert.models.families import family_of
from aebert.models.minilm import minilm_folder
from aebert.tasks.task import TaskSpec

AUTO_MODELS: dict[str, Any] = {
    "classification": AutoModelForSequenceClassification,
    "regression": AutoModelForSequenceClassification,
    "ner": AutoModelForTokenClassification,
}


@dataclass(frozen=True)
class Checkpoint:
    """A dense model for a task. fine_tuned: whether its output layer came with the checkpoint."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    fine_tuned: bool


def load_checkpoint(config: ModelConfig, spec: TaskSpec, seed: int) -> Checkpoint:
    """Load a checkpoint with an output layer for the task, on the CPU, in float32, in eval mode.

    An output layer that the checkpoint lacks is initialised from `seed`. One that it has is brought into the order of
    the task's labels by their names.

    Raises: ModelError for a missing, damaged or unsuitable checkpoint.
    """
    source, options = _source(config.path), {"revision": config.revision} if config.revision else {}
    with one_line_errors(config.path):
        stored = AutoConfig.from_pretrained(source, **options)
        family = family_of(stored)
        spaces = {"add_prefix_space": True} if spec.kind == "ner" and family.model_type == "roberta" else {}
        tokenizer = AutoTokenizer.from_pretrained(source, **options, **spaces)
        with quiet_loading(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model, loading = AUTO_MODELS[spec.kind].from_pretrained(
                source,
                num_labels=_stored_outputs(stored, spec),
                problem_type="regression" if spec.kind == "regression" else None,
                dtype=torch.float32,
                output_loading_info=True,
                **options,
            )
    missing = [key for key in loading["missing_keys"] if not key.startswith("classifier") and "pooler" not in key]
    if [key for key in missing if key.startswith(family.backbone)]:
        raise ModelError(f"checkpoint {config.path} must hold all encoder weights; {missing[0]} is missing")
    fine_tuned = not any(key.startswith("classifier") for key in loading["missing_keys"])
    if fine_tuned:
        order_outputs(model, config.labels or _names(stored, spec), spec)
    name_outputs(model, spec)
    return Checkpoint(model.eval(), tokenizer, fine_tuned)


def _stored_outputs(stored: Any, spec: TaskSpec) -> int:
    """Outputs to load: the checkpoint's own when it is of the task's type, so that a wrong number can be named."""
    suffix = "ForTokenClassification" if spec.kind == "ner" else "ForSequenceClassification"
    fine_tuned = any(name.endswith(suffix) for name in stored.architectures or [])
    if not fine_tuned:
        return spec.num_outputs
    if stored.num_labels != spec.num_outputs:
        raise ModelError(
            f"checkpoint must have {spec.num_outputs} outputs for task {spec.name}, it has {stored.num_labels}; "
            "choose another checkpoint or set task.labels"
        )
    return int(stored.num_labels)


def _names(stored: Any, spec: TaskSpec) -> Sequence[str]:
    names = [str(stored.id2label[index]) for index in range(stored.num_labels)]
    unnamed = all(re.fullmatch(r"LABEL_\d+", name) for name in names)
    return spec.output_names if unnamed or spec.kind == "regression" else names


def order_outputs(model: PreTrainedModel, names: Sequence[str], spec: TaskSpec) -> None:
    """Permute the rows of the output layer, which mean `names`, into the order of the task's labels.

    Names are compared without case. Raises: ModelError when they are not the same set.
    """
    have = [name.lower() for name in names]
    want = [name.lower() for name in spec.output_names]
    if sorted(have) != sorted(want):
        raise ModelError(
            f"outputs of the checkpoint must be the labels of task {spec.name} ({', '.join(spec.output_names)}), "
            f"got {', '.join(names)}; set model.labels to the task's names in the checkpoint's order"
        )
    layer = family_of(model.config).output_layer(model)
    order = [have.index(name) for name in want]
    with torch.no_grad():
        layer.weight.copy_(layer.weight[order].clone())
        layer.bias.copy_(layer.bias[order].clone())


def name_outputs(model: PreTrainedModel, spec: TaskSpec) -> None:
    """Write the task's label names into the model's config."""
    model.config.id2label = dict(enumerate(spec.output_names))
    model.config.label2id = {name: index for index, name in enumerate(spec.output_names)}


def _source(path: str) -> str:
    if path == "minilm":
        return str(minilm_folder())
    folder = Path(path).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"model folder {path} must hold config.json; it does not")
        return str(folder)
    if path.startswith((".", "/", "~")) or path.count("/") > 1:
        raise ModelError(f"model folder {path} does not exist; model.path takes 'minilm', a hub id or a folder")
    return path


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Silence the loading report of transformers: what it says is checked here and said in our words."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def one_line_errors(path: str) -> Iterator[None]:
    """Turn what transformers and safetensors raise on bad checkpoints into a `ModelError` of one line."""
    try:
        yield
    except AebertError:
        raise
    except SafetensorError as error:
        raise ModelError(f"weights of {path} are damaged or truncated ({error}): copy them again") from error
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        if "ignore_mismatched_sizes" in reason:  # it refers to a report that we silence
            reason = "its weights have other sizes than its config, or the task's number of outputs, asks for"
        raise ModelError(f"checkpoint {path} can't be loaded: {reason}") from error
