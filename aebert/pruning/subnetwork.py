"""Saving and loading sub-networks: a config that states each block's size, and classes that build those blocks.

For every family and task head there is one class, `SubnetworkBertForSequenceClassification` and so on, registered with
transformers' Auto classes under the model type `aebert-<family>`, so that `save_pretrained`, `from_pretrained` and
`Trainer` work on sub-networks as on any model once this module is imported.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PretrainedConfig,
    PreTrainedModel,
)

from aebert.errors import ModelError
from aebert.models.blocks import ConstantOutput, EmptyProjection
from aebert.models.embedding import SUFFIX, embedding_class
from aebert.models.families import FAMILIES, Block, family_of
from aebert.models.loading import one_line_errors, quiet_loading
from aebert.pruning.architecture import Architecture

MODEL_TYPE_PREFIX = "aebert-"


@cache
def _config_class(family: str) -> Any:
    base = CONFIG_MAPPING[family]
    name = f"Subnetwork{base.__name__}"
    return type(name, (base,), {"model_type": MODEL_TYPE_PREFIX + family, "__module__": __name__})


_CLASSES: dict[type[PreTrainedModel], Any] = {}


def subnetwork_class(base: type[PreTrainedModel]) -> Any:
    """The sub-network form of a task model class; the class itself if it is one."""
    if base not in _CLASSES:
        _CLASSES[base] = _make_class(base)
    return _CLASSES[base]


def _make_class(base: type[PreTrainedModel]) -> Any:
    if base.__name__.startswith("Subnetwork"):
        return base

    def build(self: Any, config: PretrainedConfig) -> None:
        base.__init__(self, config)
        _resize(self, architecture_of(config))

    config_class = _config_class(base.config_class.model_type)
    members = {"__init__": build, "config_class": config_class, "__module__": __name__}
    return type(f"Subnetwork{base.__name__}", (base,), members)


def subnetwork_config(config: PretrainedConfig, architecture: Architecture) -> PretrainedConfig:
    """The config of a dense model or of a sub-network, plus block sizes."""
    family = family_of(config).model_type
    values = {key: value for key, value in config.to_dict().items() if key not in ("model_type", "architectures")}
    values |= {"aebert_family": family}
    values |= {f"aebert_{name}": counts for name, counts in architecture.to_dict().items()}
    small = _config_class(family).from_dict(values)
    small._attn_implementation = config._attn_implementation
    return small


def architecture_of(config: PretrainedConfig) -> Architecture:
    """The architecture that a sub-network's config states."""
    return Architecture(tuple(config.aebert_heads), tuple(config.aebert_ffn))


def _resize(model: PreTrainedModel, architecture: Architecture) -> None:
    """Give every block the stated size, with weights still to be loaded."""
    kept = (*architecture.heads, *architecture.ffn)
    for (block, size), units in zip(family_of(model.config).blocks(model), kept, strict=True):
        _resize_block(block, units * size)


def _resize_block(block: Block, width: int) -> None:
    out = block.output.module.out_features
    for place in block.inputs:
        features = place.module.in_features
        place.put(torch.nn.Linear(features, width) if width else EmptyProjection(features))
    block.output.put(torch.nn.Linear(width, out) if width else ConstantOutput(torch.zeros(out)))


def load_subnetwork(folder: Path) -> PreTrainedModel:
    """Load a sub-network that `save_pretrained` stored, in eval mode. The dense model is not needed.

    Raises: ModelError when the folder holds none, or a damaged one.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(f"sub-network folder {folder} must hold config.json; it does not")
    with one_line_errors(str(folder)), quiet_loading():
        config = AutoConfig.from_pretrained(folder)
        _check_config(config, folder)
        auto = _auto_class(config)
        model, loading = auto.from_pretrained(folder, config=config, dtype=torch.float32, output_loading_info=True)
    if loading["missing_keys"] or loading["unexpected_keys"]:
        key = next(iter([*loading["missing_keys"], *loading["unexpected_keys"]]))
        raise ModelError(f"weights in {folder} must be those its config describes; {key} does not fit")
    return model.eval()


def _auto_class(config: PretrainedConfig) -> Any:
    names = " ".join(config.architectures or [])
    if SUFFIX in names:
        return AutoModel
    return AutoModelForTokenClassification if "TokenClassification" in names else AutoModelForSequenceClassification


def _check_config(config: PretrainedConfig, folder: Path) -> None:
    if not config.model_type.startswith(MODEL_TYPE_PREFIX):
        raise ModelError(f"{folder} must hold a sub-network, it holds a model of type {config.model_type!r}")
    stated = config.to_dict()
    for key in ("aebert_heads", "aebert_ffn"):
        if not isinstance(stated.get(key), list):
            found = repr(stated[key]) if key in stated else "nothing"
            raise ModelError(f"config of {folder} must state the size of each block in {key}, got {found}")


def _register_all() -> None:
    for family in FAMILIES:
        config = _config_class(family)
        AutoConfig.register(config.model_type, config)
        dense = CONFIG_MAPPING[family]
        for auto, mapping in (
            (AutoModelForSequenceClassification, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING),
            (AutoModelForTokenClassification, MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING),
        ):
            auto.register(config, subnetwork_class(mapping[dense]))
        AutoModel.register(config, subnetwork_class(embedding_class(family)))


_register_all()
