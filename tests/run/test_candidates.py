from __future__ import annotations

import numpy as np
import pytest

from aebert.run.candidates import Candidates

from .conftest import MakePipeline


def test_calibration_rows_are_a_seeded_draw_without_replacement(pipeline: MakePipeline) -> None:
    def drawn(seed: int) -> list[list[int]]:
        batches = pipeline(seed=seed, name=f"seed-{seed}").candidates.calibration.batches
        return sorted(row.tolist() for batch in batches for row in batch["input_ids"])

    first = drawn(0)
    assert len(first) == 16
    assert len({tuple(row) for row in first}) == 16
    assert drawn(0) == first
    assert drawn(1) != first


def test_there_are_no_more_calibration_rows_than_train_rows(pipeline: MakePipeline) -> None:
    toy = pipeline(pruning={"calibration_rows": 1000})
    rows = sum(len(batch["labels"]) for batch in toy.candidates.calibration.batches)
    assert rows == len(toy.run.task.rows["train"]) < 1000


def test_importance_is_scored_once_and_read_as_it_was(pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pipeline().candidates.importance("taylor")
    monkeypatch.setattr("aebert.run.candidates.CRITERIA", {})  # nothing can score it again
    again = pipeline().candidates.importance("taylor")
    for one, other in zip((*first.heads, *first.ffn), (*again.heads, *again.ffn), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("method", ["library", "kwon", "magnitude"])
def test_what_sub_networks_depend_on_is_the_same_in_another_process(method: str, pipeline: MakePipeline) -> None:
    def inputs(**more: object) -> object:
        return dict(pipeline(pruning={"method": method, "calibration_rows": 16, **more}).candidates.inputs)

    assert inputs() == inputs()


def test_what_sub_networks_depend_on_changes_with_the_calibration_rows(pipeline: MakePipeline) -> None:
    few, many = (pipeline(pruning={"calibration_rows": rows}).candidates for rows in (8, 16))
    assert isinstance(few, Candidates)
    assert few.inputs != many.inputs
