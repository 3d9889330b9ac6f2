"""Finalists that are reached in steps: cut a little, repaired and fine-tuned each time, instead of cut at once.

What a narrow sub-network needs of the dense model, it can learn better from one that is a little wider than from the
dense model itself, and which units may go next shows better on weights that are trained for the widths so far.
Source: gradual pruning (Zhu & Gupta 2017, arXiv:1710.01878); of encoders, structured and with a teacher, CoFi (Xia et
al. 2022, arXiv:2204.00408) and ZipLM (Kurtic et al. 2023, arXiv:2302.04089).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from aebert.pruning.architecture import Architecture
from aebert.pruning.library import BlockLibrary, LibrarySettings, build_library
from aebert.pruning.recipe import Recipe
from aebert.pruning.sequential import repair_sequentially
from aebert.pruning.subnetwork import load_subnetwork
from aebert.run.rungs import Rungs
from aebert.run.stage import Stage
from aebert.search.space import Grid

GRADUAL = "gradual"  # a folder in the run's, with the models on the way to a finalist, until that is trained
Train = Callable[[PreTrainedModel, Stage, Path], dict[str, Any]]


def widths_between(grid: Grid, architecture: Architecture, count: int) -> list[Architecture]:
    """`count` architectures of a grid, from wide to narrow, evenly apart between all units and an architecture."""
    levels = (grid.last + (grid.levels(architecture) - grid.last) * step / (count + 1) for step in range(1, count + 1))
    return [grid.architecture(np.rint(each).astype(np.int64)) for each in levels]


def approach(rungs: Rungs, recipe: Recipe, count: int, inputs: Mapping[str, Any], train: Train) -> PreTrainedModel:
    """What the last part of a finalist's fine-tuning starts from: cut from the last of `count` wider, trained models.

    inputs: what the finalist depends on. train: fine-tunes a model for one part, and stores it in a stage's folder.
    """
    model: PreTrainedModel | None = None
    for step, architecture in enumerate(widths_between(rungs.candidates.grid, recipe.architecture, count), 1):
        name = f"{rungs.key(recipe)}-{step}"
        stage = rungs.run.stage(f"gradual-{name}", {**inputs, "step": step}, [f"{GRADUAL}/{name}"])
        model = _trained(rungs, model, architecture, stage, train)
    return _cut(rungs, model, recipe.architecture)


def clean(rungs: Rungs, recipe: Recipe) -> None:
    """Remove the models on the way to a finalist; only after that is recorded, or a kill would cost all of them."""
    for folder in (rungs.run.folder / GRADUAL).glob(f"{rungs.key(recipe)}-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _trained(
    rungs: Rungs, wider: PreTrainedModel | None, architecture: Architecture, stage: Stage, train: Train
) -> PreTrainedModel:
    folder = rungs.run.folder / stage.outputs[0]
    stage.run(lambda: train(_cut(rungs, wider, architecture), stage, folder))
    return load_subnetwork(folder)


def _cut(rungs: Rungs, wider: PreTrainedModel | None, architecture: Architecture) -> PreTrainedModel:
    """A sub-network of a wider one, or of the dense model, repaired to what the dense model computes."""
    if wider is None:
        return rungs.make(Recipe(architecture, repaired=True))
    run, candidates = rungs.run, rungs.candidates
    batches = candidates.calibration.batches
    widths = [[width] for width in (*architecture.heads, *architecture.ffn)]
    with TemporaryDirectory() as folder:
        settings = LibrarySettings(run.config.pruning.weighted, run.config.seed, inputs="")
        build_library(wider, batches, widths, Path(folder), settings, run.progress)
        small = BlockLibrary(wider, Path(folder))(architecture)
    repair_sequentially(candidates.dense.model, small, batches, run.progress, (), rungs.dense_states)
    return small
