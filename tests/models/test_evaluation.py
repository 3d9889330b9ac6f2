from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from aebert.errors import ModelError
from aebert.models.evaluation import evaluate, evaluate_forward, example_losses, model_inputs, prepare
from aebert.models.families import FAMILIES
from aebert.tasks.encoding import collate, encode
from aebert.tasks.resampling import headline_of, row_marks
from aebert.tasks.task import Row, TaskSpec

TinyModel = Callable[..., PreTrainedModel]
TinyTask = Callable[..., tuple[TaskSpec, list[Row]]]


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize(
    ("kind", "head", "outputs"), [("classification", "sequence", 2), ("regression", "sequence", 1), ("ner", "token", 3)]
)
def test_logits_and_losses_are_those_of_each_row_alone(
    tiny_model: TinyModel,
    tiny_task: TinyTask,
    tiny_tokenizer: PreTrainedTokenizerFast,
    family: str,
    kind: Literal["classification", "regression", "ner"],
    head: str,
    outputs: int,
) -> None:
    spec, rows = tiny_task(kind, rows=9)
    model = tiny_model(family, head, outputs)
    prepared = prepare(rows, spec, tiny_tokenizer, 32, max_tokens=40)
    assert len(prepared.batches) > 1
    result = evaluate(model, prepared)
    for index, encoded in enumerate(prepared.encoded):
        alone = collate([encoded], tiny_tokenizer)
        with torch.no_grad():
            logits = model(**model_inputs(model, alone)).logits
        np.testing.assert_allclose(result.logits[index], logits[0].numpy(), rtol=1e-4, atol=1e-5)
        loss = example_losses(spec, logits, alone["labels"]).item()
        assert result.losses[index] == pytest.approx(loss, rel=1e-4, abs=1e-5)
    assert result.loss == pytest.approx(sum(result.losses) / 9)


def test_windows_are_scored_as_their_sentence(
    tiny_model: TinyModel, tiny_task: TinyTask, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    spec, rows = tiny_task("ner", rows=9)
    rows = [replace(row, text=row.text * 4, label=row.label * 4) for row in rows[:6]] + rows[6:]
    windowed, model = replace(spec, window=True), tiny_model("bert", "token", 3)
    prepared = prepare(rows, windowed, tiny_tokenizer, 12, max_tokens=40)
    counts = prepared.counts
    assert counts is not None
    assert (len(prepared.encoded), sum(counts)) == (9, len(prepared.windows))
    assert min(counts[:6]) > 1
    result, windows = evaluate(model, prepared), iter(prepared.windows)
    for index, row in enumerate(rows):
        tags, losses = [], 0.0
        for encoded in [next(windows) for _ in range(counts[index])]:
            alone = collate([encoded], tiny_tokenizer)
            there = alone["labels"] != -100
            with torch.no_grad():
                logits = model(**model_inputs(model, alone)).logits
            losses += int(there.sum()) * example_losses(spec, logits, alone["labels"]).item()
            tags += logits[there].argmax(-1).tolist()
        assert len(tags) == len(row.text)  # no word is lost
        assert result.losses[index] == pytest.approx(losses / len(tags), rel=1e-4)
        (whole,) = encode([row], spec, tiny_tokenizer, 1000)
        given = np.eye(3)[[0 if label == -100 else tags.pop(0) for label in whole["labels"]]]
        mine = row_marks(windowed, [row], [prepared.encoded[index]], [result.logits[index]])
        assert mine.tolist() == row_marks(spec, [row], [whole], [given]).tolist()  # whole entities, also across windows
    assert result.metrics["f1"] == headline_of(spec, row_marks(windowed, rows, prepared.encoded, result.logits))


def test_rows_longer_than_the_model_s_positions_are_refused_in_one_line(tiny_model: TinyModel) -> None:
    for family, most in (("bert", 64), ("roberta", 63)):
        model = tiny_model(family)
        for length in (most, most + 1):
            tensors = {"input_ids": torch.full((2, length), 5), "labels": torch.zeros(2)}
            if length == most:
                assert list(model_inputs(model, tensors)) == ["input_ids"]
                continue
            message = rf"^a row must have at most {most} tokens, the model's positions, got {length}: set data\.max_len"
            with pytest.raises(ModelError, match=message):
                model_inputs(model, tensors)


def test_metrics_are_the_task_s(
    tiny_model: TinyModel, tiny_task: TinyTask, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    spec, rows = tiny_task(rows=8)
    prepared = prepare(rows, spec, tiny_tokenizer, 32, 1000)
    outputs = torch.zeros(8, 2)
    outputs[:, 1] = 1.0  # always "good", as every second row is
    in_batch = outputs[list(prepared.batches[0].indices)]
    assert evaluate_forward(lambda tensors: in_batch, prepared).metrics == {"accuracy": 0.5}


def test_rows_keep_their_order_although_batches_are_sorted_by_length(
    tiny_task: TinyTask, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    spec, rows = tiny_task(rows=8)
    prepared = prepare(rows, spec, tiny_tokenizer, 32, 30)
    lengths = evaluate_forward(
        lambda tensors: torch.stack([tensors["attention_mask"].sum(1), tensors["labels"]], 1), prepared
    )
    expected = [[len(row.text[0].split()) + 2, row.label] for row in rows]
    assert [logits.tolist() for logits in lengths.logits] == expected


def test_example_losses_by_hand() -> None:
    spec = TaskSpec(
        name="toy",
        kind="classification",
        columns=("text",),
        label_column="label",
        labels=("a", "b"),
        metric="accuracy",
        headline="accuracy",
    )
    # softmax of (0, ln 3) is (1/4, 3/4)
    logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]])
    torch.testing.assert_close(
        example_losses(spec, logits, torch.tensor([0, 1])), torch.tensor([math.log(4), math.log(4 / 3)])
    )


def test_squared_error_by_hand() -> None:
    spec = TaskSpec(
        name="toy",
        kind="regression",
        columns=("text",),
        label_column="label",
        labels=(),
        metric="pearson_spearman",
        headline="spearman",
    )
    assert example_losses(spec, torch.tensor([[1.0], [5.0]]), torch.tensor([3.0, 4.5])).tolist() == [4.0, 0.25]


def test_ner_loss_is_the_mean_over_labelled_words_by_hand() -> None:
    spec = TaskSpec(
        name="toy", kind="ner", columns=("words",), label_column="tags", labels=("X",), metric="seqeval", headline="f1"
    )
    even, sure = [0.0, 0.0, 0.0], [math.log(2), 0.0, 0.0]  # softmax 1/3 each; 1/2, 1/4, 1/4
    logits = torch.tensor([[even, sure, sure], [even, even, even]])
    labels = torch.tensor([[0, 0, -100], [-100, -100, -100]])
    expected = torch.tensor([(math.log(3) + math.log(2)) / 2, 0.0])  # a row without labels counts nothing
    torch.testing.assert_close(example_losses(spec, logits, labels), expected)


def test_a_model_in_train_mode_is_refused(
    tiny_model: TinyModel, tiny_task: TinyTask, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    spec, rows = tiny_task(rows=2)
    with pytest.raises(ModelError, match=r"must be in eval mode to be evaluated, .* call model\.eval\(\)"):
        evaluate(tiny_model(labels=2).train(), prepare(rows, spec, tiny_tokenizer, 32, 100))
