"""Whether a model that counts as fine-tuned does what it was trained for: what no look at its files can prove."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import binomtest

from aebert.errors import ModelError
from aebert.tasks.encoding import IGNORED
from aebert.tasks.resampling import headline_of, row_marks
from aebert.tasks.similarity import cosines
from aebert.tasks.task import EncodedRow, Row, TaskSpec

DRAWS = 1000
"""Bootstrap draws of the interval."""

NARROW = 0.2
"""Width of an interval below which a model that can't be told from guessing counts as one that guesses."""

NOTHING_FOUND = 0.05
"""F1 of a NER model that finds nothing but what it hits by chance."""

_SURE = 0.001  # p-value below which a count speaks for one label rather than another


def check_sanity(
    spec: TaskSpec, rows: Sequence[Row], encoded: Sequence[EncodedRow], logits: Sequence[np.ndarray], *, trust: bool
) -> tuple[str, ...]:
    """Notes on a model that counts as fine-tuned, from its outputs for labelled rows; as of `evaluate_outputs`.

    Such a model scores better than guessing, by the 95 % interval of the difference, and no other order of its outputs
    explains its errors. Where the rows are too few to tell, a note says so.

    Raises: ModelError when it fails, unless `trust` (`model.trust`), which makes the sentence a note.
    """
    if spec.kind == "embedding" and not spec.has_pairs:
        return ()  # nothing is known of the texts but what the model itself says of them
    problem = _other_order(spec, encoded, logits)
    if problem is None:
        problem, doubt = _guessing(spec, rows, encoded, logits)
        if doubt:
            return (doubt,)
    if problem is None:
        return ()
    if trust:
        return (f"{problem}; model.trust lets the run go on",)
    raise ModelError(f"{problem}; correct the model, its tokenizer or model.labels, or say --trust-model (model.trust)")


def guess_score(
    spec: TaskSpec, rows: Sequence[Row], encoded: Sequence[EncodedRow], logits: Sequence[np.ndarray]
) -> tuple[float, str]:
    """The headline metric of a model that knows nothing, and how it gets it; arguments as of `evaluate_outputs`."""
    if spec.kind == "embedding" and not spec.has_pairs:
        return _agreement_guess(rows), "one vector for all texts"
    marks = row_marks(spec, rows, encoded, logits)
    guess, what = _guess(spec, marks)
    return _guess_of(spec, guess, np.arange(len(marks))), what


def _agreement_guess(rows: Sequence[Row]) -> float:
    """Agreement of a model that gives every text the same vector, the best there is: the mean of the targets."""
    targets = np.concatenate([_unit(row.targets) for row in rows if row.targets is not None])
    return float(cosines(targets, targets.mean(0)).mean())


def _unit(vectors: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return unit


def _guessing(
    spec: TaskSpec, rows: Sequence[Row], encoded: Sequence[EncodedRow], logits: Sequence[np.ndarray]
) -> tuple[str | None, str | None]:
    """Why the model must be guessing, or else why the rows can't tell."""
    marks = row_marks(spec, rows, encoded, logits)
    guess, what = _guess(spec, marks)
    generator = np.random.default_rng(0)
    draws = generator.integers(len(marks), size=(DRAWS, len(marks)))
    differences = [headline_of(spec, marks[draw]) - _guess_of(spec, guess, draw) for draw in draws]
    low, high = np.quantile(differences, [0.025, 0.975])
    if low > 0:
        return None, None
    every = np.arange(len(marks))
    scores = (
        f"the model counts as fine-tuned, but its {spec.headline} of {headline_of(spec, marks):.3f} on {len(marks)} "
        f"rows is not above {_guess_of(spec, guess, every):.3f}, that of {what}"
    )
    if high <= 0 or high - low <= NARROW:
        return scores, None
    return None, f"{scores}, by an interval; {len(marks)} rows are too few to tell"


def _guess(spec: TaskSpec, marks: np.ndarray) -> tuple[np.ndarray | float, str]:
    """What a model that knows nothing gets: marks of its own for classification, else a score."""
    if spec.kind == "ner":
        return NOTHING_FOUND, "entities found by chance"
    if spec.kind in ("regression", "embedding"):
        return 0.0, "scores that know nothing of the labels"
    labels, counts = np.unique(marks[:, 1], return_counts=True)
    always = marks.copy()
    always[:, 0] = labels[counts.argmax()]
    return always, f"always saying {spec.labels[int(always[0, 0])]!r}"


def _guess_of(spec: TaskSpec, guess: np.ndarray | float, draw: np.ndarray) -> float:
    return guess if isinstance(guess, float) else headline_of(spec, guess[draw])


def _other_order(spec: TaskSpec, encoded: Sequence[EncodedRow], logits: Sequence[np.ndarray]) -> str | None:
    """That the outputs mean each other's labels, if the rows leave no doubt."""
    if spec.kind in ("regression", "embedding"):
        return None
    counts, names = _counts(spec, encoded, logits), spec.output_names
    _, order = linear_sum_assignment(-counts)
    for cycle in _cycles(order.tolist()):
        if all(_speaks_for(counts[one], int(order[one]), one) for one in cycle):
            pairs = ", ".join(f"{names[one]!r} where the label is {names[order[one]]!r}" for one in cycle)
            return f"the model counts as fine-tuned, but its outputs are in another order: it says {pairs}"
    return None


def _cycles(order: Sequence[int]) -> Iterator[list[int]]:
    """Yield the sets of outputs that a permutation moves around among themselves."""
    left = {one for one, other in enumerate(order) if one != other}
    while left:
        cycle = [min(left)]
        while order[cycle[-1]] != cycle[0]:
            cycle.append(order[cycle[-1]])
        left -= set(cycle)
        yield cycle


def propose_names(
    spec: TaskSpec, encoded: Sequence[EncodedRow], logits: Sequence[np.ndarray]
) -> tuple[str, ...] | None:
    """The label that each output means, if labelled rows leave no doubt of any of them; at most one by elimination.

    logits: of the outputs in the checkpoint's order, one array per row.
    """
    counts = _counts(spec, encoded, logits)
    best = counts.argmax(1).tolist()
    sure = {one: label for one, label in enumerate(best) if _speaks_for(counts[one], label, None)}
    if len(set(sure.values())) < len(sure) or len(sure) < len(counts) - 1:
        return None
    rest = set(range(len(counts))) - set(sure.values())
    return tuple(spec.output_names[sure[one] if one in sure else next(iter(rest))] for one in range(len(counts)))


def _speaks_for(counts: np.ndarray, label: int, other: int | None) -> bool:
    """Whether an output's rows speak for a label rather than for another one, or rather than for the next best."""
    rival = counts[other] if other is not None else np.delete(counts, label).max()
    total = int(counts[label] + rival)
    return total > 0 and bool(binomtest(int(counts[label]), total, alternative="greater").pvalue < _SURE)


def _counts(spec: TaskSpec, encoded: Sequence[EncodedRow], logits: Sequence[np.ndarray]) -> np.ndarray:
    """Rows (for NER, words) by the largest output and the label, [outputs, outputs]."""
    outputs, size = np.concatenate([np.atleast_2d(one) for one in logits]).argmax(-1), spec.num_outputs
    labels = np.concatenate([np.atleast_1d(row["labels"]) for row in encoded])
    there = labels != IGNORED
    return np.bincount(outputs[there] * size + labels[there], minlength=size**2).reshape(size, size)
