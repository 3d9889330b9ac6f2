"""The output layer of a checkpoint: which class of transformers it was saved from, and whether its task is ours."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal

import torch
import transformers
from transformers import PretrainedConfig, PreTrainedModel
from transformers.models.auto import modeling_auto

from aebert.errors import ModelError
from aebert.models.embedding import embedding_class, embedding_class_names
from aebert.models.outputs import OtherHead, Outputs, name_order, stated_outputs
from aebert.tasks.task import TaskKind, TaskSpec

HeadKind = Literal["sequence", "token", "none", "other"]
Train = Literal["auto", "always", "never"]

_MAPPINGS: dict[str, HeadKind] = {
    "MODEL_FOR_QUESTION_ANSWERING": "other",
    "MODEL_FOR_MULTIPLE_CHOICE": "other",
    "MODEL_FOR_SEQUENCE_CLASSIFICATION": "sequence",
    "MODEL_FOR_TOKEN_CLASSIFICATION": "token",
    "MODEL": "none",
    "MODEL_FOR_PRETRAINING": "none",
    "MODEL_FOR_MASKED_LM": "none",
    "MODEL_FOR_CAUSAL_LM": "none",
    "MODEL_FOR_NEXT_SENTENCE_PREDICTION": "none",
}
_KIND_OF_TASK: dict[TaskKind, HeadKind] = {
    "classification": "sequence",
    "regression": "sequence",
    "ner": "token",
    "embedding": "none",
}
_PROBLEMS = (None, "regression", "single_label_classification", "multi_label_classification")


@dataclass(frozen=True)
class Head:
    """The output layer that a task's model gets.

    order: for each output of the task, the checkpoint's output that it is; None where a new layer starts.
    reason: why a new one starts, or where the kept one is from.
    """

    order: tuple[int, ...] | None
    reason: str

    @property
    def kept(self) -> bool:
        """Whether the checkpoint's own output layer is used."""
        return self.order is not None


@cache
def head_classes(model_type: str) -> dict[str, HeadKind]:
    """Classes of a family by name: over sequences, over tokens, without labels (pre-training), or of another task."""
    kinds: dict[str, HeadKind] = {}
    for mapping, kind in _MAPPINGS.items():
        name = getattr(modeling_auto, f"{mapping}_MAPPING_NAMES").get(model_type)
        if name:
            kinds.setdefault(name, kind)
    return kinds


def task_class(model_type: str, task: TaskKind) -> type[PreTrainedModel]:
    """The class of a family that has the output layer of a task, or makes embeddings."""
    if task == "embedding":
        return embedding_class(model_type)
    wanted = _KIND_OF_TASK[task]
    return next(_class(name) for name, kind in head_classes(model_type).items() if kind == wanted)


def base_class(model_type: str) -> type[PreTrainedModel]:
    """The class of a family without an output layer."""
    return _class(modeling_auto.MODEL_MAPPING_NAMES[model_type])


def unlabelled_classes(model_type: str) -> list[type[PreTrainedModel]]:
    """The classes of a family for pre-training, and the one without any output layer."""
    return [_class(name) for name, kind in head_classes(model_type).items() if kind == "none"]


def stored_class(stated: Mapping[str, Any], model_type: str) -> type[PreTrainedModel]:
    """The class that a checkpoint was saved from; the one without output layer where its config names none.

    Raises: ModelError when config.json names several classes, or one that is not transformers' own.
    """
    listed = stated.get("architectures") or [base_class(model_type).__name__]
    listed = [listed] if isinstance(listed, str) else listed
    names = {str(name).removeprefix("TF").removeprefix("Flax") for name in listed}
    classes = head_classes(model_type)
    if len(names) > 1 or not names <= classes.keys():
        raise ModelError(
            f"architectures must name one of {', '.join(classes)}, got {', '.join(map(str, listed))}; if the model "
            "computes what one of these does, name it in config.json, else save the model as one"
        )
    return _class(names.pop())


def _class(name: str) -> type[PreTrainedModel]:
    found: type[PreTrainedModel] = embedding_class_names().get(name) or getattr(transformers, name)
    return found


def tensor_shapes(model: type[PreTrainedModel], config: PretrainedConfig) -> Mapping[str, tuple[int, ...]]:
    """Names and shapes of what `save_pretrained` stores of a model; names begin with the backbone's also for itself.

    Raises: ModelError when no model can be built from the config.
    """
    return _shapes_by(model.__name__, config.to_json_string(use_diff=False))


@lru_cache(maxsize=32)  # a run loads a checkpoint, and later what it has made of it
def _shapes_by(name: str, values: str) -> Mapping[str, tuple[int, ...]]:
    model = _class(name)
    try:
        with torch.device("meta"):
            built = model(model.config_class.from_dict(json.loads(values)))
    except Exception as error:  # each family checks in its own way, or fails in torch
        raise ModelError(f"{' '.join(str(error).split())}; correct config.json") from error
    prefix = f"{built.base_model_prefix}." if model is base_class(built.config.model_type) else ""
    return {prefix + key: tuple(tensor.shape) for key, tensor in built.state_dict().items()}


def decide_head(
    stated: Mapping[str, Any],
    stored: type[PreTrainedModel],
    spec: TaskSpec,
    given: Sequence[str] | None,
    labels_stated: bool,
    train: Train,
) -> Head:
    """Keep the checkpoint's output layer if it is one for this task and its labels.

    Otherwise a new one starts: with `auto` when the layer plainly is of another task or number of labels, with
    `always` whatever is wrong with it. Embeddings need none.

    Raises: ModelError when the layer doesn't fit and `train` doesn't allow a new one, and for embeddings of a
      checkpoint that was trained to give labels.
    """
    if spec.kind == "embedding":
        return _no_head(stored)
    try:
        order = _fit(stated, stored, spec, given, labels_stated)
    except OtherHead as error:
        if train == "never":
            raise OtherHead(f"{error}; choose another checkpoint, or set dense.train to auto") from None
        return Head(None, str(error))
    except ModelError as error:
        if train != "always":
            raise
        return Head(None, str(error).partition(";")[0])
    return Head(order, f"output layer of {stored.__name__}")


def _no_head(stored: type[PreTrainedModel]) -> Head:
    if head_classes(stored.config_class.model_type)[stored.__name__] != "none":
        raise ModelError(
            f"embeddings need an encoder without an output layer for labels, got a {stored.__name__}; choose an "
            "embedding model, or a task of the kind that this one was trained for"
        )
    return Head((), f"embeddings are made of the encoder of {stored.__name__}")


def _fit(
    stated: Mapping[str, Any],
    stored: type[PreTrainedModel],
    spec: TaskSpec,
    given: Sequence[str] | None,
    labels_stated: bool,
) -> tuple[int, ...]:
    kind = head_classes(stored.config_class.model_type)[stored.__name__]
    if kind != _KIND_OF_TASK[spec.kind]:
        raise OtherHead(f"{stored.__name__} has no output layer for {spec.kind}")
    outputs, problem = stated_outputs(stated), stated.get("problem_type")
    if problem not in _PROBLEMS:
        known = ", ".join(str(name) for name in _PROBLEMS[1:])
        raise ModelError(f"problem_type must be one of {known}, got {problem!r}; correct config.json")
    if kind == "sequence":
        _check_problem(problem, outputs, spec)
    return (0,) if spec.kind == "regression" else name_order(outputs, spec, given, labels_stated)


def _check_problem(problem: str | None, outputs: Outputs, spec: TaskSpec) -> None:
    regression = problem == "regression" or outputs.count == 1
    if regression != (spec.kind == "regression"):
        theirs = "scores" if regression else "classes"
        raise OtherHead(f"the checkpoint predicts {outputs.count} {theirs}, task {spec.name} is {spec.kind}")
    if spec.kind == "regression" and (outputs.count != 1 or problem not in (None, "regression")):
        raise OtherHead(f"the checkpoint predicts {outputs.count} scores ({problem}), task {spec.name} has one")
    if problem == "multi_label_classification":
        raise ModelError(
            f"problem_type must be single_label_classification for task {spec.name}, got {problem}; set dense.train to "
            "always for a new output layer"
        )
