"""Similarity of embeddings: of pairs, with those of another model, and by what a search among texts finds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aebert.tasks.task import Row, TaskSpec

HITS = 10
"""How many of the first hits of a search are compared."""

_QUERIES = 256  # at a time, so that similarities with a large corpus fit into memory


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Cosine similarity [...] of vectors [..., hidden]; 0 where one of the two is zero."""
    norms = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    found: np.ndarray = np.divide((one * other).sum(axis=-1), norms, out=np.zeros_like(norms), where=norms > 0)
    return found


def agreement(rows: Sequence[Row], embeddings: Sequence[np.ndarray]) -> np.ndarray | None:
    """Cosine similarity [rows] with the targets, mean over the texts of a row; None where rows have no targets."""
    if any(row.targets is None for row in rows):
        return None
    pairs = zip(rows, embeddings, strict=True)
    return np.array([cosines(_wide(mine), _wide(row.targets)).mean() for row, mine in pairs], dtype=np.float64)


def similarities(
    spec: TaskSpec, rows: Sequence[Row], embeddings: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """What a task's metric takes, [rows] each: similarities that a model gives, and what they should be.

    embeddings: of each row's texts [texts, hidden]. With pairs these are the cosine of the two, NaN for a row that is
    no pair, and the stated score; without, they are the agreement with the targets, and 1.
    """
    if spec.has_pairs:
        found = [cosines(*_wide(one)) if len(one) == 2 else np.nan for one in embeddings]
        return np.array(found, dtype=np.float64), np.array([row.label for row in rows], dtype=np.float64)
    agreed = agreement(rows, embeddings)
    assert agreed is not None, "rows without pairs are scored by their targets"
    return agreed, np.ones(len(rows))


def first_hits(queries: np.ndarray, corpus: np.ndarray, left_out: Sequence[int | None]) -> np.ndarray:
    """Places in `corpus` of the nearest texts by cosine, nearest first, [queries, hits]; of equals, the first.

    queries [queries, hidden], corpus [texts, hidden]. left_out: for each query the text that is no hit, which is the
    query itself; None for none. There are `HITS` hits, or as many as every query can have.
    """
    count = min(HITS, len(corpus) - any(place is not None for place in left_out))
    texts = _unit(corpus).T
    found = []
    for start in range(0, len(queries), _QUERIES):
        near = _unit(queries[start : start + _QUERIES]) @ texts
        for row, place in enumerate(left_out[start : start + _QUERIES]):
            if place is not None:
                near[row, place] = -np.inf
        found.append(np.argsort(-near, axis=1, kind="stable")[:, :count])
    return np.concatenate(found)


def overlap(mine: np.ndarray, dense: np.ndarray) -> np.ndarray:
    """Share [queries] of the dense model's first hits that are among a model's; both [queries, hits]."""
    counts = [len(np.intersect1d(*pair)) for pair in zip(mine, dense, strict=True)]
    shares: np.ndarray = np.array(counts, dtype=np.float64) / max(dense.shape[1], 1)
    return shares


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: np.ndarray = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return unit


def _wide(vectors: np.ndarray | None) -> np.ndarray:
    return np.asarray(vectors, dtype=np.float64)
