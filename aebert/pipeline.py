"""The stages of a run that make models, in order: dense model, importance and block library, search, finalists.

Each stage asks the one before it, and is skipped when it is done for the same inputs; so calling the last one does all
that is missing, and calling it again after a kill goes on where it stopped. `aebert.shipment` and `aebert.summary`
hold what follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from filelock import FileLock, Timeout
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from aebert.config import ModelConfig, RunConfig, TrainConfig, flat, plain
from aebert.deployment.litert_packages import require_litert
from aebert.deployment.quantize import VARIANTS
from aebert.digests import arrays_digest, weights_digest
from aebert.errors import StudyError
from aebert.files import replacing
from aebert.latency.sources import EstimatedPrices
from aebert.latency.table import LatencyTable
from aebert.models.checkpoint import load_checkpoint
from aebert.models.evaluation import Prepared, evaluate, example_losses, model_inputs, prepare
from aebert.models.shape import ModelShape, shape_of
from aebert.pricing import device_name, prices_of, settings_of, study_prices
from aebert.progress import SILENT, Progress
from aebert.pruning.architecture import Architecture
from aebert.pruning.criteria import CRITERIA, Calibration, Importance
from aebert.pruning.kwon import KwonPruner
from aebert.pruning.library import BlockLibrary, LibrarySettings, build_library, error_table
from aebert.pruning.pruners import CriterionPruner, Pruner, check_method
from aebert.pruning.sequential import repair_sequentially
from aebert.search.first import greedy, knapsack, uniform
from aebert.search.outcomes import Judge
from aebert.search.racing import LOOKS, doubts, race_rows
from aebert.search.ranking import pick
from aebert.search.record import StudyInfo, TrialRecord, Verdict
from aebert.search.samplers import SAMPLERS
from aebert.search.scoring import SubnetworkScorer, dense_logits, usable_device
from aebert.search.space import SearchSpace, load_space, make_grid
from aebert.search.storage import check_storage, sqlite_url
from aebert.search.study import FirstTrials, SearchSetup, search
from aebert.stages import Stage
from aebert.tasks.load import load_task
from aebert.tasks.task import Role, Task
from aebert.training.finetune import fine_tune

CONFIG = "config.yaml"  # the resolved config in a run's folder
DENSE = "dense"
LIBRARY = "library"


@dataclass(frozen=True)
class Dense:
    """The dense model of a run, fine-tuned. digest: of its weights."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    shape: ModelShape
    digest: str
    seconds: float


@dataclass(frozen=True)
class Finalist:
    """A fine-tuned candidate. folder: of the model; select_metrics: on the select rows; seconds: of its training."""

    trial: TrialRecord
    folder: Path
    digest: str
    select_metrics: Mapping[str, float]
    seconds: float

    @property
    def name(self) -> str:
        """What its files and table rows are called."""
        return f"trial-{self.trial.number}"


class Run:
    """A config and what has been made of it so far.

    Every stage is a method; results are kept, so that a later stage of the same object does not load them again.
    """

    def __init__(self, config: RunConfig, progress: Progress = SILENT) -> None:
        self.config = config
        self.progress = progress
        self.folder = config.folder
        # names are looked up now: a typo should show before hours of fine-tuning, not after
        self._space: SearchSpace = load_space(config.search.space)
        check_method(config.pruning.method)
        _ = SAMPLERS[config.search.sampler], usable_device(config.search.device)
        _ = [VARIANTS[name] for name in config.deploy.tried]
        if config.deploy.litert is not None:
            require_litert()

    def lock(self) -> FileLock:
        """A lock that one process at a time holds on the run's folder; released when the process ends, however.

        Raises: StudyError when another one has it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / "run.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise StudyError(
                f"run {self.config.name} is in use by another aebert process: wait for it, or choose another name"
            ) from None
        return lock

    def store_config(self) -> None:
        """Write the resolved config into the run's folder, so that reports can be made from the folder alone."""
        with replacing(self.folder / CONFIG) as path:
            path.write_text(yaml.safe_dump(plain(self.config), sort_keys=False), encoding="utf-8")

    # --- inputs -------------------------------------------------------------------------------------------------

    @cached_property
    def task(self) -> Task:
        """The task with its rows by role."""
        config = self.config
        return load_task(config.task, config.data, config.data_root, config.seed)

    def rows(self, role: Role) -> Prepared:
        """The rows of a role, encoded and in batches."""
        rows, tokenizer = self.task.rows[role], self.dense.tokenizer
        tokens = self.config.search.max_batch_tokens
        return prepare(rows, self.task.spec, tokenizer, self.config.data.max_length, tokens)

    # --- dense --------------------------------------------------------------------------------------------------

    @cached_property
    def dense(self) -> Dense:
        """Stage 1. The dense model: as it came if it has an output layer for the task, else fine-tuned."""
        config, spec = self.config, self.task.spec
        start = load_checkpoint(config.model, spec, config.seed)
        train = {"auto": not start.fine_tuned, "always": True, "never": False}[config.dense.train]
        inputs = {
            "weights": weights_digest(start.model),
            "labels": spec.output_names,
            "train": {**_given(config.dense), "rows": self.task.digests["train"], "seed": config.seed}
            if train
            else None,
            "max_length": config.data.max_length,
        }
        stage = Stage(self.folder, DENSE, inputs, outputs=[DENSE])

        def make() -> dict[str, Any]:
            self.folder.mkdir(parents=True, exist_ok=True)
            _ = self._setup(start.model, start.tokenizer, {}).budgets
            check_storage(self.storage)
            if train:
                title = f"fine-tune dense {config.model.path}"
                self._train(start.model, start.tokenizer, config.dense, title, self.folder / "checkpoints" / stage.name)
            self._store(start.model, start.tokenizer, self.folder / DENSE)
            return {"fine_tuned_here": train}

        result = stage.run(make)
        stored = load_checkpoint(ModelConfig(path=str(self.folder / DENSE)), spec, config.seed)
        shape = shape_of(stored.model)
        return Dense(stored.model, stored.tokenizer, shape, weights_digest(stored.model), result["seconds"])

    def _train(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        config: TrainConfig,
        title: str,
        checkpoints: Path,
        **teaching: Any,
    ) -> None:
        fine_tune(
            model,
            tokenizer,
            self.task.rows["train"],
            self.task.spec,
            config,
            max_length=self.config.data.max_length,
            seed=self.config.seed,
            folder=checkpoints,
            title=title,
            progress=self.progress,
            **teaching,
        )

    def _store(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
        """Save model and tokenizer; the folder holds them whole or is marked as not done by its stage."""
        folder.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    @cached_property
    def dense_select_metrics(self) -> Mapping[str, float]:
        """Metrics of the dense model on the select rows, which finalists are compared with."""
        rows = [self.task.digests["select"], self.config.data.max_length]
        stage = Stage(self.folder, "dense-select", {"dense": self.dense.digest, "rows": rows})
        metrics: Mapping[str, float] = stage.run(
            lambda: {"metrics": dict(evaluate(self.dense.model, self.rows("select")).metrics)}
        )["metrics"]
        return metrics

    # --- what sub-networks are made of ----------------------------------------------------------------------------

    @cache  # noqa: B019  a run lives as long as the process
    def importance(self, criterion: str) -> Importance:
        """Stage 2a. A score for every head and neuron, from calibration rows of the train role."""
        path = self.folder / "importance" / f"{criterion}.safetensors"
        inputs = {**self._calibrated_on, "criterion": criterion}

        def make() -> dict[str, Any]:
            scores = CRITERIA[criterion](self.dense.model, self.calibration, self.progress)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(_named(scores), path)
            return {}

        Stage(self.folder, f"importance-{criterion}", inputs, [str(path.relative_to(self.folder))]).run(make)
        stored, shape = load_file(path), self.dense.shape
        return Importance(
            tuple(stored[f"heads.{block}"] for block in range(len(shape.heads))),
            tuple(stored[f"ffn.{block}"] for block in range(len(shape.ffn))),
        )

    @cached_property
    def library(self) -> BlockLibrary:
        """Stage 2b. The block library, one file per block."""
        stage, widths = self._library_stage, self.setup.grid.allowed

        def make() -> dict[str, Any]:
            settings = LibrarySettings(self.config.pruning.weighted, self.config.seed, stage.digest)
            batches = self.calibration.batches
            notes = build_library(self.dense.model, batches, widths, self.folder / LIBRARY, settings, self.progress)
            return {"notes": notes}

        for note in stage.run(make)["notes"]:
            self.progress.say(note)
        return BlockLibrary(self.dense.model, self.folder / LIBRARY)

    @property
    def _library_stage(self) -> Stage:
        widths = [list(each) for each in self.setup.grid.allowed]
        inputs = {**self._calibrated_on, "weighted": self.config.pruning.weighted, "widths": widths}
        return Stage(self.folder, LIBRARY, inputs, outputs=[LIBRARY])

    @cached_property
    def pruner(self) -> Pruner:
        """What makes a sub-network of an architecture."""
        method, model = self.config.pruning.method, self.dense.model
        if method == "library":
            return self.library
        if method == "kwon":
            return KwonPruner(model, self.calibration, self.progress)
        return CriterionPruner(model, self.importance(method))

    @property
    def _pruner_inputs(self) -> Mapping[str, Any]:
        """All that the pruner's sub-networks depend on."""
        method = self.config.pruning.method
        if method == "library":
            return {"method": method, "library": self._library_stage.digest}
        if method == "kwon":
            return {"method": method, **self._calibrated_on}
        return {"method": method, "importance": arrays_digest(_named(self.importance(method)))}

    @property
    def _calibrated_on(self) -> dict[str, Any]:
        return {
            "dense": self.dense.digest,
            "calibration_rows": self.config.pruning.calibration_rows,
            "rows": self.task.digests["train"],
            "seed": self.config.seed,
            "max_length": self.config.data.max_length,
        }

    @cached_property
    def calibration(self) -> Calibration:
        """A seeded draw, without replacement, of the train rows."""
        config, spec, rows = self.config, self.task.spec, self.task.rows["train"]
        count = min(config.pruning.calibration_rows, len(rows))
        chosen = np.random.default_rng(config.seed).choice(len(rows), size=count, replace=False)
        drawn = [rows[index] for index in sorted(chosen)]
        tokens = config.search.max_batch_tokens
        prepared = prepare(drawn, spec, self.dense.tokenizer, config.data.max_length, tokens)
        model = self.dense.model
        batches = [
            {**model_inputs(model, batch.tensors), "labels": batch.tensors["labels"]} for batch in prepared.batches
        ]
        return Calibration(batches, lambda logits, labels: example_losses(spec, logits, labels), config.seed)

    # --- search -------------------------------------------------------------------------------------------------

    @property
    def storage(self) -> str:
        """URL of the study database."""
        return self.config.search.storage or sqlite_url(self.folder / "study.db")

    @cached_property
    def setup(self) -> SearchSetup:
        """What the search needs besides a scorer."""
        return self._setup(self.dense.model, self.dense.tokenizer, {"model.weights": self.dense.digest})

    @property
    def latency_prices(self) -> LatencyTable | EstimatedPrices | None:
        """What a latency budget is counted with; None for other kinds."""
        return self._latency_prices(self.dense.model, self.dense.tokenizer)

    def _latency_prices(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> LatencyTable | EstimatedPrices | None:
        latency = self.config.search.budget.kind == "latency_ms"
        return study_prices(self.config, model, tokenizer, self.progress) if latency else None

    def _setup(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: Mapping[str, Any]
    ) -> SearchSetup:
        budget, shape = self.config.search.budget, shape_of(model)
        grid, source = make_grid(self._space, shape), self._latency_prices(model, tokenizer)
        return SearchSetup(
            info=self._info(source),
            shape=shape,
            grid=grid,
            judge=Judge(self.task.spec, self.config.search.objective),
            storage=self.storage,
            int8=self.config.deploy.int8,
            race=self.config.search.race,
            settings={**self._settings(source), **settings},
            prices=None if source is None else prices_of(source, budget, grid),
        )

    def _info(self, source: LatencyTable | EstimatedPrices | None) -> StudyInfo:
        config, task = self.config, self.task
        return StudyInfo(
            name=config.name,
            task=task.spec.name,
            model=Path(config.model.path).name if Path(config.model.path).is_dir() else config.model.path,
            metric=task.spec.headline,
            budget_kind=config.search.budget.kind,
            targets=config.search.budget.targets,
            length=config.search.budget.length,
            sampler=config.search.sampler,
            seed=config.seed,
            trials=config.search.trials,
            search_rows=len(task.rows["search"]),
            notes=task.notes,
            device="" if source is None else device_name(source, config.search.budget),
            estimated=isinstance(source, EstimatedPrices),
        )

    def _settings(self, source: LatencyTable | EstimatedPrices | None) -> dict[str, Any]:
        """Everything that the trials depend on, by dotted key; where files lie and how many trials is not of it."""
        config = self.config
        values = {name: plain(getattr(config, name)) for name in ("task", "dense", "pruning", "search")}
        for key in ("storage", "trials", "device"):
            del values["search"][key]
        values["search"] |= {"space": plain(self._space), "first": list(config.first)}
        values["search"]["budget"] = settings_of(source, values["search"]["budget"], config.search.budget)
        settings: dict[str, Any] = {"seed": config.seed, "data.max_length": config.data.max_length}
        if config.search.budget.kind in ("size_mb", "latency_ms"):
            settings["deploy.int8"] = config.deploy.int8
        settings |= {f"data.{role}_rows": self.task.digests[role] for role in ("train", "search")}
        return settings | flat(values)

    @cached_property
    def study(self) -> tuple[list[TrialRecord], list[Verdict]]:
        """Stage 3. The study, run up to its total of trials; all that were scored, and the verdict on each budget."""
        setup = self.setup  # first: what is wrong with it should show before hours of work
        return search(setup, self.scorer, self.first_trials, self.progress)

    @property
    def trials(self) -> list[TrialRecord]:
        """All trials of the study that were scored."""
        return self.study[0]

    @property
    def scorer(self) -> SubnetworkScorer:
        """What scores candidates on the search rows."""
        config, spec = self.config, self.task.spec
        rows = race_rows(
            self.task.rows["search"],
            spec,
            self.dense.tokenizer,
            config.data.max_length,
            config.search.max_batch_tokens,
            config.seed,
            doubt=self._doubt if config.search.race else None,
            looks=LOOKS if config.search.race else (),
        )
        device, precision = config.search.device, config.search.precision
        return SubnetworkScorer(
            self.dense.model, self.pruner, rows, self.setup.judge, device=device, precision=precision
        )

    @cached_property
    def _doubt(self) -> np.ndarray:
        """The dense model's doubt of each search row; kept, since rows must come in the same order after a resume."""
        rows = [self.task.digests["search"], self.config.data.max_length]

        def make() -> dict[str, Any]:
            with self.progress.bar("dense model on the search rows", 1) as bar:
                prepared = self.rows("search")
                logits = dense_logits(self.dense.model, prepared, self.config.search.device)
                bar.advance()
            return {"doubt": doubts(self.task.spec, prepared.encoded, logits).tolist()}

        return np.array(Stage(self.folder, "doubt", {"dense": self.dense.digest, "rows": rows}).run(make)["doubt"])

    @property
    def first_trials(self) -> FirstTrials:
        """What the methods of the first trials propose for each budget."""
        grid, budgets = self.setup.grid, self.setup.budgets
        found: dict[Any, Sequence[Architecture]] = {}
        for method in self.config.first:
            if method == "uniform":
                found[method] = [uniform(grid, budget) for budget in budgets]
            elif method == "knapsack":
                errors = error_table(self.library, grid.allowed)
                found[method] = [knapsack(errors, grid, budget) for budget in budgets]
            else:
                scores = self.importance(method)
                # totals must mean something: squared norms add up to the share of all weights that goes
                scores = scores.squared() if method == "magnitude" else scores
                found[method] = [greedy(scores, grid, budget) for budget in budgets]
        return found

    # --- finalists ----------------------------------------------------------------------------------------------

    @cached_property
    def finalists(self) -> list[Finalist]:
        """Stage 4. The best candidates, cut from the dense model, fine-tuned, and ranked on the select rows."""
        config, (trials, verdicts) = self.config.finalists, self.study
        picked = pick(trials, verdicts, self.setup.info, config.count, config.by)
        return [self._finalist(trial) for trial in picked]

    def _finalist(self, trial: TrialRecord) -> Finalist:
        config, key = self.config, trial.architecture.key()
        folder = self.folder / "finalists" / key
        settings = _given(config.finalists)
        inputs = {
            "dense": self.dense.digest,
            "pruner": dict(self._pruner_inputs),
            "repair": config.finalists.repair,
            "architecture": trial.architecture.to_dict(),
            "train": {name: value for name, value in settings.items() if name not in ("count", "by", "repair")},
            "rows": [self.task.digests["train"], self.task.digests["select"]],
            "seed": config.seed,
            "max_length": config.data.max_length,
        }
        stage = Stage(self.folder, f"finalist-{key}", inputs, outputs=[str(folder.relative_to(self.folder))])

        def make() -> dict[str, Any]:
            model = self.pruner(trial.architecture)
            if config.finalists.repair == "sequential":
                repair_sequentially(self.dense.model, model, self.calibration.batches, self.progress)
            distill = config.finalists.distill
            teaching = {"teacher": self.dense.model, "distill": distill} if distill else {}
            title = f"fine-tune trial {trial.number}"
            self._train(
                model,
                self.dense.tokenizer,
                config.finalists,
                title,
                self.folder / "checkpoints" / stage.name,
                **teaching,
            )
            self._store(model, self.dense.tokenizer, folder)
            return {"metrics": dict(evaluate(model, self.rows("select")).metrics), "weights": weights_digest(model)}

        result = stage.run(make)
        return Finalist(trial, folder, result["weights"], result["metrics"], result["seconds"])


def _given(section: TrainConfig) -> dict[str, Any]:
    """Settings that are set: an option that a later version adds does not undo what was trained without it."""
    return {key: value for key, value in plain(section).items() if value is not None}


def _named(importance: Importance) -> dict[str, np.ndarray]:
    heads = {f"heads.{block}": scores for block, scores in enumerate(importance.heads)}
    return heads | {f"ffn.{block}": scores for block, scores in enumerate(importance.ffn)}
