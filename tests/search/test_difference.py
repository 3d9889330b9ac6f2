from __future__ import annotations

import pytest
from scipy import stats

from aebert.search.difference import GROUPS, Difference


def test_an_interval_is_that_of_student() -> None:
    # 2.093 and 2.861: the 97.5 % and 99.5 % points of t with 19 degrees of freedom, from any table
    assert GROUPS == 20
    difference = Difference(1.0, 0.1)
    assert (difference.low(0.95), difference.high(0.95)) == pytest.approx((0.7907, 1.2093), abs=1e-4)
    assert (difference.low(0.99), difference.high(0.99)) == pytest.approx((0.7139, 1.2861), abs=1e-4)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_the_numbers_that_are_written_down_are_those_of_scipy(confidence: float) -> None:
    found = Difference(0.0, 1.0)
    assert found.high(confidence) == -found.low(confidence) == stats.t.ppf(0.5 + confidence / 2, GROUPS - 1)
