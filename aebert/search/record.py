"""What a study knows about each trial and about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from aebert.pruning.architecture import Architecture

Origin = str  # "dense", one of `LATER`, the name of a first trial, or "study:" and the name of a study

LATER = ("sampled", "neighbour", "rung", "repaired")  # who proposes candidates after the first trials


# Keys of the attributes that a study database holds for us
ATTRIBUTE = "aebert"  # of a study: version, settings, info; of a trial: its TrialRecord
KNOWN_UNTIL = "aebert-known-until"  # of a trial that failed, see TrialRecord.known_until
OUTCOMES = "aebert-outcomes"  # of a trial that saw all search rows: what it did on each of them
VERDICTS = "aebert-verdicts"  # of a study: what it says about each budget


@dataclass(frozen=True)
class TrialRecord:
    """One scored candidate; nothing here was fine-tuned.

    origin: who proposed it: one of the methods of the first trials, another study (study:NAME), the knapsack over the
      library of a rung (rung), the second round of a rung (repaired), the best of a neighbouring budget (neighbour), or
      the sampler.
    budget: target of the budget it was proposed for (see `StudyInfo.budget_kind`), which is one of the study's or a
      rung between them; None for the dense model.
    score: higher is better, what the search maximizes, on the search rows; metrics and loss on the same rows.
    sparsity: share of the encoder's parameters removed; macs_removed: share of its multiply-accumulates removed.
    params: of the whole model, embeddings included; macs: encoder, one sequence of the budget's length.
    same_as: number of the earlier trial with this architecture, whose score was taken over; None if scored itself.
    cost: in the budget's own unit (share removed, parameters, MB, predicted or estimated ms).
    std_error: standard error of score; None where it is unknown.
    stopped_at: search rows after which a race stopped it, with score, metrics and loss estimated for all rows; None if
      it saw all.
    hypervolume: area that all trials up to this one dominate (see `aebert.search.front.hypervolume`).
    drift: distance from the dense model: the mean, over the search rows, of the absolute change of the row's loss; None
      where it did not see all rows.
    repaired: whether its output projections were fitted once more, one after the other. base: number of the trial whose
      sub-network its block library was built from; None for the dense model. library: digest of that library; None
      where it is the dense model's.
    known_until: how many of the trials before it were known when it was asked for, from the first on; None for all.
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
    cost: float | None = None
    std_error: float | None = None
    stopped_at: int | None = None
    hypervolume: float | None = None
    drift: float | None = None
    repaired: bool = False
    base: int | None = None
    library: str | None = None
    known_until: int | None = None

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

    metric: key of the headline metric; budget_kind: which cost is limited, by its name in `KINDS`; targets: from the
      mildest to the hardest; length: tokens at which MACs are counted; search_rows: labelled rows that every score is
      an average over.
    objective: what the score is (`search.objective`); empty in studies that did not record it. unlabelled_rows: rows
      that divergences are measured on besides.
    device: what a latency budget holds for: processor, form of file, length, batch, threads; empty for other kinds.
    estimated: whether that device is only estimated, so that its milliseconds were measured nowhere.
    trials: how many there are to be; None where the search ends by itself.
    step: least difference that one level of a block makes to the limited cost, in the unit of the targets; 0 in studies
      that did not record it.
    """

    name: str
    task: str
    model: str
    metric: str
    budget_kind: str
    targets: tuple[float, ...]
    length: int
    sampler: str
    seed: int
    trials: int | None
    search_rows: int
    notes: tuple[str, ...] = ()
    device: str = ""
    estimated: bool = False
    step: float = 0.0
    objective: str = ""
    unlabelled_rows: int = 0

    @property
    def scored_rows(self) -> int:
        """Rows that candidates are scored on, with or without labels."""
        return self.search_rows + self.unlabelled_rows

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StudyInfo:
        """From the plain values of `asdict`."""
        return cls(**{**values, "targets": tuple(values["targets"]), "notes": tuple(values["notes"])})


@dataclass(frozen=True)
class GainRecord:
    """Score of a budget's best minus that of a first trial, on the same search rows, with its 95 % interval.

    The ends are None where there are no outcomes to compare.
    """

    number: int
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Verdict:
    """What a finished search can say about one budget, from the search rows alone.

    best: number of the trial with the best score. tied: numbers of the trials that may as well be best on new rows,
      best first, with `best` among them; with 95 % confidence the truly best of the leading candidates is one of them.
      chosen: number of the tied trial that drifts least from the dense model.
    gains: of the best over each first trial, by method.
    candidates: how many architectures within this budget saw all search rows. optimism: how much the score of the best
      flatters, because it is the best of many on these rows; None without outcomes.
    """

    budget: float
    best: int
    tied: tuple[int, ...]
    chosen: int
    candidates: int
    optimism: float | None
    gains: Mapping[str, GainRecord]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Verdict:
        """Inverse of `to_dict`."""
        gains = {origin: GainRecord(**gain) for origin, gain in values["gains"].items()}
        chosen = values.get("chosen", values["best"])  # as it was before drifts were known
        return cls(**{**values, "tied": tuple(values["tied"]), "chosen": chosen, "gains": gains})
