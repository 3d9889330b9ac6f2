from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.pruning.architecture import Architecture
from aebert.reporting.front import (
    Cost,
    Reference,
    best_per_budget,
    cost_of,
    gain_over_uniform,
    hypervolume,
    pareto_front,
    uniform_per_budget,
)
from aebert.reporting.rows import Report
from aebert.search.record import TrialRecord


def _record(number: int, score: float, sparsity: float, **other: Any) -> TrialRecord:
    record = TrialRecord(
        number, "sampled", Architecture((1,), (1,)), 0.5, score, {}, 0.0, 1, sparsity, 1, sparsity, 0.0
    )
    return replace(record, **other)


# few different values, so that ties are common
SCORES = st.sampled_from([-math.inf, -1.0, 0.0, 0.25, 0.5, 1.0, math.inf, math.nan])
SHARES = st.sampled_from([0.0, 0.25, 0.5, 0.75])
RECORDS = st.lists(st.tuples(SCORES, SHARES, SHARES), max_size=14).map(
    lambda rows: [_record(n, score, a, macs_removed=b) for n, (score, a, b) in enumerate(rows)]
)


def _dominated(record: TrialRecord, records: Sequence[TrialRecord], cost: Cost) -> bool:
    """The definition: another is at least as good in both and better in one, or equal and earlier."""
    mine = getattr(record, cost)
    for other in records:
        share = getattr(other, cost)
        if other.score >= record.score and share >= mine:
            better = other.score > record.score or share > mine
            if better or other.number < record.number:
                return True
    return False


@given(records=RECORDS, cost=st.sampled_from(["sparsity", "macs_removed"]), order=st.randoms(use_true_random=False))
def test_front_is_what_the_definition_says_in_any_order(records: list[TrialRecord], cost: Cost, order: Any) -> None:
    expected = {r.number for r in records if not math.isnan(r.score) and not _dominated(r, records, cost)}
    order.shuffle(records)
    front = pareto_front(records, cost)
    assert {record.number for record in front} == expected
    assert len(front) == len(expected)
    shares = [getattr(record, cost) for record in front]
    assert shares == sorted(shares)


def test_front_of_the_toy_study_counts_the_repeated_architecture_once(report: Report) -> None:
    assert [record.number for record in pareto_front(report.trials, "sparsity")] == [0, 2, 3]


def test_a_dominated_dense_model_is_not_on_the_front() -> None:
    records = [_record(0, 0.5, 0.0, origin="dense"), _record(1, 0.5, 0.3)]
    assert [record.number for record in pareto_front(records, "sparsity")] == [1]


def test_costs_give_their_own_front() -> None:
    records = [_record(0, 0.9, 0.1, macs_removed=0.5), _record(1, 0.8, 0.2, macs_removed=0.4)]
    assert [record.number for record in pareto_front(records, "sparsity")] == [0, 1]
    assert [record.number for record in pareto_front(records, "macs_removed")] == [0]


def test_the_limited_cost_follows_the_budget(report: Report) -> None:
    assert cost_of(report.info) == "sparsity"
    assert cost_of(replace(report.info, budget_kind="macs")) == "macs_removed"


def test_best_per_budget_prefers_score_then_loss_then_number() -> None:
    records = [
        _record(0, 1.0, 0.0, budget=None),
        _record(1, 0.5, 0.5, loss=2.0),
        _record(2, 0.5, 0.5, loss=1.0),
        _record(3, 0.5, 0.5, loss=1.0),
        _record(4, 0.4, 0.5, loss=0.1),
        _record(5, math.nan, 0.3, budget=0.3, loss=0.0),
        _record(6, 0.1, 0.3, budget=0.3, loss=math.nan),
        _record(7, 0.1, 0.3, budget=0.3, loss=9.0),
    ]
    best = best_per_budget(records)
    assert {budget: record.number for budget, record in best.items()} == {0.3: 7, 0.5: 2}
    assert list(best) == [0.3, 0.5]


def test_uniform_and_gain_of_the_toy_study(report: Report) -> None:
    assert {budget: record.number for budget, record in uniform_per_budget(report.trials).items()} == {0.5: 1}
    gains = gain_over_uniform(report.trials)
    assert list(gains) == [0.5]  # no uniform trial at 0.75
    assert (gains[0.5].best.number, gains[0.5].uniform.number, gains[0.5].score) == (2, 1, 0.125)


def test_gain_is_zero_where_uniform_is_best_and_absent_where_uniform_has_no_score() -> None:
    alone = [_record(0, 0.5, 0.5, origin="uniform"), _record(1, 0.4, 0.5)]
    assert gain_over_uniform(alone)[0.5].score == 0.0
    assert gain_over_uniform([_record(0, math.nan, 0.5, origin="uniform"), alone[1]]) == {}


@pytest.mark.parametrize(
    ("reference", "area"),
    [
        # rectangles by hand: front (0, 0.75), (0.5, 0.625), (0.75, 0.375)
        (Reference(0.0), 0.5 * 0.625 + 0.25 * 0.375),
        (Reference(0.5), 0.5 * 0.125),
        (Reference(0.0, 0.5), 0.25 * 0.375),
        (Reference(0.8), 0.0),
        (Reference(0.0, 0.75), 0.0),
    ],
)
def test_hypervolume_of_the_toy_study(report: Report, reference: Reference, area: float) -> None:
    assert hypervolume(report.trials, "sparsity", reference) == pytest.approx(area, abs=1e-15)


@given(RECORDS)
def test_hypervolume_equals_counted_cells(records: list[TrialRecord]) -> None:
    finite = [record for record in records if math.isfinite(record.score)]
    # all values are multiples of 1/4, so the area is the number of dominated cells of a quarter grid
    cells = sum(
        any(r.sparsity >= (x + 1) / 4 and r.score >= (y + 1) / 4 for r in finite) for x in range(4) for y in range(4)
    )
    assert hypervolume(finite, "sparsity", Reference(0.0)) == cells / 16
