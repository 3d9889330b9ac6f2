"""Scores candidates by their outcomes, and compares them with others on the same rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from aebert.search.difference import GROUPS, Difference
from aebert.search.outcomes import Outcomes
from aebert.tasks.resampling import headline_of
from aebert.tasks.task import TaskSpec

Objective = Literal["metric", "loss", "divergence"]


@dataclass(frozen=True)
class Judge:
    """Scores outcomes, higher is better: by the task's headline metric, or by the negative mean of their losses.

    Under `divergence`, the losses are the divergences from the dense model. Rows without labels have no marks (NaN) and
    no part in the metric.
    """

    spec: TaskSpec
    objective: Objective = "metric"

    def score(self, outcomes: Outcomes) -> float:
        """Score of the rows in `outcomes`."""
        if self.objective != "metric":
            return -float(outcomes.losses.astype(np.float64).mean())
        return headline_of(self.spec, outcomes.marks[~np.isnan(outcomes.marks).any(axis=1)])

    def floor(self, dense: float) -> float:
        """The score that hypervolumes count from, where the dense model's is `dense`.

        It is 0 for metrics, three times the dense model's for losses, and that of even probabilities for divergences
        (from a model that is sure; of regression, whose divergence is a share of the outputs' variance, that of their
        mean; of embeddings, that of unrelated directions).
        """
        if self.objective == "metric":
            return 0.0
        if self.objective == "loss":
            return 3 * dense
        return -1.0 if self.spec.kind in ("regression", "embedding") else -math.log(self.spec.num_outputs)

    def error(self, outcomes: Outcomes) -> float:
        """Standard error of the score."""
        return jackknife(lambda rows: self.score(outcomes.take(rows)), len(outcomes))

    def difference(self, mine: Outcomes, other: Outcomes) -> Difference:
        """Score of `mine` minus that of `other`, both on the same rows, which stand for an unlimited population."""
        error = jackknife(lambda part: self.score(mine.take(part)) - self.score(other.take(part)), len(mine))
        return Difference(self.score(mine) - self.score(other), error)


def jackknife(statistic: Callable[[np.ndarray], float], rows: int) -> float:
    """Standard error by the delete-a-group jackknife; NaN with fewer than two rows.

    It works for any smooth statistic of rows, F1 and correlations included, and takes `GROUPS` evaluations.
    Source: Shao & Tu 1995, The Jackknife and Bootstrap, section 2.3.
    """
    groups = min(GROUPS, rows)
    if groups < 2:
        return float("nan")
    # the order of rows means something (see `RaceRows`), and must not make the groups unlike each other
    index = np.random.default_rng(0).permutation(rows)
    place = np.arange(rows) % groups
    values = np.array([statistic(index[place != group]) for group in range(groups)])
    return float(np.sqrt((groups - 1) / groups * ((values - values.mean()) ** 2).sum()))
