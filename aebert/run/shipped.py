"""The models that a run exports, scores and measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel

from aebert.pruning.architecture import Architecture
from aebert.pruning.subnetwork import load_subnetwork
from aebert.run.baselines import Baseline, load_baseline
from aebert.run.dense import Dense
from aebert.run.finalists import Finalist
from aebert.run.run import Run
from aebert.studies.folder import DENSE


@dataclass(frozen=True)
class ShippedModel:
    """A model that a run ships: the dense one, a finalist, or a baseline that finalists are held against.

    digest: of its weights. budget: the hardest of the study's that it meets; None for the dense model.
    """

    name: str
    digest: str
    architecture: Architecture
    budget: float | None
    load: Callable[[], PreTrainedModel]


def shipped_models(
    run: Run, dense: Dense, finalists: Sequence[Finalist], baselines: Sequence[Baseline]
) -> list[ShippedModel]:
    """The dense model, then the finalists, then the baselines."""
    first = ShippedModel(DENSE, dense.digest, Architecture.dense(dense.shape), None, lambda: dense.model)
    whole = first.architecture if run.method.is_unstructured else None
    return [first, *(_finalist(one, whole) for one in finalists), *(_baseline(run, one) for one in baselines)]


def _finalist(finalist: Finalist, whole: Architecture | None) -> ShippedModel:
    """whole: the heads and neurons of its file, where none were removed."""
    return ShippedModel(
        name=finalist.name,
        digest=finalist.digest,
        architecture=whole or finalist.trial.architecture,
        budget=finalist.budget,
        load=lambda: load_subnetwork(finalist.folder),
    )


def _baseline(run: Run, baseline: Baseline) -> ShippedModel:
    return ShippedModel(
        name=baseline.name,
        digest=baseline.digest,
        architecture=baseline.cut.architecture,
        budget=baseline.budget,
        load=lambda: load_baseline(run, baseline),
    )
