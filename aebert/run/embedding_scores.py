"""How near the embeddings of a file are to those of the model that a run started from, on the report rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from aebert.deployment.opening import ExportedModel
from aebert.models.evaluation import Prepared, evaluate_forward
from aebert.reporting.embeddings import EmbeddingRow
from aebert.run.requests import file_forward
from aebert.run.run import Run
from aebert.sections import digest
from aebert.tasks.resampling import bootstrap
from aebert.tasks.similarity import agreement, first_hits, overlap
from aebert.tasks.task import Row
from aebert.tasks.unlabelled import unlabelled_rows

RESAMPLES = 1000  # of a bootstrap interval


def embedding_inputs(run: Run) -> dict[str, Any]:
    """What these scores depend on besides the file and the report rows; empty for other tasks."""
    if run.task.spec.kind != "embedding":
        return {}
    assert run.reference is not None
    return {"reference": run.reference.digest, "corpus": digest(_corpus(run))}


def embedding_scores(
    run: Run,
    tokenizer: PreTrainedTokenizerBase,
    model: ExportedModel,
    prepared: Prepared,
    embeddings: Sequence[np.ndarray],
) -> dict[str, Any]:
    """Fields of `EmbeddingRow` besides name and kind.

    prepared: the report rows, with their targets. embeddings [texts, hidden] of each of them, by the file.
    """
    agreed = agreement(prepared.rows, embeddings)
    assert agreed is not None
    mine, dense = _by_text(prepared.rows, embeddings), _by_text(prepared.rows, [_targets(row) for row in prepared.rows])
    corpus, queries = _corpus(run), sorted(mine)
    if new := [text for text in corpus if text not in mine]:
        rows = run.encoded(
            run.with_targets([Row((text,), 0.0) for text in new]), tokenizer, run.config.search.max_batch_tokens
        )
        mine |= _by_text(rows.rows, evaluate_forward(file_forward(model), rows).logits)
        dense |= _by_text(rows.rows, [_targets(row) for row in rows.rows])
    places = {text: place for place, text in enumerate(corpus)}
    left_out = [places.get(query) for query in queries]
    hits = [
        first_hits(np.stack([one[text] for text in queries]), np.stack([one[text] for text in corpus]), left_out)
        for one in (mine, dense)
    ]
    shared = overlap(*hits)
    given = run.config.task.corpus
    return {
        "agreement": float(agreed.mean()),
        "agreement_interval": _interval(agreed, run.config.seed),
        "overlap": float(shared.mean()),
        "overlap_interval": _interval(shared, run.config.seed),
        "queries": len(queries),
        "texts": len(corpus),
        "hits": hits[1].shape[1],
        "corpus": None if given is None else given.name,
    }


def embedding_rows(scores: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[EmbeddingRow]:
    """Rows of the report, from what is known of each file by name and kind."""
    return [
        EmbeddingRow.from_dict({"name": name, "kind": kind, **found["embeddings"]})
        for (name, kind), found in scores.items()
        if "embeddings" in found
    ]


def _corpus(run: Run) -> list[str]:
    """The texts among which report texts are searched, each once."""
    given, data = run.config.task.corpus, run.config.data
    if given is None:
        return sorted({text for row in run.task.rows["report"] for text in row.text})
    root = run.config.data_root
    rows = unlabelled_rows([given], run.task.spec, root, data.encoding, data.separator, key="task.corpus")
    return list(dict.fromkeys(text for row in rows for text in row.text))


def _by_text(rows: Sequence[Row], embeddings: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    pairs = zip(rows, embeddings, strict=True)
    return {text: vector for row, vectors in pairs for text, vector in zip(row.text, vectors, strict=True)}


def _targets(row: Row) -> np.ndarray:
    assert row.targets is not None
    return row.targets


def _interval(values: np.ndarray, seed: int) -> tuple[float, float] | None:
    return bootstrap(lambda draw: float(values[draw].mean()), len(values), seed, RESAMPLES)
