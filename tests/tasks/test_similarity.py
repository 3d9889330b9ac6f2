from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.tasks.metrics import evaluate_outputs, predict
from aebert.tasks.similarity import agreement, cosines, first_hits, overlap
from aebert.tasks.task import Row, TaskSpec

PAIRS = TaskSpec("toy", "embedding", ("a", "b"), "score", (), "pearson_spearman", "spearman")
ALONE = TaskSpec("toy", "embedding", ("sentence",), "", (), "agreement", "agreement")


def _vector(degrees: float) -> list[float]:
    return [np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]


def _pair(angle: float, score: float, targets: np.ndarray | None = None) -> tuple[Row, np.ndarray]:
    return Row(("x", "y"), score, targets=targets), np.array([_vector(10), _vector(10 + angle)], dtype=np.float32)


def test_cosines_of_angles_and_of_nothing() -> None:
    one = np.array([_vector(0), _vector(30), [0.0, 0.0]])
    other = np.array([3 * np.array(_vector(60)), _vector(30), _vector(5)])
    assert cosines(one, other).tolist() == pytest.approx([0.5, 1.0, 0.0])


def test_pairs_are_scored_by_the_order_of_their_angles() -> None:
    pairs = [_pair(80, 0.0), _pair(10, 5.0), _pair(40, 1.0), _pair(30, 3.0)]
    rows, found = [row for row, _ in pairs], [vectors for _, vectors in pairs]
    assert evaluate_outputs(PAIRS, rows, [{}] * 4, found)["spearman"] == pytest.approx(1.0)
    assert evaluate_outputs(PAIRS, rows, [{}] * 4, found[::-1])["spearman"] < 0
    predictions, references = predict(PAIRS, rows, [{}] * 4, found)
    assert predictions.tolist() == pytest.approx([np.cos(np.radians(angle)) for angle in (80, 10, 40, 30)])
    assert references.tolist() == [0.0, 5.0, 1.0, 3.0]


def test_agreement_is_the_mean_cosine_with_the_targets() -> None:
    targets = np.array([_vector(10), _vector(70)])
    (row, found), (other, also) = _pair(0, 1.0, targets), _pair(60, 2.0, targets)
    assert agreement([row, other], [found, also]) == pytest.approx(np.array([(1 + 0.5) / 2, 1.0]))
    assert agreement([Row(("x", "y"), 0.0)], [found]) is None
    assert evaluate_outputs(PAIRS, [row, other], [{}] * 2, [found, also])["agreement"] == pytest.approx(0.875)
    alone = Row(("x",), 0.0, targets=targets[:1])
    turned = np.array([_vector(70)])
    assert evaluate_outputs(ALONE, [alone], [{}], [turned]) == {"agreement": pytest.approx(0.5)}


def test_a_sentence_among_pairs_has_no_similarity() -> None:
    predictions, _ = predict(PAIRS, [Row(("x",), 0.0)], [{}], [np.ones((1, 2))])
    assert np.isnan(predictions).all()


@given(st.integers(2, 30), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_first_hits_are_those_of_brute_force(texts: int, queries: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    corpus, asked = generator.normal(size=(texts, 3)), generator.normal(size=(queries, 3))
    left_out = [int(place) if place < texts else None for place in generator.integers(0, 2 * texts, queries)]
    found = first_hits(asked, corpus, left_out)
    count = min(10, texts - any(place is not None for place in left_out))
    for query, (vector, place) in enumerate(zip(asked, left_out, strict=True)):
        others = [index for index in range(texts) if index != place]
        angles = {index: float(cosines(vector, corpus[index])) for index in others}
        assert found[query].tolist() == sorted(others, key=lambda index: -angles[index])[:count]


def test_overlap_counts_hits_not_their_order() -> None:
    dense = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert overlap(np.array([[4, 3, 2, 1], [5, 0, 1, 2]]), dense).tolist() == [1.0, 0.25]
