from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.deployment.choice import LossInterval, Tried, choose, chosen, is_too_lossy
from aebert.search.difference import Difference
from aebert.search.judge import Judge
from aebert.search.outcomes import Outcomes
from aebert.tasks.task import TaskSpec

ACCURACY = TaskSpec(
    name="task",
    kind="classification",
    columns=("text",),
    label_column="label",
    labels=("bad", "good"),
    metric="accuracy",
    headline="accuracy",
)


def tried(
    variant: str,
    loss: float,
    median_ms: float,
    size_bytes: int = 10_000_000,
    interval: tuple[float, float, int] | None = None,
) -> Tried:
    values = (variant, "how", size_bytes, 0.9 - loss / 100, loss, median_ms, 20 / median_ms)
    return Tried(*values, interval=None if interval is None else LossInterval(*interval))


def lost_rows(rows: int, lost: int, won: int = 0) -> LossInterval | None:
    """The interval of a file that is wrong on `lost` rows where the float32 file is right, and right on `won` more."""
    labels = np.ones(rows, dtype=np.float32)
    exact, mine = labels.copy(), labels.copy()
    mine[:lost] = 0
    exact[lost : lost + won] = 0
    judge = Judge(ACCURACY)
    one, other = (Outcomes(np.zeros(rows), np.stack([said, labels], axis=1)) for said in (exact, mine))
    return LossInterval.of(judge.difference(one, other), rows)


def test_the_fastest_within_the_loss_is_chosen_and_every_other_told_why() -> None:
    rows = [tried("slow", 0.1, 9.0), tried("good", 0.9, 6.0), tried("wrecked", 3.25, 5.0)]
    assert [one.verdict for one in choose(rows, max_loss=1.0)] == [
        "1.50 times the time of good",
        "chosen: the fastest within 1 points",
        "loses 3.2 points (limit 1)",
    ]
    assert chosen(choose(rows, max_loss=1.0)).variant == "good"
    assert chosen(choose(rows, max_loss=4.0)).variant == "wrecked"
    assert chosen(choose(rows, max_loss=0.5)).variant == "slow"


def test_where_all_lose_too_much_the_least_loss_is_chosen_and_its_cost_told() -> None:
    rows = choose([tried("bad", 2.0, 5.0), tried("worse", 4.0, 3.0)], max_loss=1.0)
    assert rows[0].verdict == "chosen although it loses 2.0 points (limit 1): no tried variant is within the limits"
    assert rows[1].verdict == "loses 4.0 points (limit 1)"


def test_a_file_above_the_size_budget_is_not_chosen() -> None:
    rows = [tried("large", 0.0, 5.0, 20_000_000), tried("small", 0.5, 6.0)]
    verdicts = [one.verdict for one in choose(rows, 1.0, max_bytes=15e6)]
    assert verdicts == ["has 20.0 MB (limit 15.0)", "chosen: the fastest within 1 points"]
    # the budget outweighs the loss
    rows = [tried("large", 0.0, 5.0, 20_000_000), tried("lossy", 5.0, 6.0)]
    assert chosen(choose(rows, 1.0, max_bytes=15e6)).variant == "lossy"
    assert chosen(choose(rows, 1.0, max_bytes=1e6)).verdict == (
        "chosen although it has 20.0 MB (limit 1.0): no tried variant is within the limits"
    )


def test_a_score_that_is_no_number_is_a_loss() -> None:
    rows = choose([tried("broken", float("nan"), 1.0), tried("sound", 0.0, 9.0)], 100.0)
    assert chosen(rows).variant == "sound"
    # also where no file is within the loss
    rows = choose([tried("broken", float("nan"), 1.0), tried("sound", 2.0, 9.0)], 1.0)
    assert chosen(rows).variant == "sound"


def test_two_rows_of_124_do_not_prove_that_a_file_loses_more_than_a_point() -> None:
    loss, interval = 100 * 2 / 124, lost_rows(124, lost=2)
    assert interval is not None
    assert interval.low < 1 < loss < interval.high
    assert not is_too_lossy(loss, interval, 1.0)
    assert is_too_lossy(loss, None, 1.0)
    # what the same share of more rows proves, and what more lost rows prove
    assert is_too_lossy(100 * 200 / 12400, lost_rows(12400, lost=200), 1.0)
    assert is_too_lossy(100 * 12 / 124, lost_rows(124, lost=12), 1.0)
    # rows that go either way make the same loss less sure
    wide = lost_rows(124, lost=20, won=8)
    assert wide is not None
    assert wide.low < 1 < wide.high
    # a loss on every row is certain
    assert lost_rows(5, lost=5) == LossInterval(low=100.0, high=100.0, rows=5)
    assert lost_rows(1, lost=1) is None


def test_a_file_that_the_rows_can_not_tell_from_the_limit_may_ship_and_its_verdict_says_so() -> None:
    doubtful = tried("fast", 1.6, 5.0, interval=(-1.1, 4.3, 124))
    doubt = "loses 1.6 points (95 % interval -1.1 to 4.3; 124 rows can't tell it from the limit of 1)"
    rows = choose([doubtful, tried("slow", 0.2, 9.0)], 1.0)
    assert [one.verdict for one in rows] == [f"chosen: the fastest, and {doubt}", "1.80 times the time of fast"]
    rows = choose([doubtful, tried("faster", 0.2, 4.0)], 1.0)
    assert rows[0].verdict == f"1.25 times the time of faster, and {doubt}"
    # proof, by as much as a hair
    rows = choose([tried("fast", 3.0, 5.0, interval=(1.01, 5.0, 700)), tried("slow", 0.2, 9.0)], 1.0)
    assert rows[0].verdict == "loses 3.0 points (95 % interval 1.0 to 5.0; limit 1)"
    assert chosen(rows).variant == "slow"
    # a whole interval that begins at the limit is not above it; one below it leaves no doubt
    assert chosen(choose([tried("at", 3.0, 5.0, interval=(1.0, 5.0, 700))], 1.0)).verdict.startswith("chosen: the f")
    inside = tried("inside", 0.9, 5.0, interval=(0.2, 1.6, 700))
    assert choose([inside], 1.0)[0].verdict == "chosen: the fastest within 1 points"


def test_of_files_about_as_fast_the_one_that_loses_least_is_chosen() -> None:
    fast = tried("fast", 1.6, 5.0, interval=(-1.1, 4.3, 124))
    rows = choose([fast, tried("exact", 0.0, 5.2), tried("slower", -2.0, 5.3)], 1.0)
    assert rows[1].verdict == "chosen: about as fast as fast and loses less"
    assert rows[0].verdict.startswith("0.96 times the time of exact, and loses 1.6 points (95 %")
    assert rows[2].verdict == "1.02 times the time of exact"
    assert chosen(choose([fast, tried("exact", 0.0, 5.3)], 1.0)).variant == "fast"
    # of equal loss it is the faster one
    assert chosen(choose([tried("b", 0.5, 5.1), tried("a", 0.5, 5.0)], 1.0)).variant == "a"


def test_a_loss_that_is_no_number_is_too_lossy_and_has_no_interval() -> None:
    assert LossInterval.of(Difference(float("nan"), float("nan")), 9) is None
    assert is_too_lossy(float("nan"), None, 100.0)


def test_none_to_choose_from() -> None:
    with pytest.raises(ValueError, match="must be a quantized file"):
        choose([], 1.0)


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 99)), min_size=1, max_size=6), st.floats(0, 3))
def test_one_is_chosen_and_none_allowed_is_clearly_faster(values: list[tuple[float, float]], max_loss: float) -> None:
    rows = choose([tried(str(index), *value) for index, value in enumerate(values)], max_loss)
    assert [one.variant for one in rows] == [str(index) for index in range(len(values))]
    assert sum(one.verdict.startswith("chosen") for one in rows) == 1
    best = chosen(rows)
    allowed = [one for one in rows if one.loss <= max_loss]
    assert (best in allowed) if allowed else best.loss == min(one.loss for one in rows)
    assert all(best.median_ms <= 1.05 * one.median_ms for one in allowed)
    fastest = min((one.median_ms for one in allowed), default=0)
    assert all(best.loss <= one.loss for one in allowed if one.median_ms <= 1.05 * fastest)


def test_as_json() -> None:
    (row,) = choose([tried("one", 0.5, 6.0)], 1.0)
    assert json.loads(json.dumps(row.to_dict()))["excluded"] == []
    assert "interval" not in row.to_dict()
    (row,) = choose([tried("one", 1.5, 6.0, interval=(-1.0, 4.0, 124))], 1.0)
    assert row.to_dict()["interval"] == {"low": -1.0, "high": 4.0, "rows": 124}
    assert Tried.from_dict(json.loads(json.dumps(row.to_dict()))) == row
