from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.pruning.architecture import Architecture
from aebert.search.axis import Axis
from aebert.search.front import (
    Front,
    Reference,
    best_per_budget,
    hypervolume,
    meets,
    pareto_front,
    uniform_per_budget,
)
from aebert.search.kinds import KINDS
from aebert.search.record import StudyInfo, TrialRecord


def _record(number: int, score: float, sparsity: float, **other: Any) -> TrialRecord:
    record = TrialRecord(
        number=number,
        origin="sampled",
        architecture=Architecture((1,), (1,)),
        budget=0.5,
        score=score,
        metrics={},
        loss=0.0,
        params=1,
        sparsity=sparsity,
        macs=1,
        macs_removed=sparsity,
        seconds=0.0,
    )
    return replace(record, **other)


def _info(kind: Any, *targets: float) -> StudyInfo:
    return StudyInfo(
        name="toy",
        task="sst2",
        model="tiny",
        metric="accuracy",
        budget_kind=kind,
        targets=targets,
        length=16,
        sampler="tpe",
        seed=7,
        trials=6,
        search_rows=8,
    )


# dense, uniform, two sampled ones, the first of them again, and one that a better one dominates
TOY = [
    _record(0, 0.75, 0.0, budget=None, origin="dense"),
    _record(1, 0.5, 0.5, origin="uniform"),
    _record(2, 0.625, 0.5),
    _record(3, 0.375, 0.75, budget=0.75),
    _record(4, 0.625, 0.5, same_as=2),
    _record(5, 0.25, 0.625),
]
TOY_INFO = _info("sparsity", 0.5, 0.75)


# few different values, so that ties are common
SCORES = st.sampled_from([-math.inf, -1.0, 0.0, 0.25, 0.5, 1.0, math.inf, math.nan])
SHARES = st.sampled_from([0.0, 0.25, 0.5, 0.75])
RECORDS = st.lists(st.tuples(SCORES, SHARES, SHARES), max_size=14).map(
    lambda rows: [_record(n, score, a, macs_removed=b, cost=8 * (1 - b)) for n, (score, a, b) in enumerate(rows)]
)
SPARSITY, MACS, SIZE = (Axis(KINDS[name]) for name in ("sparsity", "macs", "size_mb"))
AXES = st.sampled_from([SPARSITY, MACS, SIZE])


def _cheaper(record: TrialRecord, axis: Axis) -> float:
    """The more, the cheaper."""
    return {"sparsity": record.sparsity, "macs": record.macs_removed, "size_mb": -(record.cost or 0.0)}[axis.kind.name]


def _dominated(record: TrialRecord, records: Sequence[TrialRecord], axis: Axis) -> bool:
    """The definition: another is at least as good in both and better in one, or equal and earlier."""
    mine = _cheaper(record, axis)
    for other in records:
        share = _cheaper(other, axis)
        if other.score >= record.score and share >= mine:
            better = other.score > record.score or share > mine
            if better or other.number < record.number:
                return True
    return False


@given(records=RECORDS, axis=AXES, order=st.randoms(use_true_random=False))
def test_front_is_what_the_definition_says_in_any_order(records: list[TrialRecord], axis: Axis, order: Any) -> None:
    expected = {r.number for r in records if not math.isnan(r.score) and not _dominated(r, records, axis)}
    order.shuffle(records)
    front = pareto_front(records, axis)
    assert {record.number for record in front} == expected
    assert len(front) == len(expected)
    shares = [_cheaper(record, axis) for record in front]
    assert shares == sorted(shares)


@given(records=RECORDS, axis=AXES, repeated=st.integers(1, 2))
def test_a_front_that_grows_is_the_front_of_all(records: list[TrialRecord], axis: Axis, repeated: int) -> None:
    front = Front(axis, 8.0)
    for count, record in enumerate(records, start=1):
        for _ in range(repeated):  # the same record once more changes nothing
            front.add(record)
        for score in (-2.0, 0.0, 0.25):
            assert front.hypervolume(score) == hypervolume(records[:count], axis, Reference(score, dense=8.0))


def _priced(pairs: list[tuple[float, float]]) -> list[TrialRecord]:
    return [_record(number, score, 0.0, cost=cost) for number, (score, cost) in enumerate(pairs)]


SCATTERED = st.lists(st.tuples(SCORES, st.integers(0, 24).map(lambda eighths: eighths / 8)), max_size=14)
# most are on the front, in small steps of cost
CLIMBING = st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 5)), max_size=14).map(
    lambda rises: [(score / 8, cost / 8) for score, cost in np.cumsum([(0, 0), *rises], axis=0).tolist()]
)
PRICED = st.one_of(SCATTERED, CLIMBING).map(_priced)


@given(records=PRICED, step=st.sampled_from([0.0, 0.125, 0.25, 0.4, 1.0]), order=st.randoms(use_true_random=False))
def test_costs_within_one_step_are_one_cost(records: list[TrialRecord], step: float, order: Any) -> None:
    """The three properties that make the front, each by comparing all pairs; no other set has them."""
    undominated = [r for r in records if not math.isnan(r.score) and not _dominated(r, records, SIZE)]
    order.shuffle(records)
    front = pareto_front(records, replace(SIZE, step=step))
    assert all(record in undominated for record in front)
    for record in front:
        assert all(abs(_cost(record) - _cost(other)) >= step for other in front if other is not record)
    for lost in undominated:
        better = (other for other in front if other.score > lost.score and 0 < _cost(other) - _cost(lost) < step)
        assert lost in front or any(better)
    costs = [_cost(record) for record in front]
    assert costs == sorted(costs, reverse=True)


def _cost(record: TrialRecord) -> float:
    assert record.cost is not None
    return record.cost


def test_a_chain_of_close_costs_does_not_swallow_what_is_a_step_away() -> None:
    chain = [_record(number, 0.5 + 0.01 * number, 0.0, cost=10 + 0.75 * number) for number in range(5)]
    front = pareto_front(chain, replace(SIZE, step=1.0))
    assert [(record.number, record.cost) for record in front] == [(4, 13.0), (2, 11.5), (0, 10.0)]


def test_a_worse_score_for_a_fraction_of_a_step_is_no_trade_off() -> None:
    records = [_record(0, 0.8, 0.5016), _record(1, 0.779, 0.5018), _record(2, 0.7, 0.5062)]
    assert [record.number for record in pareto_front(records, SPARSITY)] == [0, 1, 2]
    assert [record.number for record in pareto_front(records, replace(SPARSITY, step=0.0046))] == [0, 2]


def test_rounding_of_shares_does_not_make_one_step_less_than_one() -> None:
    # 100 units, and steps of one
    records = [_record(left, left / 100, 1 - left / 100) for left in range(100)]
    assert len(pareto_front(records, replace(SPARSITY, step=1 / 100))) == 100
    assert [record.number for record in pareto_front(records, replace(SPARSITY, step=3 / 100))] == [*range(99, -1, -3)]


@given(PRICED, st.sampled_from([0.25, 1.0]))
def test_the_step_hides_no_area(records: list[TrialRecord], step: float) -> None:
    """Or a new trial could make a hypervolume smaller."""
    corner = Reference(0.0, dense=3.0)
    assert hypervolume(records, replace(SIZE, step=step), corner) == hypervolume(records, SIZE, corner)


def test_candidates_that_a_race_stopped_are_on_no_front() -> None:
    stopped = _record(1, 0.9, 0.6, stopped_at=64)
    assert pareto_front([stopped, TOY[1]], SPARSITY) == [TOY[1]]
    front = Front(SPARSITY, 1.0)
    front.add(stopped)
    assert front.hypervolume(0.0) == hypervolume([stopped], SPARSITY, Reference(0.0)) == 0.0
    assert best_per_budget([stopped, TOY[3]], TOY_INFO)[0.5] == TOY[3]


def test_front_of_the_toy_study_counts_the_repeated_architecture_once() -> None:
    assert [record.number for record in pareto_front(TOY, SPARSITY)] == [0, 2, 3]


def test_a_dominated_dense_model_is_not_on_the_front() -> None:
    records = [_record(0, 0.5, 0.0, origin="dense"), _record(1, 0.5, 0.3)]
    assert [record.number for record in pareto_front(records, SPARSITY)] == [1]


def test_costs_give_their_own_front() -> None:
    records = [_record(0, 0.9, 0.1, macs_removed=0.5), _record(1, 0.8, 0.2, macs_removed=0.4)]
    assert [record.number for record in pareto_front(records, SPARSITY)] == [0, 1]
    assert [record.number for record in pareto_front(records, MACS)] == [0]


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
    best = best_per_budget(records, _info("sparsity", 0.4, 0.5, 0.9))
    assert {budget: record.number for budget, record in best.items()} == {0.4: 2, 0.5: 2}  # none meets 0.9
    assert list(best) == [0.4, 0.5]
    weak = [record for record in records if record.sparsity < 0.5]
    assert best_per_budget(weak, _info("sparsity", 0.3))[0.3].number == 7


@given(RECORDS, st.permutations([0.25, 0.5, 0.75]))
def test_the_best_of_a_budget_never_beats_that_of_a_milder_one(records: list[TrialRecord], budgets: Any) -> None:
    drawn = [replace(record, budget=budgets[record.number % 3], cost=None) for record in records]
    best = best_per_budget(drawn, _info("macs", 0.25, 0.5, 0.75))
    for target, record in best.items():
        able = [other.score for other in drawn if other.macs_removed >= target and not math.isnan(other.score)]
        assert record.score == max(able)
    scores = [record.score for record in best.values()]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("kind", "allowed", "refused"),
    [("sparsity", 0.25, 0.26), ("macs", 0.75, 0.76), ("params", 2_000_000.0, 1_999_999.0), ("size_mb", 8.0, 7.9)],
)
def test_a_record_meets_every_budget_that_its_cost_allows(kind: str, allowed: float, refused: float) -> None:
    record = _record(1, 0.5, 0.25, macs_removed=0.75, params=2_000_000, budget=8.0)
    assert meets(record, allowed, _info(kind, allowed))
    assert not meets(record, refused, _info(kind, refused))
    # a cost that was recorded is what counts
    assert meets(replace(record, cost=refused), refused, _info(kind, refused))
    dense = replace(record, sparsity=0.0, macs_removed=0.0, params=3_000_000, budget=None, origin="dense")
    assert not meets(dense, allowed, _info(kind, allowed))


def test_the_last_bits_of_a_share_decide_nothing() -> None:
    record = _record(1, 0.5, math.nextafter(0.9, 0.0))
    assert meets(record, 0.9, _info("sparsity", 0.9))
    assert not meets(record, 0.900001, _info("sparsity", 0.9))


def test_absolute_budgets_go_from_the_largest_to_the_smallest() -> None:
    records = [
        _record(0, 1.0, 0.0, budget=None, origin="dense", params=900),
        _record(1, 0.8, 0.2, budget=800.0, params=790, origin="uniform"),
        _record(2, 0.9, 0.4, budget=500.0, params=500),
        _record(3, 0.7, 0.4, budget=500.0, params=499, origin="uniform"),
    ]
    info = _info("params", 800.0, 500.0)
    assert [(budget, record.number) for budget, record in best_per_budget(records, info).items()] == [
        (800, 2),
        (500, 2),
    ]
    uniform = uniform_per_budget(records, info)
    assert [(budget, record.number) for budget, record in uniform.items()] == [(800, 1), (500, 3)]


def test_uniform_of_the_toy_study() -> None:
    # no uniform trial at 0.75
    assert {budget: record.number for budget, record in uniform_per_budget(TOY, TOY_INFO).items()} == {0.5: 1}


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
def test_hypervolume_of_the_toy_study(reference: Reference, area: float) -> None:
    assert hypervolume(TOY, SPARSITY, reference) == pytest.approx(area, abs=1e-15)


@given(RECORDS)
def test_hypervolume_equals_counted_cells(records: list[TrialRecord]) -> None:
    finite = [record for record in records if math.isfinite(record.score)]
    # all values are multiples of 1/4, so the area is the number of dominated cells of a quarter grid
    cells = sum(
        any(r.sparsity >= (x + 1) / 4 and r.score >= (y + 1) / 4 for r in finite) for x in range(4) for y in range(4)
    )
    assert hypervolume(finite, SPARSITY, Reference(0.0)) == cells / 16
    # as cheap as they are small: in MB of a dense model of 8 MB it is the same area
    sized = [replace(record, cost=8 * (1 - record.sparsity)) for record in finite]
    assert hypervolume(sized, SIZE, Reference(0.0, dense=8.0)) == cells / 16
