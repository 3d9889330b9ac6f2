"""The values that a report is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from aebert.deployment.exported import ExportedForms
from aebert.errors import StudyError
from aebert.pruning.architecture import Architecture
from aebert.reporting.checked import Checked, pair
from aebert.reporting.embeddings import EmbeddingRow
from aebert.search.axis import Axis, study_axis
from aebert.search.front import pareto_front
from aebert.search.record import StudyInfo, TrialRecord, Verdict

FORMAT = 3  # of `Report.to_dict`; raised when an older reader would misunderstand it
_READABLE = (1, 2, FORMAT)  # 1 has no verdicts, 2 no forms


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
class ProfileRow:
    """One exported file, measured; name is that of its `FinalistRow`.

    kind: `float32` or `int8` for ONNX files; `LiteRT int8, 32 tokens` and the like for FlatBuffers.
    p50_ms, p90_ms, p99_ms: percentiles of the time of one call. throughput_per_s: rows (not calls) per second.
    peak_memory_bytes: resident memory of a process that runs only this file; None where it can't be measured.
    speedup: how many times as fast as the dense float32 file in the same run: the median of the ratios of the same
      request, with their middle 80 % from speedup_low to speedup_high; None for the dense float32 file itself.
    report_score: headline metric of this very file on the report rows.
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
        return cls(**values)


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


@dataclass(frozen=True)
class Report:
    """Everything that tables, plots and files say about a study.

    finalists, profiles: empty before those stages; finalists contain the dense model, and after them the baselines.
    machine: what the profiles were measured on and how (processor, threads, batch size, lengths); plain JSON values.
    provenance: versions, commit, config digest, seed, data digests, command; plain JSON values.
    rows: number of labelled rows of each role, as far as known.
    verdicts: on each budget, from the mildest to the hardest, as of when the search last ended.
    forms: how each model was exported, by its name: fused nodes, and the quantized forms that were tried.
    checked: how checkpoint and rows were understood before any work; None in runs of older versions.
    classes: by file, the classes in the order of their ids; empty for regression, and in studies of older versions.
    differences: of each pair of ONNX files; empty in studies of older versions.
    embeddings: by file, how near its embeddings are to the dense model's; empty for other tasks.
    """

    info: StudyInfo
    trials: tuple[TrialRecord, ...]
    finalists: tuple[FinalistRow, ...] = ()
    profiles: tuple[ProfileRow, ...] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    forms: Mapping[str, ExportedForms] = field(default_factory=dict)
    checked: Checked | None = None
    classes: tuple[ClassRow, ...] = ()
    differences: tuple[FileDifference, ...] = ()
    embeddings: tuple[EmbeddingRow, ...] = ()

    def __post_init__(self) -> None:
        for trial in self.trials:
            if self.info.metric not in trial.metrics:
                known = ", ".join(trial.metrics) or "none"
                raise StudyError(
                    f"every trial must have the headline metric {self.info.metric!r}, "
                    f"trial {trial.number} of study {self.info.name!r} has {known}"
                )

    def difference(self, file: str, than: str) -> FileDifference | None:
        """How much `file` scores above another one; None where they were not compared."""
        for one in self.differences:
            if (one.file, one.than) == (file, than):
                return one
            if (one.file, one.than) == (than, file):
                return FileDifference(file, than, -one.value, -one.high, -one.low)
        return None

    @property
    def dense(self) -> TrialRecord | None:
        """The dense model's trial; None while it has not been scored."""
        return next((trial for trial in self.trials if trial.origin == "dense"), None)

    @cached_property
    def axis(self) -> Axis:
        """The costs that the front is drawn over."""
        return study_axis(self.info, self.trials)

    @cached_property
    def front(self) -> list[TrialRecord]:
        """The Pareto front of the trials, from the dearest to the cheapest."""
        return pareto_front(self.trials, self.axis)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` is the inverse."""
        return {
            "format": FORMAT,
            "info": asdict(self.info),
            "rows": dict(self.rows),
            "trials": [trial.to_dict() for trial in self.trials],
            "verdicts": [verdict.to_dict() for verdict in self.verdicts],
            "finalists": [row.to_dict() for row in self.finalists],
            "profiles": [row.to_dict() for row in self.profiles],
            "classes": [row.to_dict() for row in self.classes],
            "differences": [one.to_dict() for one in self.differences],
            **({"embeddings": [row.to_dict() for row in self.embeddings]} if self.embeddings else {}),
            "forms": {name: one.to_dict() for name, one in self.forms.items()},
            "checked": self.checked and self.checked.to_dict(),
            "machine": dict(self.machine),
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Report:
        """Inverse of `to_dict`; `StudyError` for another format."""
        if values["format"] not in _READABLE:
            raise StudyError(
                f"a summary must have a format of {_READABLE[0]} to {FORMAT}, got {values['format']!r} "
                "(made by another version of aebert)"
            )
        verdicts = values["verdicts"] if values["format"] > 1 else ()
        return cls(
            info=StudyInfo.from_dict(values["info"]),
            trials=tuple(TrialRecord.from_dict(trial) for trial in values["trials"]),
            finalists=tuple(FinalistRow.from_dict(row) for row in values["finalists"]),
            profiles=tuple(ProfileRow.from_dict(row) for row in values["profiles"]),
            machine=values["machine"],
            provenance=values["provenance"],
            rows=values["rows"],
            verdicts=tuple(Verdict.from_dict(verdict) for verdict in verdicts),
            forms=_forms(values["forms"]) if values["format"] > 2 else {},
            checked=Checked.from_dict(values["checked"]) if values.get("checked") else None,
            classes=tuple(ClassRow.from_dict(row) for row in values.get("classes", ())),  # came without a new format
            differences=tuple(FileDifference.from_dict(one) for one in values.get("differences", ())),
            embeddings=tuple(EmbeddingRow.from_dict(row) for row in values.get("embeddings", ())),
        )


def _forms(values: Mapping[str, Mapping[str, Any]]) -> dict[str, ExportedForms]:
    return {name: ExportedForms.from_dict(one) for name, one in values.items()}
