from __future__ import annotations

import math
from dataclasses import replace

import pytest

from aebert.reporting.intervals import score_interval
from aebert.reporting.report import Report


def test_the_interval_of_a_score_is_student_s(raced: Report) -> None:
    # 2.0930: the 97.5 % point with 19 degrees of freedom, from tables
    assert score_interval(raced.trials[1]) == pytest.approx((0.5 - 0.0625 * 2.0930, 0.5 + 0.0625 * 2.0930), abs=1e-5)
    near_one = replace(raced.trials[1], score=0.95)
    assert score_interval(near_one) == pytest.approx((0.95 - 0.0625 * 2.0930, 1.0), abs=1e-5)


@pytest.mark.parametrize("error", [None, math.nan])
def test_a_score_of_unknown_error_has_no_interval(raced: Report, error: float | None) -> None:
    assert score_interval(replace(raced.trials[1], std_error=error)) is None
