"""The smaller vocabulary of a run (`pruning.vocabulary`), which is made of its checkpoint before anything else is.

It comes before the fine-tuning of the dense model, not after it. Budgets, rows that are cut and the time that a run
takes are judged by the checkpoint that the run starts from, before hours of work; embeddings are trained with the
pieces that words are read in from then on; and since every stage names the digest of the weights that it starts from,
another vocabulary makes all of them anew, and a run without one keeps what it has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from aebert.digests import weights_digest
from aebert.models.checkpoint import Checkpoint
from aebert.models.counting import shape_of
from aebert.models.evaluation import Evaluation, Prepared
from aebert.pruning.coverage import coverage, piece_counts
from aebert.pruning.vocabulary import choose_pieces, cut_embeddings, cut_tokenizer
from aebert.reporting.vocabulary import SmallVocabulary, VocabularyCost
from aebert.run.run import Run
from aebert.search.difference import CONFIDENCE
from aebert.search.judge import Judge
from aebert.search.scoring import outcomes_of
from aebert.tasks.task import ROLES, Row, TaskSpec
from aebert.tasks.texts import as_rows


def with_vocabulary(run: Run, whole: Checkpoint) -> Checkpoint:
    """The checkpoint with the run's vocabulary; the checkpoint itself where the run keeps all pieces.

    Raises: ConfigError for a limit below what is required, or a kind of tokenizer that can't be cut; ModelError where
      the smaller tokenizer would not be the same one.
    """
    if run.config.pruning.vocabulary is None:
        return whole
    kept = _kept(run, whole)
    model = cut_embeddings(whole.model, kept)
    tokenizer = cut_tokenizer(whole.tokenizer, kept, model.config, run.task.spec)
    facts = replace(
        whole.facts,
        shape=shape_of(model),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        vocabulary=len(tokenizer),
        embeddings=len(kept),
    )
    return replace(whole, model=model, tokenizer=tokenizer, facts=facts, digest=weights_digest(model))


def _kept(run: Run, whole: Checkpoint) -> tuple[int, ...]:
    assert run.config.pruning.vocabulary is not None
    counts: Counter[int] = Counter()
    for rows, spec in [(run.task.rows["train"], run.task.spec), *(_rows(texts.lines, run) for texts in run.texts)]:
        counts += piece_counts(rows, spec, whole.tokenizer)
    return choose_pieces(whole.tokenizer, whole.model.config, counts, run.config.pruning.vocabulary)


def _rows(lines: Sequence[str], run: Run) -> tuple[Sequence[Row], TaskSpec]:
    return as_rows(lines, run.task.spec)


def vocabulary_settings(run: Run) -> dict[str, Any] | None:
    """What the choice of pieces depends on besides the train rows, as plain values; None where all are kept.

    Files are named by what they hold, not by where they lie.
    """
    limit = run.config.pruning.vocabulary
    if limit is None:
        return None
    return {"keep": limit.keep, "share": limit.share, "texts": sorted(texts.digest for texts in run.texts)}


def small_vocabulary(run: Run, whole: Checkpoint, small: Checkpoint) -> SmallVocabulary:
    """What the smaller vocabulary saves, and how it reads the rows of all roles and the held-out texts."""
    kept, most = _kept(run, whole), run.config.data.max_length
    read: list[tuple[str, Sequence[Row], TaskSpec]] = [
        (f"{role} rows", run.task.rows[role], run.task.spec) for role in ROLES
    ]
    read += [(f"held-out {texts.name}", *_rows(texts.lines, run)) for texts in run.held_out]
    covered = [coverage(name, rows, spec, whole.tokenizer, small.tokenizer, kept, most) for name, rows, spec in read]
    return SmallVocabulary(
        whole_pieces=len(whole.tokenizer),
        small_pieces=len(small.tokenizer),
        whole_parameters=whole.facts.parameters,
        small_parameters=small.facts.parameters,
        read=tuple(covered),
    )


@dataclass(frozen=True)
class Tried:
    """What a model did on rows."""

    rows: Prepared
    found: Evaluation


def vocabulary_cost(whole: Tried, small: Tried) -> VocabularyCost:
    """What the smaller vocabulary costs a model that is not trained with it; both on the same rows."""
    judge = Judge(whole.rows.spec)
    before, after = (outcomes_of(one.rows, one.found.losses, one.found.logits) for one in (whole, small))
    found = judge.difference(after, before)
    return VocabularyCost(
        metric=whole.rows.spec.headline,
        rows=len(whole.rows.rows),
        whole=judge.score(before),
        small=judge.score(after),
        low=found.low(CONFIDENCE),
        high=found.high(CONFIDENCE),
    )
