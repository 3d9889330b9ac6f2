"""What a smaller vocabulary saves and costs, as values and in lines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from aebert.pruning.reading import Read
from aebert.reporting import units

_BYTES = 4  # of a parameter in float32


@dataclass(frozen=True)
class VocabularyCost:
    """The headline metric (a share) of a model that is not trained with the smaller vocabulary, on the search rows.

    low, high: the 95 % interval of the paired difference `small - whole`; NaN where the error is not known.
    """

    metric: str
    rows: int
    whole: float
    small: float
    low: float
    high: float


@dataclass(frozen=True)
class SmallVocabulary:
    """What the smaller vocabulary of a run is; `whole` is before, `small` after.

    pieces: of the tokenizer. parameters: of the dense model. read: rows of each role, then held-out texts.
    cost: None where the dense model is fine-tuned with the smaller vocabulary.
    """

    whole_pieces: int
    small_pieces: int
    whole_parameters: int
    small_parameters: int
    read: tuple[Read, ...]
    cost: VocabularyCost | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` is the inverse."""
        cost = self.cost and {key: None if value != value else value for key, value in asdict(self.cost).items()}
        return {**asdict(self), "cost": cost}  # JSON has no NaN

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SmallVocabulary:
        """Inverse of `to_dict`."""
        cost = values["cost"] and {key: math.nan if value is None else value for key, value in values["cost"].items()}
        read = tuple(Read(**one) for one in values["read"])
        return cls(**{**values, "read": read, "cost": cost and VocabularyCost(**cost)})


def vocabulary_lines(found: SmallVocabulary) -> Iterator[str]:
    """Sentences that say what is saved, what is lost by rows, and what that costs."""
    yield saved_line(found)
    for one in found.read:
        yield f"{one.name}: {_lost(one)}"
    if found.cost is not None:
        yield cost_line(found.cost)


def saved_line(found: SmallVocabulary) -> str:
    """How many pieces are kept, and what that leaves of the dense model."""
    share = found.small_pieces / found.whole_pieces
    before, after = (_BYTES * count / 1e6 for count in (found.whole_parameters, found.small_parameters))
    return (
        f"{found.small_pieces:,} of {found.whole_pieces:,} pieces are kept ({100 * share:.0f} %): the dense model has "
        f"{found.small_parameters:,} of {found.whole_parameters:,} parameters, {after:.1f} instead of {before:.1f} MB "
        "in float32"
    )


def _lost(one: Read) -> str:
    cut = f", {one.small_cut:,} instead of {one.whole_cut:,} rows are cut" if one.small_cut != one.whole_cut else ""
    unknown = (
        f", {one.small_unknown:,} instead of {one.whole_unknown:,} tokens are unknown"
        if one.small_unknown != one.whole_unknown
        else ""
    )
    return (
        f"{100 * one.broken_share:.1f} % of {one.words:,} words fall apart, rows get {100 * one.growth:.1f} % longer"
        f"{cut}{unknown}"
    )


def cost_line(cost: VocabularyCost) -> str:
    """What the smaller vocabulary costs on the search rows."""
    interval = "" if cost.low != cost.low else f" ({100 * cost.low:+.1f} to {100 * cost.high:+.1f})"
    return (
        f"{cost.metric} on the search rows: {units.points(cost.small)} instead of {units.points(cost.whole)}, "
        f"{100 * (cost.small - cost.whole):+.1f} points{interval}"
    )
