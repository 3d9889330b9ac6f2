"""The best candidates of a run, fine-tuned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from aebert.digests import weights_digest
from aebert.models.evaluation import Prepared, evaluate
from aebert.models.sanity import guess_score
from aebert.pruning.masks import check_kept, zeros_held
from aebert.pruning.recipe import Recipe
from aebert.pruning.subnetwork import load_subnetwork
from aebert.reporting.rows import Repair
from aebert.run.dense import Dense
from aebert.run.gradual import approach, clean
from aebert.run.run import Run
from aebert.run.rungs import Rungs
from aebert.run.stage import Stage
from aebert.run.training import settings_given, store_model, train_model
from aebert.search.difference import CONFIDENCE
from aebert.search.front import own_budget
from aebert.search.judge import Judge
from aebert.search.knowledge import recipe_of
from aebert.search.outcomes import Outcomes
from aebert.search.ranking import pick
from aebert.search.record import StudyInfo, TrialRecord, Verdict
from aebert.search.scoring import outcomes_of

_NOT_OF_TRAINING = ("count", "by", "repair", "gradual", "baselines")  # settings that say what is trained, not how


@dataclass(frozen=True)
class Finalist:
    """A fine-tuned candidate.

    budget: the hardest of the study's that it meets. folder: of the model. select_metrics: on the select rows.
    seconds: of its training.
    repair: what repair brought before training; None for a candidate that was not repaired.
    """

    trial: TrialRecord
    budget: float | None
    folder: Path
    digest: str
    select_metrics: Mapping[str, float]
    seconds: float
    repair: Repair | None = None

    @property
    def name(self) -> str:
        """What its files and table rows are called."""
        return f"trial-{self.trial.number}"


def fine_tuned_finalists(
    rungs: Rungs, trials: Sequence[TrialRecord], verdicts: Sequence[Verdict], info: StudyInfo
) -> list[Finalist]:
    """The finalists of a study: cut from the dense model, fine-tuned, and scored on the select rows."""
    config, by_number = rungs.run.config.finalists, {trial.number: trial for trial in trials}
    picked = pick(trials, verdicts, info, config.count, config.by)
    return [_finalist(rungs, trial, own_budget(trial, info), _recipe(rungs, trial, by_number)) for trial in picked]


def _recipe(rungs: Rungs, trial: TrialRecord, trials: Mapping[int, TrialRecord]) -> Recipe:
    """How the weights that training starts from are made."""
    recipe = recipe_of(trial, trials)
    return recipe.as_repaired if rungs.run.config.finalists.repair == "sequential" else recipe


def _finalist(rungs: Rungs, trial: TrialRecord, budget: float | None, recipe: Recipe) -> Finalist:
    run, dense = rungs.run, rungs.candidates.dense
    inputs, key = _inputs(rungs, recipe), rungs.key(recipe)
    folder = run.folder / "finalists" / key
    outputs = [str(folder.relative_to(run.folder))]
    stage, count = run.stage(f"finalist-{key}", inputs, outputs), run.config.finalists.gradual
    repair = _repair(rungs, recipe, inputs) if recipe.repaired and not count else None

    def train(model: PreTrainedModel, part: Stage, into: Path) -> dict[str, Any]:
        return tune(run, dense, model, part, into, title=f"fine-tune trial {trial.number}", share=1 / (count + 1))

    def make() -> dict[str, Any]:
        if run.method.is_unstructured:
            with zeros_held(rungs.make(recipe)) as model:
                result = train(model, stage, folder)
            check_kept(load_subnetwork(folder), recipe.architecture, f"the file of trial {trial.number}")
            return result
        if count:
            return train(approach(rungs, recipe, count, inputs, train), stage, folder)
        return train(rungs.make(recipe if repair is None or repair.used else recipe.unrepaired), stage, folder)

    result = stage.run(make)
    clean(rungs, recipe)
    return Finalist(
        trial=trial,
        budget=budget,
        folder=folder,
        digest=result["weights"],
        select_metrics=result["metrics"],
        seconds=result["seconds"],
        repair=repair,
    )


def _repair(rungs: Rungs, recipe: Recipe, inputs: Mapping[str, Any]) -> Repair:
    """Whether a finalist starts repaired: unless the select rows prove that this makes it worse."""
    run, tokenizer = rungs.run, rungs.candidates.dense.tokenizer

    def make() -> dict[str, Any]:
        rows, judge = run.rows("select", tokenizer), Judge(run.task.spec)
        found = judge.difference(*(_outcomes(rungs.make(one), rows) for one in (recipe, recipe.unrepaired)))
        return {"value": found.value, "low": found.low(CONFIDENCE), "high": found.high(CONFIDENCE)}

    stage = run.stage(f"repair-{rungs.key(recipe)}", {name: inputs[name] for name in inputs if name != "train"})
    result = stage.run(make)
    return Repair(result["value"], result["low"], result["high"])


def _outcomes(model: PreTrainedModel, rows: Prepared) -> Outcomes:
    result = evaluate(model, rows)
    return outcomes_of(rows, result.losses, result.logits)


def select_outcomes(run: Run, tokenizer: PreTrainedTokenizerBase, finalist: Finalist) -> Outcomes:
    """What a finalist did on each select row.

    It is a stage of its own, so that only finalists that are compared take the time, those of older versions included.
    """
    inputs = {"weights": finalist.digest, "rows": run.rows_digest("select")}

    def make() -> dict[str, Any]:
        return {"outcomes": _outcomes(load_subnetwork(finalist.folder), run.rows("select", tokenizer)).encode()}

    return Outcomes.decode(run.stage(f"select-{finalist.folder.name}", inputs).run(make)["outcomes"])


def _inputs(rungs: Rungs, recipe: Recipe) -> dict[str, Any]:
    candidates = rungs.candidates
    return {
        "dense": candidates.dense.digest,
        "pruner": dict(candidates.inputs),
        "repair": "sequential" if recipe.repaired else "none",
        **rungs.inputs(recipe),
        "architecture": recipe.architecture.to_dict(),
        **tuning_inputs(rungs.run),
        **({"gradual": count} if (count := rungs.run.config.finalists.gradual) else {}),
    }


def tuning_inputs(run: Run) -> dict[str, Any]:
    """What the fine-tuning of a finalist, and its score on the select rows, depend on besides its first weights."""
    settings = settings_given(run.config.finalists)
    return {
        "train": {name: value for name, value in settings.items() if name not in _NOT_OF_TRAINING},
        "rows": [run.task.digests["train"], run.task.digests["select"]],
        "seed": run.config.seed,
        "max_length": run.config.data.max_length,
    }


def tune(
    run: Run, dense: Dense, model: PreTrainedModel, stage: Stage, folder: Path, *, title: str, share: float = 1.0
) -> dict[str, Any]:
    """Fine-tune a model in place as `finalists` says, with the dense model as its teacher, and store it in a folder.

    share: of the epochs. Returns its metrics on the select rows, what guessing scores there, and its weights' digest.
    """
    config = run.config.finalists
    config = config.model_copy(update={"epochs": config.epochs * share})
    train_model(
        run,
        model,
        dense.tokenizer,
        config,
        title=title,
        stage=stage.name,
        teacher=dense.model if config.distill else None,
        distill=config.distill,
    )
    store_model(model, dense.tokenizer, folder)
    rows = run.rows("select", dense.tokenizer)
    result = evaluate(model, rows)
    guess, _ = guess_score(rows.spec, rows.rows, rows.encoded, result.logits)
    return {"metrics": dict(result.metrics), "guess": guess, "weights": weights_digest(model)}
