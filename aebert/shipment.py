"""The stages after a run's models exist: export and quantize them, score and measure the files that ship."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from aebert.config import plain
from aebert.deployment.opening import ExportedModel
from aebert.deployment.session import OnnxModel
from aebert.digests import file_digest
from aebert.forms import Forms, file_forward, instruction_sets_here, requests_of
from aebert.latency.measurement import measure_files
from aebert.models.evaluation import Prepared, evaluate_forward
from aebert.pipeline import DENSE, Run
from aebert.pricing import measured_here, setting_of
from aebert.profiling.machine import machine_facts
from aebert.profiling.profiles import profile_files
from aebert.pruning.subnetwork import load_subnetwork
from aebert.reporting.intervals import bootstrap
from aebert.stages import Stage
from aebert.tasks.resampling import resampler

_CONFIRMING_RUNS = 101  # requests that a latency budget is confirmed with
RESAMPLES = 1000  # of a bootstrap interval
INT8 = ".int8"  # ends the name of a quantized file


class Shipment:
    """The files that a run ships, and what is known of them."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @cached_property
    def files(self) -> dict[str, Path]:
        """Stage 5. ONNX files, float32 and int8, of the dense model and every finalist, by name (`dense.int8`, …)."""
        names = list(self.forms)
        kinds = ("", INT8) if self.run.config.deploy.int8 else ("",)
        return {name + kind: self.run.folder / "models" / f"{name}{kind}.onnx" for name in names for kind in kinds}

    @cached_property
    def forms(self) -> dict[str, dict[str, Any]]:
        """Stage 5. How each model was exported: parity, fused nodes, quantized forms as scored and timed, by name."""
        dense = {DENSE: self._export(DENSE, self.run.folder / DENSE, self.run.dense.digest, None)}
        return dense | {
            finalist.name: self._export(finalist.name, finalist.folder, finalist.digest, finalist.trial.budget)
            for finalist in self.run.finalists
        }

    def _export(self, name: str, folder: Path, weights: str, budget: float | None) -> dict[str, Any]:
        config, models = self.run.config.deploy, self.run.folder / "models"
        outputs = [f"models/{name}.onnx", *([f"models/{name}{INT8}.onnx"] if config.int8 else [])]
        inputs = {
            "weights": weights,
            "deploy": {key: value for key, value in plain(config).items() if key != "litert"},
            "profile": plain(self.run.config.profile),
            "rows": [self.run.task.digests[role] for role in ("train", "select")],
            "max_bytes": self._max_bytes(budget),
            "cpu": instruction_sets_here(),
        }

        forms = Forms(self.run, name, weights, self._max_bytes(budget))

        def make() -> dict[str, Any]:
            int8 = models / f"{name}{INT8}.onnx" if config.int8 else None
            return forms.make(
                lambda: self.run.dense.model if name == DENSE else load_subnetwork(folder),
                models / f"{name}.onnx",
                int8,
            )

        result = Stage(self.run.folder, f"export-{name}", inputs, outputs).run(make)
        forms.clean()
        return {key: value for key, value in result.items() if key != "seconds"}

    def _max_bytes(self, budget: float | None) -> float | None:
        """Size that a budget in MB allows the file."""
        is_size = self.run.config.search.budget.kind == "size_mb"
        return budget * 1e6 if is_size and budget is not None else None

    @cached_property
    def reported(self) -> dict[str, dict[str, Any]]:
        """Stage 6. Metrics of every file on the report rows, with the 95 % interval of the headline one."""
        files = self.files
        return {name: self._reported(name, path) for name, path in files.items()}

    def _reported(self, name: str, path: Path) -> dict[str, Any]:
        spec = self.run.task.spec
        rows = [self.run.task.digests["report"], self.run.config.data.max_length]
        inputs = {"file": file_digest(path), "rows": rows, "metric": spec.metric}

        def make() -> dict[str, Any]:
            return score_file(self.run, name, OnnxModel(path, torch.get_num_threads()), self.run.rows("report"))

        return Stage(self.run.folder, f"report-{name}", inputs).run(make)

    @cached_property
    def profiles(self) -> dict[str, Any]:
        """Stage 7. Latency, throughput, size and memory of every file, all in one interleaved run."""
        return measure_in_turns(self.run, "profile", self.files)

    @cached_property
    def confirmed(self) -> dict[str, dict[str, Any]]:
        """Stage 7a. Of a latency budget: what each finalist's shipped file takes at the budget's setting, by finalist.

        Empty for other kinds of budgets, where this machine is not the device that the budget is stated for, and where
        that device is only estimated.
        """
        source, budget = self.run.latency_prices, self.run.config.search.budget
        if source is None or not measured_here(source) or not self.run.finalists:
            return {}
        kind = INT8 if self.run.config.deploy.int8 else ""
        files = {finalist.name: self.files[finalist.name + kind] for finalist in self.run.finalists}
        inputs = {
            "files": {name: file_digest(path) for name, path in files.items()},
            "setting": asdict(setting_of(budget)),
            "machine": machine_facts(),
        }

        def make() -> dict[str, Any]:
            taken = measure_files(files, setting_of(budget), runs=_CONFIRMING_RUNS, progress=self.run.progress)
            return {name: {"median_ms": ms, "p90_ms": taken.p90_ms[name]} for name, ms in taken.median_ms.items()}

        result = Stage(self.run.folder, "confirm", inputs).run(make)
        return {name: result[name] for name in files}


def score_file(run: Run, name: str, model: ExportedModel, prepared: Prepared) -> dict[str, Any]:
    """Metrics of a file on some rows, with the 95 % interval of the headline one."""
    with run.progress.bar(f"report rows, {name}", 1) as bar:
        result = evaluate_forward(file_forward(model), prepared)
        bar.advance()
    compute = resampler(run.task.spec, prepared.rows, prepared.encoded, result.logits)
    interval = bootstrap(compute, len(prepared.rows), run.config.seed, RESAMPLES)
    return {"metrics": dict(result.metrics), "interval": interval, "rows": len(prepared.rows)}


def measure_in_turns(run: Run, stage: str, files: Mapping[str, Path], length: int | None = None) -> dict[str, Any]:
    """Profiles of files, in one interleaved run on the report rows, and the machine; as a stage of that name.

    length: most tokens of a row; by default as in training.
    """
    config = run.config.profile
    inputs = {
        "files": {name: file_digest(path) for name, path in files.items()},
        "profile": plain(config),
        "rows": run.task.digests["report"],
        "machine": machine_facts(),
    }

    def make() -> dict[str, Any]:
        measured = profile_files(
            files,
            requests_of(run, run.task.rows["report"], config.batch_size, length),
            threads=config.threads,
            warmup=config.warmup,
            runs=config.runs,
            progress=run.progress,
        )
        return {"profiles": [profile.to_dict() for profile in measured]}

    return {**Stage(run.folder, stage, inputs).run(make), "machine": inputs["machine"]}
