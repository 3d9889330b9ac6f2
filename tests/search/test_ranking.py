from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from aebert.pruning.architecture import Architecture
from aebert.search.ranking import pick
from aebert.search.record import StudyInfo, TrialRecord, Verdict

INFO = StudyInfo(
    name="toy",
    task="task",
    model="model",
    metric="accuracy",
    budget_kind="sparsity",
    targets=(0.3, 0.6),
    length=16,
    sampler="random",
    seed=0,
    trials=9,
    search_rows=4,
)


def _record(number: int, score: float, budget: float | None, **other: Any) -> TrialRecord:
    removed = budget or 0.0
    found = TrialRecord(
        number=number,
        origin="sampled",
        architecture=Architecture((number,), (1,)),
        budget=budget,
        score=score,
        metrics={},
        loss=1.0,
        params=1,
        sparsity=removed,
        macs=1,
        macs_removed=removed,
        seconds=0.0,
    )
    return replace(found, **other)


RECORDS = [
    _record(0, 1.0, None, origin="dense"),
    _record(1, 0.8, 0.3),
    _record(2, 0.9, 0.3),
    _record(3, 0.9, 0.3, same_as=2),
    _record(4, 0.95, 0.3, stopped_at=64),
    _record(5, 0.85, 0.6),
    _record(6, 0.5, 0.6),
    _record(7, 0.5, 0.6, loss=0.5),
]


def _numbers(count: int, by: Any, records: list[TrialRecord] = RECORDS, verdicts: Sequence[Verdict] = ()) -> list[int]:
    return [record.number for record in pick(records, verdicts, INFO, count, by)]


def test_by_score_are_the_best_of_all() -> None:
    assert [_numbers(count, "score") for count in (1, 3, 9)] == [[2], [2, 5, 1], [2, 5, 1, 7, 6]]


def test_by_front_is_a_budget_in_turn() -> None:
    # 5 is better than 1 and meets the mild budget too, but is already picked for the hard one
    assert [_numbers(count, "front") for count in (1, 2, 3, 4, 9)] == [
        [2],
        [2, 5],
        [2, 5, 1],
        [2, 5, 1, 7],
        [2, 5, 1, 7, 6],
    ]


def test_a_smaller_one_that_is_better_is_picked_for_the_milder_budget() -> None:
    assert _numbers(2, "front", [_record(1, 0.7, 0.3), _record(2, 0.9, 0.6), _record(3, 0.4, 0.6)]) == [2, 3]


def _verdict(budget: float, *tied: int) -> Verdict:
    return Verdict(budget=budget, best=tied[0], tied=tied, chosen=tied[-1], candidates=9, optimism=0.0, gains={})


def test_of_those_tied_with_the_best_the_nearest_to_the_dense_model_comes_first() -> None:
    drifts = {1: 0.2, 2: 0.3, 5: 0.1, 6: 0.05}
    records = [replace(record, drift=drifts.get(record.number)) for record in RECORDS]
    verdicts = [_verdict(0.3, 2, 1), _verdict(0.6, 5)]
    # 5 and 6 meet the mild budget too and are nearer still, but worse than its best beyond doubt
    assert _numbers(9, "front", records, verdicts) == [1, 5, 2, 7, 6]
    assert _numbers(2, "front", records, [_verdict(0.3, 2, 5, 1)]) == [5, 7]
    assert _numbers(3, "score", records, verdicts) == [2, 5, 1]


def test_the_tied_whose_drift_is_unknown_come_after_the_others_by_score() -> None:
    records = [replace(record, drift=0.9 if record.number == 5 else None) for record in RECORDS]
    assert _numbers(9, "front", records, [_verdict(0.3, 2, 1, 5)]) == [5, 7, 2, 6, 1]


def test_there_may_be_none() -> None:
    assert _numbers(3, "front", RECORDS[:1]) == _numbers(3, "score", RECORDS[:1]) == []
