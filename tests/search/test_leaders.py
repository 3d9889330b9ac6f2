from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from aebert.pruning.architecture import Architecture
from aebert.search.front import standing
from aebert.search.leaders import KEPT, Leaders
from aebert.search.outcomes import Outcomes
from aebert.search.record import StudyInfo, TrialRecord

INFO = StudyInfo(
    name="toy",
    task="task",
    model="model",
    metric="accuracy",
    budget_kind="sparsity",
    targets=(0.3, 0.5, 0.7),
    length=16,
    sampler="random",
    seed=0,
    trials=9,
    search_rows=4,
)


def _record(number: int, score: float, budget: float | None = 0.5, loss: float = 1.0, **other: Any) -> TrialRecord:
    removed = 0.0 if budget is None else budget
    found = TrialRecord(
        number=number,
        origin="sampled",
        architecture=Architecture((number,), (1,)),
        budget=budget,
        score=score,
        metrics={},
        loss=loss,
        params=1,
        sparsity=removed,
        macs=1,
        macs_removed=removed,
        seconds=0.0,
    )
    return replace(found, **other)


def _outcomes(value: float) -> Outcomes:
    return Outcomes(np.array([value], np.float32), np.zeros((1, 2), np.float32))


def _numbers(leaders: Leaders, budget: float) -> list[int]:
    return [record.number for record, _ in leaders.of(budget)]


def test_best_first_ties_by_loss_then_by_number() -> None:
    leaders = Leaders(INFO)
    for record in (
        _record(1, 0.5, loss=2.0),
        _record(2, 0.6),
        _record(3, 0.5, loss=1.0),
        _record(4, 0.5, loss=1.0),
        _record(5, 0.4, loss=0.1),
    ):
        leaders.add(record, None)
    assert _numbers(leaders, 0.5) == [2, 3, 4, 1, 5]
    assert sorted(leaders.of(0.5), key=lambda pair: standing(pair[0])) == list(leaders.of(0.5))


def test_a_candidate_counts_for_every_budget_that_it_meets() -> None:
    leaders = Leaders(INFO)
    leaders.add(_record(1, 0.9, budget=0.3), _outcomes(1))
    leaders.add(_record(2, 0.8, budget=0.7), _outcomes(2))
    leaders.add(_record(3, 0.7, budget=0.3, sparsity=0.55), _outcomes(3))  # it cost less than it might have
    assert [_numbers(leaders, target) for target in INFO.targets] == [[1, 2, 3], [2, 3], [2]]
    assert [leaders.count(target) for target in INFO.targets] == [3, 2, 1]
    rivals = [leaders.rival(target) for target in INFO.targets]
    assert [float(rival.losses[0]) for rival in rivals if rival] == [1, 2, 2]


def test_what_did_not_see_all_rows_or_was_there_before_leads_nothing() -> None:
    leaders = Leaders(INFO)
    leaders.add(_record(0, 1.0, budget=None, origin="dense"), _outcomes(0))
    leaders.add(_record(1, 0.9, stopped_at=64), None)
    leaders.add(_record(2, 0.9, same_as=1), None)
    assert [_numbers(leaders, target) for target in INFO.targets] == [[], [], []]
    assert leaders.rival(0.5) is None
    assert leaders.count(0.5) == 0
    assert leaders.neighbours(0.5) == []


def test_only_the_best_are_kept_and_all_are_counted() -> None:
    leaders = Leaders(INFO)
    scores = np.random.default_rng(0).permutation(3 * KEPT) / 100
    for number, score in enumerate(scores.tolist()):
        leaders.add(_record(number, score), _outcomes(score))
    assert leaders.count(0.5) == 3 * KEPT
    expected = sorted(range(3 * KEPT), key=lambda number: -scores[number])[:KEPT]
    assert _numbers(leaders, 0.5) == expected
    rival = leaders.rival(0.5)
    assert rival is not None
    assert rival.losses[0] == np.float32(scores.max())


def test_neighbours_are_the_bests_next_to_a_budget_the_harder_first() -> None:
    leaders = Leaders(INFO)
    leaders.add(_record(1, 0.9, budget=0.3), None)
    leaders.add(_record(2, 0.7, budget=0.5), None)
    leaders.add(_record(3, 0.4, budget=0.7), None)
    near = {target: [record.number for record in leaders.neighbours(target)] for target in INFO.targets}
    assert near == {0.3: [2], 0.5: [3, 1], 0.7: [2]}


def test_a_budget_in_parameters_is_met_by_fewer() -> None:
    leaders = Leaders(replace(INFO, budget_kind="params", targets=(800.0, 500.0)))
    leaders.add(_record(1, 0.9, budget=800.0, params=700), None)
    leaders.add(_record(2, 0.8, budget=500.0, params=500), None)
    assert [_numbers(leaders, target) for target in (800.0, 500.0)] == [[1, 2], [2]]
