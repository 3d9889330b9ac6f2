"""Finds, by a quantized file's score, the layers that must stay float32 so that it loses little enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from aebert.deployment.choice import LossInterval, is_too_lossy, least
from aebert.deployment.quantize import QuantizeOptions, Source, Variant, quantize
from aebert.deployment.sensitivity import Suspect, fewest, suspects
from aebert.deployment.session import Feed
from aebert.search.judge import Judge
from aebert.search.outcomes import Outcomes

_SUSPECT_ROWS = 32  # calibration rows that suspects are looked for on


@dataclass(frozen=True)
class Found:
    """A file's score, the points (× 100) that it loses to the float32 file, and the layers left out, worst first.

    interval: of the loss; None where it is not known.
    """

    score: float
    loss: float
    interval: LossInterval | None
    excluded: tuple[Suspect, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; layers as `layer (error)`."""
        excluded = [f"{one.layer} ({one.error:.2g})" for one in self.excluded]
        interval = {} if self.interval is None else {"interval": asdict(self.interval)}
        return {"score": self.score, "loss": self.loss, **interval, "excluded": excluded}


@dataclass(frozen=True)
class Search:
    """The search for the layers to leave out when a float32 file is quantized by one variant.

    path: of the quantized file. calibration: for ranges of activations, and to find layers. outcomes: of a file, on the
    rows that decide; exact: the float32 file's, on the same rows. judge: scores outcomes. max_bytes: largest size of
    the quantized file, None for any.
    """

    variant: Variant
    source_path: Path
    path: Path
    calibration: Sequence[Feed]
    outcomes: Callable[[Path], Outcomes]
    exact: Outcomes
    judge: Judge
    max_bytes: float | None = None

    def run(self, max_loss: float, may_exclude: bool) -> Found:
        """Write the file so that it isn't too lossy (see `is_too_lossy`), with as few layers left out as that takes.

        No layer is left out where none is needed or `may_exclude` forbids it. Where leaving layers out does not help
        enough, the file with the smallest loss is written.

        Raises: ExportError when the variant can't quantize the file.
        """
        tried = {0: self._try(())}
        if not may_exclude or not is_too_lossy(tried[0].loss, tried[0].interval, max_loss):
            return tried[0]
        setting = QuantizeOptions(self.calibration[:_SUSPECT_ROWS])
        ranked = self._affordable(suspects(self.variant, self._source, setting, self.source_path))

        def is_enough(count: int) -> bool:
            tried[count] = self._try(ranked[:count])
            return not is_too_lossy(tried[count].loss, tried[count].interval, max_loss)

        most = min(len(ranked), max(1, len(self._source.layers) // 4))
        count = fewest(is_enough, most) if ranked else None
        best = count if count is not None else min(tried, key=lambda one: (least(tried[one].loss), one))
        if best != list(tried)[-1]:  # the file that was tried last is there already
            self._write(ranked[:best])
        return tried[best]

    @cached_property
    def _source(self) -> Source:
        return Source.load(self.source_path)

    def _affordable(self, ranked: Sequence[Suspect]) -> list[Suspect]:
        """The layers that can stay float32, the worst first, without making the file larger than it may be."""
        if self.max_bytes is None:
            return list(ranked)
        room, kept = self.max_bytes - self.path.stat().st_size, []
        for one in ranked:
            grows = self._source.weight_bytes(one.node)  # a little too much: its quantized weights go
            if grows <= room:
                room -= grows
                kept.append(one)
        return kept

    def _write(self, excluded: Sequence[Suspect]) -> Path:
        setting = QuantizeOptions(self.calibration, exclude=frozenset(one.node for one in excluded))
        return quantize(self._source, self.path, self.variant, setting)

    def _try(self, excluded: Sequence[Suspect]) -> Found:
        mine = self.outcomes(self._write(excluded))
        lost = self.judge.difference(self.exact, mine)
        return Found(self.judge.score(mine), 100 * lost.value, LossInterval.of(lost, len(mine)), tuple(excluded))
