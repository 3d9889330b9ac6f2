"""What a candidate did on every search row, and what that says about it and about others on the same rows."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from aebert.search.difference import GROUPS, Difference
from aebert.tasks.resampling import headline_of
from aebert.tasks.task import TaskSpec

Objective = Literal["metric", "loss"]


@dataclass(frozen=True)
class Outcomes:
    """losses [rows], marks [rows, marks] (see `row_marks`), float32, in the order in which rows are scored."""

    losses: np.ndarray
    marks: np.ndarray

    def __len__(self) -> int:
        return len(self.losses)

    def take(self, rows: np.ndarray | slice) -> Outcomes:
        """Those of some rows, repeated where `rows` repeats."""
        return Outcomes(self.losses[rows], self.marks[rows])

    def first(self, rows: int) -> Outcomes:
        """Those of the first rows."""
        return self.take(slice(rows))

    def encode(self) -> str:
        """As text, for the study database: zlib and base64 of the float32 values."""
        values = np.column_stack([self.losses, self.marks]).astype("<f4")
        packed = base64.b64encode(zlib.compress(np.ascontiguousarray(values.T).tobytes(), 6)).decode()
        return f"{values.shape[1]}:{packed}"

    @classmethod
    def decode(cls, text: str) -> Outcomes:
        """Inverse of `encode`."""
        columns, _, packed = text.partition(":")
        values = np.frombuffer(zlib.decompress(base64.b64decode(packed)), dtype="<f4").reshape(int(columns), -1).T
        return cls(values[:, 0].copy(), values[:, 1:].copy())


@dataclass(frozen=True)
class Judge:
    """Scores outcomes: by the task's headline metric, or by the negative mean loss. Higher is better."""

    spec: TaskSpec
    objective: Objective = "metric"

    def score(self, outcomes: Outcomes) -> float:
        """Score of the rows in `outcomes`."""
        if self.objective == "loss":
            return -float(outcomes.losses.astype(np.float64).mean())
        return headline_of(self.spec, outcomes.marks)

    def error(self, outcomes: Outcomes) -> float:
        """Standard error of the score."""
        return jackknife(lambda rows: self.score(outcomes.take(rows)), len(outcomes))

    def difference(self, mine: Outcomes, other: Outcomes) -> Difference:
        """Score of `mine` minus that of `other`, both on the same rows, which stand for an unlimited population."""
        error = jackknife(lambda part: self.score(mine.take(part)) - self.score(other.take(part)), len(mine))
        return Difference(self.score(mine) - self.score(other), error)


def jackknife(statistic: Callable[[np.ndarray], float], rows: int) -> float:
    """Standard error by the delete-a-group jackknife; NaN with fewer than two rows.

    Works for any smooth statistic of rows (F1 and correlations too) at the price of `GROUPS` evaluations.
    Source: Shao & Tu 1995, The Jackknife and Bootstrap, section 2.3.
    """
    groups = min(GROUPS, rows)
    if groups < 2:
        return float("nan")
    # rows come in an order that means something (see `RaceRows`): groups must not be alike because of it
    index = np.random.default_rng(0).permutation(rows)
    place = np.arange(rows) % groups
    values = np.array([statistic(index[place != group]) for group in range(groups)])
    return float(np.sqrt((groups - 1) / groups * ((values - values.mean()) ** 2).sum()))
