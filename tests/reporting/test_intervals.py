from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from aebert.reporting.intervals import bootstrap, score_interval
from aebert.reporting.report import Report


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


def test_the_interval_of_a_score_is_student_s(raced: Report) -> None:
    # 2.0930: the 97.5 % point with 19 degrees of freedom, from tables
    assert score_interval(raced.trials[1]) == pytest.approx((0.5 - 0.0625 * 2.0930, 0.5 + 0.0625 * 2.0930), abs=1e-5)
    near_one = replace(raced.trials[1], score=0.95)
    assert score_interval(near_one) == pytest.approx((0.95 - 0.0625 * 2.0930, 1.0), abs=1e-5)


@pytest.mark.parametrize("error", [None, math.nan])
def test_a_score_of_unknown_error_has_no_interval(raced: Report, error: float | None) -> None:
    assert score_interval(replace(raced.trials[1], std_error=error)) is None
