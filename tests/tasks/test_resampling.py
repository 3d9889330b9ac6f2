from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from aebert.tasks.encoding import encode
from aebert.tasks.metrics import evaluate_outputs
from aebert.tasks.resampling import bootstrap, headline_of, resampler, row_marks
from aebert.tasks.task import EncodedRow, Row, TaskKind, TaskSpec

TinyTask = Callable[..., tuple[TaskSpec, list[Row]]]
TEXT, CLASSES = ("text",), ("bad", "good")
ACCURACY = TaskSpec(
    name="toy",
    kind="classification",
    columns=TEXT,
    label_column="label",
    labels=CLASSES,
    metric="accuracy",
    headline="accuracy",
)
SPECS = [
    ACCURACY,
    replace(ACCURACY, metric="accuracy_f1"),
    replace(ACCURACY, metric="accuracy_f1", headline="f1"),
    replace(ACCURACY, metric="matthews", headline="matthews"),
    *(
        replace(ACCURACY, metric=metric, headline=metric)
        for metric in ("f1_macro", "f1_micro", "f1_weighted", "balanced_accuracy")
    ),
    replace(ACCURACY, kind="regression", labels=(), metric="pearson_spearman", headline="spearman"),
    replace(ACCURACY, kind="regression", labels=(), metric="pearson_spearman", headline="pearson"),
    replace(ACCURACY, kind="ner", columns=("words",), labels=("PRAISE",), metric="seqeval", headline="f1"),
]


class Outputs:
    """Rows of a toy task with random outputs that often agree with the labels."""

    def __init__(
        self, kind: TaskKind, tiny_task: TinyTask, tokenizer: PreTrainedTokenizerFast, count: int = 60
    ) -> None:
        spec, self.rows = tiny_task(kind, count)
        self.encoded: Sequence[EncodedRow] = encode(self.rows, spec, tokenizer, 8)  # longer rows are cut
        rng = np.random.default_rng(0)
        self.logits = [rng.normal(size=self._shape(spec, row)) for row in self.encoded]
        for row, encoded, one in zip(self.rows, self.encoded, self.logits, strict=True):
            if kind == "ner":
                for place, tag in enumerate(encoded["labels"]):
                    one[place, max(tag, 0)] += 1.5
            elif kind == "classification":
                one[row.label] += 1.0  # type: ignore[index]
            else:
                one += row.label

    @staticmethod
    def _shape(spec: TaskSpec, row: EncodedRow) -> tuple[int, ...]:
        return (len(row["input_ids"]), spec.num_outputs) if spec.kind == "ner" else (spec.num_outputs,)

    def headline(self, spec: TaskSpec, draw: np.ndarray) -> float:
        """As any evaluation of these rows says."""
        picked = ([part[index] for index in draw] for part in (self.rows, self.encoded, self.logits))
        return evaluate_outputs(spec, *picked)[spec.headline]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.metric}-{spec.headline}")
def test_the_headline_of_marks_is_that_of_the_outputs(
    spec: TaskSpec, tiny_task: TinyTask, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    outputs = Outputs(spec.kind, tiny_task, tiny_tokenizer)
    marks = row_marks(spec, outputs.rows, outputs.encoded, outputs.logits)
    draws = [np.arange(60), np.arange(7), *np.random.default_rng(1).integers(0, 60, (5, 60))]
    resampled = resampler(spec, outputs.rows, outputs.encoded, outputs.logits)
    values = []
    for draw in draws:
        expected = outputs.headline(spec, draw)
        assert headline_of(spec, marks[draw]) == pytest.approx(expected, abs=1e-12)
        # as a study stores them
        assert headline_of(spec, marks[draw].astype(np.float32)) == pytest.approx(expected, abs=1e-6)
        assert resampled(draw) == pytest.approx(expected, abs=1e-12)
        values.append(expected)
    assert 0 < values[0] < 1
    assert len({round(value, 9) for value in values}) > 2, "or the draws would show nothing"


def test_marks_by_hand() -> None:
    rows = [Row(("a",), 1), Row(("b",), 0)]
    logits = [np.array([0.1, 0.9]), np.array([0.2, 0.3])]
    assert row_marks(SPECS[0], rows, [{}, {}], logits).tolist() == [[1, 1], [1, 0]]
    scores = [Row(("a",), 2.5), Row(("b",), 0.5)]
    found = row_marks(SPECS[8], scores, [{}, {}], [np.array([2.0]), np.array([-1.0])])
    assert found.tolist() == [[2.0, 2.5], [-1.0, 0.5]]


def test_marks_of_entities_by_hand() -> None:
    spec = SPECS[-1]  # O, B-PRAISE, I-PRAISE
    rows = [Row(("a", "b", "c"), (1, 2, 0)), Row(("a", "b"), (1, 1)), Row(("a",), (0,))]
    encoded = [{"labels": list(row.label)} for row in rows]  # type: ignore[arg-type]

    def said(*tags: int) -> np.ndarray:
        return np.eye(3)[list(tags)]

    # the right one and one too many; one of two; none of none
    marks = row_marks(spec, rows, encoded, [said(1, 2, 1), said(1, 0), said(0)])
    assert marks.tolist() == [[1, 2, 1], [1, 1, 2], [0, 0, 0]]
    assert headline_of(spec, marks) == pytest.approx(2 * 2 / (3 + 3))
    assert headline_of(spec, marks[2:]) == 0.0


@pytest.mark.parametrize("spec", [SPECS[3], SPECS[8]], ids=["matthews", "spearman"])
def test_what_is_undefined_is_zero(spec: TaskSpec) -> None:
    assert headline_of(spec, np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]])) == 0.0


def test_bootstrap_of_a_mean_agrees_with_the_normal_interval() -> None:
    values = np.random.default_rng(5).normal(3.0, 2.0, 400)
    found = bootstrap(lambda rows: float(values[rows].mean()), 400, seed=1, resamples=2000)
    half = 1.96 * values.std() / 20
    assert found == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)


def test_bootstrap_is_the_seed_s_and_draws_with_replacement() -> None:
    seen: list[np.ndarray] = []

    def spread(rows: np.ndarray) -> float:
        seen.append(rows)
        return float(rows.mean())

    first = bootstrap(spread, 10, seed=3, resamples=50)
    assert first == bootstrap(spread, 10, seed=3, resamples=50)
    assert first != bootstrap(spread, 10, seed=4, resamples=50)
    assert any(len(set(rows.tolist())) < 10 for rows in seen)
    assert {len(rows) for rows in seen} == {10}
    assert set(np.concatenate(seen).tolist()) == set(range(10))


def test_bootstrap_leaves_out_undefined_resamples_unless_they_are_most() -> None:
    values = iter([math.nan, 1.0, 1.0, 1.0] * 5)
    assert bootstrap(lambda rows: next(values), 3, seed=0, resamples=20) == (1.0, 1.0)
    assert bootstrap(lambda rows: math.nan, 3, seed=0, resamples=20) is None
    mostly = iter([math.nan, math.nan, math.nan, 1.0] * 5)
    assert bootstrap(lambda rows: next(mostly), 3, seed=0, resamples=20) is None


def test_bootstrap_needs_rows() -> None:
    with pytest.raises(ValueError, match="at least 1 row and 1 resample, got 0 and 10"):
        bootstrap(lambda rows: 0.0, 0, seed=0, resamples=10)
