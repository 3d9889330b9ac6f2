"""The rows of a report: fine-tuned models, their files as measured, how files differ, and scores of classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from aebert.pruning.architecture import Architecture
from aebert.reporting.checked import pair


@dataclass(frozen=True)
class Behind:
    """By how much the best of a budget scores above another finalist on the select rows, as shares.

    best: name of its `FinalistRow`. low, high: the paired 95 % interval; NaN where the error is not known.
    """

    best: str
    value: float
    low: float
    high: float

    @property
    def tied(self) -> bool:
        """Whether these rows can't tell the two apart."""
        return not self.low > 0


@dataclass(frozen=True)
class Repair:
    """By how much a repaired candidate scores above the unrepaired one on the select rows, before training, as shares.

    low, high: the paired 95 % interval; NaN where the error is not known.
    """

    value: float
    low: float
    high: float

    @property
    def used(self) -> bool:
        """Whether training starts from it: unless these rows prove that it is worse."""
        return not self.high < 0


@dataclass(frozen=True)
class FinalistRow:
    """One fine-tuned model, or one that it is compared with: the dense model, or a baseline.

    trial: number of the trial its architecture is from; None for the dense model and for baselines.
    budget: the hardest of the study's that it meets; None for the dense model.
    search_score: headline metric on the search rows before fine-tuning; None where the model was not scored there.
    select_score: headline metric on the select rows after fine-tuning.
    report_metrics: on the report rows, after fine-tuning, of the float32 model; None until those rows are read.
    report_interval: 95 % interval of the headline metric in `report_metrics`; None where there is none.
    int8_report_metrics, int8_report_interval: the same, of the quantized file.
    chosen: whether it is the one to use, picked by the select rows.
    behind: how far it is behind the best of its budget on these rows; None for the best itself, for a finalist that was
      not compared, as where it is the only one, and in studies of older versions.
    repair: what repairing it brought before training; None where it was not repaired.
    layers: how many of its first layers a baseline keeps of the dense model; None for others. cost: of a baseline, in
      the unit of the study's budgets; that of others is known to their trials. guess: what guessing scores on the
      select rows, to see whether a baseline has learned anything.
    baseline: name of the baseline that a finalist is held against; None without baselines.
    steps: in how many steps it was cut and fine-tuned.
    predicted_ms, measured_ms: under a latency budget, the time by the device's table or estimate, and the median time
      of the shipped file on that device; None under other budgets, and where the device was not at hand.
    """

    name: str
    trial: int | None
    architecture: Architecture
    budget: float | None
    sparsity: float
    macs_removed: float
    params: int
    search_score: float | None
    select_score: float | None
    report_metrics: Mapping[str, float] | None = None
    report_interval: tuple[float, float] | None = None
    int8_report_metrics: Mapping[str, float] | None = None
    int8_report_interval: tuple[float, float] | None = None
    chosen: bool = False
    predicted_ms: float | None = None
    measured_ms: float | None = None
    behind: Behind | None = None
    repair: Repair | None = None
    layers: int | None = None
    cost: float | None = None
    guess: float | None = None
    baseline: str | None = None
    steps: int = 1

    @property
    def is_finalist(self) -> bool:
        """Whether it comes from the search."""
        return self.trial is not None

    @property
    def is_baseline(self) -> bool:
        """Whether it is what finalists are held against."""
        return self.layers is not None

    @property
    def meets_budget(self) -> bool | None:
        """Whether the measured file keeps its latency budget; None where that was not measured."""
        if self.measured_ms is None or self.budget is None:
            return None
        return self.measured_ms <= self.budget

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` is the inverse."""
        return {**asdict(self), "architecture": self.architecture.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FinalistRow:
        """Inverse of `to_dict`."""
        pairs = {name: pair(values[name]) for name in ("report_interval", "int8_report_interval")}
        behind, repair = values.get("behind"), values.get("repair")  # came without a new format
        made = {"behind": behind and Behind(**behind), "repair": repair and Repair(**repair)}
        return cls(**{**values, **pairs, **made, "architecture": Architecture.from_dict(values["architecture"])})


@dataclass(frozen=True)
class LengthRow:
    """The median time of the requests of a measurement that have from `shortest` to `longest` tokens."""

    shortest: int
    longest: int
    runs: int
    p50_ms: float


@dataclass(frozen=True)
class ProfileRow:
    """One exported file, measured; name is that of its `FinalistRow`.

    kind: `float32` or `int8` for ONNX files; `LiteRT int8, 32 tokens` and the like for FlatBuffers.
    p50_ms, p90_ms, p99_ms: percentiles of the time of one call. throughput_per_s: rows (not calls) per second.
    peak_memory_bytes: resident memory of a process that runs only this file; None where it can't be measured.
    speedup: how many times as fast as the dense float32 file in the same run: the median of the ratios of the same
      request, with their middle 80 % from speedup_low to speedup_high; None for the dense float32 file itself.
    report_score: headline metric of this very file on the report rows.
    by_length: the times of short to long requests; empty in studies of older versions.
    """

    name: str
    kind: str
    size_bytes: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    throughput_per_s: float
    peak_memory_bytes: int | None = None
    speedup: float | None = None
    speedup_low: float | None = None
    speedup_high: float | None = None
    report_score: float | None = None
    by_length: tuple[LengthRow, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` is the inverse."""
        return asdict(self)

    @property
    def file(self) -> str:
        """Name and kind, as `trial-5 int8`."""
        return f"{self.name} {self.kind}"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ProfileRow:
        """Inverse of `to_dict`."""
        return cls(**{**values, "by_length": tuple(LengthRow(**one) for one in values.get("by_length", ()))})


@dataclass(frozen=True)
class FileDifference:
    """By how much one ONNX file scores above another on the same report rows, with its 95 % interval, as shares.

    file, than: name and kind of their `ProfileRow`, as `trial-5 int8`. low, high: NaN where the error is not known.
    """

    file: str
    than: str
    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` is the inverse."""
        return {name: None if value != value else value for name, value in asdict(self).items()}  # JSON has no NaN

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FileDifference:
        """Inverse of `to_dict`."""
        low, high = (math.nan if values[name] is None else values[name] for name in ("low", "high"))
        return cls(values["file"], values["than"], values["value"], low, high)


@dataclass(frozen=True)
class ClassRow:
    """How well one file finds one class or entity type on the report rows; name and kind are those of `ProfileRow`.

    precision, recall, f1: shares, 0 where undefined. support: rows of the class, or entities of the type.
    """

    name: str
    kind: str
    label: str
    precision: float
    recall: float
    f1: float
    support: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClassRow:
        """Inverse of `to_dict`."""
        return cls(**values)
