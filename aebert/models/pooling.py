"""How a checkpoint makes an embedding of a text: read from the layout of sentence-transformers, and written in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from aebert.errors import ModelError
from aebert.files import write_json
from aebert.tasks.task import PoolingMode, TaskSpec

MODULES, POOLING = "modules.json", "1_Pooling"
"""The list of a model's modules, and the folder of its pooling."""

_LENGTHS = "sentence_bert_config.json"
_PROMPTS = "config_sentence_transformers.json"
_KNOWN = "Transformer, Pooling and Normalize"
_KEYS: Mapping[str, str] = {"mean_tokens": "mean", "cls_token": "cls", "max_tokens": "max"}  # pooling_mode_… → mode


@dataclass(frozen=True)
class Pooling:
    """How the hidden states of the last layer become one vector.

    mode: mean over the real tokens, the first token (cls), or the maximum over the real tokens of each feature.
    normalize: whether the vector is then divided by its length. source: what says so.
    """

    mode: PoolingMode
    normalize: bool
    source: str

    def describe(self) -> str:
        """In words: `mean pooling, normalized (modules.json)`."""
        return f"{self.mode} pooling, {'' if self.normalize else 'not '}normalized ({self.source})"


def pooling_of_config(config: Any) -> Pooling:
    """The pooling of an embedding model, by its config."""
    return Pooling(config.aebert_pooling, config.aebert_normalize, "config")


def read_pooling(folder: Path, spec: TaskSpec) -> Pooling:
    """The pooling of a checkpoint: what its modules.json says, else what the task says (`task.pooling`).

    Raises: ModelError where neither says so or the two differ, and for what is not done here, by its name.
    """
    if not (folder / MODULES).is_file():
        return _given(spec)
    modules = [_kind(module) for module in _modules(folder)]
    kinds = [kind for kind, _ in modules]
    if unknown := [kind for kind in kinds if kind not in ("Transformer", "Pooling", "Normalize")]:
        raise ModelError(
            f"{MODULES} must list {_KNOWN} only, got {unknown[0]}, which aebert can't compute; choose a checkpoint "
            "without it"
        )
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise ModelError(f"{MODULES} must list {_KNOWN} in this order, each at most once, got {', '.join(kinds)}")
    if modules[0][1]:
        raise ModelError(f"{MODULES}: the Transformer must be in the folder itself, it is in {modules[0][1]}")
    found = Pooling(_mode(folder / modules[1][1] / "config.json"), "Normalize" in kinds, MODULES)
    _check_texts(folder)
    for key, stated in (("pooling", found.mode), ("normalize", found.normalize)):
        wanted = getattr(spec, key)
        if wanted is not None and wanted != stated:
            shown = json.dumps(stated).strip('"')
            raise ModelError(f"task.{key} must be as {MODULES} says, {shown}, got {json.dumps(wanted)}; leave it out")
    return found


def _given(spec: TaskSpec) -> Pooling:
    if spec.pooling is None:
        modes = ", ".join(get_args(PoolingMode))
        raise ModelError(
            f"a checkpoint without {MODULES} doesn't say how embeddings are made of its hidden states; set "
            f"task.pooling to one of {modes}, and task.normalize if vectors have length 1"
        )
    return Pooling(spec.pooling, bool(spec.normalize), "task.pooling")


def _modules(folder: Path) -> Sequence[Any]:
    modules = _read(folder / MODULES)
    if not isinstance(modules, list) or not all(isinstance(one, dict) and "type" in one for one in modules):
        raise ModelError(f"{MODULES} must be a list of modules, each with a type; copy it again")
    return modules


def _kind(module: Mapping[str, Any]) -> tuple[str, str]:
    """Class of a module without its package, which differs between versions, and its folder."""
    return str(module["type"]).rpartition(".")[2], str(module.get("path", ""))


def _mode(path: Path) -> PoolingMode:
    stated = _read(path)
    if not isinstance(stated, dict):
        raise ModelError(f"{path.parent.name}/{path.name} must be a table of settings; copy it again")
    prefix = "pooling_mode_"
    given = [key.removeprefix(prefix) for key, on in stated.items() if key.startswith(prefix) and on]
    named = stated.get("pooling_mode")  # of newer versions
    given += [named] if isinstance(named, str) else list(named or ())
    modes = [_KEYS.get(one, one) for one in given]
    known = get_args(PoolingMode)
    if len(modes) != 1 or modes[0] not in known:
        got = " and ".join(map(str, given)) or "none"
        raise ModelError(
            f"{path.parent.name}/{path.name} must name one pooling of {', '.join(known)}, got {got}; aebert has no "
            "other"
        )
    return cast(PoolingMode, modes[0])


def _check_texts(folder: Path) -> None:
    """Raise for what sentence-transformers would do to texts before the tokenizer does."""
    stated = _read(folder / _PROMPTS) if (folder / _PROMPTS).is_file() else {}
    if name := stated.get("default_prompt_name"):
        raise ModelError(
            f"{_PROMPTS} must have no default_prompt_name, got {name!r}: aebert puts nothing in front of texts; write "
            "the prompt into the texts and set it to null"
        )
    if lengths_of_texts(folder).get("do_lower_case"):
        raise ModelError(
            f"{_LENGTHS} must not ask for do_lower_case, which belongs to the tokenizer; set it in "
            "tokenizer_config.json"
        )


def lengths_of_texts(folder: Path) -> Mapping[str, Any]:
    """What the folder says of the texts that its Transformer takes, such as `max_seq_length`; empty if nothing."""
    path = folder / _LENGTHS
    stated = _read(path) if path.is_file() else {}
    return stated if isinstance(stated, dict) else {}


def _read(path: Path) -> Any:
    name = path.name if path.parent.name != POOLING else f"{POOLING}/{path.name}"
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError:
        raise ModelError(
            f"a checkpoint with {MODULES} must hold {name}; it does not (copy all of its folder)"
        ) from None
    except ValueError as error:
        raise ModelError(f"{name} must be JSON: {error}; copy it again") from None


def layout(pooling: Pooling, hidden: int, max_length: int | None = None) -> dict[str, Any]:
    """Files by name (JSON values) that make a model folder one of sentence-transformers.

    hidden: width of the vectors. max_length: most tokens of a text, special ones included.

    Source: sentence_transformers 2.0 to 5.x, `SentenceTransformer.save`; all of them read this form.
    """
    kinds = ["Transformer", "Pooling", *["Normalize"] * pooling.normalize]
    paths = ("", POOLING, "2_Normalize")
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (kind, path) in enumerate(zip(kinds, paths, strict=False))
    ]
    modes = {f"pooling_mode_{key}": mode == pooling.mode for key, mode in _KEYS.items()}
    lengths = {} if max_length is None else {_LENGTHS: {"max_seq_length": max_length, "do_lower_case": False}}
    prompts: dict[str, Any] = {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    pooled = {"word_embedding_dimension": hidden, **modes}
    # without the file of prompts, which says that there are none, sentence-transformers asks the hub for one
    return {MODULES: modules, f"{POOLING}/config.json": pooled, _PROMPTS: prompts, **lengths}


def write_layout(folder: Path, files: Mapping[str, Any]) -> None:
    """Write what `layout` returns."""
    for name, values in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        write_json(folder / name, values)
