"""How far a linear model on a window of words gets on `endpoints-synthetic`.

    python experiments/benchmarks/endpoints_linear_baseline.py --results results

Trains a logistic regression (averaged SGD) on one-hot features of the words around each word on the train rows, and
writes its entity F1 on the dev and test rows, with a 95 % bootstrap interval over rows, to
`<results>/benchmarks/endpoints_linear_baseline.json`. The windows tried are all reported; the headline is the one
with the best dev F1. A fine-tuned encoder has to be at least 15 points better for the corpus to be a test of context.
"""

from __future__ import annotations

import argparse
import platform
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix
from seqeval.metrics.sequence_labeling import get_entities
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from aebert.files import write_json
from aebert.tasks import endpoints
from aebert.tasks.resampling import bootstrap
from aebert.tasks.task import Row

WINDOWS = (2, 3, 5)
RESAMPLES = 1000


@dataclass(frozen=True)
class Counts:
    """Entities per row: in both label and prediction, predicted, and labelled; each [rows]."""

    correct: np.ndarray
    predicted: np.ndarray
    labelled: np.ndarray

    def f1(self, rows: np.ndarray | slice = slice(None)) -> float:
        """Entity F1 (micro average) over `rows`."""
        total = int(self.predicted[rows].sum() + self.labelled[rows].sum())
        return 2 * int(self.correct[rows].sum()) / total if total else 0.0


def word_features(words: Sequence[str], position: int, window: int) -> dict[str, bool]:
    """One-hot features of the words up to `window` away: as written, lower-cased, shape."""
    features = {}
    for offset in range(-window, window + 1):
        place = position + offset
        word = words[place] if 0 <= place < len(words) else "<none>"
        features[f"{offset}:word={word}"] = True
        features[f"{offset}:lower={word.lower()}"] = True
        features[f"{offset}:shape={shape(word)}"] = True
    return features


def shape(word: str) -> str:
    """The word with digits as 0 and letters as x or X, runs cut to two: `12.34` is `00.00`, `Zenolimab` is `Xxx`."""
    kinds = re.sub(r"[a-z]", "x", re.sub(r"[A-Z]", "X", re.sub(r"\d", "0", word)))
    return re.sub(r"(.)\1{2,}", r"\1\1", kinds)


def fit(rows: Sequence[Row], window: int, seed: int) -> Pipeline:
    """A linear tagger trained on every word of `rows`."""
    features = [word_features(row.text, place, window) for row in rows for place in range(len(row.text))]
    tags = [tag for row in rows for tag in labels(row)]
    classifier = SGDClassifier(loss="log_loss", alpha=1e-6, max_iter=15, tol=None, average=True, random_state=seed)
    return make_pipeline(DictVectorizer(), FunctionTransformer(narrow_indices), classifier).fit(features, tags)


def narrow_indices(matrix: csr_matrix) -> csr_matrix:
    """The matrix with 32-bit indices, the only ones that SGDClassifier takes."""
    indices, starts = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
    return csr_matrix((matrix.data, indices, starts), shape=matrix.shape)


def labels(row: Row) -> tuple[int, ...]:
    """The row's tag ids."""
    if not isinstance(row.label, tuple):
        raise TypeError(f"{row.source} is not a row of tags: {row.label!r}")
    return row.label


def count(tagger: Pipeline, rows: Sequence[Row], window: int) -> Counts:
    """Entities of `rows` that the tagger finds, predicts, and should find."""
    features = [word_features(row.text, place, window) for row in rows for place in range(len(row.text))]
    predicted = iter(tagger.predict(features))
    found = []
    for row in rows:
        truth = entities(labels(row))
        guess = entities([int(next(predicted)) for _ in row.text])
        found.append((len(truth & guess), len(guess), len(truth)))
    return Counts(*np.array(found).T)


def entities(tag_ids: Sequence[int]) -> set[tuple[str, int, int]]:
    """Entities (type, first word, last word) of one row as seqeval reads them."""
    return set(get_entities([endpoints.SPEC.tags[tag] for tag in tag_ids]))


def measure(corpus: Mapping[str, Sequence[Row]], window: int, seed: int) -> dict[str, object]:
    """F1 of one window on dev and test."""
    start = time.perf_counter()
    tagger = fit(corpus["train"], window, seed)
    dev, test = (count(tagger, corpus[split], window) for split in ("dev", "test"))
    interval = bootstrap(test.f1, len(test.correct), seed, RESAMPLES)
    return {
        "window": window,
        "dev_f1": round(dev.f1(), 4),
        "test_f1": round(test.f1(), 4),
        "test_f1_interval_95": [round(bound, 4) for bound in interval or ()],
        "test_entities": int(test.labelled.sum()),
        "features": len(tagger[0].vocabulary_),
        "seconds": round(time.perf_counter() - start, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder that holds benchmarks/")
    parser.add_argument("--seed", type=int, default=0, help="of the corpus, the training and the bootstrap")
    arguments = parser.parse_args()
    corpus = endpoints.splits(arguments.seed)
    windows = [measure(corpus, window, arguments.seed) for window in WINDOWS]
    result = {
        "benchmark": "endpoints_linear_baseline",
        "corpus": endpoints.SPEC.source,
        "seed": arguments.seed,
        "rows": {split: len(rows) for split, rows in corpus.items()},
        "best": max(windows, key=lambda one: float(str(one["dev_f1"]))),
        "windows": windows,
        "versions": {name: version(name) for name in ("aebert", "scikit-learn", "numpy", "seqeval")},
        "python": platform.python_version(),
    }
    path = arguments.results / "benchmarks" / "endpoints_linear_baseline.json"
    write_json(path, result)
    for one in windows:
        print(f"window ±{one['window']}: F1 {one['dev_f1']} dev, {one['test_f1']} test {one['test_f1_interval_95']}")
    print(path)


if __name__ == "__main__":
    main()
