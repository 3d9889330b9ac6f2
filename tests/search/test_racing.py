from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from aebert.search.outcomes import Judge, Outcomes
from aebert.search.racing import LEAST_ROWS, LOOKS, is_beaten, race_rows
from aebert.tasks.task import Row, TaskSpec

TinyTask = Callable[..., tuple[TaskSpec, list[Row]]]
ACCURACY = TaskSpec("task", "classification", ("text",), "label", ("bad", "good"), "accuracy", "accuracy")
NER = TaskSpec("task", "ner", ("words",), "tags", ("PRAISE",), "seqeval", "f1")
JUDGES = {"accuracy": Judge(ACCURACY), "F1": Judge(NER), "loss": Judge(ACCURACY, "loss")}
DISAGREE = (0.02, 0.1, 0.3)
ROWS = 872  # as SST-2's dev set


def _rival(rows: int, rng: np.random.Generator, kind: str) -> Outcomes:
    if kind == "F1":
        true = rng.integers(0, 4, rows)
        found = rng.binomial(true, 0.8)
        marks = np.stack([found, found + rng.binomial(2, 0.2, rows), true], axis=1)
    else:
        marks = np.stack([rng.random(rows) < 0.9, np.ones(rows)], axis=1)
    # heavy tails: most rows cost little, a few cost much
    return Outcomes(rng.lognormal(-2, 1.5, rows).astype(np.float32), marks.astype(np.float32))


def _equal(rival: Outcomes, share: float, rng: np.random.Generator, kind: str) -> Outcomes:
    """A candidate with exactly the rival's score on all rows, that differs from it on about a share of them."""
    marks, losses, rows = rival.marks.copy(), rival.losses.copy(), len(rival)
    count = 2 * round(share * rows / 2)
    if kind == "accuracy":  # half of the rows where they differ are won, half are lost
        right = rng.permutation(np.flatnonzero(marks[:, 0] == 1))
        wrong = rng.permutation(np.flatnonzero(marks[:, 0] == 0))
        count = min(count // 2, len(wrong))
        marks[right[:count], 0], marks[wrong[:count], 0] = 0, 1
    else:  # what the rival did on some rows is dealt out among them anew
        some = rng.permutation(rows)[:count]
        dealt = rng.permutation(some)
        losses[some] = rival.losses[dealt]
        marks[some, :2] = rival.marks[dealt, :2]
    return Outcomes(losses, marks)


def _is_stopped(judge: Judge, candidate: Outcomes, rival: Outcomes) -> bool:
    looks = [round(share * len(rival)) for share in LOOKS]
    return any(is_beaten(judge, candidate.first(end), rival) for end in looks)


def _false_stops(kind: str, share: float, times: int, seed: int) -> float:
    rng, judge, stopped = np.random.default_rng(seed), JUDGES[kind], 0
    for _ in range(times):
        rival = _rival(ROWS, rng, kind)
        candidate = _equal(rival, share, rng, kind)
        assert judge.score(candidate) == pytest.approx(judge.score(rival), abs=1e-7)
        stopped += _is_stopped(judge, candidate, rival)
    return stopped / times


@pytest.mark.parametrize("kind", JUDGES)
@pytest.mark.parametrize("share", DISAGREE)
def test_a_candidate_that_would_draw_level_is_rarely_stopped(kind: str, share: float) -> None:
    """Measured, 300 races of three looks each: accuracy 7 to 13 %, F1 9 to 12 %, loss 5 to 13 % are stopped.

    Drawing level is the worst case: a candidate that would win is stopped more rarely.
    """
    assert _false_stops(kind, share, 100, seed=0) <= 0.2


def test_a_candidate_that_would_win_by_a_point_is_hardly_ever_stopped() -> None:
    """Measured, 500 races each: 2.2, 5.2 and 4.8 % where 2, 10 and 30 % of the rows differ."""
    rng, judge, stopped = np.random.default_rng(2), JUDGES["accuracy"], 0
    for _ in range(200):
        rival = _rival(ROWS, rng, "accuracy")
        candidate = _equal(rival, 0.1, rng, "accuracy")
        wrong = np.flatnonzero(candidate.marks[:, 0] == 0)
        candidate.marks[rng.permutation(wrong)[: ROWS // 100], 0] = 1
        stopped += _is_stopped(judge, candidate, rival)
    assert stopped / 200 <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("kind", JUDGES)
@pytest.mark.parametrize("share", DISAGREE)
def test_the_rate_of_false_stops(kind: str, share: float) -> None:
    rate = _false_stops(kind, share, 2000, seed=1)
    print(f"{kind}, {share:.0%} of the rows differ: {rate:.2%} false stops")
    assert rate <= 0.15


def _worse(rival: Outcomes, lost: float, won: float, rng: np.random.Generator) -> Outcomes:
    """Right where the rival is wrong on a share of all rows, wrong where it is right on another."""
    marks, rows = rival.marks.copy(), len(rival)
    right, wrong = (rng.permutation(np.flatnonzero(marks[:, 0] == value)) for value in (1, 0))
    marks[right[: round(lost * rows)], 0] = 0
    marks[wrong[: round(won * rows)], 0] = 1
    return Outcomes(rival.losses, marks)


@pytest.mark.parametrize(("lost", "least"), [(0.075, 0.85), (0.125, 0.99)])
def test_a_candidate_that_is_clearly_worse_is_stopped(lost: float, least: float) -> None:
    """It wins 2.5 % of the rows; so it is 5 points worse (stopped in 96 % of 500 races), or 10 (in all)."""
    rng, times, stopped = np.random.default_rng(0), 60, 0
    for _ in range(times):
        rival = _rival(ROWS, rng, "accuracy")
        stopped += _is_stopped(JUDGES["accuracy"], _worse(rival, lost, 0.025, rng), rival)
    assert stopped / times >= least


def test_a_hopeless_one_is_stopped_at_the_first_look_and_a_better_one_never() -> None:
    rng = np.random.default_rng(0)
    rival = _rival(ROWS, rng, "accuracy")
    assert is_beaten(JUDGES["accuracy"], _worse(rival, 0.4, 0.0, rng).first(109), rival)
    for end in (109, 218, 436):
        better = _worse(rival, 0.0, 0.05, rng)
        assert not is_beaten(JUDGES["accuracy"], better.first(end), rival)
        assert not is_beaten(JUDGES["accuracy"], rival.first(end), rival)


@pytest.mark.parametrize("rows", [1, 127, 128, 256, 600])
def test_every_row_is_in_one_leg(rows: int, tiny_task: TinyTask, tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    spec, data = tiny_task("classification", rows)
    race = race_rows(data, spec, tiny_tokenizer, 32, 256, seed=0)
    assert sorted(row.source for leg in race.legs for row in leg.rows) == sorted(row.source for row in data)
    assert (race.total, race.spec) == (rows, spec)
    # by hand: shares of 1/8, 1/4, 1/2 with 64 rows or more
    expected = {1: [1], 127: [64, 63], 128: [64, 64], 256: [64, 64, 128], 600: [75, 75, 150, 300]}
    assert [len(leg.rows) for leg in race.legs] == expected[rows]
    for leg in race.legs:
        assert sorted(index for batch in leg.batches for index in batch.indices) == list(range(len(leg.rows)))


def test_the_order_is_random_and_the_seed_s(tiny_task: TinyTask, tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    spec, data = tiny_task("classification", 300)

    def order(seed: int) -> list[str]:
        race = race_rows(data, spec, tiny_tokenizer, 32, 256, seed)
        return [row.source for leg in race.legs for row in leg.rows]

    assert order(0) == order(0) != order(1)
    places = np.array([int(source.partition(":")[2]) for source in order(0)])
    assert abs(np.corrcoef(places, np.arange(300))[0, 1]) < 0.15


def test_few_rows_or_no_looks_are_one_leg(tiny_task: TinyTask, tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    spec, data = tiny_task("classification", 2 * LEAST_ROWS)
    assert len(race_rows(data[: 2 * LEAST_ROWS - 2], spec, tiny_tokenizer, 32, 256, seed=0).legs) == 1
    assert len(race_rows(data, spec, tiny_tokenizer, 32, 256, seed=0).legs) == 2
    assert len(race_rows(data, spec, tiny_tokenizer, 32, 256, seed=0, looks=()).legs) == 1
