"""The tasks known by name."""

from __future__ import annotations

from aebert.registry import Registry
from aebert.tasks.endpoints import SPEC as ENDPOINTS
from aebert.tasks.task import TaskKind, TaskSpec

GLUE_HUB = "nyu-mll/glue"
"""The data set of the hub that has all GLUE tasks, one configuration per task name."""

TASKS: Registry[TaskSpec] = Registry("task")

_GLUE_SOURCE = "GLUE, Wang et al. 2018, arXiv:1804.07461"


def _glue(
    name: str,
    columns: tuple[str, ...],
    labels: tuple[str, ...],
    metric: str = "accuracy",
    headline: str = "accuracy",
    kind: TaskKind = "classification",
) -> None:
    """Register a GLUE task; `labels` in the order of the hub's ids.

    MRPC, QQP and STS-B have two official metrics, and GLUE averages them in its total. Both are computed; the
    headline is the one that the pruning literature ranks by (accuracy, Spearman: Kwon et al. 2022,
    arXiv:2204.09656, table 1), so that numbers can be compared.
    """
    TASKS.add(name, TaskSpec(name, kind, columns, "label", labels, metric, headline, _GLUE_SOURCE))


_ENTAILMENT = ("entailment", "not_entailment")
_SENTENCES = ("sentence1", "sentence2")

_glue("cola", ("sentence",), ("unacceptable", "acceptable"), "matthews", "matthews")
_glue("mnli", ("premise", "hypothesis"), ("entailment", "neutral", "contradiction"))
_glue("mrpc", _SENTENCES, ("not_equivalent", "equivalent"), "accuracy_f1")
_glue("qnli", ("question", "sentence"), _ENTAILMENT)
_glue("qqp", ("question1", "question2"), ("not_duplicate", "duplicate"), "accuracy_f1")
_glue("rte", _SENTENCES, _ENTAILMENT)
_glue("sst2", ("sentence",), ("negative", "positive"))
_glue("stsb", _SENTENCES, (), "pearson_spearman", "spearman", "regression")
_glue("stsb-embedding", _SENTENCES, (), "pearson_spearman", "spearman", "embedding")
_glue("wnli", _SENTENCES, ("not_entailment", "entailment"))

TASKS.add(ENDPOINTS.name, ENDPOINTS)
