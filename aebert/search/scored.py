"""What a scorer finds out about a candidate. It stands alone, since it travels between processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aebert.search.outcomes import Outcomes


@dataclass(frozen=True)
class Scored:
    """What a scorer finds out about an architecture.

    metrics: by name, higher is better, on the rows with labels; loss: mean over rows, of the divergence from the dense
      model where candidates are ranked by that. When a race stopped the candidate, both are estimates for
      all rows (the rival's value plus the difference on the rows that both have seen), of the headline metric only.
    outcomes: on the rows seen, in the scorer's order; None from a scorer that has none, and then nothing is compared.
    stopped: whether a race stopped it.
    """

    metrics: Mapping[str, float]
    loss: float
    outcomes: Outcomes | None = None
    stopped: bool = False
