"""Importance criteria: which heads and FFN neurons of a block are worth keeping."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from aebert.errors import DataError
from aebert.models.families import Block, family_of
from aebert.progress import SILENT, Progress
from aebert.pruning.architecture import Architecture
from aebert.pruning.slicing import Selection
from aebert.registry import Registry

Batches = Sequence[dict[str, torch.Tensor]]
# [batch outputs...] logits and labels → one loss per example [batch]
ExampleLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Importance:
    """One score per unit, higher = keep. heads: [heads] per attention block; ffn: [neurons] per FFN block; float64."""

    heads: tuple[np.ndarray, ...]
    ffn: tuple[np.ndarray, ...]

    def squared(self) -> Importance:
        """The squares of all scores; no order inside a block changes."""
        return Importance(tuple(part**2 for part in self.heads), tuple(part**2 for part in self.ffn))


@dataclass(frozen=True)
class Calibration:
    """What data-driven criteria read: batches with `labels`, and the task's loss per example."""

    batches: Batches
    loss: ExampleLoss
    seed: int


Criterion = Callable[[PreTrainedModel, Calibration, Progress], Importance]
CRITERIA: Registry[Criterion] = Registry("criterion")
LABEL_FREE = ("magnitude", "random")  # criteria that read no labels


def select(importance: Importance, architecture: Architecture) -> Selection:
    """Keep the most important units of each block; among equals, those that come first."""
    return Selection(
        tuple(_top(scores, count) for scores, count in zip(importance.heads, architecture.heads, strict=True)),
        tuple(_top(scores, count) for scores, count in zip(importance.ffn, architecture.ffn, strict=True)),
    )


def _top(scores: np.ndarray, count: int) -> tuple[int, ...]:
    order = np.argsort(-scores, kind="stable")[:count]
    return tuple(sorted(int(unit) for unit in order))


@CRITERIA.register("magnitude")
def magnitude(model: PreTrainedModel, calibration: Calibration, progress: Progress = SILENT) -> Importance:
    """L2 norm of all weights that go with a unit: its rows of the input projections, its columns of the output one.

    It reads no data. Source: magnitude pruning as AE-BERT uses it (arXiv:2206.10461), here for whole units.
    """
    family = family_of(model.config)
    head_size = family.head_size(model.config)
    return Importance(
        tuple(_norms(block, head_size) for block in family.attention_blocks(model)),
        tuple(_norms(block, 1) for block in family.ffn_blocks(model)),
    )


def _norms(block: Block, size: int) -> np.ndarray:
    if block.output.module.in_features == 0:  # an empty block's stand-ins have no weights
        return np.zeros(0)
    squares = [place.module.weight.detach().double().pow(2).sum(1) for place in block.inputs]
    squares.append(block.output.module.weight.detach().double().pow(2).sum(0))
    return _per_unit(torch.stack(squares).sum(0), size).sqrt().numpy()


def _per_unit(values: torch.Tensor, size: int) -> torch.Tensor:
    """Sum over the rows of each unit: [..., units * size] → [..., units]."""
    return values.reshape(*values.shape[:-1], -1, size).sum(-1)


@CRITERIA.register("random")
def random(model: PreTrainedModel, calibration: Calibration, progress: Progress = SILENT) -> Importance:
    """Uniform random scores from the calibration's seed: the baseline that a criterion must beat."""
    rng = np.random.default_rng(calibration.seed)
    family = family_of(model.config)
    head_size = family.head_size(model.config)
    heads = [block.output.module.in_features // head_size for block in family.attention_blocks(model)]
    widths = [block.output.module.in_features for block in family.ffn_blocks(model)]
    return Importance(tuple(rng.random(n) for n in heads), tuple(rng.random(n) for n in widths))


@CRITERIA.register("fisher")
def fisher(model: PreTrainedModel, calibration: Calibration, progress: Progress = SILENT) -> Importance:
    """Mean over examples of the squared gradient of an example's loss with respect to unit masks (at mask = 1).

    Gradients are taken per example, not per mini-batch as in the authors' code, so the scores do not depend on the
    batch size. Weights, mode and gradients of the model are left as found.
    Source: diagonal Fisher information of mask variables, Kwon et al. 2022, arXiv:2204.09656, section 4.1.
    """
    return _mean_of_gradients(model, calibration, progress, torch.square)


@CRITERIA.register("taylor")
def taylor(model: PreTrainedModel, calibration: Calibration, progress: Progress = SILENT) -> Importance:
    """Mean over examples of the absolute gradient of an example's loss with respect to unit masks (at mask = 1).

    Source: expected sensitivity to head masks, Michel et al. 2019, arXiv:1905.10650, section 4.1; here for FFN neurons
    too, and without their normalisation per layer, which changes no order inside a block.
    """
    return _mean_of_gradients(model, calibration, progress, torch.abs)


def _mean_of_gradients(
    model: PreTrainedModel,
    calibration: Calibration,
    progress: Progress,
    power: Callable[[torch.Tensor], torch.Tensor],
) -> Importance:
    totals: list[torch.Tensor] = []
    examples = 0
    for gradients in mask_gradients(model, calibration, progress):
        sums = [power(gradient.double()).sum(0) for gradient in gradients]
        totals = [total + more for total, more in zip(totals, sums, strict=True)] if totals else sums
        examples += len(gradients[0])
    scores = [(total / examples).numpy() for total in totals]
    attention = len(family_of(model.config).attention_blocks(model))
    return Importance(tuple(scores[:attention]), tuple(scores[attention:]))


def mask_gradients(
    model: PreTrainedModel, calibration: Calibration, progress: Progress = SILENT
) -> Iterator[list[torch.Tensor]]:
    """For each batch, gradients of each example's loss to its own unit masks, at mask = 1: [batch, units] per block.

    All attention blocks come first, then all FFN blocks. Weights, mode and gradients of the model are as found once the
    iterator is used up or dropped.
    Raises: DataError when the calibration has no rows.
    """
    if not calibration.batches:
        raise DataError("calibration needs at least one labelled row, got none: check data.roles and data.limits")
    blocks = family_of(model.config).blocks(model)
    with frozen(model), progress.bar("importance", len(calibration.batches)) as bar:
        for batch in calibration.batches:
            yield _gradients(model, blocks, batch, calibration.loss)
            bar.advance()


def _gradients(
    model: PreTrainedModel, blocks: Sequence[tuple[Block, int]], batch: dict[str, torch.Tensor], loss: ExampleLoss
) -> list[torch.Tensor]:
    """Mask gradients of one batch, [batch, units] per block.

    Masks have one row per example. As examples do not interact in eval mode, one backward pass of the summed loss gives
    every example's own gradient.
    """
    examples = len(batch["labels"])
    masks = [
        torch.ones(examples, block.output.module.in_features // size, requires_grad=True) for block, size in blocks
    ]
    handles = []
    try:
        for (block, size), mask in zip(blocks, masks, strict=True):
            handles.append(block.output.module.register_forward_pre_hook(_scale(mask, size)))
        logits = model(**{key: value for key, value in batch.items() if key != "labels"}).logits
        total = loss(logits, batch["labels"]).sum()
        if total.requires_grad:  # not when all blocks are dead
            total.backward()  # type: ignore[no-untyped-call]
    finally:
        for handle in handles:
            handle.remove()
    # a dead block (0 units, or one behind it that ignores its input) has no path to the loss
    return [torch.zeros_like(mask) if mask.grad is None else mask.grad for mask in masks]


def _scale(mask: torch.Tensor, size: int) -> Any:
    def hook(module: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        x = inputs[0]  # [batch, seq, units * size]
        return (x * mask.repeat_interleave(size, dim=1)[:, None, :], *inputs[1:])

    return hook


@contextmanager
def frozen(model: PreTrainedModel) -> Iterator[None]:
    """Eval mode and no weight gradients inside the block; both are as before afterwards."""
    modes = [(module, module.training) for module in model.modules()]  # parts may be in another mode than the whole
    wanted = [p.requires_grad for p in model.parameters()]
    model.eval().requires_grad_(False)
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, want in zip(model.parameters(), wanted, strict=True):
            parameter.requires_grad_(want)
