from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from aebert.pruning.architecture import Architecture
from aebert.reporting.rows import Behind, FinalistRow
from aebert.run.choice import mark_chosen
from aebert.run.finalists import select_outcomes
from aebert.run.report import build_report
from aebert.search.judge import Judge
from aebert.search.outcomes import Outcomes
from aebert.tasks.task import TaskSpec

from .conftest import MakePipeline

ROWS = 400
JUDGE = Judge(
    TaskSpec(
        name="reviews",
        kind="classification",
        columns=("text",),
        label_column="label",
        labels=("bad", "good"),
        metric="accuracy",
        headline="accuracy",
    )
)


def row(name: str, budget: float, select: float, measured_ms: float | None = None) -> FinalistRow:
    return FinalistRow(
        name=name,
        trial=1,
        architecture=Architecture((1,), (8,)),
        budget=budget,
        sparsity=0.5,
        macs_removed=0.5,
        params=100,
        search_score=0.9,
        select_score=select,
        measured_ms=measured_ms,
    )


def did(wrong: Sequence[int], rows: int = ROWS) -> Outcomes:
    """A classifier that errs on these rows alone."""
    marks = np.ones((rows, 2), dtype=np.float32)
    marks[list(wrong), 0] = 0
    return Outcomes(np.zeros(rows, dtype=np.float32), marks)


def choose(rows: Sequence[FinalistRow], done: Mapping[str, Outcomes]) -> tuple[list[str], list[FinalistRow]]:
    marked = mark_chosen(rows, JUDGE, done.__getitem__)
    assert [one.name for one in marked] == [one.name for one in rows]
    return [one.name for one in marked if one.chosen], marked


def test_of_those_that_the_rows_cannot_tell_from_the_best_the_first_picked_is_chosen() -> None:
    done = {"near": did(range(42)), "best": did(range(40, 80)), "other": did(range(80, 121))}
    rows = [row("near", 0.5, 1 - 42 / ROWS), row("best", 0.5, 1 - 40 / ROWS), row("other", 0.5, 1 - 41 / ROWS)]
    names, (near, best, other) = choose(rows, done)
    assert names == ["near"]
    assert (near.behind and near.behind.best, best.behind, other.behind and other.behind.best) == ("best", None, "best")
    assert near.behind is not None
    assert near.behind.value == pytest.approx(2 / ROWS)
    assert near.behind.low < 0 < near.behind.high


def test_what_is_clearly_behind_the_best_is_not_chosen() -> None:
    """Few errors more, but on rows that the best gets right while it errs on no others."""
    done = {"first": did(range(60)), "best": did(range(40)), "second": did(range(41))}
    rows = [row("first", 0.5, 1 - 60 / ROWS), row("second", 0.5, 1 - 41 / ROWS), row("best", 0.5, 1 - 40 / ROWS)]
    names, (first, second, _) = choose(rows, done)
    assert names == ["second"]
    assert first.behind is not None
    assert second.behind is not None
    assert (first.behind.tied, second.behind.tied) == (False, True)
    assert choose([rows[0], rows[2]], done)[0] == ["best"]


def test_where_the_error_is_not_known_the_first_picked_is_chosen() -> None:
    done = {"first": did([0], rows=1), "best": did([], rows=1)}
    names, (first, _) = choose([row("first", 0.5, 0.0), row("best", 0.5, 1.0)], done)
    assert names == ["first"]
    assert first.behind is not None
    assert math.isnan(first.behind.low)


def test_each_budget_has_a_chosen_one_and_a_single_finalist_is_not_compared() -> None:
    done = {"a": did(range(80)), "b": did(range(40))}
    names, marked = choose([row("a", 0.3, 0.8), row("c", 0.6, 0.7), row("b", 0.3, 0.9)], done)
    assert names == ["c", "b"]
    assert marked[1].behind is None


def test_what_keeps_its_latency_budget_comes_before_what_scores_higher() -> None:
    slow, fast = row("slow", 10.0, 0.9, measured_ms=11.0), row("fast", 10.0, 0.8, measured_ms=9.0)
    assert choose([slow, fast], {}) == (["fast"], [slow, replace(fast, chosen=True)])
    done = {"slow": did(range(40)), "slower": did(range(41))}
    assert choose([row("slower", 10.0, 1 - 41 / ROWS, 12.0), slow], done)[0] == ["slower"]


def test_a_finalist_without_a_score_is_chosen_only_where_none_has_one() -> None:
    lost = row("lost", 0.5, math.nan)
    assert choose([lost, row("found", 0.5, 0.1)], {})[0] == ["found"]
    assert choose([lost], {})[0] == ["lost"]


def test_report_rows_have_no_say_in_the_choice() -> None:
    rows = [replace(row("b", 0.3, 0.8), report_metrics={"accuracy": 1.0}), row("a", 0.3, 0.9)]
    assert choose(rows, {"a": did(range(40)), "b": did(range(80))})[0] == ["a"]


@pytest.mark.parametrize(("low", "tied"), [(0.001, False), (0.0, True), (-0.001, True), (math.nan, True)])
def test_a_tie_is_an_interval_that_includes_zero(low: float, tied: bool) -> None:
    assert Behind("best", 0.01, low, 0.02).tied is tied


def test_finalists_of_one_budget_are_compared_on_the_select_rows_without_training(
    pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"finalists": {"count": 2, "epochs": 1}, "deploy": {"fuse": "never", "int8": False}}
    toy = pipeline(**values)
    finalists = toy.finalists
    stages = toy.run.folder / "stages"
    assert not list(stages.glob("select-*"))  # nothing that finalists of older versions lack
    monkeypatch.setattr("aebert.run.finalists.train_model", lambda *_, **__: pytest.fail("it is trained already"))
    found = build_report(pipeline(**values)).finalists[1:]
    assert sum(one.chosen for one in found) == 1
    (behind,) = (one for one in found if one.behind is not None)
    assert behind.behind is not None
    (best,) = (one for one in found if one.behind is None)
    assert behind.behind.best == best.name
    assert behind.behind.value == pytest.approx((best.select_score or 0) - (behind.select_score or 0))
    assert len(list(stages.glob("select-*"))) == 2
    monkeypatch.setattr("aebert.run.finalists.evaluate", lambda *_: pytest.fail("it is scored already"))
    done = select_outcomes(toy.run, toy.dense.tokenizer, finalists[0])
    assert Judge(toy.run.task.spec).score(done) == pytest.approx(finalists[0].select_metrics["accuracy"])
