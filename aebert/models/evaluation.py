"""Outputs, losses and metrics of a model on labelled rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from aebert.errors import ModelError
from aebert.models.families import family_of
from aebert.tasks.encoding import IGNORED, Batch, batches, encode_windows, join_windows
from aebert.tasks.metrics import evaluate_outputs
from aebert.tasks.task import EncodedRow, Row, TaskSpec


@dataclass(frozen=True)
class Prepared:
    """Rows prepared once for many evaluations: encoded, sorted by length, and in batches.

    windows: what the batches are of, in the order of the rows. counts: windows of each row; None where each has one.
    """

    spec: TaskSpec
    rows: Sequence[Row]
    windows: Sequence[EncodedRow]
    batches: Sequence[Batch]
    counts: Sequence[int] | None = None

    @cached_property
    def encoded(self) -> Sequence[EncodedRow]:
        """Each row, with its windows behind each other."""
        return self.windows if self.counts is None else [join_windows(self.windows[one]) for one in self.places]

    @property
    def places(self) -> list[slice]:
        """Where the windows of each row are."""
        counts = [1] * len(self.rows) if self.counts is None else self.counts
        return [slice(start, end) for start, end in pairwise([0, *accumulate(counts)])]


@dataclass(frozen=True)
class Evaluation:
    """metrics: as `evaluate_outputs` names them; losses [rows] and logits (one array per row): in row order."""

    metrics: Mapping[str, float]
    losses: np.ndarray
    logits: Sequence[np.ndarray]

    @property
    def loss(self) -> float:
        """Mean loss per row."""
        return float(self.losses.mean())


def prepare(
    rows: Sequence[Row], spec: TaskSpec, tokenizer: PreTrainedTokenizerBase, max_length: int, max_tokens: int
) -> Prepared:
    """Encode rows and cut them into length-sorted batches of at most `max_tokens` tokens, padding included."""
    parts = encode_windows(rows, spec, tokenizer, max_length)
    windows = [window for row in parts for window in row]
    made = list(batches(windows, tokenizer, max_tokens))
    return Prepared(spec, rows, windows, made, [len(row) for row in parts] if spec.has_parts else None)


def model_inputs(model: PreTrainedModel, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What the model's forward takes from a batch: no labels, and token types only where the family uses them.

    Raises: ModelError when the batch has rows longer than the model has positions for.
    """
    family = family_of(model.config)
    length, most = tensors["input_ids"].shape[1], family.most_tokens(model.config)
    if length > most:
        raise ModelError(
            f"a row must have at most {most} tokens, the model's positions, got {length}: "
            f"set data.max_length to {most} or less"
        )
    unused = {"labels"} if family.uses_token_types else {"labels", "token_type_ids"}
    return {name: tensor for name, tensor in tensors.items() if name not in unused}


def example_losses(spec: TaskSpec, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """One loss per example [batch].

    It is cross entropy for classification, its mean over labelled words for NER, squared error for regression, and for
    embeddings the cosine distance to the target.

    Raises: ModelError for sentences without a target.
    """
    if spec.kind == "embedding":
        if labels.shape != logits.shape:
            raise ModelError(f"embeddings {list(logits.shape)} need targets of their size, got {list(labels.shape)}")
        return 1 - functional.cosine_similarity(logits, labels, dim=-1)
    if spec.kind == "regression":
        return (logits.squeeze(-1) - labels).square()
    if spec.kind == "classification":
        return functional.cross_entropy(logits, labels, reduction="none")
    per_token = functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none", ignore_index=-100)
    return per_token.sum(1) / (labels != -100).sum(1).clamp(min=1)


def evaluate(model: PreTrainedModel, prepared: Prepared) -> Evaluation:
    """Run all batches and compute metrics and losses. The model must be in eval mode and is not changed."""
    if model.training:
        raise ModelError("a model must be in eval mode to be evaluated, this one is in train mode: call model.eval()")
    with torch.inference_mode():
        return evaluate_forward(lambda tensors: model(**model_inputs(model, tensors)).logits, prepared)


def evaluate_forward(forward: Callable[[Mapping[str, torch.Tensor]], torch.Tensor], prepared: Prepared) -> Evaluation:
    """Do the same with anything that turns a batch into logits, such as an exported file."""
    losses, logits = gather((forward(batch.tensors).float() for batch in prepared.batches), prepared)
    metrics = evaluate_outputs(prepared.spec, prepared.rows, prepared.encoded, logits)
    return Evaluation(metrics, losses, logits)


def embeddings(
    model: PreTrainedModel, prepared: Prepared, advance: Callable[[int], None]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield place and embedding [hidden] of each row, in the order of the batches; rows are single texts.

    advance: is called after each batch with 1.
    """
    for batch in prepared.batches:
        with torch.inference_mode():
            found = model(**model_inputs(model, batch.tensors)).logits.float().numpy()
        yield from zip(batch.indices, found, strict=True)
        advance(1)


def gather(outputs: Iterable[torch.Tensor], prepared: Prepared) -> tuple[np.ndarray, list[np.ndarray]]:
    """Losses [rows], float64, and logits (one array per row), in row order, from the float32 logits of each batch.

    The logits of a row's windows are behind each other, as they are in `prepared.encoded`. Those of embeddings are
    [texts, hidden], and the loss of a row is the mean over its texts.
    """
    spec = prepared.spec
    logits: list[np.ndarray] = [np.empty(0)] * len(prepared.windows)
    losses = np.empty(len(prepared.windows))
    for batch, output in zip(prepared.batches, outputs, strict=True):
        losses[list(batch.indices)] = example_losses(spec, output, batch.tensors["labels"]).double().numpy()
        for index, one in zip(batch.indices, output.numpy(), strict=True):
            # logits of padding say nothing about the row, and no later reader must take them for output
            logits[index] = one[: len(prepared.windows[index]["input_ids"])] if spec.kind == "ner" else one
    return (losses, logits) if prepared.counts is None else _joined(losses, logits, prepared)


def _joined(
    losses: np.ndarray, logits: Sequence[np.ndarray], prepared: Prepared
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Losses and logits of rows from those of their windows; a loss is the mean over the words of all of them."""
    if prepared.spec.kind == "embedding":
        means = np.array([losses[place].mean() for place in prepared.places])
        return means, [np.stack(logits[place]) for place in prepared.places]
    words = [sum(label != IGNORED for label in window["labels"]) for window in prepared.windows]
    means = np.array([np.average(losses[place], weights=words[place]) for place in prepared.places])
    return means, [np.concatenate(logits[place]) for place in prepared.places]
