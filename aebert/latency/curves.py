"""What blocks cost: milliseconds by width, linear between the widths that were measured."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aebert.errors import ConfigError
from aebert.pruning.architecture import Architecture

# Matrix kernels work on groups of this many columns. Widths in between are slow for their size, and are not measured.
ALIGNMENT = 16


@dataclass(frozen=True)
class Curve:
    """Milliseconds that a block of one kind adds to a model, by its number of units; a block without units adds none.

    widths [knots], ascending from 1 or more; milliseconds [knots], not falling. The curve is linear between knots, and
    flat below the first one, since starting a block costs more than its first units.
    """

    widths: tuple[int, ...]
    milliseconds: tuple[float, ...]

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in zip((0, *self.widths), self.widths, strict=False))
        values = (0.0, *self.milliseconds)
        monotone = all(low <= high < float("inf") for low, high in zip(values, self.milliseconds, strict=False))
        if not (self.widths and len(self.widths) == len(self.milliseconds) and rising and monotone):
            raise ConfigError(
                "a latency curve must have rising widths > 0 and as many milliseconds ≥ 0 that don't fall, "
                f"got {list(self.widths)} and {list(self.milliseconds)}; measure the table again"
            )

    def __call__(self, width: int) -> float:
        """Milliseconds of a block of `width` units; the last slope goes on beyond the last knot."""
        if width == 0:
            return 0.0
        return float(weights(width, self.widths) @ np.diff([0.0, *self.milliseconds]))


def weights(width: int, knots: Sequence[int]) -> np.ndarray:
    """The share of each rise from a knot to the next that `width` units cost [knots]; only the last may exceed 1."""
    found = np.zeros(len(knots))
    if width == 0:
        return found
    place = bisect.bisect_left(knots, width)
    found[: place + 1] = 1.0
    if place == len(knots) and len(knots) > 1:
        found[-1] += (width - knots[-1]) / (knots[-1] - knots[-2])
    elif 0 < place < len(knots):
        found[place] = (width - knots[place - 1]) / (knots[place] - knots[place - 1])
    return found


@dataclass(frozen=True)
class Blocks:
    """What a model costs at one length, batch size and number of threads.

    floor_ms: what a model with empty blocks costs: embeddings, norms, pooler, output layer, the session's overhead.
    """

    floor_ms: float
    heads: Curve
    ffn: Curve

    def predict(self, architecture: Architecture) -> float:
        """Milliseconds of a whole model."""
        return self.floor_ms + sum(map(self.heads, architecture.heads)) + sum(map(self.ffn, architecture.ffn))
