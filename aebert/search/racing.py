"""Racing: a candidate that is clearly behind the best known one is stopped before it has seen all search rows.

Most rows say nothing about a candidate: where the dense model is sure, every good sub-network agrees with it. So the
rows are cut into strata by how much the dense model doubts its own answer. More of the doubtful rows are run, and
earlier, and what was seen of a stratum stands for all of it. On SST-2 the most doubtful 20 % of the rows hold two
thirds of all disagreements between candidates, so a race needs half as many rows as in simple random order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import softmax
from transformers import PreTrainedTokenizerBase

from aebert.models.evaluation import Prepared, prepare
from aebert.search.difference import GROUPS, Difference
from aebert.search.judge import Judge
from aebert.search.outcomes import Outcomes
from aebert.tasks.task import EncodedRow, Row, TaskSpec

# Shares of the search rows after which a race looks at the standings.
LOOKS = (0.1, 0.15, 0.2, 0.3, 0.4)
# A look at fewer rows than these would say too little.
LEAST_ROWS = 64
# Shares of the rows in the most doubtful stratum and in the next one; of the rest the dense model is sure.
STRATA = (0.15, 0.25)
# This many rows of every stratum come before more of any stratum.
LEAST_OF_STRATUM = 10
# A look stops a candidate when the whole two-sided interval of this confidence is below 0. A single look does that to
# 5 % of the candidates that would end up exactly as good, and all looks together to about 10 % (measured by simulation
# in the tests). Those are no loss; of the candidates that would win by a point, 2 to 5 % are stopped.
CONFIDENCE = 0.90


@dataclass(frozen=True)
class RaceRows:
    """The search rows in the order in which they are scored, cut where a race looks.

    legs: each is sorted by length and batched on its own. strata [rows]: stratum of each row, in that order; the rows
      of a stratum are in random order, so those seen so far are a simple random sample of it. labelled [rows]: whose
      labels mean something; None where all do.
    """

    legs: tuple[Prepared, ...]
    strata: np.ndarray
    labelled: np.ndarray | None = None

    @property
    def total(self) -> int:
        """Number of rows."""
        return len(self.strata)

    @property
    def spec(self) -> TaskSpec:
        """The task."""
        return self.legs[0].spec


def race_rows(
    rows: Sequence[Row],
    spec: TaskSpec,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    max_tokens: int,
    seed: int,
    *,
    doubt: np.ndarray | None = None,
    looks: Sequence[float] = LOOKS,
    unlabelled: int = 0,
) -> RaceRows:
    """Put rows in order and cut them where a race looks; without looks there is one leg and no race.

    doubt [rows]: of the dense model (see `doubts`); without it, all rows are one stratum in random order. unlabelled:
      how many of the rows, the last ones, have labels that mean nothing.
    """
    doubt = np.zeros(len(rows)) if doubt is None else doubt
    order, strata = scoring_order(doubt, np.random.default_rng(seed))
    ends = sorted({round(share * len(rows)) for share in looks if round(share * len(rows)) >= LEAST_ROWS})
    cuts = [0, *ends, len(rows)]
    legs = [[rows[index] for index in order[start:end]] for start, end in pairwise(cuts)]
    labelled = order < len(rows) - unlabelled if unlabelled else None
    return RaceRows(tuple(prepare(leg, spec, tokenizer, max_length, max_tokens) for leg in legs), strata, labelled)


def doubts(spec: TaskSpec, encoded: Sequence[EncodedRow], logits: Sequence[np.ndarray]) -> np.ndarray:
    """The probability [rows] that a model gives to its own answer being wrong; 0 where there is none.

    Regression and embeddings give none.

    The answer of NER is the tags of all words, taken as independent. Values are rounded, so that a difference in the
    last digits of the logits hardly ever changes the order of rows.
    """
    if spec.kind in ("regression", "embedding"):
        return np.zeros(len(logits))
    sure = [softmax(one, axis=-1).max(axis=-1) for one in logits]
    if spec.kind == "ner":
        words = [np.asarray(row["labels"]) != -100 for row in encoded]
        sure = [one[mask[: len(one)]].prod() for one, mask in zip(sure, words, strict=True)]
    return np.round(1 - np.array(sure, dtype=np.float64), 4)


def scoring_order(doubt: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Indices of rows in the order of scoring, and the stratum of each in that order.

    However many rows have been taken, every stratum has given its share of Neyman's optimal allocation, in which the
    mean doubt of its rows takes the place of their spread. Source: Wright 2012, The American Statistician 66:4 (by
    priorities, exact).
    """
    strata = [generator.permutation(stratum) for stratum in _strata(doubt)]
    spreads = np.array([doubt[stratum].mean() for stratum in strata])
    spreads = np.maximum(spreads, 0.01 * spreads.max() or 1.0)
    places = [np.arange(len(stratum)) for stratum in strata]
    priority = np.concatenate(
        [
            np.where(
                place < LEAST_OF_STRATUM, np.inf, len(place) * spread / np.sqrt((place + 1) * np.maximum(place, 1))
            )
            for place, spread in zip(places, spreads, strict=True)
        ]
    )
    first = np.argsort(-priority, kind="stable")
    number = np.repeat(np.arange(len(strata)), [len(stratum) for stratum in strata])
    return np.concatenate(strata)[first], number[first]


def _strata(doubt: np.ndarray) -> list[np.ndarray]:
    """Indices of the rows of each stratum, the most doubtful first; one stratum where doubt says nothing."""
    if np.ptp(doubt) == 0:
        return [np.arange(len(doubt))]
    ends = np.round(np.cumsum(STRATA) * len(doubt)).astype(int)
    return [part for part in np.split(np.argsort(-doubt, kind="stable"), ends) if len(part)]


def expected_difference(judge: Judge, mine: Outcomes, rival: Outcomes, strata: np.ndarray) -> Difference:
    """By how much a candidate will lead its rival on all rows, estimated from the first of them.

    mine: outcomes on the first n rows. rival: on all rows, in the same order. strata [rows]: as in `RaceRows`. What
    both did on the rows seen of a stratum is repeated up to the stratum's size. The error is a jackknife in each
    stratum with its own finite-population correction, since the two are to be compared on exactly these rows; it is
    infinite where a stratum has too few rows to tell. Source: Shao & Tu 1995, The Jackknife and Bootstrap, section 6.2.
    """
    seen = [np.flatnonzero(strata[: len(mine)] == stratum) for stratum in range(strata.max() + 1)]
    sizes = np.bincount(strata)
    whole = [np.resize(rows, size) if len(rows) else rows for rows, size in zip(seen, sizes, strict=True)]

    def lead(parts: Sequence[np.ndarray]) -> float:
        rows = np.concatenate(parts)
        return judge.score(mine.take(rows)) - judge.score(rival.take(rows))

    variance = 0.0
    for stratum, (rows, size) in enumerate(zip(seen, sizes, strict=True)):
        if len(rows) == size:
            continue
        groups = min(GROUPS, len(rows))
        if groups < 2:
            return Difference(lead(whole), np.inf)
        place = np.arange(len(rows)) % groups
        without = [np.resize(rows[place != group], size) for group in range(groups)]
        leads = np.array([lead([*whole[:stratum], part, *whole[stratum + 1 :]]) for part in without])
        variance += (1 - len(rows) / size) * (groups - 1) / groups * float(((leads - leads.mean()) ** 2).sum())
    return Difference(lead(whole), float(np.sqrt(variance)))


def is_beaten(judge: Judge, mine: Outcomes, rival: Outcomes, strata: np.ndarray) -> bool:
    """Whether a candidate will not reach its rival's score on all rows; arguments as in `expected_difference`.

    This holds for studies with one objective and with several, since the rival is the best one that costs no more.
    """
    return expected_difference(judge, mine, rival, strata).high(CONFIDENCE) < 0
