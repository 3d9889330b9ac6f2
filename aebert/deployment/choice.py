"""The choice among quantized files: the fastest one that is not proved to lose too much, with a verdict on each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from aebert.search.difference import CONFIDENCE, Difference

CHOSEN = "chosen"
_AS_FAST = 1.05  # times as long is about as fast: medians of one and the same file differ by that much


@dataclass(frozen=True)
class LossInterval:
    """The 95 % interval of a loss in points, from pairs of answers to the same rows, and the number of rows."""

    low: float
    high: float
    rows: int

    @classmethod
    def of(cls, difference: Difference, rows: int) -> LossInterval | None:
        """The interval of a difference of scores; None where its error is not known."""
        if math.isnan(difference.error):
            return None
        return cls(100 * difference.low(CONFIDENCE), 100 * difference.high(CONFIDENCE), rows)

    def __str__(self) -> str:
        return f"{self.low:.1f} to {self.high:.1f}"


@dataclass(frozen=True)
class Tried:
    """One quantized file as scored and timed.

    score: headline metric on the select rows; loss: points (× 100) below the float32 file's. speedup: times faster
    than the float32 file, median of paired runs. excluded: layers that stay float32, as `layer (error)`. interval: of
    the loss; None where it is not known, as in exports from before it was stored.
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
    interval: LossInterval | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON, without an interval that is not known; `from_dict` is the inverse."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        return {**values, "excluded": list(self.excluded)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Tried:
        """Inverse of `to_dict`."""
        interval = LossInterval(**values["interval"]) if "interval" in values else None
        return cls(**{**values, "excluded": tuple(values["excluded"]), "interval": interval})


def is_too_lossy(loss: float, interval: LossInterval | None, max_loss: float) -> bool:
    """Whether the rows prove that a file loses more than `max_loss` points: its whole interval is above that.

    On few rows a loss above the limit may be one or two rows, and says little about others. Where the interval is not
    known, the loss alone decides. A loss that is not a number is too large.
    """
    return not (loss if interval is None else interval.low) <= max_loss


def choose(tried: Sequence[Tried], max_loss: float, max_bytes: float | None = None) -> list[Tried]:
    """The same files with verdicts, in the same order; exactly one is chosen.

    Allowed are the files that are not proved to lose more than `max_loss` points (see `is_too_lossy`) and are no larger
    than `max_bytes`. The fastest of them is chosen, or the one that loses least of those about as fast, within 5 %:
    there, the clock can't tell them apart. If no file is allowed, it is the one with the smallest loss among those of
    allowed size, or else among all, and its verdict names the limits that it exceeds.

    Raises: ValueError when there is no file to choose from.
    """
    if not tried:
        raise ValueError("there must be a quantized file to choose")
    faults = [_faults(one, max_loss, max_bytes) for one in tried]
    fit = [one for one, found in zip(tried, faults, strict=True) if not found]
    if fit:
        fastest = min(fit, key=lambda one: one.median_ms)
        winner = min((one for one in fit if one.median_ms <= _AS_FAST * fastest.median_ms), key=_by_loss)
        why = f"{CHOSEN}: {_merit(winner, fastest, max_loss)}"
    else:
        small = [one for one in tried if max_bytes is None or one.size_bytes <= max_bytes]
        winner = min(small or tried, key=_by_loss)
        why = (
            f"{CHOSEN} although it {' and '.join(_faults(winner, max_loss, max_bytes))}: "
            "no tried variant is within the limits"
        )
    return [
        replace(one, verdict=why if one is winner else _rejected(one, winner, found, max_loss))
        for one, found in zip(tried, faults, strict=True)
    ]


def chosen(tried: Sequence[Tried]) -> Tried:
    """The file that `choose` chose."""
    return next(one for one in tried if one.verdict.startswith(CHOSEN))


def least(loss: float) -> float:
    """A loss as a sort key, by which NaN comes after all other losses."""
    return math.inf if math.isnan(loss) else loss


def _by_loss(one: Tried) -> tuple[float, float]:
    return least(one.loss), one.median_ms


def _faults(one: Tried, max_loss: float, max_bytes: float | None) -> list[str]:
    found = []
    if is_too_lossy(one.loss, one.interval, max_loss):
        between = "" if one.interval is None else f"95 % interval {one.interval}; "
        found.append(f"loses {one.loss:.1f} points ({between}limit {max_loss:g})")
    if max_bytes is not None and one.size_bytes > max_bytes:
        found.append(f"has {one.size_bytes / 1e6:.1f} MB (limit {max_bytes / 1e6:.1f})")
    return found


def _merit(winner: Tried, fastest: Tried, max_loss: float) -> str:
    merit = f"about as fast as {fastest.variant} and loses less" if winner is not fastest else "the fastest"
    doubt = _doubt(winner, max_loss)
    if doubt:
        return f"{merit}, and {doubt}"
    return f"{merit} within {max_loss:g} points" if winner is fastest else merit


def _doubt(one: Tried, max_loss: float) -> str:
    """What is to be said of a file that is allowed although its loss is above the limit; empty for others."""
    if one.interval is None or one.loss <= max_loss:
        return ""
    return (
        f"loses {one.loss:.1f} points (95 % interval {one.interval}; {one.interval.rows} rows can't tell it from the "
        f"limit of {max_loss:g})"
    )


def _rejected(one: Tried, winner: Tried, faults: Sequence[str], max_loss: float) -> str:
    if faults:
        return " and ".join(faults)
    slower, doubt = f"{one.median_ms / winner.median_ms:.2f} times the time of {winner.variant}", _doubt(one, max_loss)
    return f"{slower}, and {doubt}" if doubt else slower
