"""The first thing a run does: prove that model and data are the user's, and say how they were understood."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from aebert.config import RunConfig
from aebert.errors import ConfigError, ModelError
from aebert.models.checkpoint import Checkpoint, load_checkpoint
from aebert.models.evaluation import Evaluation, Prepared, evaluate
from aebert.models.outputs import UnnamedOutputs
from aebert.models.proposal import propose_labels
from aebert.models.sanity import check_sanity, guess_score
from aebert.reporting.checked import Checked, DenseScore
from aebert.reporting.vocabulary import SmallVocabulary
from aebert.run.expected import Timed, expected_bytes, expected_seconds, macs_by_token
from aebert.run.run import Run
from aebert.run.setup import search_setup
from aebert.run.vocabulary import Tried, small_vocabulary, vocabulary_cost, vocabulary_settings
from aebert.search.kinds import KINDS
from aebert.search.space import make_grid
from aebert.tasks.coverage import class_counts
from aebert.tasks.lengths import length_notes, lengths_of
from aebert.tasks.resampling import bootstrap, resampler
from aebert.tasks.task import ROLES

_TIMED_ROWS = 64  # of a pass that is timed where no other is needed
_RESAMPLES = 1000  # of a bootstrap interval


def load_start(run: Run) -> Checkpoint:
    """The checkpoint that a run starts from, proved by all of `aebert.models.checks`.

    Raises: ModelError, one line; where outputs have no names and the train rows leave no doubt of their meaning, it
      gives the line to add to the config.
    """
    config, task = run.config, run.task
    try:
        return load_checkpoint(
            config.model,
            task.spec,
            config.seed,
            train=config.dense.train,
            labels_stated=config.task.labels is not None,
            max_length=config.data.max_length,
        )
    except UnnamedOutputs as error:
        names = propose_labels(config.model, task.spec, task.rows["train"], config.seed, config.data.max_length)
        if names is None:
            raise
        raise UnnamedOutputs(f"{error}; by the train rows that is [{', '.join(map(repr, names))}]") from error


def is_trained(config: RunConfig, start: Checkpoint) -> bool:
    """Whether the dense model is fine-tuned here."""
    return {"auto": not start.fine_tuned, "always": True, "never": False}[config.dense.train]


def checked(run: Run, start: Checkpoint) -> Checked:
    """What a run starts from, kept with its stages.

    Raises: ModelError where a checkpoint that counts as fine-tuned scores no better than guessing, unless
      `model.trust`.
    """
    inputs = {
        "weights": start.digest,
        "labels": run.task.spec.output_names,
        "rows": run.rows_digest(*ROLES),
        "trains": is_trained(run.config, start),
        "trust": run.config.model.trust,
        **({"unlabelled": run.unlabelled_digest} if run.unlabelled else {}),
    }
    if run.config.pruning.vocabulary is not None:  # only then, as what is done is known by its inputs
        held_out = [[texts.name, texts.digest] for texts in run.held_out]
        inputs["vocabulary"] = {**(vocabulary_settings(run) or {}), "held_out": held_out}
    return Checked.from_dict(run.stage("check", inputs).run(lambda: {"found": check(run, start).to_dict()})["found"])


def check(run: Run, start: Checkpoint) -> Checked:
    """The same, without a trace in the run's folder.

    start: with the run's vocabulary.

    Raises: also ConfigError where a smaller vocabulary leaves a model that only guesses.
    """
    config, spec, most = run.config, run.task.spec, run.config.data.max_length
    trains, parameters = is_trained(config, start), start.facts.parameters
    lengths = {role: lengths_of(run.task.rows[role], spec, start.tokenizer, most) for role in ROLES}
    shape, tokens = start.facts.shape, {role: found.tokens for role, found in lengths.items()}
    prepared = _prepared(run, start, _TIMED_ROWS if trains else None)
    began = time.perf_counter()
    result = evaluate(start.model, prepared)
    count = sum(len(one["input_ids"]) for one in prepared.encoded)
    timed = Timed(
        seconds=(time.perf_counter() - began) / count, macs=macs_by_token(shape, max(count // len(prepared.rows), 1))
    )
    tried = None if trains else Tried(prepared, result)
    vocabulary = None if config.pruning.vocabulary is None else _vocabulary(run, start, tried)
    doubts = () if tried is None else _doubts(run, tried, vocabulary)
    return Checked(
        model=run.model_name,
        checkpoint=start.facts.to_dict(),
        trains=trains,
        max_length=most,
        window=spec.window,
        lengths={role: found.to_dict() for role, found in lengths.items()},
        classes={role: class_counts(spec, run.task.rows[role]) for role in ROLES},
        score=None if trains else _score(run, prepared, result),
        seconds=expected_seconds(
            config,
            shape,
            tokens,
            lengths["train"].rows,
            timed,
            trains=trains,
            rungs=_rungs(run, start),
            unlabelled=len(run.unlabelled) / lengths["search"].rows,
        ),
        bytes=expected_bytes(
            config, shape, make_grid(run.space, run.method.shape(start.model)), parameters, trains=trains
        ),
        unlabelled=len(run.unlabelled),
        notes=(*start.facts.notes, *doubts, *length_notes(lengths, most), *run.task.notes),
        vocabulary=vocabulary,
    )


def _rungs(run: Run, start: Checkpoint) -> int:
    """How many rungs the search goes down; where budgets must be priced first, those between them are not known."""
    if not run.has_ladder:
        return 0
    budget = run.config.search.budget
    return len(budget.targets if KINDS[budget.kind].is_priced else search_setup(run, start.model, None, {}).rungs)


def _vocabulary(run: Run, start: Checkpoint, tried: Tried | None) -> SmallVocabulary:
    """What the run's vocabulary saves and costs.

    Raises: ModelError where the checkpoint as it came, with all pieces, may have been misread.
    """
    whole = load_start(run)
    found = small_vocabulary(run, whole, start)
    if tried is None:
        return found
    rows = _prepared(run, whole, None)
    before = Tried(rows, evaluate(whole.model, rows))
    _ = _doubts(run, before, None)
    return replace(found, cost=vocabulary_cost(before, tried))


def _doubts(run: Run, tried: Tried, vocabulary: SmallVocabulary | None) -> tuple[str, ...]:
    """What `check_sanity` notes; a model that is no better than guessing with a smaller vocabulary lost it by that."""
    rows, trust = tried.rows, run.config.model.trust
    try:
        return check_sanity(rows.spec, rows.rows, rows.encoded, tried.found.logits, trust=trust)
    except ModelError as error:
        if vocabulary is None:
            raise
        raise ConfigError(
            f"pruning.vocabulary must leave a model that does better than guessing, {vocabulary.small_pieces:,} of "
            f"{vocabulary.whole_pieces:,} pieces don't ({str(error).partition(';')[0]}); keep more, or set dense.train "
            "to always"
        ) from error


def _prepared(run: Run, start: Checkpoint, most: int | None) -> Prepared:
    """The search rows, or a part of them."""
    rows = run.task.rows["search"]
    chosen: Sequence[int] = range(len(rows))
    if most is not None:
        chosen = np.random.default_rng(run.config.seed).permutation(len(rows))[:most].tolist()
    some = run.with_targets([rows[index] for index in chosen])
    return run.encoded(some, start.tokenizer, run.config.search.max_batch_tokens)


def _score(run: Run, prepared: Prepared, result: Evaluation) -> DenseScore:
    spec = prepared.spec
    compute = resampler(spec, prepared.rows, prepared.encoded, result.logits)
    guess, guess_is = guess_score(spec, prepared.rows, prepared.encoded, result.logits)
    return DenseScore(
        metric=spec.headline,
        value=result.metrics[spec.headline],
        interval=bootstrap(compute, len(prepared.rows), run.config.seed, _RESAMPLES),
        rows=len(prepared.rows),
        guess=guess,
        guess_is=guess_is,
    )
