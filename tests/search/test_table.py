from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.errors import ConfigError
from aebert.models.shape import ModelShape
from aebert.search.space import Grid, Range, SearchSpace, make_grid
from aebert.search.table import linear_table, measured_table

NAN, INF = float("nan"), float("inf")


def _grid() -> Grid:
    """One block of 0..3 heads, one of 10, 40 or 50 neurons."""
    shape = ModelShape(
        family="bert",
        hidden=8,
        head_size=4,
        ffn_per_layer=1,
        heads=(3,),
        ffn=(50,),
        head_params=(1,),
        ffn_params=(1,),
        head_macs=(1,),
        ffn_macs=(1,),
        fixed_params=0,
        fixed_macs=0,
        other_params=0,
    )
    return make_grid(SearchSpace(source="", heads=Range(), ffn=Range(min=10, step=30)), shape)


def test_linear_costs_are_those_of_the_widths() -> None:
    table = linear_table("parameters", 5, np.array([7, 2]), _grid())
    assert (table.unit, table.fixed) == ("parameters", 5)
    assert table.entries.tolist() == [[0, 7, 14, 21], [20, 80, 100, 100]]
    assert table.entries.dtype == np.int64
    assert [table.total(np.array(levels)) for levels in ([0, 0], [3, 1], [3, 2])] == [25, 106, 126]


def test_measured_costs_are_whole_padded_and_never_fall() -> None:
    # 3 heads were measured faster than 2, and 40 neurons faster than 10: noise
    table = measured_table("ns", 9.6, [[0.4, 30.0, 50.5, 48.0], [20, 19, 40]], _grid())
    assert table.entries.tolist() == [[0, 30, 50, 50], [20, 20, 40, 40]]
    assert (table.unit, table.fixed, table.total(np.array([3, 2]))) == ("ns", 10, 100)


def test_the_step_is_the_smallest_growth_that_costs_anything() -> None:
    # the last neurons are fewer than a step
    assert linear_table("parameters", 5, np.array([7, 2]), _grid()).step == 7
    assert linear_table("parameters", 5, np.array([90, 2]), _grid()).step == 20
    assert measured_table("ns", 0, [[0, 30, 30, 33], [20, 20, 20]], _grid()).step == 3
    assert measured_table("ns", 0, [[0, 0, 0, 0], [20, 20, 20]], _grid()).step == 0


@given(st.lists(st.integers(0, 9), min_size=4, max_size=4), st.lists(st.integers(0, 9), min_size=3, max_size=3))
def test_a_level_costs_the_most_of_all_up_to_it(heads: list[int], ffn: list[int]) -> None:
    entries = measured_table("ns", 0, [heads, ffn], _grid()).entries
    assert entries[0].tolist() == [max(heads[: level + 1]) for level in range(4)]
    assert entries[1].tolist() == [max(ffn[: level + 1]) for level in (0, 1, 2, 2)]


@pytest.mark.parametrize(
    ("fixed", "rows", "message"),
    [
        (0, [[0, 1, 2, 3]], "cost table must have a row for each of the 2 blocks, got 1 rows"),
        (0, [[0, 1, 2, 3], [1, 2, 3], [1]], "cost table must have a row for each of the 2 blocks, got 3 rows"),
        (0, [[0, 1, 2, 3], [1, 2, 3, 4]], "row 1 of the cost table must have 3 levels, got 4"),
        (0, [[0, 1, 2], [1, 2, 3]], "row 0 of the cost table must have 4 levels, got 3"),
        (
            0,
            [[0, 1, NAN, 3], [1, 2, 3]],
            "row 0 of the cost table must be finite numbers ≥ 0, got nan; measure it again",
        ),
        (
            0,
            [[0, 1, 2, 3], [1, -2.5, 3]],
            "row 1 of the cost table must be finite numbers ≥ 0, got -2.5; measure it again",
        ),
        (
            0,
            [[0, 1, 2, INF], [1, 2, 3]],
            "row 0 of the cost table must be finite numbers ≥ 0, got inf; measure it again",
        ),
        (-1, [[0, 1, 2, 3], [1, 2, 3]], "fixed cost must be finite numbers ≥ 0, got -1; measure it again"),
    ],
)
def test_wrong_tables_are_refused_in_one_line(fixed: float, rows: Sequence[Sequence[float]], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        measured_table("ns", fixed, rows, _grid())
    assert str(caught.value) == message
