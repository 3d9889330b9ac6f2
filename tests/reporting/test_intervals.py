from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.reporting.intervals import bootstrap, interval, score_interval, wilson
from aebert.reporting.rows import Report


# Newcombe 1998, Statistics in Medicine 17:857, table I, method 3 (score, no continuity correction).
@pytest.mark.parametrize(
    ("successes", "rows", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_values(successes: int, rows: int, low: float, high: float) -> None:
    found = wilson(successes / rows, rows)
    assert [round(bound, 4) for bound in found] == [low, high]


@given(st.integers(1, 10_000), st.data())
def test_wilson_stays_in_bounds_and_mirrors(rows: int, data: st.DataObject) -> None:
    share = data.draw(st.integers(0, rows)) / rows
    low, high = wilson(share, rows)
    assert 0.0 <= low <= share <= high <= 1.0
    assert wilson(1 - share, rows) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_wilson_narrows_with_rows(share: float) -> None:
    (low, high), (lower, higher) = wilson(share, 1000), wilson(share, 100)
    assert high - low < higher - lower


def test_wilson_refuses_what_is_no_share_of_rows() -> None:
    with pytest.raises(ValueError, match=r"share must be in 0\.\.1, got 88"):
        wilson(88.0, 10)
    with pytest.raises(ValueError, match="at least 1 row, got 0"):
        wilson(0.5, 0)


def test_only_shares_of_rows_have_an_interval() -> None:
    assert interval("accuracy", 0.5, 100) == wilson(0.5, 100)
    assert interval("f1", 0.5, 100) is None
    assert interval("accuracy", math.nan, 100) is None


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
