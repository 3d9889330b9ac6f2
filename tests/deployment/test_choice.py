from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.deployment.choice import Tried, choose, chosen


def tried(variant: str, loss: float, median_ms: float, size_bytes: int = 10_000_000) -> Tried:
    return Tried(variant, "how", size_bytes, 0.9 - loss / 100, loss, median_ms, 20 / median_ms)


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


def test_none_to_choose_from() -> None:
    with pytest.raises(ValueError, match="must be a quantized file"):
        choose([], 1.0)


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 99)), min_size=1, max_size=6), st.floats(0, 3))
def test_exactly_one_is_chosen_and_none_allowed_is_faster(values: list[tuple[float, float]], max_loss: float) -> None:
    rows = choose([tried(str(index), *value) for index, value in enumerate(values)], max_loss)
    assert [one.variant for one in rows] == [str(index) for index in range(len(values))]
    assert sum(one.verdict.startswith("chosen") for one in rows) == 1
    best = chosen(rows)
    allowed = [one for one in rows if one.loss <= max_loss]
    assert (best in allowed) if allowed else best.loss == min(one.loss for one in rows)
    assert all(best.median_ms <= one.median_ms for one in allowed)


def test_as_json() -> None:
    (row,) = choose([tried("one", 0.5, 6.0)], 1.0)
    assert json.loads(json.dumps(row.to_dict()))["excluded"] == []
