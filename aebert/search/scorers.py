"""What a search needs of that which scores its candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from aebert.pruning.architecture import Architecture
from aebert.pruning.recipe import Recipe
from aebert.search.budget import Budget
from aebert.search.executor import Score, Work
from aebert.search.outcomes import Outcomes
from aebert.search.scored import Scored


class Scorer(Protocol):
    """What scores candidates that are cut from the dense model."""

    def __call__(self, architecture: Architecture, rival: Outcomes | None = None) -> Scored:
        """Score a candidate; with a rival to beat (its outcomes on all rows) it may be stopped early."""


class Ladder(Protocol):
    """Builds the libraries of rungs, and scores what is made of them or repaired."""

    def propose(self, base: Recipe | None, budget: Budget) -> Architecture:
        """The architecture with the least sum of errors in the library of a base; None is the dense model."""

    def library(self, base: Recipe) -> str:
        """Digest of the library of a base."""

    def build(self, base: Recipe) -> None:
        """Build the library of a base where it is missing."""

    def score(self, recipe: Recipe, rival: Outcomes | None = None) -> Scored:
        """Score a candidate, as a `Scorer` does."""

    def keep(self, bases: Sequence[Recipe]) -> None:
        """Delete the libraries of all other bases."""


def scoring(scorer: Scorer, ladder: Ladder | None = None) -> Score:
    """Scores any recipe, by the ladder where it takes one."""

    def score(work: Work) -> Scored:
        if ladder is None or work.recipe == Recipe(work.recipe.architecture):
            return scorer(work.recipe.architecture, work.rival)
        return ladder.score(work.recipe, work.rival)

    return score
