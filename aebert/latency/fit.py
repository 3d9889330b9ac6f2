"""Latency as a sum over blocks: which whole models to measure, and the cost of each block that explains them best."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from scipy.optimize import nnls

from aebert.latency.curves import ALIGNMENT, Blocks, Curve, weights
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture

# Shares of a block's units that are measured. Curves bend most where a block is small next to its overhead.
_SHARES = (0.02, 0.08, 0.25, 0.5, 0.75, 1.0)
_ROUNDS, _NEAR = 8, 0.02  # fits, and the relative error up to which a measurement keeps its full weight


def knots(most: int, alignment: int) -> tuple[int, ...]:
    """Widths at which blocks of up to `most` units are measured: multiples of `alignment`, and `most`."""
    rounded = (max(1, round(share * most / alignment)) * alignment for share in _SHARES)
    return tuple(sorted({min(width, most) for width in rounded}))


def designs(shape: ModelShape) -> list[Architecture]:
    """Whole models whose times determine the cost of each block.

    All blocks of a model have the same relative width. Each width of the attention blocks is paired with two or three
    widths of the FFN blocks: one as large, one of the opposite size, and one in between. So there are models of all
    sizes and proportions, which stream as many weights from memory as the models that a search finds.
    """
    heads, ffn = (0, *knots(max(shape.heads), 1)), (0, *knots(max(shape.ffn), ALIGNMENT))
    levels = max(len(heads), len(ffn))
    pairs = [(level, other % levels) for level in range(levels) for other in (level, -1 - level, level + levels // 2)]
    found: dict[Architecture, None] = {}
    for one, other in pairs:
        h, f = (
            values[round(place * (len(values) - 1) / (levels - 1))] for values, place in ((heads, one), (ffn, other))
        )
        wished = Architecture(tuple(min(h, full) for full in shape.heads), tuple(min(f, full) for full in shape.ffn))
        found[wished] = None
    return list(found)


def random_models(
    shape: ModelShape, count: int, seed: int, apart_from: Collection[Architecture] = ()
) -> list[Architecture]:
    """Different models with uneven widths and some empty blocks, to check predictions with.

    Sizes are spread evenly over the range; FFN widths are multiples of `ALIGNMENT` or the full width.
    """
    generator = np.random.default_rng(seed)
    found: dict[Architecture, None] = {}
    for attempt in range(100 * count):
        if len(found) == count:
            break
        mean = 0.1 + 0.85 * (attempt % count + generator.random()) / count
        one = _random(shape, mean, generator)
        if one not in apart_from:
            found[one] = None
    return list(found)


def _random(shape: ModelShape, mean: float, generator: np.random.Generator) -> Architecture:
    def draw(full: int, alignment: int) -> int:
        share = generator.beta(3 * mean, 3 * (1 - mean)) * (generator.random() > 0.1)
        return min(full, round(share * full / alignment) * alignment)

    return Architecture(
        tuple(draw(full, 1) for full in shape.heads), tuple(draw(full, ALIGNMENT) for full in shape.ffn)
    )


def fit(measured_ms: Mapping[Architecture, float], shape: ModelShape) -> Blocks:
    """The floor and curves whose predictions are nearest to the measured milliseconds, in relative terms.

    Least squares with rises ≥ 0 (Lawson & Hanson 1974, NNLS), so that curves never fall, whatever the noise. Models
    that other work disturbed lose their weight where they turn out to be off (Huber's weights, `_ROUNDS` times).
    """
    grids = knots(max(shape.heads), 1), knots(max(shape.ffn), ALIGNMENT)
    rows = [
        np.concatenate([[1.0], _total(architecture.heads, grids[0]), _total(architecture.ffn, grids[1])])
        for architecture in measured_ms
    ]
    times = np.array(list(measured_ms.values()))
    relative, weight = np.array(rows) / times[:, None], np.ones(len(times))
    for _ in range(_ROUNDS):
        rises, _residual = nnls(relative * weight[:, None], weight)
        weight = np.sqrt(np.minimum(1.0, _NEAR / np.maximum(np.abs(relative @ rises - 1.0), 1e-9)))
    split = 1 + len(grids[0])
    return Blocks(float(rises[0]), _curve(grids[0], rises[1:split]), _curve(grids[1], rises[split:]))


def _total(widths: Sequence[int], grid: Sequence[int]) -> np.ndarray:
    total: np.ndarray = np.sum([weights(width, grid) for width in widths], axis=0)
    return total


def _curve(grid: tuple[int, ...], rises: np.ndarray) -> Curve:
    return Curve(grid, tuple(map(float, np.cumsum(rises))))
