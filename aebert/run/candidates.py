"""What sub-networks are made of: calibration rows, importance scores, the block library, and the pruner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from aebert.digests import arrays_digest
from aebert.models.evaluation import example_losses, model_inputs
from aebert.pruning.criteria import CRITERIA, Batches, Calibration, Importance
from aebert.pruning.library import BlockLibrary, LibrarySettings, build_library, error_table
from aebert.pruning.masks import weight_importance
from aebert.pruning.pruners import Ground, Pruner
from aebert.run.dense import Dense
from aebert.run.directions import along, with_directions
from aebert.run.run import Run
from aebert.run.stage import Stage
from aebert.search.space import Grid
from aebert.tasks.task import TaskSpec

LIBRARY = "library"  # the stage, and its folder in the run's


class Candidates:
    """What the candidates of a run are cut from its dense model with, each part made when it is first asked for.

    grid: the widths that the search space allows.
    """

    def __init__(self, run: Run, dense: Dense, grid: Grid) -> None:
        self.run, self.dense, self.grid = run, dense, grid

    @cached_property
    def calibration(self) -> Calibration:
        """A seeded draw, without replacement, of the train rows."""
        config, spec, rows = self.run.config, self.run.task.spec, self.run.task.rows["train"]
        count = min(config.pruning.calibration_rows, len(rows))
        chosen = np.random.default_rng(config.seed).choice(len(rows), size=count, replace=False)
        drawn = [rows[index] for index in sorted(chosen)]
        if spec.kind == "embedding":
            drawn = with_directions(drawn, int(self.dense.model.config.hidden_size), config.seed)
        prepared = self.run.encoded(drawn, self.dense.tokenizer, config.search.max_batch_tokens)
        batches = [
            {**model_inputs(self.dense.model, batch.tensors), "labels": batch.tensors["labels"]}
            for batch in prepared.batches
        ]
        return calibration(batches, spec, config.seed)

    @cache  # noqa: B019  a run lives as long as the process
    def importance(self, criterion: str) -> Importance:
        """A score for every head and neuron, by one criterion; for every weight where the method is unstructured."""
        if self.run.method.is_unstructured:
            return weight_importance(self.dense.model)
        path = self.run.folder / "importance" / f"{criterion}.safetensors"
        inputs = {**self._calibrated_on, "criterion": criterion}

        def make() -> dict[str, Any]:
            scores = CRITERIA[criterion](self.dense.model, self.calibration, self.run.progress)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(_named(scores), path)
            return {}

        self.run.stage(f"importance-{criterion}", inputs, [str(path.relative_to(self.run.folder))]).run(make)
        stored, shape = load_file(path), self.dense.shape
        return Importance(
            tuple(stored[f"heads.{block}"] for block in range(len(shape.heads))),
            tuple(stored[f"ffn.{block}"] for block in range(len(shape.ffn))),
        )

    @cached_property
    def library(self) -> BlockLibrary:
        """The block library, one file per block."""
        run, stage, folder = self.run, self._library_stage, self.run.folder / LIBRARY

        def make() -> dict[str, Any]:
            settings = LibrarySettings(run.config.pruning.weighted, run.config.seed, stage.digest)
            batches = self.calibration.batches
            notes = build_library(self.dense.model, batches, self.grid.allowed, folder, settings, run.progress)
            return {"notes": notes}

        for note in stage.run(make)["notes"]:
            run.progress.say(note)
        return BlockLibrary(self.dense.model, folder)

    @cached_property
    def block_errors(self) -> list[np.ndarray]:
        """Errors of the library's blocks, per block one value per level of the grid."""
        return error_table(self.library, self.grid.allowed)

    @property
    def _library_stage(self) -> Stage:
        widths = [list(each) for each in self.grid.allowed]
        inputs = {**self._calibrated_on, "weighted": self.run.config.pruning.weighted, "widths": widths}
        return self.run.stage(LIBRARY, inputs, outputs=[LIBRARY])

    @cached_property
    def pruner(self) -> Pruner:
        """What makes a sub-network of an architecture, by the run's pruning method."""
        return self.run.method.make(self.dense.model, self, self.run.progress)

    @property
    def inputs(self) -> Mapping[str, Any]:
        """All that the pruner's sub-networks depend on, for the inputs of later stages."""
        name = self.run.config.pruning.method
        of: dict[Ground, Callable[[], Mapping[str, Any]]] = {
            "library": lambda: {"library": self._library_stage.digest},
            "calibration": lambda: self._calibrated_on,
            "weights": lambda: {"dense": self.dense.digest},
            "importance": lambda: {"importance": arrays_digest(_named(self.importance(name)))},
        }
        return {"method": name, **of[self.run.method.built_on]()}

    @property
    def _calibrated_on(self) -> dict[str, Any]:
        config = self.run.config
        return {
            "dense": self.dense.digest,
            "calibration_rows": config.pruning.calibration_rows,
            "rows": self.run.task.digests["train"],
            "seed": config.seed,
            "max_length": config.data.max_length,
        }


def calibration(batches: Batches, spec: TaskSpec, seed: int) -> Calibration:
    """What criteria read of a task's rows."""
    return Calibration(batches, along if spec.kind == "embedding" else partial(example_losses, spec), seed)


def _named(importance: Importance) -> dict[str, np.ndarray]:
    heads = {f"heads.{block}": scores for block, scores in enumerate(importance.heads)}
    return heads | {f"ffn.{block}": scores for block, scores in enumerate(importance.ffn)}
