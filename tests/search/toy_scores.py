"""What the toy search's scores are made of, and a scorer for workers; light, since every worker loads it."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from aebert.errors import StudyError
from aebert.pruning.architecture import Architecture
from aebert.search.executor import Score, Work
from aebert.search.outcomes import Outcomes
from aebert.search.scored import Scored

ROWS = 192


def toy_quality(architecture: Architecture) -> float:
    heads = sum((index + 1) ** 2 * count for index, count in enumerate(architecture.heads)) / 56
    ffn = sum((3 - index) ** 2 * count for index, count in enumerate(architecture.ffn)) / 896
    return (heads + ffn) / 2


def toy_outcomes(architecture: Architecture, worth: float = 0.0) -> Outcomes:
    """How hard a row is, is the same for all architectures; how lucky one is on it, is not. worth: added quality."""
    hard = np.random.default_rng(0).random(ROWS)
    luck = np.random.default_rng([*architecture.heads, *architecture.ffn]).normal(0, 0.1, ROWS)
    margin = (toy_quality(architecture) + worth + luck - hard).astype(np.float32)
    true = np.arange(ROWS) % 2
    return Outcomes(np.exp(-margin), np.stack([np.where(margin > 0, true, 1 - true), true], axis=1).astype(np.float32))


@dataclass(frozen=True)
class ToyWork:
    """Makes a scorer of a worker, which takes a random time, and does as the files of a folder say.

    seconds: most that a candidate takes. marks: a folder. A worker that scores the candidate with as many FFN neurons
    as the name of a file there says, deletes the file and then does what is in it: die, hang, fail or nan; with
    `always-` before it, the file stays. So each happens in one worker alone. Each worker leaves a file with its process
    id.
    """

    seconds: float = 0.0
    marks: Path | None = None

    def __call__(self, threads: int) -> Score:
        if self.marks is not None:
            (self.marks / f"pid-{os.getpid()}").touch()
        return self.score

    def score(self, work: Work) -> Scored:
        architecture = work.recipe.architecture
        time.sleep(np.random.default_rng().uniform(0, self.seconds))
        outcomes = toy_outcomes(architecture)
        right = float(np.mean(outcomes.marks[:, 0] == outcomes.marks[:, 1], dtype=np.float64))
        scored = Scored({"accuracy": right}, float(np.mean(outcomes.losses, dtype=np.float64)), outcomes)
        order = self._order(architecture)
        if order == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if order == "hang":
            time.sleep(1000)
        if order == "fail":
            raise ZeroDivisionError("on purpose")
        return replace(scored, loss=float("nan")) if order == "nan" else scored

    def _order(self, architecture: Architecture) -> str:
        mark = None if self.marks is None else self.marks / str(sum(architecture.ffn))
        if mark is None or not mark.is_file():
            return ""
        order = mark.read_text()
        if not order.startswith("always-"):
            mark.unlink()
        return order.removeprefix("always-")


class Unbuildable:
    """Something that can't become a scorer."""

    def __call__(self, threads: int) -> Score:
        raise StudyError("there is no dense model")
