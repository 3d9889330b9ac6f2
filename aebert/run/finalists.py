"""The best candidates of a run, fine-tuned; with the dense model they are the models that it ships."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from aebert.digests import weights_digest
from aebert.models.evaluation import evaluate
from aebert.pruning.architecture import Architecture
from aebert.pruning.sequential import repair_sequentially
from aebert.pruning.subnetwork import load_subnetwork
from aebert.run.candidates import Candidates
from aebert.run.dense import Dense
from aebert.run.run import Run
from aebert.run.training import settings_given, store_model, train_model
from aebert.search.outcomes import Outcomes
from aebert.search.ranking import pick
from aebert.search.record import StudyInfo, TrialRecord, Verdict
from aebert.search.scoring import outcomes_of
from aebert.studies.folder import DENSE

_NOT_OF_TRAINING = ("count", "by", "repair")  # settings of `finalists` that say which are trained, not how


@dataclass(frozen=True)
class Finalist:
    """A fine-tuned candidate. folder: of the model; select_metrics: on the select rows; seconds: of its training."""

    trial: TrialRecord
    folder: Path
    digest: str
    select_metrics: Mapping[str, float]
    seconds: float

    @property
    def name(self) -> str:
        """What its files and table rows are called."""
        return f"trial-{self.trial.number}"


@dataclass(frozen=True)
class ShippedModel:
    """A model that a run ships: the dense one, or a finalist.

    digest: of its weights. budget: that its trial was made for; None for the dense model.
    """

    name: str
    digest: str
    architecture: Architecture
    budget: float | None
    load: Callable[[], PreTrainedModel]


def fine_tuned_finalists(
    candidates: Candidates, trials: Sequence[TrialRecord], verdicts: Sequence[Verdict], info: StudyInfo
) -> list[Finalist]:
    """The finalists of a study: cut from the dense model, fine-tuned, and scored on the select rows."""
    config = candidates.run.config.finalists
    return [_finalist(candidates, trial) for trial in pick(trials, verdicts, info, config.count, config.by)]


def _finalist(candidates: Candidates, trial: TrialRecord) -> Finalist:
    run, dense, key = candidates.run, candidates.dense, trial.architecture.key()
    folder = run.folder / "finalists" / key
    outputs = [str(folder.relative_to(run.folder))]
    stage = run.stage(f"finalist-{key}", _inputs(candidates, trial), outputs)

    def make() -> dict[str, Any]:
        model = _tuned(candidates, trial, stage.name)
        store_model(model, dense.tokenizer, folder)
        metrics = evaluate(model, run.rows("select", dense.tokenizer)).metrics
        return {"metrics": dict(metrics), "weights": weights_digest(model)}

    result = stage.run(make)
    return Finalist(trial, folder, result["weights"], result["metrics"], result["seconds"])


def select_outcomes(run: Run, tokenizer: PreTrainedTokenizerBase, finalist: Finalist) -> Outcomes:
    """What a finalist did on each select row.

    It is a stage of its own, so that only finalists that are compared take the time, those of older versions included.
    """
    inputs = {"weights": finalist.digest, "rows": run.rows_digest("select")}

    def make() -> dict[str, Any]:
        rows = run.rows("select", tokenizer)
        result = evaluate(load_subnetwork(finalist.folder), rows)
        return {"outcomes": outcomes_of(rows, result.losses, result.logits).encode()}

    return Outcomes.decode(run.stage(f"select-{finalist.trial.architecture.key()}", inputs).run(make)["outcomes"])


def _inputs(candidates: Candidates, trial: TrialRecord) -> dict[str, Any]:
    run, settings = candidates.run, settings_given(candidates.run.config.finalists)
    return {
        "dense": candidates.dense.digest,
        "pruner": dict(candidates.inputs),
        "repair": run.config.finalists.repair,
        "architecture": trial.architecture.to_dict(),
        "train": {name: value for name, value in settings.items() if name not in _NOT_OF_TRAINING},
        "rows": [run.task.digests["train"], run.task.digests["select"]],
        "seed": run.config.seed,
        "max_length": run.config.data.max_length,
    }


def _tuned(candidates: Candidates, trial: TrialRecord, stage: str) -> PreTrainedModel:
    """The sub-network of a trial, repaired if asked for, fine-tuned."""
    run, dense, config = candidates.run, candidates.dense, candidates.run.config.finalists
    model = candidates.pruner(trial.architecture)
    if config.repair == "sequential":
        repair_sequentially(dense.model, model, candidates.calibration.batches, run.progress)
    train_model(
        run,
        model,
        dense.tokenizer,
        config,
        title=f"fine-tune trial {trial.number}",
        stage=stage,
        teacher=dense.model if config.distill else None,
        distill=config.distill,
    )
    return model


def shipped_models(dense: Dense, finalists: Sequence[Finalist]) -> list[ShippedModel]:
    """The dense model, then the finalists."""
    first = ShippedModel(DENSE, dense.digest, Architecture.dense(dense.shape), None, lambda: dense.model)
    return [first, *map(_shipped, finalists)]


def _shipped(finalist: Finalist) -> ShippedModel:
    trial = finalist.trial
    return ShippedModel(
        name=finalist.name,
        digest=finalist.digest,
        architecture=trial.architecture,
        budget=trial.budget,
        load=lambda: load_subnetwork(finalist.folder),
    )
