"""The tensors of a checkpoint's folder, in whatever format they were saved."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from aebert.errors import ModelError

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""What holds a checkpoint's weights, in the order in which transformers looks for it."""

_OTHERS = {
    "tf_model.h5": "TensorFlow",
    "model.ckpt.index": "TensorFlow",
    "bert_model.ckpt.index": "TensorFlow",
    "flax_model.msgpack": "Flax",
    "rust_model.ot": "Rust",
}
_EXPORTS = (".gguf", ".onnx", ".tflite", ".mlmodel")
_STARTS = {
    b"version https://git-lfs": "is a pointer of git-lfs; run `git lfs pull` in its folder",
    b"<": "is a web page; download the file itself, not the page that shows it",
}


@dataclass(frozen=True)
class Weights:
    """Tensors by the name that the file gives them, and the files that they come from."""

    files: tuple[str, ...]
    tensors: Mapping[str, torch.Tensor]


def read_weights(folder: Path) -> Weights:
    """Read the weights that transformers would read.

    Raises: ModelError when there are none, when a file is damaged or is something else, or when the folder holds a
      second set of weights with other values.
    """
    there = [name for name in WEIGHT_FILES if (folder / name).exists()]
    if not there:
        raise ModelError(f"the folder must hold model.safetensors or pytorch_model.bin; {_instead(folder)}")
    weights = _read_set(folder / there[0])
    for name in there[1:]:
        _check_same(weights, folder, name)
    return weights


def _instead(folder: Path) -> str:
    """What the folder holds in place of weights, and what to do about it."""
    names = sorted(path.name for path in folder.iterdir())
    if other := next((name for name in names if name in _OTHERS), None):
        return f"it holds {_OTHERS[other]} weights only ({other}); convert them with transformers 4 and save the result"
    if export := next((name for name in names if name.endswith(_EXPORTS)), None):
        return f"it holds an exported model only ({export}); give the checkpoint that it was exported from"
    if inner := [
        path.name for path in sorted(folder.iterdir()) if any((path / name).exists() for name in WEIGHT_FILES)
    ]:
        return f"it holds folders with weights; give one of them, such as {inner[-1]}"
    renamed = (name for name in names if name.endswith((".safetensors", ".bin", ".pt", ".pth", ".ckpt")))
    if name := next((name for name in renamed if name != "training_args.bin"), None):
        return f"it holds {name}; rename it if these are the model's weights"
    return "it holds no weights; save the model with save_pretrained, or copy all of its files"


def _check_same(weights: Weights, folder: Path, name: str) -> None:
    """Raise when a second set of weights, which transformers would ignore, holds other values."""
    try:
        second = _read_set(folder / name)
    except ModelError:
        return  # it can't be mistaken for the model
    for key in weights.tensors.keys() & second.tensors.keys():
        one, other = weights.tensors[key], second.tensors[key]
        if one.shape != other.shape or not torch.equal(one.float(), other.float()):
            raise ModelError(
                f"the folder must hold one set of weights, {weights.files[0]} and {second.files[0]} differ "
                f"in {key}; remove the one that is not your model's"
            )


def _read_set(path: Path) -> Weights:
    """The tensors of a weight file, or of all files that an index names."""
    if not path.name.endswith(".index.json"):
        return Weights((path.name,), _read_file(path))
    shards = _shards(path)
    tensors = {key: tensor for name in shards.values() for key, tensor in _read_file(path.parent / name).items()}
    if lost := sorted(shards.keys() - tensors.keys()):
        raise ModelError(f"{path.name} must name tensors of its files, {lost[0]} is in none; save the model again")
    return Weights(tuple(sorted(set(shards.values()))), tensors)


def _shards(index: Path) -> dict[str, str]:
    try:
        shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{index.name} must be JSON with a weight_map, which it is not; copy it again") from error
    missing = sorted({name for name in shards.values() if not (index.parent / name).is_file()})
    if missing:
        raise ModelError(f"all files that {index.name} names must be there, {missing[0]} is missing; copy it as well")
    return dict(shards)


def _read_file(path: Path) -> dict[str, torch.Tensor]:
    _check_start(path)
    damaged = f"{path.name} must be whole, it is damaged or truncated ({{}}); copy it again"
    try:
        values = load_file(path) if path.suffix == ".safetensors" else _unpickle(path)
    except SafetensorError as error:
        raise ModelError(damaged.format(error)) from error
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path.name} must hold a table of tensors, it holds pickled objects of other classes; open it where these "
            "are installed and call model.save_pretrained(folder)"
        ) from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, IndexError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(damaged.format(reason[0])) from error
    return _tensors(path, values)


def _check_start(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(32)
    if not start:
        raise ModelError(f"{path.name} must not be empty, it has 0 bytes; copy it again")
    for known, problem in _STARTS.items():
        if start.lstrip().startswith(known):
            raise ModelError(f"{path.name} must hold weights, it {problem}")


def _unpickle(path: Path) -> Any:
    # only tensors and plain values: a pickle may run any code
    return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))


def _tensors(path: Path, values: Any) -> dict[str, torch.Tensor]:
    if not isinstance(values, Mapping):
        raise ModelError(f"{path.name} must hold a table of tensors, got {type(values).__name__}; save the model again")
    for name, value in values.items():
        if isinstance(value, Mapping):
            fix = "take them out and save them with model.save_pretrained(folder)"
            raise ModelError(f"{path.name} must hold the model's tensors alone, they are inside {name!r}; {fix}")
        if not isinstance(value, torch.Tensor):
            raise ModelError(f"{path.name} must hold tensors only, {name!r} is a {type(value).__name__}; remove it")
    return dict(values)
