"""What scores candidates: this process, or several processes beside it (`aebert.search.processes`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from aebert.pruning.recipe import Recipe
from aebert.search.outcomes import Outcomes
from aebert.search.scored import Scored


@dataclass(frozen=True)
class Work:
    """A candidate to score. rival: outcomes that it races against, if it does."""

    recipe: Recipe
    rival: Outcomes | None = None


@dataclass(frozen=True)
class Answer:
    """What came of a candidate, and the seconds that it took."""

    scored: Scored
    seconds: float


Score = Callable[[Work], Scored]


class Executor(Protocol):
    """Scores candidates. It is a context manager, and nothing that it started outlives the block.

    window: how many trials may be asked for and not yet known, at least 1. A trial is asked for when all trials but the
      latest `window` - 1 are known, no matter how long each takes, so that proposals do not depend on time.
    """

    @property
    def window(self) -> int:
        """See the class."""

    def submit(self, work: Work) -> Future[Answer]:
        """Score a candidate, now or later. The future raises what scoring raises."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class InProcess:
    """Scores in this process, while `submit` is called."""

    def __init__(self, score: Score, window: int = 1) -> None:
        self._score, self.window = score, window

    def submit(self, work: Work) -> Future[Answer]:
        """The future is done."""
        done: Future[Answer] = Future()
        done.set_result(answer(self._score, work))
        return done

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing was started."""


def answer(score: Score, work: Work) -> Answer:
    """Score a candidate and take the time."""
    started = time.perf_counter()
    return Answer(score(work), time.perf_counter() - started)
