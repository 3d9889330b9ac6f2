from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.errors import ConfigError
from aebert.latency.curves import Blocks, Curve
from aebert.pruning.architecture import Architecture


def test_curves_are_linear_between_knots_and_a_step_at_zero() -> None:
    curve = Curve((2, 4, 8), (1.0, 2.0, 3.0))
    assert [curve(width) for width in (0, 1, 2, 3, 4, 6, 8)] == [0.0, 1.0, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert curve(12) == 4.0  # on with the last slope


@pytest.mark.parametrize(
    ("widths", "milliseconds"),
    [
        ((), ()),
        ((1, 2), (1.0,)),
        ((2, 1), (1.0, 2.0)),
        ((0, 1), (0.0, 1.0)),
        ((1, 2), (2.0, 1.0)),
        ((1,), (float("nan"),)),
    ],
)
def test_curves_that_fall_or_do_not_fit_are_refused(widths: Any, milliseconds: Any) -> None:
    with pytest.raises(ConfigError, match="a latency curve must have rising widths"):
        Curve(widths, milliseconds)


RISES = st.lists(st.tuples(st.integers(1, 50), st.floats(0, 10)), min_size=1, max_size=6)


@given(RISES, st.integers(0, 400), st.integers(0, 400))
def test_curves_never_fall(rises: list[tuple[int, float]], one: int, other: int) -> None:
    steps = np.cumsum(rises, axis=0)
    curve = Curve(tuple(map(int, steps[:, 0])), tuple(map(float, steps[:, 1])))
    low, high = sorted((one, other))
    assert 0.0 <= curve(low) <= curve(high) + 1e-9


def test_a_model_is_the_sum_of_its_blocks() -> None:
    blocks = Blocks(floor_ms=1.0, heads=Curve((1, 2), (0.5, 0.75)), ffn=Curve((16, 32), (0.25, 0.5)))
    assert blocks.predict(Architecture((0, 2), (16, 24))) == 1.0 + 0.75 + 0.25 + 0.375
