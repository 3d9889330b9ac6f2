from __future__ import annotations

from dataclasses import replace

import pytest

from aebert.pruning.architecture import Architecture
from aebert.search.axis import Axis, share_axis, study_axis
from aebert.search.kinds import KINDS
from aebert.search.record import StudyInfo, TrialRecord

TRIAL = TrialRecord(
    number=1,
    origin="sampled",
    architecture=Architecture((1,), (1,)),
    budget=None,
    score=0.5,
    metrics={},
    loss=1.0,
    params=2_500_000,
    sparsity=0.25,
    macs=1,
    macs_removed=0.75,
    seconds=0.0,
    cost=12.0,
)


def _info(kind: str) -> StudyInfo:
    return StudyInfo(
        name="toy",
        task="sst2",
        model="tiny",
        metric="accuracy",
        budget_kind=kind,
        targets=(0.5,),
        length=16,
        sampler="tpe",
        seed=7,
        trials=6,
        search_rows=8,
    )


@pytest.mark.parametrize(
    ("kind", "cost", "place", "removed"),
    [
        ("sparsity", 0.25, -0.25, 0.25),
        ("macs", 0.75, -0.75, 0.75),
        ("params", 2_500_000, 2_500_000, 0.5),
        ("size_mb", 12.0, 12.0, 0.25),
        ("latency_ms", 12.0, 12.0, 0.25),
    ],
)
def test_a_study_has_the_axis_of_its_own_budget(kind: str, cost: float, place: float, removed: float) -> None:
    axis = study_axis(_info(kind), [TRIAL])
    assert axis.kind is KINDS[kind]
    assert (axis.cost(TRIAL), axis.place(TRIAL)) == (cost, place)
    assert axis.removed(TRIAL, 5_000_000 if kind == "params" else 16.0) == removed


@pytest.mark.parametrize(
    ("kind", "share"), [("sparsity", "sparsity"), ("params", "params"), ("size_mb", "sparsity"), ("latency_ms", "macs")]
)
def test_without_the_cost_of_every_trial_it_is_one_that_was_counted(kind: str, share: str) -> None:
    lacking = replace(TRIAL, number=2, cost=None)
    axis = study_axis(_info(kind), [TRIAL, lacking])
    assert axis.kind is KINDS[share]
    # also for those that have one, which is in another unit
    assert axis.cost(TRIAL) == axis.cost(lacking)


def test_a_step_is_that_of_the_study_where_it_is_of_the_same_unit() -> None:
    info = replace(_info("size_mb"), step=0.5)
    assert study_axis(info, [TRIAL]).step == 0.5
    assert study_axis(info, [replace(TRIAL, cost=None)]).step == share_axis(info).step == 0.0


def test_samplers_learn_from_shares_whatever_the_unit() -> None:
    assert {kind: share_axis(_info(kind)).cost(TRIAL) for kind in KINDS} == {
        **dict.fromkeys(("sparsity", "zeros", "params", "size_mb"), 0.25),
        **dict.fromkeys(("macs", "latency_ms"), 0.75),
    }


def test_a_cost_that_is_not_there_is_said() -> None:
    with pytest.raises(ValueError, match="trial 1 must have a cost to be put on an axis of size_mb"):
        Axis(KINDS["size_mb"]).cost(replace(TRIAL, cost=None))


def test_a_cost_may_be_less_than_one_step_above_another() -> None:
    share, size = Axis(KINDS["macs"], 0.01), Axis(KINDS["size_mb"], 0.5)
    assert [share.costs_no_more(cost, 0.5) for cost in (0.9, 0.5, 0.491, 0.49, 0.2)] == [True] * 3 + [False] * 2
    assert [size.costs_no_more(cost, 20.0) for cost in (5.0, 20.0, 20.4, 20.5, 30.0)] == [True] * 3 + [False] * 2
