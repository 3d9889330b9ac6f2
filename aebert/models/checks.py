"""What is proved of a checkpoint before any work: one list of checks, each of which passes or refuses in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from aebert.errors import ModelError
from aebert.models.candidate import Candidate
from aebert.models.evaluation import model_inputs
from aebert.models.pooling import lengths_of_texts
from aebert.models.settings import refused_settings, unread_settings
from aebert.models.vocabulary import (
    check_casing,
    check_files,
    check_own_file,
    check_reload,
    check_special,
    check_vocabulary,
    stored_vocabulary,
)
from aebert.registry import Registry
from aebert.tasks.encoding import collate, encode
from aebert.tasks.task import Row

_SHOWN = 3  # names of tensors in a message


@dataclass(frozen=True)
class Check:
    """One thing that is proved of a checkpoint.

    proves: the thing, as a sentence. run: raises ModelError where it doesn't hold, else yields what the user should
      know about it, one line each.
    """

    proves: str
    run: Callable[[Candidate], Iterator[str]]


CHECKS: Registry[Check] = Registry("check")
"""In the order in which they run: a check may rely on all before it."""

Run = Callable[[Candidate], Iterator[str]]


def _check(name: str, proves: str) -> Callable[[Run], Run]:
    def add(run: Run) -> Run:
        CHECKS.add(name, Check(proves, run))
        return run

    return add


def run_checks(candidate: Candidate) -> tuple[str, ...]:
    """Run all checks and return their notes. Raises: ModelError of the first that fails."""
    return tuple(note for name in CHECKS for note in CHECKS[name].run(candidate))


@_check("folder", "The folder holds a whole model, not an adapter for another one.")
def _folder(candidate: Candidate) -> Iterator[str]:
    if (candidate.folder / "adapter_config.json").is_file():
        raise ModelError(
            "the folder must hold a whole model, it holds an adapter (adapter_config.json); call "
            "PeftModel.merge_and_unload() and save the result with save_pretrained"
        )
    yield from ()


@_check("family", "The model is of a family that aebert knows.")
def _family(candidate: Candidate) -> Iterator[str]:
    _ = candidate.family
    yield from ()


@_check("settings", "Every setting that changes what the model computes is one that transformers follows.")
def _settings(candidate: Candidate) -> Iterator[str]:
    if problem := refused_settings(candidate.stated, candidate.family.model_type):
        raise ModelError(f"config.json: {problem}")
    try:
        _ = candidate.config
    except ModelError as error:
        raise ModelError(f"config.json: {error}") from error
    if unread := unread_settings(candidate.stated, candidate.family.model_type):
        yield f"config.json has keys that transformers doesn't know and that were not read: {', '.join(unread)}"


@_check("architecture", "The model was saved from a class of transformers.")
def _architecture(candidate: Candidate) -> Iterator[str]:
    _ = candidate.stored
    yield from ()


@_check(
    "outputs", "The output layer is one for this task, with each output known to be one of its labels, or a new one."
)
def _outputs(candidate: Candidate) -> Iterator[str]:
    head = candidate.head
    if candidate.pooling is not None:
        yield f"embeddings: {candidate.pooling.describe()}"
    elif not head.kept:
        yield f"the output layer is new: {head.reason}"
    elif candidate.outputs.names and candidate.spec.kind != "regression":
        want = candidate.spec.output_names
        have = [(candidate.given or candidate.outputs.names)[index] for index in head.order or ()]
        if renamed := [f"{one} = {other}" for one, other in zip(have, want, strict=True) if one != other]:
            yield f"outputs of the checkpoint were taken for labels of the task: {', '.join(renamed)}"


@_check(
    "tensors", "Every tensor of the files is used or known to be of no use here, and the model gets all that it needs."
)
def _tensors(candidate: Candidate) -> Iterator[str]:
    names, stored = candidate.tensors.keys(), candidate.stored.__name__
    unexpected = [name for name in names if name not in candidate.explained and not _is_buffer(name)]
    missing = [name for name in candidate.needed if name not in names]
    if unexpected:
        raise ModelError(_unexpected(candidate, unexpected))
    if missing:
        raise ModelError(
            f"weights must hold all of a {stored}, {_some(missing)} missing; save the whole model with save_pretrained"
        )
    for name, tensor in candidate.taken.items():
        _check_tensor(name, tensor, candidate.shapes[name])
    if new := sorted({name.rpartition(".")[0] for name in candidate.shapes.keys() - names if "pooler" in name}):
        yield f"the checkpoint has no {new[0]}; it starts from random values with the output layer"


def _is_buffer(name: str) -> bool:
    return name.endswith(("embeddings.position_ids", "embeddings.token_type_ids"))


def _unexpected(candidate: Candidate, unexpected: list[str]) -> str:
    stored = candidate.stored.__name__
    rule = f"weights must be those of a {stored} as config.json describes it, {_some(unexpected)} not"
    if any("lora_" in name or ".base_layer." in name for name in unexpected):
        return f"{rule}; merge the adapter with PeftModel.merge_and_unload() and save the result"
    if prefix := _wrapper(candidate, unexpected[0]):
        return f"{rule}; save the model inside the wrapper that adds {prefix!r}, such as model.module of DataParallel"
    if not candidate.stated.get("architectures"):
        return f"{rule}; name the class of the model in architectures of config.json"
    return f"{rule}; correct config.json, or save the model again with save_pretrained"


def _wrapper(candidate: Candidate, name: str) -> str | None:
    """What a wrapper put before a tensor's name, if the rest is one that the checkpoint may hold."""
    parts = name.split(".")
    for cut in range(1, len(parts)):
        rest = ".".join(parts[cut:])
        if {rest, f"{candidate.family.backbone}.{rest}"} & candidate.explained:
            return ".".join(parts[:cut]) + "."
    return None


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more} {'is' if len(names) == 1 else 'are'}"


def _check_tensor(name: str, tensor: torch.Tensor, shape: tuple[int, ...]) -> None:
    found = tuple(tensor.shape)
    if found != shape:
        fix = "correct config.json, or copy the weights that belong to it"
        if found == (0,):
            fix = "gather the parts that DeepSpeed or FSDP keeps of it, and save the model again"
        raise ModelError(
            f"{name} must have the shape {list(shape)} that config.json gives it, got {list(found)}; {fix}"
        )
    if not tensor.dtype.is_floating_point:
        raise ModelError(f"{name} must be of floating point, got {tensor.dtype}; save the model before quantization")


@_check("values", "All weights are finite numbers, and positions count from zero.")
def _values(candidate: Candidate) -> Iterator[str]:
    for name, tensor in candidate.taken.items():
        if not torch.isfinite(tensor.float()).all():
            raise ModelError(
                f"weights must be finite numbers, {name} has others (NaN or infinite); train the model again"
            )
    for name, tensor in candidate.tensors.items():
        if name.endswith("embeddings.position_ids") and tensor.flatten().tolist() != list(range(tensor.numel())):
            raise ModelError(
                f"{name} must count from 0, it doesn't, and transformers ignores it; save the model without it"
            )
    yield from ()


@_check("vocabulary", "The tokenizer has the vocabulary of its files, and the model has an embedding for each id.")
def _vocabulary(candidate: Candidate) -> Iterator[str]:
    check_files(candidate.folder)
    rows, stored = int(candidate.config.vocab_size), stored_vocabulary(candidate.folder)
    check_vocabulary(candidate.tokenizer, stored, rows)
    if len(stored) < rows:
        yield f"the model has embeddings for {rows} pieces, the tokenizer makes {len(stored)} of them"


@_check("special tokens", "Texts stand between the special tokens, and padding has the id that the model expects.")
def _special(candidate: Candidate) -> Iterator[str]:
    check_special(candidate.tokenizer, candidate.config)
    yield from ()


@_check("casing", "The tokenizer reads capitals as the vocabulary writes them.")
def _casing(candidate: Candidate) -> Iterator[str]:
    check_casing(candidate.tokenizer)
    yield from ()


@_check("round trip", "The tokenizer gives the same ids by its own file, and once it is saved and loaded.")
def _round_trip(candidate: Candidate) -> Iterator[str]:
    check_own_file(candidate.folder, candidate.config)
    check_reload(candidate.tokenizer, candidate.config, candidate.spec)
    yield from ()


@_check("lengths", "Rows of the stated length fit into the model's positions, and pairs into its token types.")
def _lengths(candidate: Candidate) -> Iterator[str]:
    most, length = candidate.positions, candidate.max_length
    if length is not None and length > most:
        raise ModelError(f"data.max_length must be at most {most}, the positions of the model, got {length}; lower it")
    pairs = len(candidate.spec.columns) > 1 and candidate.spec.kind != "embedding"  # whose texts are read alone
    pair = pairs and candidate.family.uses_token_types
    if pair and candidate.config.type_vocab_size < 2:
        raise ModelError(
            "type_vocab_size must be 2 for pairs of texts, got 1; choose a model that was trained on pairs"
        )
    if candidate.pooling is not None:
        own = lengths_of_texts(candidate.folder).get("max_seq_length")
        if isinstance(own, int) and length is not None and own != length:
            more = "less" if length < own else "more"
            yield f"the checkpoint reads {own} tokens of a text (max_seq_length); data.max_length is {length}, {more}"
    if length is not None and length > candidate.tokenizer.model_max_length:
        stated = candidate.tokenizer.model_max_length
        yield f"the tokenizer states a length of {stated} tokens (model_max_length); data.max_length is {length}"


@_check("forward pass", "The model turns a text into finite outputs, one for each label.")
def _forward(candidate: Candidate) -> Iterator[str]:
    spec = candidate.spec
    words = ("The", "film", "was", "good", ".")
    sides = 1 if spec.kind == "embedding" else len(spec.columns)
    text = words if spec.kind == "ner" else (" ".join(words),) * sides
    label: tuple[int, ...] | int = (0,) * len(words) if spec.kind == "ner" else 0
    encoded = encode([Row(text, label)], spec, candidate.tokenizer, min(candidate.positions, 64))
    inputs = model_inputs(candidate.model, collate(encoded, candidate.tokenizer))
    with torch.inference_mode():
        logits = candidate.model(**inputs).logits
    width = int(candidate.config.hidden_size) if spec.kind == "embedding" else spec.num_outputs
    if logits.shape[-1] != width or not torch.isfinite(logits).all():
        shown = str(logits.tolist())[:200]
        raise ModelError(f"outputs for a short text must be {width} finite numbers, got {shown}")
    yield from ()
