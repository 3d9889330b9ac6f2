from __future__ import annotations

from pathlib import Path

from aebert.run.requests import requests_of

from .conftest import MakePipeline


def test_a_request_has_all_its_rows_in_file_order(pipeline: MakePipeline) -> None:
    toy = pipeline()
    rows, tokenizer = toy.run.task.rows["report"], toy.dense.tokenizer
    lengths = [len(row["input_ids"]) for row in toy.rows("report").encoded]
    for size in (1, 5):
        requests = requests_of(toy.run, tokenizer, rows, size)
        found = [int(count) for one in requests for count in one["attention_mask"].sum(1)]
        assert (found, "labels" in requests[0]) == (lengths, False)


def test_the_windows_of_a_sentence_are_one_request(pipeline: MakePipeline, made: dict[str, Path]) -> None:
    files = {split: str(made["data"] / f"{split}.conll") for split in ("train", "dev", "test")}
    toy = pipeline(
        task={"name": "entities", "kind": "ner"},
        data={"files": files, "max_length": 8, "window": True},
        model={"path": str(made["my-encoder"])},
        dense={"epochs": 1},
    )
    prepared = toy.rows("report")
    assert prepared.counts is not None
    assert max(prepared.counts) > 1
    requests = requests_of(toy.run, toy.dense.tokenizer, toy.run.task.rows["report"], 1)
    assert [len(one["input_ids"]) for one in requests] == list(prepared.counts)
