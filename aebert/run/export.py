"""The ONNX files of a run's models: float32 and, unless turned off, quantized."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from aebert.deployment.exported import ExportedForms
from aebert.run.dense import Dense
from aebert.run.forms import Forms, instruction_sets_here
from aebert.run.run import Run
from aebert.run.shipped import ShippedModel
from aebert.search.kinds import KINDS
from aebert.sections import plain

INT8 = ".int8"  # ends the name of a quantized file


class Export:
    """The ONNX files that a run ships, made where they are missing."""

    def __init__(self, run: Run, dense: Dense, models: Sequence[ShippedModel]) -> None:
        self.run, self.dense, self.models = run, dense, models

    @cached_property
    def files(self) -> dict[str, Path]:
        """Files by name: `dense`, `dense.int8`, `trial-7` …"""
        names = list(self.forms)
        kinds = ("", INT8) if self.run.config.deploy.int8 else ("",)
        return {name + kind: self.run.folder / "models" / f"{name}{kind}.onnx" for name in names for kind in kinds}

    def shipped(self, model: str) -> str:
        """Name of the file of a model that is meant to be used: the quantized one where there is one."""
        return model + INT8 if model + INT8 in self.files else model

    @cached_property
    def forms(self) -> dict[str, ExportedForms]:
        """How each model was exported, by its name: parity, fused nodes, quantized forms as scored and timed."""
        return {model.name: self._export(model) for model in self.models}

    def _export(self, model: ShippedModel) -> ExportedForms:
        run, folder, max_bytes = self.run, self.run.folder / "models", self._max_bytes(model)
        config, name = run.config.deploy, model.name
        outputs = [f"models/{name}.onnx", *([f"models/{name}{INT8}.onnx"] if config.int8 else [])]
        inputs = {
            "weights": model.digest,
            "deploy": {key: value for key, value in plain(config).items() if key != "litert"},
            "profile": plain(run.config.profile),
            "rows": [run.task.digests[role] for role in ("train", "select")],
            "max_bytes": max_bytes,
            "cpu": instruction_sets_here(),
        }
        forms = Forms(run, self.dense, model, max_bytes)
        int8 = folder / f"{name}{INT8}.onnx" if config.int8 else None
        stage = run.stage(f"export-{name}", inputs, outputs)
        result = stage.run(lambda: forms.make(folder / f"{name}.onnx", int8).to_dict())
        forms.clean()
        return ExportedForms.from_dict(result)

    def _max_bytes(self, model: ShippedModel) -> float | None:
        """Size that a budget in MB allows the file."""
        kind = KINDS[self.run.config.search.budget.kind]
        return model.budget * kind.scale if kind.is_size and model.budget is not None else None
