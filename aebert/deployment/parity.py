"""Checks that an exported file computes what its model computes, on other shapes than the one it was traced with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from aebert.deployment.modes import eval_mode
from aebert.deployment.opening import ExportedModel
from aebert.deployment.session import OnnxModel
from aebert.errors import ExportError

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Parity:
    """How far an exported file is from its model.

    max_abs_difference: of logits, over all rows (for token classifiers, over all tokens that are not padding).
    tolerance: the largest difference allowed. max_abs_logit: of the model, to judge the difference by.
    shapes: [batch, seq] of each batch compared. compared: number of logits.
    """

    max_abs_difference: float
    tolerance: float
    max_abs_logit: float
    shapes: tuple[tuple[int, int], ...]
    compared: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "shapes": [list(shape) for shape in self.shapes]}


def check_parity(
    model: PreTrainedModel, path: Path, batches: Iterable[Tensors], *, tolerance: float = 1e-3, threads: int = 1
) -> Parity:
    """Compare logits of `model` and of the file on `batches`; `other_shapes` makes good batches from one.

    tolerance: the most that a logit may differ by; where the batch's largest logit is above 1, as a share of it.
    The model runs in eval mode, and its mode is left as found.

    Raises: ExportError when there is no batch, and at the first batch that differs by more than the tolerance.
    """
    return check_logits(model, OnnxModel(path, threads), batches, tolerance=tolerance, fix="try another deploy.opset")


def check_logits(
    model: PreTrainedModel, exported: ExportedModel, batches: Iterable[Tensors], *, tolerance: float = 1e-3, fix: str
) -> Parity:
    """Do the same for an exported file of any format; `fix` is what the error advises."""
    results = [_compare(model, exported, batch, tolerance, fix) for batch in batches]
    if not results:
        raise ExportError(f"parity of {exported.path.name} needs at least one batch, got none")
    return Parity(
        max_abs_difference=max(result.difference for result in results),
        tolerance=tolerance,
        max_abs_logit=max(result.largest for result in results),
        shapes=tuple(result.shape for result in results),
        compared=sum(result.compared for result in results),
    )


def largest_difference(path: Path, other: Path, batches: Iterable[Tensors]) -> float:
    """The largest absolute difference between the logits of two files, over all tokens that are not padding."""
    first, second = OnnxModel(path), OnnxModel(other)
    return max(_difference(first, second, batch) for batch in batches)


def _difference(first: OnnxModel, second: OnnxModel, batch: Tensors) -> float:
    arrays = {name: tensor.cpu().numpy() for name, tensor in batch.items()}
    difference = np.abs(first.logits(arrays) - second.logits(arrays))
    if difference.ndim == 3 and "attention_mask" in arrays:
        difference = difference[arrays["attention_mask"].astype(bool)]
    return float(difference.max())


@dataclass(frozen=True)
class _Comparison:
    difference: float
    largest: float
    shape: tuple[int, int]
    compared: int


def _compare(
    model: PreTrainedModel, exported: ExportedModel, batch: Tensors, tolerance: float, fix: str
) -> _Comparison:
    inputs = {name: batch[name] for name in exported.inputs if name in batch}
    expected = _reference(model, inputs)
    actual = exported.logits({name: tensor.cpu().numpy() for name, tensor in inputs.items()})
    rows, length = batch["input_ids"].shape
    if actual.shape != expected.shape:
        raise ExportError(f"{exported.path.name} must give logits {expected.shape}, as the model, got {actual.shape}")
    if expected.ndim == 3 and "attention_mask" in batch:  # logits of padding are never read
        real = batch["attention_mask"].cpu().numpy().astype(bool)
        expected, actual = expected[real], actual[real]
    difference = float(np.abs(actual - expected).max())
    largest = float(np.abs(expected).max())
    allowed = tolerance * max(1.0, largest)
    if not difference <= allowed:  # also when it is not a number
        raise ExportError(
            f"{exported.path.name} must give the model's logits within {allowed:.1e}, "
            f"differs by {difference:.1e} on a batch {[rows, length]} (don't ship it; {fix})"
        )
    return _Comparison(difference, largest, (rows, length), expected.size)


def _reference(model: PreTrainedModel, inputs: Tensors) -> NDArray[np.float32]:
    with eval_mode(model), torch.no_grad():
        logits = model(**{name: tensor.to(model.device) for name, tensor in inputs.items()}).logits
    return np.asarray(logits.float().cpu().numpy())


def other_shapes(batch: Tensors, *, pad_token_id: int, max_length: int) -> list[dict[str, torch.Tensor]]:
    """From one padded batch: itself, its shortest row alone, ragged rows with more padding, and one long row.

    Only inputs `[batch, seq]` are kept. The ragged batch repeats the rows, each cut to another length, with padding
    beyond the longest; the long row repeats the longest row up to `max_length` tokens and has no padding.
    """
    inputs = {name: tensor for name, tensor in batch.items() if tensor.ndim == 2 and name != "labels"}
    lengths = inputs["attention_mask"].sum(dim=1)
    shortest, longest = int(lengths.argmin()), int(lengths.argmax())
    alone = {name: tensor[shortest : shortest + 1, : int(lengths[shortest])] for name, tensor in inputs.items()}
    full = {name: tensor[longest : longest + 1, : int(lengths[longest])] for name, tensor in inputs.items()}
    repeats = -(-max_length // int(lengths[longest]))
    long = {name: tensor.repeat(1, min(repeats, 3))[:, :max_length] for name, tensor in full.items()}
    return [inputs, alone, _ragged(inputs, pad_token_id, max_length), long]


def _ragged(inputs: Tensors, pad_token_id: int, max_length: int) -> dict[str, torch.Tensor]:
    lengths = inputs["attention_mask"].sum(dim=1).repeat(2)
    rows, width = len(lengths), min(inputs["input_ids"].shape[1] + 3, max_length)
    # the first copy of the rows keeps its lengths, the second is cut to 1/rows, 2/rows, … of them
    shares = torch.cat([torch.ones(rows // 2), torch.arange(1, rows // 2 + 1) / (rows // 2 + 1)])
    kept = (lengths * shares).ceil().long().clamp(1, width)
    real = torch.arange(width) < kept[:, None]
    ragged = {}
    for name, tensor in inputs.items():
        wide = torch.nn.functional.pad(tensor.repeat(2, 1), (0, max(0, width - tensor.shape[1])))[:, :width]
        ragged[name] = wide.masked_fill(~real, pad_token_id if name == "input_ids" else 0)
    return ragged
