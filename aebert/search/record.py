"""What a study knows about each trial and about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from aebert.pruning.architecture import Architecture

Origin = Literal["dense", "uniform", "sampled"]


@dataclass(frozen=True)
class TrialRecord:
    """One scored candidate; nothing here was fine-tuned.

    budget: the share of the limited cost (see `StudyInfo.budget_kind`) that had to be removed; None for the dense
      model, which has no budget.
    score: higher is better, what the search maximizes, on the search rows; metrics and loss on the same rows.
    sparsity: share of the encoder's parameters removed; macs_removed: share of its multiply-accumulates removed.
    params: of the whole model, embeddings included; macs: encoder, one sequence of the budget's length.
    same_as: number of the earlier trial with this architecture, whose score was taken over; None if scored itself.
    """

    number: int
    origin: Origin
    architecture: Architecture
    budget: float | None
    score: float
    metrics: Mapping[str, float]
    loss: float
    params: int
    sparsity: float
    macs: int
    macs_removed: float
    seconds: float
    same_as: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` is the inverse."""
        return {**asdict(self), "architecture": self.architecture.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrialRecord:
        """Inverse of `to_dict`."""
        return cls(**{**values, "architecture": Architecture.from_dict(values["architecture"])})


@dataclass(frozen=True)
class StudyInfo:
    """What a report says about a study besides its trials.

    metric: key of the headline metric; budget_kind: which cost is limited; targets: shares to remove, ascending;
    length: tokens at which MACs are counted; search_rows: labelled rows that every score is an average over.
    """

    name: str
    task: str
    model: str
    metric: str
    budget_kind: Literal["sparsity", "macs"]
    targets: tuple[float, ...]
    length: int
    sampler: str
    seed: int
    trials: int
    search_rows: int
    notes: tuple[str, ...] = ()
