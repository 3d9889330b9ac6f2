"""The rungs of a search: block libraries that are built from sub-networks, and the models made of them."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from aebert.pruning.architecture import Architecture
from aebert.pruning.library import BlockLibrary, LibrarySettings, build_library, error_table
from aebert.pruning.lockstep import DenseStates
from aebert.pruning.recipe import Recipe
from aebert.pruning.sequential import repair_sequentially
from aebert.pruning.subnetwork import load_subnetwork
from aebert.run.candidates import Candidates
from aebert.run.stage import Stage
from aebert.run.training import store_model
from aebert.search.budget import Budget
from aebert.search.first import knapsack
from aebert.search.outcomes import Outcomes
from aebert.search.scoring import Scored, SubnetworkScorer
from aebert.sections import digest

RUNGS = "rungs"  # a folder in the run's, with one folder per base
KEPT = 2  # repaired models in memory


class Rungs:
    """Makes the sub-network of any recipe. It is the `Ladder` of a search.

    What a recipe is cut from is made first, and kept on disk with its library; where it was deleted, it is made again.
    """

    def __init__(self, candidates: Candidates, scorer: SubnetworkScorer | None = None) -> None:
        self.candidates, self._scorer = candidates, scorer
        self.run = candidates.run
        self._libraries: dict[Recipe, BlockLibrary] = {}
        self._latest: dict[Recipe, PreTrainedModel] = {}

    # --- models --------------------------------------------------------------------------------------------------

    def make(self, recipe: Recipe, *, share_weights: bool = False) -> PreTrainedModel:
        """The sub-network of a recipe. share_weights: as of `Pruner`; a repaired one shares nothing."""
        if recipe.repaired:
            return self._repaired(recipe)
        pruner = self.candidates.pruner if recipe.base is None else self._library(recipe.base)
        return pruner(recipe.architecture, share_weights=share_weights)

    def _repaired(self, recipe: Recipe) -> PreTrainedModel:
        """A copy of the repaired sub-network. The last ones are kept, since what was scored is often used next."""
        if recipe not in self._latest:
            small = self.make(recipe.unrepaired)
            dense, batches = self.candidates.dense.model, self.candidates.calibration.batches
            siblings = [model for other, model in self._latest.items() if other.base == recipe.base]
            repair_sequentially(dense, small, batches, self.run.progress, siblings, self.dense_states)
            self._latest = {**dict(list(self._latest.items())[1 - KEPT :]), recipe: small}
        return copy.deepcopy(self._latest[recipe])

    @cached_property
    def dense_states(self) -> DenseStates:
        """What the dense model computes for the calibration rows, once for all repairs."""
        return DenseStates(self.candidates.dense.model, self.candidates.calibration.batches)

    def _library(self, base: Recipe) -> BlockLibrary:
        """The library that is built from the sub-network of a base."""
        if base not in self._libraries:
            model, stage = self._base(base), self._library_stage(base)
            folder = self._folder(base) / "library"

            def make() -> dict[str, Any]:
                settings = LibrarySettings(self.run.config.pruning.weighted, self.run.config.seed, stage.digest)
                batches = self.candidates.calibration.batches
                build_library(model, batches, self._widths(base), folder, settings, self.run.progress)
                return {}

            stage.run(make)
            self._libraries[base] = BlockLibrary(model, folder)
        return self._libraries[base]

    def _base(self, base: Recipe) -> PreTrainedModel:
        folder = self._folder(base) / "model"

        def make() -> dict[str, Any]:
            store_model(self.make(base), self.candidates.dense.tokenizer, folder)
            return {}

        self._base_stage(base).run(make)
        return load_subnetwork(folder)

    def _widths(self, base: Recipe) -> list[list[int]]:
        """The widths that each block may have: those of the search space that are no wider than the base."""
        most = (*base.architecture.heads, *base.architecture.ffn)
        return [
            [width for width in each if width <= limit]
            for each, limit in zip(self.candidates.grid.allowed, most, strict=True)
        ]

    # --- what is on disk -----------------------------------------------------------------------------------------

    def _folder(self, base: Recipe) -> Path:
        return self.run.folder / RUNGS / _key(base)

    def _base_stage(self, base: Recipe) -> Stage:
        source = self.candidates.inputs if base.base is None else {"library": self._library_stage(base.base).digest}
        inputs = {**source, "architecture": base.architecture.to_dict(), "repaired": base.repaired}
        folder = self._folder(base) / "model"
        return self.run.stage(f"rung-{_key(base)}-model", inputs, [str(folder.relative_to(self.run.folder))])

    def _library_stage(self, base: Recipe) -> Stage:
        inputs = {
            "base": self._base_stage(base).digest,
            "weighted": self.run.config.pruning.weighted,
            "widths": self._widths(base),
        }
        folder = self._folder(base) / "library"
        return self.run.stage(f"rung-{_key(base)}-library", inputs, [str(folder.relative_to(self.run.folder))])

    @staticmethod
    def key(recipe: Recipe) -> str:
        """Names the files of a recipe: that of its architecture, where it comes straight from the dense model."""
        plain = recipe.base is None and not recipe.repaired
        return recipe.architecture.key() if plain else _key(recipe)

    def inputs(self, recipe: Recipe) -> dict[str, Any]:
        """The library that a recipe comes from, for the inputs of later stages; nothing for the dense model's."""
        return {} if recipe.base is None else {"library": self._library_stage(recipe.base).digest}

    # --- what the search asks ------------------------------------------------------------------------------------

    def propose(self, base: Recipe | None, budget: Budget) -> Architecture:
        """The architecture with the least sum of errors in the library of a base; None is the dense model."""
        if base is None:
            return knapsack(self.candidates.block_errors, self.candidates.grid, budget)
        return knapsack(error_table(self._library(base), self._widths(base)), self.candidates.grid, budget)

    def library(self, base: Recipe) -> str:
        """Digest of what the library of a base is built from."""
        return self._library_stage(base).digest

    def build(self, base: Recipe) -> None:
        """Build the library of a base where it is missing."""
        _ = self._library(base)

    def score(self, recipe: Recipe, rival: Outcomes | None = None) -> Scored:
        """Score a candidate on the search rows."""
        if self._scorer is None:
            raise ValueError("these rungs were made without a scorer, so they can't score")
        return self._scorer.score(self.make(recipe, share_weights=True), rival)

    def keep(self, bases: Sequence[Recipe]) -> None:
        """Delete the libraries of all bases but these and those that they are cut from."""
        needed = {_key(one) for base in bases for one in _chain(base)}
        for folder in sorted((self.run.folder / RUNGS).glob("*")):
            if folder.name not in needed:
                shutil.rmtree(folder, ignore_errors=True)
        self._libraries = {base: library for base, library in self._libraries.items() if _key(base) in needed}


def _key(base: Recipe) -> str:
    return digest(base.to_dict())[:10]


def _chain(base: Recipe) -> list[Recipe]:
    return [base] if base.base is None else [base, *_chain(base.base)]
