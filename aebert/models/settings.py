"""The settings of a checkpoint: what its config.json states, and what of it this version of transformers reads."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import transformers
from transformers import CONFIG_MAPPING, PretrainedConfig
from transformers.activations import ACT2FN
from transformers.generation.configuration_utils import GenerationConfig

from aebert.errors import ModelError

# Settings that change what a model computes and that no family here follows: the values at which they change nothing,
# and what to do about others.
_REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "position_embedding_type": (("absolute",), "this version of transformers computes absolute positions only"),
    "pruned_heads": ((), "this version of transformers can't remove heads; save the model again with all heads"),
    "head_mask": ((), "this version of transformers ignores it; save the model again with those heads set to zero"),
    "is_decoder": ((), "aebert runs encoders only; set it to false if the model was trained as one"),
    "add_cross_attention": ((), "aebert runs encoders only; give a model without cross-attention"),
    "is_encoder_decoder": ((), "aebert runs encoders only; give a model without a decoder"),
    "quantization_config": ((), "aebert starts from float weights; call model.dequantize() and save the result"),
    "per_layer_config": ((), "aebert needs layers of one shape; save the model without it"),
    "fusion_config": ((), "aebert needs the modules that transformers defines; save the model without it"),
    "transformers_weights": ((), "aebert reads the usual file names; rename the weights and remove the key"),
    "auto_map": ((), "aebert doesn't run a model's own code; save the model as a class of transformers"),
    "adapters": ((), "aebert needs weights without adapters; merge them into the model and save the result"),
    "aebert_heads": ((), "this is a sub-network that aebert has pruned; give the dense model"),
}
_NEUTRAL: tuple[Any, ...] = (None, False, 0, "", {}, [])

# Fields of transformers' own classes that don't change the logits in evaluation, though one or another is read.
HARMLESS = frozenset(
    "bos_token_id eos_token_id tie_word_embeddings use_cache initializer_range sinusoidal_pos_embds "
    "chunk_size_feed_forward hidden_dropout_prob attention_probs_dropout_prob classifier_dropout dropout "
    "attention_dropout qa_dropout seq_classif_dropout summary_type summary_use_proj summary_activation "
    "summary_last_dropout output_hidden_states output_attentions return_dict dtype transformers_version architectures "
    "id2label label2id problem_type".split()
)

# Keys that older versions and other programs write beside those of the class and that don't change the logits.
_KNOWN = frozenset(
    "model_type _name_or_path name_or_path torch_dtype num_labels _num_labels finetuning_task output_past xla_device "
    "directionality pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head pooler_type "
    "gradient_checkpointing torchscript use_bfloat16 tie_weights_ tie_encoder_decoder task_specific_params "
    "cls_token_id sep_token_id unk_token_id mask_token_id decoder_start_token_id pad_index use_return_dict prefix "
    "_attn_implementation _attn_implementation_autoset attn_implementation language languages sentence_transformers "
    "summary_first_dropout summary_proj_to_labels classifier_dropout_prob layerdrop pretraining_tp init_std "
    "tf_legacy_loss cross_attention_hidden_size true_hidden_size aebert_pooling aebert_normalize".split()
)

# Encoders whose settings somebody might expect these families to follow.
_RELATIVES = (
    "bert roberta electra distilbert mobilebert albert deberta deberta-v2 longformer big_bird xmod squeezebert "
    "convbert funnel mpnet roformer nystromformer megatron-bert ibert fnet mra yoso xlm-roberta-xl "
    "roberta-prelayernorm rembert nomic_bert modernbert layoutlm ernie esm luke"
).split()

# What families without such a key compute, where that has a name.
_FIXED: dict[str, tuple[Any, ...]] = {
    "layer_norm_eps": (1e-12,),
    "position_embedding_type": ("absolute",),
    "type_vocab_size": (1, 2),
    "summary_type": ("first",),
}


def read_settings(folder: Path) -> dict[str, Any]:
    """The values of a folder's config.json. Raises: ModelError when it is missing or not JSON."""
    path = folder / "config.json"
    try:
        stated = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError:
        raise ModelError(f"model folder {folder} must hold config.json; it does not") from None
    except ValueError as error:
        raise ModelError(f"{path} must be JSON: {error}; copy it again") from None
    if not isinstance(stated, dict):
        raise ModelError(f"{path} must be a table of settings, got {type(stated).__name__}; copy it again")
    return stated


def refused_settings(stated: Mapping[str, Any], model_type: str) -> str | None:
    """The first setting that changes what the model computes and that won't be followed, with what to do about it."""
    for key, (neutral, fix) in _REFUSED.items():
        if stated.get(key) not in (*_NEUTRAL, *neutral):
            return f"{key} must be left out, got {_short(stated[key])}; {fix}"
    for key in _unread(stated, model_type):
        if key in _settings_of_relatives() and not _changes_nothing(key, stated, model_type):
            return (
                f"{key} must be a setting that {model_type} follows, got {_short(stated[key])}, which transformers "
                f"{transformers.__version__} ignores; remove it if the model was trained without it"
            )
    return None


def unread_settings(stated: Mapping[str, Any], model_type: str) -> tuple[str, ...]:
    """Keys that mean nothing to transformers, which notes name."""
    return tuple(key for key in _unread(stated, model_type) if key not in _settings_of_relatives())


def _unread(stated: Mapping[str, Any], model_type: str) -> list[str]:
    read = _fields(model_type) | HARMLESS | _KNOWN | _REFUSED.keys() | set(CONFIG_MAPPING[model_type].attribute_map)
    generation = GenerationConfig._get_default_generation_params()
    return [key for key in stated if key not in read and key not in generation and "dropout" not in key]


def _changes_nothing(key: str, stated: Mapping[str, Any], model_type: str) -> bool:
    value = stated[key]
    if key == "embedding_size":  # BERT's embeddings are as wide as its layers
        return bool(value == stated.get("hidden_size", CONFIG_MAPPING[model_type]().hidden_size))
    return value in (*_NEUTRAL, *_FIXED.get(key, ()))


@cache
def _fields(model_type: str) -> frozenset[str]:
    return frozenset(field.name for field in fields(CONFIG_MAPPING[model_type]))


@cache
def _settings_of_relatives() -> frozenset[str]:
    """Settings of all encoders of this kind. Importing their classes takes a second, so only odd configs pay for it."""
    return frozenset().union(*(_fields(name) for name in _RELATIVES if name in CONFIG_MAPPING))


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def build_config(stated: Mapping[str, Any], model_type: str, outputs: int) -> PretrainedConfig:
    """The config of a model with so many outputs, from the settings that its class reads and nothing else.

    Raises: ModelError when a setting is of the wrong type or has an impossible value.
    """
    config_class = CONFIG_MAPPING[model_type]
    read = (_fields(model_type) | set(config_class.attribute_map)) - HARMLESS
    for key in sorted(read & stated.keys()):
        if isinstance(stated[key], float) and not math.isfinite(stated[key]):
            raise ModelError(f"{key} must be a finite number, got {stated[key]}; copy config.json again")
    try:
        config = config_class.from_dict({key: stated[key] for key in stated if key in read})
    except (
        Exception
    ) as error:  # the checks of transformers raise several kinds, some of which derive from Exception alone
        reason = " ".join(str(error).split())
        raise ModelError(f"{reason}; correct config.json") from error
    _check_activation(config)
    config.num_labels = outputs
    return config


def _check_activation(config: PretrainedConfig) -> None:
    key = "activation" if hasattr(config, "activation") else "hidden_act"
    if getattr(config, key) not in ACT2FN:
        raise ModelError(
            f"{key} must be an activation of transformers, got {getattr(config, key)!r}; correct config.json"
        )
