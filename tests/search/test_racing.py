from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from aebert.search.judge import Judge
from aebert.search.outcomes import Outcomes
from aebert.search.racing import (
    LEAST_OF_STRATUM,
    LEAST_ROWS,
    LOOKS,
    doubts,
    expected_difference,
    is_beaten,
    race_rows,
    scoring_order,
)
from aebert.tasks.task import Row, TaskSpec

TinyTask = Callable[..., tuple[TaskSpec, list[Row]]]
ACCURACY = TaskSpec(
    name="task",
    kind="classification",
    columns=("text",),
    label_column="label",
    labels=("bad", "good"),
    metric="accuracy",
    headline="accuracy",
)
MATTHEWS = TaskSpec(
    name="task",
    kind="classification",
    columns=("text",),
    label_column="label",
    labels=("bad", "good"),
    metric="matthews",
    headline="matthews",
)
NER = TaskSpec(
    name="task",
    kind="ner",
    columns=("words",),
    label_column="tags",
    labels=("PRAISE",),
    metric="seqeval",
    headline="f1",
)
JUDGES = {"accuracy": Judge(ACCURACY), "F1": Judge(NER), "loss": Judge(ACCURACY, "loss")}
DISAGREE = (0.02, 0.1, 0.3)
ROWS = 872  # as SST-2's dev set


@dataclass(frozen=True)
class World:
    """A rival on rows in the order of scoring. doubt [rows]: how likely a candidate differs from it there."""

    rival: Outcomes
    strata: np.ndarray
    doubt: np.ndarray


def _world(kind: str, told: bool, rng: np.random.Generator, rows: int = ROWS) -> World:
    """told: whether the dense model's doubt is known; else rows are in random order."""
    doubt = 0.5 * rng.beta(0.3, 2.0, rows)  # most rows are sure, a few are not
    order, strata = scoring_order(doubt if told else np.zeros(rows), rng)
    doubt = doubt[order]
    if kind == "F1":
        true = rng.integers(0, 4, rows)
        found = rng.binomial(true, 1 - doubt)
        marks = np.stack([found, found + rng.binomial(2, doubt), true], axis=1)
    else:
        marks = np.stack([rng.random(rows) > doubt, np.ones(rows)], axis=1)
    # heavy tails: most rows cost little, a few cost much
    losses = (doubt * rng.lognormal(0, 1, rows)).astype(np.float32)
    return World(Outcomes(losses, marks.astype(np.float32)), strata, doubt)


def _some(world: World, among: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """So many of some rows, the doubtful ones more likely."""
    chances = world.doubt[among] + 1e-6
    return rng.choice(among, min(count, len(among)), replace=False, p=chances / chances.sum())


def _equal(world: World, share: float, rng: np.random.Generator, kind: str) -> Outcomes:
    """A candidate with exactly the rival's score on all rows, that differs from it on up to a share of them."""
    rival = world.rival
    marks, losses, count = rival.marks.copy(), rival.losses.copy(), round(share * len(rival) / 2)
    if kind == "accuracy":  # half of the rows where they differ are won, half are lost
        won = _some(world, np.flatnonzero(marks[:, 0] == 0), count, rng)
        lost = _some(world, np.flatnonzero(marks[:, 0] == 1), len(won), rng)
        marks[won, 0], marks[lost, 0] = 1, 0
    else:  # what the rival did on some rows is dealt out among them anew
        some = _some(world, np.arange(len(rival)), 2 * count, rng)
        dealt = rng.permutation(some)
        losses[some] = rival.losses[dealt]
        marks[some, :2] = rival.marks[dealt, :2]
    return Outcomes(losses, marks)


def _stopped_at(judge: Judge, candidate: Outcomes, world: World) -> int | None:
    """After how many rows a candidate is stopped."""
    ends = [round(share * len(world.rival)) for share in LOOKS]
    return next((end for end in ends if is_beaten(judge, candidate.first(end), world.rival, world.strata)), None)


def _false_stops(kind: str, share: float, told: bool, times: int, seed: int) -> float:
    rng, judge, stopped = np.random.default_rng(seed), JUDGES[kind], 0
    for _ in range(times):
        world = _world(kind, told, rng)
        candidate = _equal(world, share, rng, kind)
        assert judge.score(candidate) == pytest.approx(judge.score(world.rival), abs=1e-7)
        stopped += _stopped_at(judge, candidate, world) is not None
    return stopped / times


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("kind", JUDGES)
def test_a_candidate_that_would_draw_level_is_rarely_stopped(kind: str, told: bool) -> None:
    """Drawing level is the worst case: a candidate that would win is stopped more rarely."""
    assert _false_stops(kind, 0.1, told, 60, seed=0) <= 0.25


@pytest.mark.parametrize("told", [True, False])
def test_a_candidate_that_would_win_by_a_point_is_hardly_ever_stopped(told: bool) -> None:
    rng, judge, stopped = np.random.default_rng(2), JUDGES["accuracy"], 0
    for _ in range(100):
        world = _world("accuracy", told, rng)
        candidate = _equal(world, 0.1, rng, "accuracy")
        candidate.marks[_some(world, np.flatnonzero(candidate.marks[:, 0] == 0), ROWS // 100, rng), 0] = 1
        stopped += _stopped_at(judge, candidate, world) is not None
    assert stopped / 100 <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("kind", JUDGES)
@pytest.mark.parametrize("share", DISAGREE)
def test_the_rate_of_false_stops(kind: str, share: float, told: bool) -> None:
    rate = _false_stops(kind, share, told, 500, seed=1)
    print(f"{kind}, {share:.0%} of the rows differ, doubt {'known' if told else 'unknown'}: {rate:.2%} false stops")
    assert rate <= 0.2


def _worse(world: World, lost: float, won: float, rng: np.random.Generator) -> Outcomes:
    """Right where the rival is wrong on a share of all rows, wrong where it is right on another."""
    marks, rows = world.rival.marks.copy(), len(world.rival)
    right, wrong = (np.flatnonzero(marks[:, 0] == value) for value in (1, 0))
    marks[_some(world, right, round(lost * rows), rng), 0] = 0
    marks[_some(world, wrong, round(won * rows), rng), 0] = 1
    return Outcomes(world.rival.losses, marks)


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize(("lost", "least"), [(0.075, 0.85), (0.125, 0.99)])
def test_a_candidate_that_is_clearly_worse_is_stopped(lost: float, least: float, told: bool) -> None:
    """It wins 2.5 % of the rows; so it is 5 points worse, or 10."""
    rng, times, stopped = np.random.default_rng(0), 60, 0
    for _ in range(times):
        world = _world("accuracy", told, rng)
        stopped += _stopped_at(JUDGES["accuracy"], _worse(world, lost, 0.025, rng), world) is not None
    assert stopped / times >= least


def test_doubt_saves_rows() -> None:
    """Candidates two points behind need far fewer rows when the doubtful ones come first."""
    rng, seen = np.random.default_rng(5), {True: 0, False: 0}
    for told in seen:
        for _ in range(40):
            world = _world("accuracy", told, rng)
            seen[told] += _stopped_at(JUDGES["accuracy"], _worse(world, 0.04, 0.02, rng), world) or ROWS
    assert seen[True] < 0.7 * seen[False]


def test_a_hopeless_one_is_stopped_at_the_first_look_and_a_better_one_never() -> None:
    rng, judge = np.random.default_rng(0), JUDGES["accuracy"]
    world = _world("accuracy", True, rng)
    assert _stopped_at(judge, _worse(world, 0.4, 0.0, rng), world) == 87
    for _ in range(10):
        assert _stopped_at(judge, _worse(world, 0.0, 0.05, rng), world) is None
    assert _stopped_at(judge, world.rival, world) is None


# --- the expected difference ------------------------------------------------------------------------------------------


def test_an_expected_difference_by_hand() -> None:
    # stratum 0 is seen whole, 2 of 4 rows are won; of stratum 1 two of six are seen, one lost: it stands for three
    strata = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    rival = Outcomes(np.zeros(10, np.float32), np.stack([[0, 0, 1, 1, 1, 1, 1, 1, 1, 1], np.ones(10)], 1).astype("f4"))
    mine = Outcomes(np.zeros(6, np.float32), np.stack([[1, 1, 1, 1, 0, 1], np.ones(6)], 1).astype("f4"))
    found = expected_difference(JUDGES["accuracy"], mine, rival, strata)
    assert found.value == pytest.approx((2 - 3) / 10)
    # without either row the lead is 0.2 or -0.4, 0.3 to both sides of their mean: (1 - 2/6) · 1/2 · 2 · 0.3²
    assert found.error == pytest.approx(np.sqrt(2 / 3 * 0.09))


def test_what_is_known_of_all_rows_has_no_error() -> None:
    world = _world("accuracy", True, np.random.default_rng(3))
    candidate = _worse(world, 0.1, 0.02, np.random.default_rng(4))
    found = expected_difference(JUDGES["accuracy"], candidate, world.rival, world.strata)
    judge = JUDGES["accuracy"]
    assert found.value == pytest.approx(judge.score(candidate) - judge.score(world.rival))
    assert found.error == 0.0


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("kind", ["accuracy", "F1", "loss"])
def test_it_is_right_on_average_and_knows_its_error(kind: str, told: bool) -> None:
    """Over orders of the rows: no bias, and errors of the size that is stated."""
    judge, rng = JUDGES[kind], np.random.default_rng(6)
    doubt = 0.5 * rng.beta(0.3, 2.0, 400)
    world = World(_world(kind, False, rng, 400).rival, np.zeros(400, int), doubt)
    candidate, values, errors = _equal(world, 0.5, rng, kind), [], []
    for seed in range(60):
        order, strata = scoring_order(doubt if told else np.zeros(400), np.random.default_rng(seed))
        mine, rival = candidate.take(order), world.rival.take(order)
        found = expected_difference(judge, mine.first(160), rival, strata)
        values.append(found.value)
        errors.append(found.error)
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(60)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(values), rel=0.35)


def test_too_few_rows_of_a_stratum_say_nothing() -> None:
    strata = np.array([0, 0, 0, 1, 1, 1])
    rows = Outcomes(np.zeros(6, np.float32), np.ones((6, 2), np.float32))
    assert expected_difference(JUDGES["accuracy"], rows.first(4), rows, strata).error == np.inf
    assert not is_beaten(JUDGES["accuracy"], rows.first(4), rows, strata)


# --- the order --------------------------------------------------------------------------------------------------------


def test_doubts_by_hand() -> None:
    logits = [np.log([0.9, 0.1]), np.log([0.3, 0.7]), np.array([1000.0, 0.0])]
    assert doubts(ACCURACY, [{}] * 3, logits).tolist() == [0.1, 0.3, 0.0]
    # two words at 0.9 and 0.5; what stands behind -100 is no answer, nor is padding
    encoded = [{"labels": [-100, 0, -100, 1, -100]}]
    shares = [[0.4, 0.3, 0.3], [0.9, 0.05, 0.05], [0.4, 0.3, 0.3], [0.25, 0.25, 0.5]]
    assert doubts(NER, encoded, [np.log(shares)]).tolist() == [0.55]
    regression = TaskSpec(
        name="task",
        kind="regression",
        columns=("text",),
        label_column="label",
        labels=(),
        metric="pearson_spearman",
        headline="spearman",
    )
    assert doubts(regression, [{}] * 2, [np.array([0.3]), np.array([4.0])]).tolist() == [0.0, 0.0]


def test_doubtful_rows_come_first_and_every_stratum_is_seen() -> None:
    doubt = np.linspace(0.001, 0.5, 400) ** 2
    order, strata = scoring_order(doubt, np.random.default_rng(0))
    assert sorted(order) == list(range(400))
    assert np.bincount(strata).tolist() == [60, 100, 240]
    assert doubt[order[strata == 0]].min() > doubt[order[strata == 1]].max()
    assert doubt[order[strata == 1]].min() > doubt[order[strata == 2]].max()
    assert np.bincount(strata[: 3 * LEAST_OF_STRATUM]).tolist() == [LEAST_OF_STRATUM] * 3
    # mean doubts 0.214, 0.126, 0.032: products with the sizes 12.9, 12.6, 7.6, so 23, 23, 14 of the first 60 rows
    assert np.abs(np.bincount(strata[:60]) - [23, 23, 14]).max() <= 1


def test_rows_of_a_stratum_are_in_random_order() -> None:
    doubt = np.linspace(0, 0.5, 600)
    order, strata = scoring_order(doubt, np.random.default_rng(0))
    for stratum in range(3):
        rows = order[strata == stratum]
        assert abs(np.corrcoef(rows, np.arange(len(rows)))[0, 1]) < 0.25


@pytest.mark.parametrize("rows", [1, 2, 7, 30])
def test_few_rows_have_an_order_too(rows: int) -> None:
    for doubt in (np.zeros(rows), np.arange(rows) / 100):
        order, strata = scoring_order(doubt, np.random.default_rng(0))
        assert sorted(order) == list(range(rows))
        assert sorted(set(strata)) == list(range(strata.max() + 1))


@pytest.mark.parametrize("rows", [1, 158, 160, 320, 600])
def test_every_row_is_in_one_leg(rows: int, tiny_task: TinyTask, tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    spec, data = tiny_task("classification", rows)
    race = race_rows(data, spec, tiny_tokenizer, 32, 256, seed=0)
    assert sorted(row.source for leg in race.legs for row in leg.rows) == sorted(row.source for row in data)
    assert (race.total, race.spec) == (rows, spec)
    # by hand: ends at 10, 15, 20, 30 and 40 % of the rows, where these are 64 or more
    expected = {1: [1], 158: [158], 160: [64, 96], 320: [64, 32, 32, 192], 600: [90, 30, 60, 60, 360]}
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
    spec, data = tiny_task("classification", round(LEAST_ROWS / max(LOOKS)))
    assert len(race_rows(data[:-2], spec, tiny_tokenizer, 32, 256, seed=0).legs) == 1
    assert len(race_rows(data, spec, tiny_tokenizer, 32, 256, seed=0).legs) == 2
    assert len(race_rows(data, spec, tiny_tokenizer, 32, 256, seed=0, looks=()).legs) == 1
