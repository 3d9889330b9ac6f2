"""Finds the layers that cause an int8 file's error, by quantizing a few at a time, without labels."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from aebert.deployment.quantize import QuantizeOptions, Source, Variant, quantize
from aebert.deployment.session import OnnxModel

# Sets of nodes whose joint error is below this share of the total error are not searched further.
_HARMLESS = 0.05


@dataclass(frozen=True)
class Suspect:
    """A node and the error of quantizing it alone: the mean absolute change of a logit on the calibration rows."""

    node: str
    layer: str
    error: float


def suspects(variant: Variant, source: Source, setting: QuantizeOptions, float32: Path) -> list[Suspect]:
    """The nodes that cause most of the error of `variant`, the worst first.

    float32: the file that `source` was read from, to compare logits with on the calibration rows of `setting`.
    """
    exact = [OnnxModel(float32).logits(batch) for batch in setting.calibration]

    def error(nodes: Sequence[str]) -> float:
        with tempfile.TemporaryDirectory(prefix="aebert-suspects-") as folder:
            alone = replace(setting, nodes=frozenset(nodes) - setting.exclude)
            model = OnnxModel(quantize(source, Path(folder) / "part.onnx", variant, alone))
            pairs = zip(setting.calibration, exact, strict=True)
            return float(np.mean([np.abs(model.logits(batch) - logits).mean() for batch, logits in pairs]))

    found = worst(error, list(source.layers))
    return [Suspect(node, source.layers[node], size) for node, size in found]


def worst(error: Callable[[Sequence[str]], float], nodes: Sequence[str]) -> list[tuple[str, float]]:
    """Nodes with the error that each causes alone, the largest first, found by halving.

    error: of quantizing these nodes and no others. Halves whose joint error is small are dropped, so that k bad nodes
    of n take about 2·k·log2(n) calls instead of n. A node can stay hidden where errors in a half cancel.
    """
    if not nodes:
        return []
    total = error(nodes)
    found: dict[str, float] = {}
    pending = [(list(nodes), total)]
    while pending:
        part, size = pending.pop()
        if not size > _HARMLESS * total:
            continue
        if len(part) == 1:
            found[part[0]] = size
            continue
        halves = part[: len(part) // 2], part[len(part) // 2 :]
        pending += [(half, error(half)) for half in halves]
    return sorted(found.items(), key=lambda item: (-item[1], nodes.index(item[0])))


def fewest(is_enough: Callable[[int], bool], most: int) -> int | None:
    """The smallest number from 1 to `most` that is enough, if more is never worse; None when `most` is not enough.

    It tries 1, 2, 4, … and then numbers between the last two, so that it tries few numbers where a small one is enough.
    """
    low, high = 0, 1
    while not is_enough(min(high, most)):
        if high >= most:
            return None
        low, high = high, 2 * high
    high = min(high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
