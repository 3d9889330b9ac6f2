"""What all stages of a run share: its config, its folder, its labelled rows, and where progress is shown."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from filelock import FileLock, Timeout
from transformers import PreTrainedTokenizerBase

from aebert.config import RunConfig
from aebert.deployment.litert_packages import require_litert
from aebert.deployment.quantize import VARIANTS
from aebert.errors import ConfigError, DataError, StudyError
from aebert.files import replacing
from aebert.models.checkpoint import Checkpoint
from aebert.models.evaluation import Prepared, embeddings, prepare
from aebert.progress import SILENT, Progress
from aebert.pruning.pruners import PruningMethod, pruning_method
from aebert.run.embedding_settings import check_embedding_settings
from aebert.run.scored_form import scored_form
from aebert.run.sources import read_sources
from aebert.run.stage import Stage
from aebert.search.connections import kept_url, sqlite_url
from aebert.search.first import first_methods
from aebert.search.samplers import SAMPLERS
from aebert.search.scoring import usable_device
from aebert.search.space import SearchSpace, load_space
from aebert.sections import digest, plain
from aebert.studies.folder import CONFIG, DATABASE
from aebert.tasks.load import load_task, task_spec
from aebert.tasks.task import ROLES, Role, Row, Task, TaskSpec
from aebert.tasks.texts import Texts, read_texts
from aebert.tasks.unlabelled import unlabelled_rows

HOLDER = "run.holder"  # who has the lock, for people; the lock file itself is emptied by whoever tries to take it


def _read_holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip() or "another aebert process"
    except OSError:
        return "another aebert process"


class Run:
    """A config, and what every stage needs of it.

    Names in the config (of a search space, a sampler, a way to quantize …) are looked up at once: a typo should show
    before hours of fine-tuning, not after.

    task: where its rows are read already. reads_only: no stage may run, since another process has run them all.
    """

    def __init__(
        self, config: RunConfig, progress: Progress = SILENT, *, task: Task | None = None, reads_only: bool = False
    ) -> None:
        self.config = config
        self.progress = progress
        self._reads_only = reads_only
        if task is not None:
            self.task = task
        self.folder = config.folder
        self.space: SearchSpace = load_space(config.search.space)
        self.method = pruning_method(config.pruning.method)
        has_library = self.method.built_on == "library"
        _check_unstructured(config, self.method)
        names = first_methods(config, has_library=has_library, has_units=not self.method.is_unstructured)
        sources = read_sources(config, names)
        self.sources = {source.origin: source for source in sources.values()}
        self.first = tuple(sources[name].origin if name in sources else name for name in names)
        self.has_ladder = has_library and config.search.rungs != "none"
        if not has_library and not isinstance(config.search.rungs, str):
            raise ConfigError(
                f"search.rungs: rungs need the block library; leave them out or set pruning.method to library, got "
                f"{config.pruning.method!r}"
            )
        if not has_library and config.finalists.gradual:
            raise ConfigError(
                "finalists.gradual: cutting trained models needs the block library; leave it out or set pruning.method "
                f"to library, got {config.pruning.method!r}"
            )
        _ = SAMPLERS[config.search.sampler], usable_device(config.search.device)
        _ = [VARIANTS[name] for name in config.deploy.tried]
        self.int8 = scored_form(config)  # None: candidates are scored in float32
        self.reference: Checkpoint | None = None  # of embeddings: what those of other models are compared with
        self._targets: dict[str, np.ndarray] = {}
        check_embedding_settings(config, self.spec)
        if config.deploy.litert is not None:
            require_litert()

    @cached_property
    def spec(self) -> TaskSpec:
        """The task before its rows are read: labels may be missing."""
        return task_spec(self.config.task)

    def lock(self) -> FileLock:
        """A lock that one process at a time holds on the run's folder; released when the process ends, however it ends.

        Raises: StudyError when another process holds it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / "run.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise StudyError(
                f"run {self.config.name} is in use by {_read_holder(self.folder / HOLDER)}: wait for it, or choose "
                "another name"
            ) from None
        (self.folder / HOLDER).write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        return lock

    def store_config(self) -> None:
        """Write the resolved config into the run's folder, so that reports can be made from the folder alone."""
        values = plain(self.config)
        if values["search"]["storage"] is not None:
            values["search"]["storage"] = kept_url(values["search"]["storage"])
        with replacing(self.folder / CONFIG) as path:
            path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")

    def stage(self, name: str, inputs: Mapping[str, Any], outputs: Sequence[str] = ()) -> Stage:
        """A stage that is recorded in the run's folder."""
        return Stage(self.folder, name, inputs, outputs, self._reads_only)

    @property
    def storage(self) -> str:
        """URL of the study database."""
        return self.config.search.storage or sqlite_url(self.folder / DATABASE)

    @property
    def model_name(self) -> str:
        """What reports call the checkpoint: a folder by its name alone, since where it lies is nobody's business."""
        path = self.config.model.path
        return Path(path).name if Path(path).is_dir() else path

    @cached_property
    def task(self) -> Task:
        """The task with its rows by role."""
        config = self.config
        return load_task(config.task, config.data, config.data_root, config.seed)

    @cached_property
    def unlabelled(self) -> tuple[Row, ...]:
        """Rows besides the search rows whose labels are not read (`search.unlabelled`): train rows, then texts.

        Raises: ConfigError or DataError for files that can't be read as texts, or in which nothing is new.
        """
        given = self.config.search.unlabelled
        train = self.task.rows["train"]
        drawn = np.random.default_rng([self.config.seed, 1]).permutation(len(train))[: given.train_rows]
        data = self.config.data
        texts = unlabelled_rows(given.texts, self.task.spec, self.config.data_root, data.encoding, data.separator)
        known = {row.text for role in ROLES for row in self.task.rows[role]}
        if self.task.spec.kind == "embedding":  # the texts of a pair are read alone
            known |= {(text,) for pair in known for text in pair}
        new = [row for row in texts if row.text not in known]
        if texts and not new:
            raise DataError(
                "search.unlabelled.texts must have a text that is in no role, since report rows are read once and the "
                f"others count already; all {len(texts)} are labelled rows of this task"
            )
        return (*(train[index] for index in sorted(drawn)), *new)

    @cached_property
    def unlabelled_digest(self) -> str:
        """Which rows these are."""
        return digest([row.text for row in self.unlabelled])

    @cached_property
    def texts(self) -> tuple[Texts, ...]:
        """Text files that the vocabulary is chosen by, beside the train rows."""
        return self._text_files("texts")

    @cached_property
    def held_out(self) -> tuple[Texts, ...]:
        """Text files that a smaller vocabulary is tried on."""
        return self._text_files("held_out")

    def _text_files(self, key: Literal["texts", "held_out"]) -> tuple[Texts, ...]:
        config, vocabulary = self.config, self.config.pruning.vocabulary
        paths: tuple[Path, ...] = () if vocabulary is None else getattr(vocabulary, key)
        name = f"pruning.vocabulary.{key}"
        return tuple(read_texts(path, config.data_root, config.data.encoding, name) for path in paths)

    def rows(self, role: Role, tokenizer: PreTrainedTokenizerBase) -> Prepared:
        """The rows of a role, with what their outputs are compared with, encoded and in batches."""
        return self.encoded(self.with_targets(self.task.rows[role]), tokenizer, self.config.search.max_batch_tokens)

    def with_targets(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The rows, those of embedding tasks with the embeddings of the checkpoint that the run started from.

        That is the model as it came, whatever vocabulary the run keeps.
        """
        if self.task.spec.kind != "embedding":
            return rows
        assert self.reference is not None, "the checkpoint is loaded before its embeddings are asked for"
        texts = {text for row in rows for text in row.text}
        missing = [Row((text,), 0.0) for text in sorted(texts - self._targets.keys())]
        if missing:
            start = self.reference
            prepared = self.encoded(missing, start.tokenizer, self.config.search.max_batch_tokens)
            with self.progress.bar("embeddings of the dense model", len(prepared.batches)) as bar:
                for index, vector in embeddings(start.model, prepared, bar.advance):
                    self._targets[missing[index].text[0]] = vector
        return [replace(row, targets=np.stack([self._targets[text] for text in row.text])) for row in rows]

    def encoded(
        self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, batch_tokens: int, length: int | None = None
    ) -> Prepared:
        """Rows encoded and in batches of at most so many tokens.

        length: most tokens of a row, where that is less than in training.
        """
        most = self.config.data.max_length
        return prepare(rows, self.task.spec, tokenizer, min(length or most, most), batch_tokens)

    def rows_digest(self, *roles: Role) -> list[Any]:
        """What results on rows depend on: which rows they are, and how many tokens of them are read."""
        return [*(self.task.digests[role] for role in roles), self.config.data.max_length]


def _check_unstructured(config: RunConfig, method: PruningMethod) -> None:
    """Raise for settings that unstructured pruning can't meet, or that only it can."""
    budget, name = config.search.budget, config.pruning.method
    if method.is_unstructured and budget.zeros is None:
        raise ConfigError(
            f"search.budget must be of kind zeros for {name}, which makes no model smaller or faster, got {budget.kind}"
        )
    if not method.is_unstructured and budget.zeros is not None:
        raise ConfigError(
            f"search.budget: zeros are of pruning.method magnitude-unstructured, got {name!r}; ask for sparsity, the "
            "share of parameters that is removed"
        )
    if method.is_unstructured and config.finalists.repair != "none":
        raise ConfigError(f"finalists.repair must be none for {name}: repaired weights would not be zero; leave it out")
    if method.is_unstructured and config.finalists.baselines:
        raise ConfigError(
            f"finalists.baselines: first layers have no cost in zeros; leave them out, since pruning.method is {name!r}"
        )
