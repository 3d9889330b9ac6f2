"""Racing: a candidate that is clearly behind the best one known is stopped before it has seen all search rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from transformers import PreTrainedTokenizerBase

from aebert.models.evaluation import Prepared, prepare
from aebert.search.outcomes import Judge, Outcomes
from aebert.tasks.task import Row, TaskSpec

# Shares of the search rows after which a race looks at the standings.
LOOKS = (0.125, 0.25, 0.5)
# Fewer rows say too little for a look.
LEAST_ROWS = 64
# A look stops a candidate when the whole two-sided interval of this confidence is below 0, which at one look happens to
# 5 % of those that would end up exactly as good, and at some look to about 10 % of them (measured by simulation in the
# tests). Such a candidate is no loss; of those that would win by a point 2 to 5 % are stopped.
CONFIDENCE = 0.90


@dataclass(frozen=True)
class RaceRows:
    """The search rows in random order, cut where a race looks; each leg is sorted by length and batched for itself."""

    legs: tuple[Prepared, ...]

    @property
    def total(self) -> int:
        """Number of rows."""
        return sum(len(leg.rows) for leg in self.legs)

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
    looks: Sequence[float] = LOOKS,
) -> RaceRows:
    """Shuffle rows by `seed` and cut them at the looks; without looks there is one leg and no race."""
    order = np.random.default_rng(seed).permutation(len(rows))
    ends = sorted({round(share * len(rows)) for share in looks if round(share * len(rows)) >= LEAST_ROWS})
    cuts = [0, *ends, len(rows)]
    legs = [[rows[index] for index in order[start:end]] for start, end in pairwise(cuts)]
    return RaceRows(tuple(prepare(leg, spec, tokenizer, max_length, max_tokens) for leg in legs))


def is_beaten(judge: Judge, mine: Outcomes, rival: Outcomes) -> bool:
    """Whether a candidate will not reach its rival's score on all rows, by what both did on the first of them.

    mine: of the first n rows. rival: of all rows, in the same order. The paired difference is tested with the
    finite-population correction, since both are to be compared on exactly these rows. Whether the study has one or
    several objectives makes no difference: the rival is the best that costs no more.
    """
    seen = len(mine)
    return judge.difference(mine, rival.first(seen), population=len(rival)).high(CONFIDENCE) < 0
