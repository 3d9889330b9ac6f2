"""Loading dense checkpoints for a task: read right, or refused before any work."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from aebert.config import ModelConfig
from aebert.digests import weights_digest
from aebert.errors import ModelError
from aebert.files import expand_user
from aebert.models.candidate import Candidate
from aebert.models.checks import run_checks
from aebert.models.facts import CheckpointFacts, facts_of
from aebert.models.heads import Train
from aebert.models.loading import one_line_errors
from aebert.models.minilm import minilm_folder
from aebert.models.pooling import MODULES, POOLING
from aebert.models.settings import read_settings
from aebert.tasks.task import TaskSpec

_DESCRIBING = ["*.json", "*.txt", "model.safetensors", "model-*-of-*.safetensors"]
_PICKLED = ["pytorch_model.bin", "pytorch_model-*-of-*.bin"]


@dataclass(frozen=True)
class Checkpoint:
    """A dense model for a task.

    fine_tuned: whether its output layer came with the checkpoint. digest: of the weights as they were loaded; training
      changes the model in place.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    fine_tuned: bool
    facts: CheckpointFacts
    digest: str


def load_checkpoint(
    config: ModelConfig,
    spec: TaskSpec,
    seed: int,
    *,
    train: Train = "auto",
    labels_stated: bool = False,
    max_length: int | None = None,
) -> Checkpoint:
    """Load a checkpoint with an output layer for the task, on the CPU, in float32, in eval mode.

    All of `aebert.models.checks` is proved first. The checkpoint's own output layer is brought into the order of the
    task's labels by their names. One of another task starts anew, from `seed`, if `train` (`dense.train`) allows it.

    labels_stated: the user states the task's labels (`task.labels`), so that their order is that of unnamed outputs.
    max_length: most tokens of a row (`data.max_length`), to be checked against the model's positions.

    Raises: ModelError, one line, for a missing, damaged or unsuitable checkpoint, or one that may be misread;
      UnnamedOutputs when the outputs have no names (`aebert.models.proposal` may find them).
    """
    folder = _folder(config)
    candidate = Candidate(
        config.path, folder, read_settings(folder), spec, config.labels, labels_stated, train, max_length, seed
    )
    try:
        notes = run_checks(candidate)
    except ModelError as error:
        raise type(error)(f"checkpoint {config.path}: {error}") from error
    return Checkpoint(
        model=candidate.model,
        tokenizer=candidate.tokenizer,
        fine_tuned=candidate.head.kept,
        facts=facts_of(candidate, notes),
        digest=weights_digest(candidate.model),
    )


def stated_license(config: ModelConfig) -> str | None:
    """The license that the model card of a checkpoint states, by its identifier; None where it states none."""
    card = _folder(config) / "README.md"
    if not card.is_file():
        return None
    matter = card.read_text(encoding="utf-8", errors="replace").partition("---")[2].partition("\n---")[0]
    found = re.search(r"^license:\s*([\w.+-]+)\s*$", matter, re.MULTILINE)
    return found[1] if found else None


def _folder(config: ModelConfig) -> Path:
    """The folder of a checkpoint: the package's, the one that is given, or the cached one of a hub id."""
    if config.path == "minilm":
        return minilm_folder()
    folder = expand_user(config.path)
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise ModelError(f"model.path must be a folder with config.json, weights and tokenizer, {folder} is a file")
    if config.path.startswith((".", "/", "~")) or config.path.count("/") > 1:
        raise ModelError(f"model folder {config.path} does not exist; model.path takes 'minilm', a hub id or a folder")
    return _download(config)


def _download(config: ModelConfig) -> Path:
    """Fetch a checkpoint of the hub into its cache; pickled weights only where there are no others."""
    with one_line_errors(config.path):
        folder = _snapshot(config, _DESCRIBING)
        return folder if any(folder.glob("model*.safetensors")) else _snapshot(config, _DESCRIBING + _PICKLED)


def _snapshot(config: ModelConfig, names: list[str]) -> Path:
    # the patterns also match in sub-folders, which hold other forms of the model
    found = snapshot_download(config.path, revision=config.revision, allow_patterns=names, ignore_patterns="*/*")
    if (Path(found) / MODULES).is_file():  # a model of sentence-transformers, whose pooling is in a folder of its own
        snapshot_download(config.path, revision=config.revision, allow_patterns=f"{POOLING}/config.json")
    return Path(found)
