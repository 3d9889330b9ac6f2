"""The files that make a bundle a model folder as the hub has them, for programs that know nothing of `aebert`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from aebert.deployment.model_card import model_card
from aebert.models.families import family_of
from aebert.models.heads import base_class, task_class
from aebert.models.pooling import layout, pooling_of_config
from aebert.runtime.container import TOKENIZER
from aebert.tasks.task import TaskSpec

CARD, CONFIG = "README.md", "config.json"

_OF_THIS_MACHINE = ("_name_or_path", "name_or_path", "torch_dtype", "dtype", "transformers_weights")


def hub_files(
    config: PretrainedConfig,
    spec: TaskSpec,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    values: Mapping[str, Any],
) -> dict[str, bytes]:
    """Files by name besides graphs, tokenizer.json and the manifest.

    config: of the dense model. max_length: tokens that texts are cut to. values: of the manifest.
    """
    files: dict[str, Any] = {CONFIG: _config(config, spec, values.get("architecture"))}
    files |= _tokenizer_files(tokenizer, max_length)
    if spec.kind == "embedding":
        files |= layout(pooling_of_config(config), int(config.hidden_size), max_length)
    texts = {name: (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode() for name, value in files.items()}
    return {CARD: model_card(values).encode(), **texts}


def _config(config: PretrainedConfig, spec: TaskSpec, architecture: Mapping[str, Any] | None) -> dict[str, Any]:
    """A stock config.json, as far as one can say it.

    transformers' configs have one number of heads and one FFN width for all layers, and heads as wide as the hidden
    size by that number. Numbers that are the same in all layers are stated where that is true of them; others stay
    those of the dense model, and `aebert_heads` and `aebert_ffn` say what each block has.
    """
    family = family_of(config).model_type
    own = config.to_dict()
    kept = {key: one for key, one in own.items() if key not in _OF_THIS_MACHINE and not key.startswith("aebert_")}
    of_task = base_class(family) if spec.kind == "embedding" else task_class(family, spec.kind)
    stated = {**kept, "model_type": family, "architectures": [of_task.__name__]}
    if spec.kind == "embedding":
        stated = {key: one for key, one in stated.items() if key not in ("id2label", "label2id", "problem_type")}
    if architecture is None or all(architecture[unit] == architecture["dense"][unit] for unit in ("heads", "ffn")):
        return stated
    heads, ffn = architecture["heads"], architecture["ffn"]
    names = config.attribute_map
    stated[names.get("num_hidden_layers", "num_hidden_layers")] = len(heads)
    width = next((name for name in ("intermediate_size", "hidden_dim") if name in stated), None)
    if width and len(set(ffn)) == 1 and ffn[0] > 0:
        stated[width] = ffn[0]
    return {**stated, "aebert_heads": list(heads), "aebert_ffn": list(ffn)}


def _tokenizer_files(tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, Any]:
    """JSON files of the tokenizer but for tokenizer.json, which the bundle has."""
    with tempfile.TemporaryDirectory() as place:
        tokenizer.save_pretrained(place)
        found = {path.name: path.read_text(encoding="utf-8") for path in sorted(Path(place).glob("*.json"))}
    files = {name: json.loads(text) for name, text in found.items() if name != TOKENIZER}
    settings = files.get("tokenizer_config.json", {})
    files["tokenizer_config.json"] = {
        **{key: value for key, value in settings.items() if key not in _OF_THIS_MACHINE},
        "model_max_length": max_length,  # others cut texts where the bundle does
    }
    return files


def part_order(names: Sequence[str]) -> list[str]:
    """Names as the list of digests has them: the card first, as people read it."""
    return sorted(names, key=lambda name: (name != CARD, name))
