"""What a run's search needs besides a scorer: the grid, the budgets and all settings that its trials depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from aebert.errors import ConfigError
from aebert.latency.sources import PriceSource
from aebert.run.prices import describe_device, prices_of, settings_of, study_prices
from aebert.run.run import Run
from aebert.run.vocabulary import vocabulary_settings
from aebert.search.judge import Judge
from aebert.search.kinds import KINDS
from aebert.search.record import StudyInfo
from aebert.search.rungs import between, check_given
from aebert.search.schedule import least_of_descent
from aebert.search.setup import SearchSetup
from aebert.search.space import make_grid
from aebert.sections import digest, flat, plain

# Settings that are not known before the dense model is there, or before its blocks are priced.
KNOWN_LATER = ("model.weights", *(f"search.budget.{key}" for key in ("margin", "table", "estimate")))
_SCORED_IN_INT8 = "all trials, the dense model included, were scored as their int8 files compute (search.score_in)"


def known_settings(run: Run) -> dict[str, Any]:
    """Settings that trials depend on, as far as they are known before any work; without those of `KNOWN_LATER`."""
    budget = run.config.search.budget
    requests = {"search.budget.batch": budget.batch, "search.budget.threads": budget.threads}
    return _settings(run, None) | (requests if KINDS[budget.kind].is_priced else {})


def budget_prices(run: Run, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> PriceSource | None:
    """What a latency budget is counted with, measured now if it must be; None for other kinds of budgets."""
    is_priced = KINDS[run.config.search.budget.kind].is_priced
    return study_prices(run.config, model, tokenizer, run.progress) if is_priced else None


def search_setup(
    run: Run,
    model: PreTrainedModel,
    source: PriceSource | None,
    settings: Mapping[str, Any],
    notes: tuple[str, ...] = (),
) -> SearchSetup:
    """The setup of a run's search.

    source: what a latency budget is counted with. settings: those that only a later stage knows, such as the weights of
    the dense model. notes: what a user should know about checkpoint and rows, one line each.
    """
    config, shape = run.config, run.method.shape(model)
    grid = make_grid(run.space, shape)
    setup = SearchSetup(
        info=_info(run, source, notes),
        shape=shape,
        grid=grid,
        judge=Judge(run.task.spec, config.search.objective),
        storage=run.storage,
        int8=config.deploy.int8,
        race=config.search.race,
        settings={**_settings(run, source), **settings},
        prices=None if source is None else prices_of(source, config.search.budget, grid),
    )
    if not run.has_ladder:
        return setup
    setup = replace(setup, between=_between(run, setup))
    least = 1 + len(run.first) * len(setup.budgets) + least_of_descent(setup)
    if config.search.trials != "auto" and config.search.trials < least:
        raise ConfigError(
            f"search.trials must be at least {least}: the dense model, {len(run.first)} first trials for each budget, "
            f"and what one descent of the ladder takes ({len(setup.rungs)} rungs), got {config.search.trials}; raise "
            "it, or set search.rungs to none"
        )
    return setup


def _between(run: Run, setup: SearchSetup) -> tuple[float, ...]:
    """Targets of the rungs that are no budgets."""
    rungs = run.config.search.rungs
    if isinstance(rungs, str):
        return between(setup.budgets, 0.0 if setup.prices is None else setup.prices.margin)
    return check_given(rungs, setup.budgets)


def _info(run: Run, source: PriceSource | None, notes: tuple[str, ...]) -> StudyInfo:
    config, task = run.config, run.task
    return StudyInfo(
        name=config.name,
        task=task.spec.name,
        model=run.model_name,
        metric=task.spec.headline,
        budget_kind=config.search.budget.kind,
        targets=config.search.budget.targets,
        length=config.search.budget.length,
        sampler=config.search.sampler,
        seed=config.seed,
        trials=None if config.search.trials == "auto" else config.search.trials,
        search_rows=len(task.rows["search"]),
        unlabelled_rows=len(run.unlabelled),
        objective=config.search.objective,
        notes=notes if run.int8 is None else (*notes, _SCORED_IN_INT8),
        device="" if source is None else describe_device(source, config.search.budget),
        estimated=source is not None and source.estimated,
    )


def _settings(run: Run, source: PriceSource | None) -> dict[str, Any]:
    """Everything that the trials depend on, by dotted key; not where files lie, nor how many trials there are."""
    config = run.config
    values = {name: plain(getattr(config, name)) for name in ("task", "dense", "pruning", "search")}
    for key in ("storage", "trials", "device", "workers", "timeout"):
        del values["search"][key]
    values["search"] |= {"space": _space(run), "first": list(run.first)}
    values["search"]["budget"] = settings_of(source, values["search"]["budget"], config.search.budget)
    settings: dict[str, Any] = {"seed": config.seed, "data.max_length": config.data.max_length}
    if KINDS[config.search.budget.kind].is_of_file:
        settings["deploy.int8"] = config.deploy.int8
    if config.search.budget.zeros is None:  # studies of older versions state nothing
        del values["search"]["budget"]["zeros"]
    if not run.has_ladder:
        del values["search"]["rungs"]
    del values["search"]["score_in"], values["search"]["unlabelled"]
    if config.pruning.vocabulary is not None:
        values["pruning"]["vocabulary"] = vocabulary_settings(run)
    if run.unlabelled:  # only then, since studies of older versions state nothing
        settings["search.unlabelled"] = run.unlabelled_digest
    if run.int8 is not None:  # the same
        settings |= {"search.score_in": config.search.score_in, "search.score_in_weights": run.int8.describe()}
    if config.data.window:  # the same
        settings["data.window"] = True
    # what was read there: the other study may change, or be gone
    settings |= {f"search.first.{origin}": digest(asdict(source)) for origin, source in run.sources.items()}
    settings |= {f"data.{role}_rows": run.task.digests[role] for role in ("train", "search")}
    return settings | flat(values)


def _space(run: Run) -> dict[str, Any]:
    """The part of the search space that the pruning method reads."""
    unread = () if run.method.is_unstructured else ("weights",)
    return {key: value for key, value in plain(run.space).items() if key not in unread}
