"""The layers of one quantized file that must stay float32 so that it loses little enough, found by its score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from aebert.deployment.choice import least
from aebert.deployment.quantize import QuantizeOptions, Source, Variant, quantize
from aebert.deployment.sensitivity import Suspect, fewest, suspects
from aebert.deployment.session import Feed

_SUSPECT_ROWS = 32  # calibration rows that suspects are looked for on


@dataclass(frozen=True)
class Found:
    """A file's score, the points (× 100) that it is below the float32 one, and the layers left out, the worst first."""

    score: float
    loss: float
    excluded: tuple[Suspect, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; layers as `layer (error)`."""
        told = [f"{one.layer} ({one.error:.2g})" for one in self.excluded]
        return {"score": self.score, "loss": self.loss, "excluded": told}


@dataclass(frozen=True)
class Search:
    """How one variant of a float32 file is made as good as leaving out layers makes it.

    path: of the quantized file. calibration: for ranges of activations, and to find layers. score: of a file, higher is
    better, at most 1; exact: that of the float32 file. max_bytes: of the quantized file, None for any.
    """

    variant: Variant
    source_path: Path
    path: Path
    calibration: Sequence[Feed]
    score: Callable[[Path], float]
    exact: float
    max_bytes: float | None = None

    def run(self, max_loss: float, may_exclude: bool) -> Found:
        """Write the file: whole if it loses at most `max_loss` points or no layer may be left out, else with as few
        layers left out as it takes; where that does not help enough, the one of the smallest loss.

        Raises: ExportError when the variant can't quantize the file.
        """
        tried = {0: self._try(())}
        if tried[0].loss <= max_loss or not may_exclude:
            return tried[0]
        setting = QuantizeOptions(self.calibration[:_SUSPECT_ROWS])
        ranked = self._affordable(suspects(self.variant, self._source, setting, self.source_path))

        def is_enough(count: int) -> bool:
            tried[count] = self._try(ranked[:count])
            return tried[count].loss <= max_loss

        most = min(len(ranked), max(1, len(self._source.layers) // 4))
        count = fewest(is_enough, most) if ranked else None
        best = count if count is not None else min(tried, key=lambda one: (least(tried[one].loss), one))
        if best != list(tried)[-1]:  # the last one tried is the one that lies there
            self._write(ranked[:best])
        return tried[best]

    @cached_property
    def _source(self) -> Source:
        return Source.load(self.source_path)

    def _affordable(self, ranked: Sequence[Suspect]) -> list[Suspect]:
        """Those that can stay float32, the worst first, without the file growing above what it may have."""
        if self.max_bytes is None:
            return list(ranked)
        room, kept = self.max_bytes - self.path.stat().st_size, []
        for one in ranked:
            grows = self._source.weight_bytes(one.node)  # a little less, by its quantized weights
            if grows <= room:
                room -= grows
                kept.append(one)
        return kept

    def _write(self, excluded: Sequence[Suspect]) -> Path:
        setting = QuantizeOptions(self.calibration, exclude=frozenset(one.node for one in excluded))
        return quantize(self._source, self.path, self.variant, setting)

    def _try(self, excluded: Sequence[Suspect]) -> Found:
        score = self.score(self._write(excluded))
        return Found(score, 100 * (self.exact - score), tuple(excluded))
