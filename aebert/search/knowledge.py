"""What a search knows between two trials."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aebert.pruning.recipe import Recipe
from aebert.search.front import standing
from aebert.search.leaders import KEPT, Leaders
from aebert.search.outcomes import Outcomes
from aebert.search.record import LATER, Origin, StudyInfo, TrialRecord

Known = tuple[TrialRecord, Outcomes | None]


class Knowledge:
    """All records, what is known of each recipe, and the best of each budget with what they did on every row."""

    def __init__(self, info: StudyInfo) -> None:
        self.records: list[TrialRecord] = []
        self.leaders = Leaders(info)
        self.firsts: dict[tuple[Origin, float], Known] = {}
        self.dense: Outcomes | None = None
        self._known: dict[Recipe, TrialRecord | None] = {}
        self._trials: dict[int, TrialRecord] = {}
        self._of_rung: dict[tuple[float, Recipe | None, bool], list[Known]] = {}

    def __contains__(self, recipe: Recipe) -> bool:
        return recipe in self._known

    def before(self, recipe: Recipe) -> TrialRecord | None:
        """The record of a scored recipe; None where its score was not finite. Raises: KeyError if it is new."""
        return self._known[recipe]

    def number_of(self, recipe: Recipe | None) -> int | None:
        """Number of the trial that scored a recipe; None for the dense model."""
        record = None if recipe is None else self._known[recipe]
        return None if record is None else record.number

    def recipe_of(self, record: TrialRecord) -> Recipe:
        """How the sub-network of a record is made. Raises: KeyError where a trial that it was cut from is missing."""
        return recipe_of(record, self._trials)

    def fail(self, recipe: Recipe) -> None:
        """Remember that a recipe has no finite score."""
        self._known[recipe] = None

    def remember(self, record: TrialRecord, outcomes: Outcomes | None) -> None:
        """Take in a record; a recipe that was scored before keeps its first one."""
        recipe = self.recipe_of(record)
        self.records.append(record)
        self._trials[record.number] = record
        self._known.setdefault(recipe, record)
        self.leaders.add(record, outcomes)
        if record.origin == "dense":
            self.dense = outcomes
        if record.budget is None or record.stopped_at is not None:
            return
        if record.same_as is None:
            best = self._of_rung.setdefault((record.budget, recipe.base, recipe.repaired), [])
            best.append((record, outcomes))
            best.sort(key=lambda pair: standing(pair[0]))
            del best[KEPT:]
        elif record.origin not in LATER:
            outcomes = self._outcomes_of(record.same_as)
        if record.origin not in LATER:
            self.firsts[record.origin, record.budget] = record, outcomes

    def _outcomes_of(self, number: int) -> Outcomes | None:
        """Outcomes of an earlier first trial, which another method proposed again."""
        return next((outcomes for record, outcomes in self.firsts.values() if record.number == number), None)

    def of_rung(self, target: float, base: Recipe | None, *, repaired: bool) -> list[Known]:
        """The best candidates that were made for a budget out of a base's library or the dense model's, best first.

        repaired: whether those that were repaired once more are asked for, or those that were not.
        """
        found = [pair for one in {None, base} for pair in self._of_rung.get((target, one, repaired), [])]
        return sorted(found, key=lambda pair: standing(pair[0]))

    def drift(self, outcomes: Outcomes | None) -> float | None:
        """Mean absolute change of a row's loss from the dense model's; None where either is unknown."""
        if self.dense is None or outcomes is None:
            return None
        return float(np.abs(outcomes.losses.astype(np.float64) - self.dense.losses).mean())


def recipe_of(record: TrialRecord, records: Mapping[int, TrialRecord]) -> Recipe:
    """How the sub-network of a record is made.

    records: those of the study, by number. Raises: KeyError where a trial that it was cut from is missing.
    """
    base = None if record.base is None else recipe_of(records[record.base], records)
    return Recipe(record.architecture, record.repaired, base)
