"""The choice among quantized files: the fastest one that loses little enough, with a verdict on each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

CHOSEN = "chosen"


@dataclass(frozen=True)
class Tried:
    """One quantized file as scored and timed.

    score: headline metric on the select rows; loss: points (× 100) below the float32 file's. speedup: times faster
    than the float32 file, median of paired runs. excluded: layers that stay float32, as `layer (error)`.
    """

    variant: str
    describes: str
    size_bytes: int
    score: float
    loss: float
    median_ms: float
    speedup: float
    excluded: tuple[str, ...] = ()
    verdict: str = field(default="")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` is the inverse."""
        return {**asdict(self), "excluded": list(self.excluded)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Tried:
        """Inverse of `to_dict`."""
        return cls(**{**values, "excluded": tuple(values["excluded"])})


def choose(tried: Sequence[Tried], max_loss: float, max_bytes: float | None = None) -> list[Tried]:
    """The same files with verdicts, in the same order; exactly one is chosen.

    It is the fastest of those that lose at most `max_loss` points and are no larger than `max_bytes`. If there is none,
    it is the one with the smallest loss among those of allowed size, or else among all, and its verdict names the
    limits that it exceeds.

    Raises: ValueError when there is no file to choose from.
    """
    if not tried:
        raise ValueError("there must be a quantized file to choose")
    faults = [_faults(one, max_loss, max_bytes) for one in tried]
    fit = [place for place, found in enumerate(faults) if not found]
    if fit:
        winner = min(fit, key=lambda place: tried[place].median_ms)
        why = f"{CHOSEN}: the fastest within {max_loss:g} points"
    else:
        small = [place for place, one in enumerate(tried) if max_bytes is None or one.size_bytes <= max_bytes]
        winner = min(small or range(len(tried)), key=lambda place: least(tried[place].loss))
        why = f"{CHOSEN} although it {' and '.join(faults[winner])}: no tried variant is within the limits"
    return [
        replace(one, verdict=why if place == winner else _rejected(one, tried[winner], faults[place]))
        for place, one in enumerate(tried)
    ]


def chosen(tried: Sequence[Tried]) -> Tried:
    """The file that `choose` chose."""
    return next(one for one in tried if one.verdict.startswith(CHOSEN))


def least(loss: float) -> float:
    """A loss as a sort key, by which NaN comes after all other losses."""
    return math.inf if math.isnan(loss) else loss


def _faults(one: Tried, max_loss: float, max_bytes: float | None) -> list[str]:
    found = []
    if not one.loss <= max_loss:  # also when it is not a number
        found.append(f"loses {one.loss:.1f} points (limit {max_loss:g})")
    if max_bytes is not None and one.size_bytes > max_bytes:
        found.append(f"has {one.size_bytes / 1e6:.1f} MB (limit {max_bytes / 1e6:.1f})")
    return found


def _rejected(one: Tried, winner: Tried, faults: Sequence[str]) -> str:
    if faults:
        return " and ".join(faults)
    return f"{one.median_ms / winner.median_ms:.2f} times the time of {winner.variant}"
