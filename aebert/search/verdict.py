"""What a finished search can say about its best: what is tied with it, what it won, how much its score flatters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aebert.search.difference import CONFIDENCE
from aebert.search.front import nearness
from aebert.search.judge import Judge
from aebert.search.leaders import Leaders
from aebert.search.outcomes import Outcomes
from aebert.search.record import GainRecord, Origin, TrialRecord, Verdict

RESAMPLES = 200


def judge_budget(
    budget: float,
    leaders: Leaders,
    first: Mapping[Origin, tuple[TrialRecord, Outcomes | None]],
    judge: Judge,
    seed: int,
) -> Verdict | None:
    """The verdict on one budget, None if no candidate meets it; `first` holds the budget's first trials by origin."""
    ranked = leaders.of(budget)
    if not ranked:
        return None
    best, outcomes = ranked[0]
    known = [one for _, one in ranked if one is not None]
    scores = resample(known, judge, seed, RESAMPLES) if len(known) == len(ranked) else None
    ties = [True] if scores is None else scores.tied(CONFIDENCE)
    tied = [record for (record, _), is_tied in zip(ranked, ties, strict=False) if is_tied]
    return Verdict(
        budget=budget,
        best=best.number,
        tied=tuple(record.number for record in tied),
        chosen=min(tied, key=nearness).number,
        candidates=leaders.count(budget),
        optimism=None if scores is None else scores.optimism(),
        gains={origin: _gain(best, outcomes, record, one, judge) for origin, (record, one) in first.items()},
    )


def _gain(
    best: TrialRecord, outcomes: Outcomes | None, record: TrialRecord, other: Outcomes | None, judge: Judge
) -> GainRecord:
    if outcomes is None or other is None:
        return GainRecord(record.number, best.score - record.score, None, None)
    difference = judge.difference(outcomes, other)
    return GainRecord(record.number, difference.value, difference.low(CONFIDENCE), difference.high(CONFIDENCE))


@dataclass(frozen=True)
class Resampled:
    """Scores of candidates, the best first: on all rows [candidates], and errors on draws of them [draws, candidates].

    errors: score on a bootstrap draw of the rows, the same for all candidates, minus the score on all rows.
    """

    scores: np.ndarray
    errors: np.ndarray

    def tied(self, confidence: float) -> list[bool]:
        """Which candidates may be the best on new rows; with this confidence the truly best is among them.

        A candidate is left out if it is further behind the best than it would be in nearly all draws if no other were
        truly better. That distance is wider than between two candidates, since the best of many leads by luck, too.
        Source: multiple comparisons with the best, Hsu 1984, Annals of Statistics 12:3; its distribution bootstrapped.
        """
        leads = self.errors.max(axis=1, keepdims=True) - self.errors
        allowed = np.quantile(leads, confidence, axis=0, method="higher")
        return [bool(tied) for tied in self.scores.max() - self.scores <= allowed]

    def optimism(self) -> float:
        """How much higher the best candidate scores on these rows than it would on new ones, on average.

        It is the mean, over draws, of the error of the candidate that is best in the draw. Scores are first drawn
        together by the share of their spread that is noise. If all of the spread counted as real, the best of equals
        would seem to be chosen for its merit, and the estimate would be 30 % too low.
        Source: Efron 1983, JASA 78:316 (optimism of an apparent error); the shrinking is that of James & Stein 1961.
        """
        spread, noise = self.scores.var(), self.errors.var(axis=1).mean()
        real = max(0.0, 1 - noise / spread) if spread > 0 else 0.0
        start = self.scores.mean() + real * (self.scores - self.scores.mean())
        best = (start + self.errors).argmax(axis=1)
        return float(self.errors[np.arange(len(best)), best].mean())


def resample(candidates: Sequence[Outcomes], judge: Judge, seed: int, draws: int) -> Resampled:
    """Score candidates, the best first, on the same bootstrap draws of their rows."""
    generator = np.random.default_rng(seed)
    full = np.array([judge.score(one) for one in candidates])
    rows, errors = len(candidates[0]), np.empty((draws, len(candidates)))
    for draw in range(draws):
        drawn = generator.integers(0, rows, rows)
        errors[draw] = [judge.score(one.take(drawn)) for one in candidates]
    return Resampled(full, errors - full)
