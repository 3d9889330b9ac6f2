"""Everything that is known of a study, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from aebert.deployment.exported import ExportedForms
from aebert.errors import StudyError
from aebert.reporting.checked import Checked
from aebert.reporting.embeddings import EmbeddingRow
from aebert.reporting.rows import ClassRow, FileDifference, FinalistRow, ProfileRow
from aebert.search.axis import Axis, study_axis
from aebert.search.front import pareto_front
from aebert.search.record import StudyInfo, TrialRecord, Verdict

FORMAT = 3  # of `Report.to_dict`; raised when an older reader would misunderstand it
_READABLE = (1, 2, FORMAT)  # 1 has no verdicts, 2 no forms


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
    seconds: what each stage of the run took, by its name; empty in studies of older versions.
    config: the resolved config of the run, as YAML; empty where it is not at hand.
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
    seconds: Mapping[str, float] = field(default_factory=dict)
    config: str = ""
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
        """Plain values, for JSON; `from_dict` is the inverse. The config has a file of its own."""
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
            "seconds": dict(self.seconds),
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
            seconds=values.get("seconds", {}),
            embeddings=tuple(EmbeddingRow.from_dict(row) for row in values.get("embeddings", ())),
        )


def _forms(values: Mapping[str, Mapping[str, Any]]) -> dict[str, ExportedForms]:
    return {name: ExportedForms.from_dict(one) for name, one in values.items()}
