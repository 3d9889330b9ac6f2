"""The stages of a run, in order: dense model, importance, search, finalists, deploy, measure, report.

Each stage asks the one before it, and is skipped when it is done for the same inputs; so calling the last one does all
that is missing, and calling it again after a kill goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from filelock import FileLock, Timeout
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from aebert.config import ModelConfig, RunConfig, plain
from aebert.deployment.onnx_export import export_onnx
from aebert.deployment.parity import check_parity, other_shapes
from aebert.deployment.quantize import quantize_int8
from aebert.deployment.session import OnnxModel
from aebert.digests import arrays_digest, file_digest, weights_digest
from aebert.errors import StudyError
from aebert.files import replacing
from aebert.models.checkpoint import load_checkpoint
from aebert.models.evaluation import Prepared, evaluate, evaluate_forward, example_losses, model_inputs, prepare
from aebert.models.shape import ModelShape, shape_of
from aebert.profiling.latency import profile_files
from aebert.profiling.machine import machine_facts
from aebert.progress import SILENT, Progress
from aebert.pruning.criteria import CRITERIA, Calibration, Importance, select
from aebert.pruning.slicing import extract
from aebert.pruning.subnetwork import load_subnetwork
from aebert.reporting.intervals import bootstrap
from aebert.search.record import StudyInfo, TrialRecord
from aebert.search.scoring import SubnetworkScorer
from aebert.search.space import load_space, make_grid
from aebert.search.storage import sqlite_url
from aebert.search.study import SearchSetup, search
from aebert.stages import Stage
from aebert.tasks.load import load_task
from aebert.tasks.resampling import resampler
from aebert.tasks.task import Role, Task
from aebert.training.finetune import fine_tune

CONFIG = "config.yaml"  # the resolved config in a run's folder
DENSE = "dense"
RESAMPLES = 1000  # of a bootstrap interval


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
            "train": {**plain(config.dense), "rows": self.task.digests["train"], "seed": config.seed}
            if train
            else None,
            "max_length": config.data.max_length,
        }
        stage = Stage(self.folder, DENSE, inputs, outputs=[DENSE])

        def make() -> dict[str, Any]:
            if train:
                self._train(start.model, start.tokenizer, title=f"fine-tune dense {config.model.path}")
            self._store(start.model, start.tokenizer, self.folder / DENSE)
            return {"fine_tuned_here": train}

        result = stage.run(make)
        stored = load_checkpoint(ModelConfig(path=str(self.folder / DENSE)), spec, config.seed)
        shape = shape_of(stored.model)
        return Dense(stored.model, stored.tokenizer, shape, weights_digest(stored.model), result["seconds"])

    def _train(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, title: str) -> None:
        fine_tune(
            model,
            tokenizer,
            self.task.rows["train"],
            self.task.spec,
            self.config.dense,
            max_length=self.config.data.max_length,
            seed=self.config.seed,
            folder=self.folder / DENSE / "checkpoints",
            title=title,
            progress=self.progress,
        )

    def _store(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
        """Save model and tokenizer; the folder holds them whole or is marked as not done by its stage."""
        folder.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    # --- importance ---------------------------------------------------------------------------------------------

    @cached_property
    def importance(self) -> Importance:
        """Stage 2. A score for every head and neuron, from calibration rows of the train role."""
        config, path = self.config, self.folder / "importance" / "importance.safetensors"
        inputs = {
            "dense": self.dense.digest,
            "pruning": plain(config.pruning),
            "rows": self.task.digests["train"],
            "seed": config.seed,
            "max_length": config.data.max_length,
        }

        def make() -> dict[str, Any]:
            scores = CRITERIA[config.pruning.criterion](self.dense.model, self._calibration(), self.progress)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(_named(scores), path)
            return {}

        Stage(self.folder, "importance", inputs, outputs=[str(path.relative_to(self.folder))]).run(make)
        stored, shape = load_file(path), self.dense.shape
        return Importance(
            tuple(stored[f"heads.{block}"] for block in range(len(shape.heads))),
            tuple(stored[f"ffn.{block}"] for block in range(len(shape.ffn))),
        )

    def _calibration(self) -> Calibration:
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
        config = self.config
        space = load_space(config.search.space)
        return SearchSetup(
            info=self._info(),
            shape=self.dense.shape,
            grid=make_grid(space, self.dense.shape),
            objective=config.search.objective,
            storage=self.storage,
            settings=self._settings(plain(space)),
        )

    def _info(self) -> StudyInfo:
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
        )

    def _settings(self, space: Mapping[str, Any]) -> dict[str, Any]:
        """Everything that the trials depend on, by dotted key; where files lie and how many trials is not of it."""
        config = self.config
        values = {name: plain(getattr(config, name)) for name in ("task", "dense", "pruning", "search")}
        for key in ("storage", "trials"):
            del values["search"][key]
        values["search"]["space"] = dict(space)
        settings = {"seed": config.seed, "data.max_length": config.data.max_length, "model.weights": self.dense.digest}
        settings |= {f"data.{role}_rows": self.task.digests[role] for role in ("train", "search")}
        return settings | flat(values)

    @cached_property
    def trials(self) -> list[TrialRecord]:
        """Stage 3. The study, run up to its total of trials; all that were scored."""
        setup = self.setup  # first: what is wrong with it should show before hours of work
        scorer = SubnetworkScorer(self.dense.model, self.importance, self.rows("search"))
        return search(setup, scorer, self.progress)

    # --- finalists ----------------------------------------------------------------------------------------------

    @cached_property
    def finalists(self) -> list[Finalist]:
        """Stage 4. The best candidates, cut from the dense model, fine-tuned, and ranked on the select rows."""
        config = self.config.finalists
        return [self._finalist(trial) for trial in pick(self.trials, config.count, config.by)]

    def _finalist(self, trial: TrialRecord) -> Finalist:
        config, key = self.config, trial.architecture.key()
        folder = self.folder / "finalists" / key
        settings = plain(config.finalists)
        inputs = {
            "dense": self.dense.digest,
            "importance": arrays_digest(_named(self.importance)),
            "architecture": trial.architecture.to_dict(),
            "train": {name: value for name, value in settings.items() if name not in ("count", "by")},
            "rows": [self.task.digests["train"], self.task.digests["select"]],
            "seed": config.seed,
            "max_length": config.data.max_length,
        }
        output = str(folder.relative_to(self.folder))

        def make() -> dict[str, Any]:
            model = extract(self.dense.model, select(self.importance, trial.architecture))
            fine_tune(
                model,
                self.dense.tokenizer,
                self.task.rows["train"],
                self.task.spec,
                config.finalists,
                max_length=config.data.max_length,
                seed=config.seed,
                folder=folder / "checkpoints",
                teacher=self.dense.model,
                distill=config.finalists.distill,
                title=f"fine-tune trial {trial.number}",
                progress=self.progress,
            )
            self._store(model, self.dense.tokenizer, folder)
            return {"metrics": dict(evaluate(model, self.rows("select")).metrics), "weights": weights_digest(model)}

        result = Stage(self.folder, f"finalist-{key}", inputs, outputs=[output]).run(make)
        return Finalist(trial, folder, result["weights"], result["metrics"], result["seconds"])

    # --- deploy and measure -------------------------------------------------------------------------------------

    @cached_property
    def files(self) -> dict[str, Path]:
        """Stage 5. ONNX files, float32 and int8, of the dense model and every finalist, by name (`dense.int8`, …)."""
        self._export(DENSE, self.folder / DENSE, self.dense.digest)
        for finalist in self.finalists:
            self._export(finalist.name, finalist.folder, finalist.digest)
        names = [DENSE, *(finalist.name for finalist in self.finalists)]
        kinds = ("", ".int8") if self.config.deploy.int8 else ("",)
        return {name + kind: self.folder / "models" / f"{name}{kind}.onnx" for name in names for kind in kinds}

    def _export(self, name: str, folder: Path, weights: str) -> None:
        config, models = self.config.deploy, self.folder / "models"
        outputs = [f"models/{name}.onnx", *([f"models/{name}.int8.onnx"] if config.int8 else [])]
        inputs = {"weights": weights, "deploy": plain(config)}

        def make() -> dict[str, Any]:
            with self.progress.bar(f"export {name}", len(outputs)) as bar:
                model = self.dense.model if name == DENSE else load_subnetwork(folder)
                tokenizer = self.dense.tokenizer
                path = export_onnx(model, tokenizer.model_input_names, models / f"{name}.onnx", opset=config.opset)
                parity = check_parity(model, path, self._parity_batches())
                bar.advance(1, f"logits differ by {parity.max_abs_difference:.1e}")
                if config.int8:
                    quantize_int8(path, models / f"{name}.int8.onnx", per_channel=config.per_channel)
                    bar.advance()
            return {"parity": parity.to_dict()}

        Stage(self.folder, f"export-{name}", inputs, outputs).run(make)

    def _parity_batches(self) -> list[dict[str, torch.Tensor]]:
        """Real rows, in shapes that the exporter did not see."""
        config, rows = self.config, self.task.rows["train"][:8]
        prepared = prepare(rows, self.task.spec, self.dense.tokenizer, config.data.max_length, 10**6)
        batch = prepared.batches[0].tensors
        return other_shapes(batch, pad_token_id=self.dense.tokenizer.pad_token_id, max_length=config.data.max_length)

    @cached_property
    def reported(self) -> dict[str, dict[str, Any]]:
        """Stage 6. Metrics of every file on the report rows, with the 95 % interval of the headline one."""
        files = self.files
        return {name: self._reported(name, path) for name, path in files.items()}

    def _reported(self, name: str, path: Path) -> dict[str, Any]:
        spec, rows = self.task.spec, self.task.digests["report"]
        inputs = {"file": file_digest(path), "rows": rows, "metric": spec.metric, "length": self.config.data.max_length}

        def make() -> dict[str, Any]:
            session, prepared = OnnxModel(path, threads=torch.get_num_threads()), self.rows("report")
            with self.progress.bar(f"report rows, {name}", 1) as bar:
                result = evaluate_forward(lambda batch: _run(session, batch), prepared)
                bar.advance()
            compute = resampler(spec, prepared.rows, prepared.encoded, result.logits)
            interval = bootstrap(compute, len(prepared.rows), self.config.seed, RESAMPLES)
            return {"metrics": dict(result.metrics), "interval": interval, "rows": len(prepared.rows)}

        return Stage(self.folder, f"report-{name}", inputs).run(make)

    @cached_property
    def profiles(self) -> dict[str, Any]:
        """Stage 7. Latency, throughput, size and memory of every file, all in one interleaved run."""
        config, files = self.config.profile, self.files
        inputs = {
            "files": {name: file_digest(path) for name, path in files.items()},
            "profile": plain(config),
            "rows": self.task.digests["report"],
            "machine": machine_facts(),
        }

        def make() -> dict[str, Any]:
            requests = self._requests(config.batch_size)
            measured = profile_files(
                files,
                requests,
                threads=config.threads,
                warmup=config.warmup,
                runs=config.runs,
                progress=self.progress,
            )
            return {"profiles": [profile.to_dict() for profile in measured]}

        result = Stage(self.folder, "profile", inputs).run(make)
        return {**result, "machine": inputs["machine"]}

    def _requests(self, batch_size: int) -> list[dict[str, np.ndarray]]:
        """The report rows as they would arrive: in file order, at their own lengths, without labels."""
        config, rows = self.config, self.task.rows["report"]
        parts = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
        spec, tokenizer = self.task.spec, self.dense.tokenizer
        prepared = [prepare(part, spec, tokenizer, config.data.max_length, 10**9) for part in parts]
        return [
            {name: tensor.numpy() for name, tensor in one.batches[0].tensors.items() if name != "labels"}
            for one in prepared
        ]


def pick(records: Sequence[TrialRecord], count: int, by: str) -> list[TrialRecord]:
    """The candidates to fine-tune, each architecture once, the dense model never.

    by `front`: the best of each budget, then the second of each, and so on; by `score`: the best of all.
    """
    scored = [record for record in records if record.budget is not None and record.same_as is None]
    ranked = sorted(scored, key=lambda record: (-record.score, record.loss, record.number))
    if by == "score":
        return ranked[:count]
    place: dict[float, int] = {}
    keyed = []
    for record in ranked:
        assert record.budget is not None
        place[record.budget] = place.get(record.budget, -1) + 1
        keyed.append((place[record.budget], record.budget, record))
    return [record for _, _, record in sorted(keyed, key=lambda item: item[:2])][:count]


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as one mapping of dotted keys."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        result |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return result


def _named(importance: Importance) -> dict[str, np.ndarray]:
    heads = {f"heads.{block}": scores for block, scores in enumerate(importance.heads)}
    return heads | {f"ffn.{block}": scores for block, scores in enumerate(importance.ffn)}


def _run(session: OnnxModel, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    return torch.from_numpy(session.logits({name: tensor.numpy() for name, tensor in batch.items()}))
