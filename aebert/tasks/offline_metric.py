"""What a metric is: computed offline, in memory."""

from __future__ import annotations

from typing import Any, ClassVar

import datasets
import evaluate

from aebert.tasks.task import TaskKind


class OfflineMetric(evaluate.Metric):  # type: ignore[misc]
    """An `evaluate.Metric` without a script to download and without cache files, so safe in several processes.

    kinds: kinds of task that it is for. headline: key of its result that ranks models. num_labels: number of classes
    that it needs, if only one will do. script_hash: of the script that computes it, if it is none of ours.
    """

    kinds: ClassVar[tuple[TaskKind, ...]]
    headline: str
    num_labels: ClassVar[int | None] = None
    script_hash: str = ""
    feature: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__(keep_in_memory=True)

    def _build_data_dir(self) -> str:
        """No folder: evaluate would make one below the home folder even for a metric in memory."""
        return ""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=type(self).__doc__,
            citation="",
            inputs_description="predictions and references: one value per example.",
            features=datasets.Features({"predictions": self.feature, "references": self.feature}),
        )
