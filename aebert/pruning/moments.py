"""What the block library knows of a dense model: second moments of inner activations, and how much each matters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from aebert.errors import DataError
from aebert.models.families import Block
from aebert.progress import SILENT, Progress
from aebert.pruning.criteria import Batches, frozen

# Share of the weight that is spread evenly over all tokens. Where only a few tokens reach the output (in the last layer
# of a classifier, the first one), the even part gives the moments full rank.
EVEN = 0.1


@dataclass(frozen=True)
class Moments:
    """Moments of one block over the tokens of the calibration rows, without padding, in float64.

    second [n, n]: mean of x xᵀ, where x [n] is an input of the block's output projection, centred by mean [n].
    sensitivity [out, out]: mean of g gᵀ, where g [out] is the gradient of the model's outputs (logits, in a random
      direction) with respect to the block's output; the identity when nothing is weighted.
    tokens: number of tokens. Each counts by its share of ‖g‖², with `EVEN` of the weight spread evenly.
    """

    second: torch.Tensor
    mean: torch.Tensor
    sensitivity: torch.Tensor
    tokens: int


def collect_moments(
    model: PreTrainedModel,
    blocks: Sequence[Block],
    batches: Batches,
    *,
    weighted: bool,
    seed: int,
    progress: Progress = SILENT,
) -> list[Moments]:
    """Moments of some blocks in one pass over the calibration batches; labels are not read.

    weighted: weigh tokens and output directions by their effect on the logits. One backward pass per batch gives
      g = Jᵀ v for a random v with E[v vᵀ] = I, so g gᵀ is an unbiased estimate of JᵀJ (J: Jacobian of the
      logits), the Gauss-Newton matrix of the squared change of the logits. Otherwise all count the same.
    Memory: a float64 matrix [n, n] per block, and the activations of one batch. The model is left as found.
    Raises: DataError when there is no row.
    """
    if not batches:
        raise DataError("calibration needs at least one row, got none: check data.roles and data.limits")
    sums = [_Sums(block) for block in blocks]
    generator = torch.Generator().manual_seed(seed)
    with frozen(model), progress.bar("calibrate", len(batches)) as bar:
        for batch in batches:
            inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
            real = inputs["attention_mask"].bool()
            with _probed(blocks, weighted) as probes, torch.set_grad_enabled(weighted):
                logits = model(**inputs).logits
                if weighted:
                    _backward(logits, real, generator)
            for one, probe in zip(sums, probes, strict=True):
                one.add(probe, real)
            bar.advance()
    return [one.moments() for one in sums]


def _backward(logits: torch.Tensor, real: torch.Tensor, generator: torch.Generator) -> None:
    """Gradients of the logits in the direction of random signs; for NER, of the logits of real tokens."""
    signs = torch.randint(0, 2, logits.shape, generator=generator).to(logits) * 2 - 1
    if logits.dim() == 3:
        signs = signs * real[..., None]
    if logits.requires_grad:  # not when every block is empty
        (logits * signs).sum().backward()  # type: ignore[no-untyped-call]


class _Probe:
    """What passed through an output projection: its input, and the gradient at its output."""

    def __init__(self, weighted: bool) -> None:
        self.weighted = weighted
        self.x = torch.empty(0)
        self.zero = torch.empty(0)

    def __call__(self, module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor | None:
        self.x = inputs[0].detach()
        if not self.weighted:
            return None
        self.zero = torch.zeros_like(output, requires_grad=True)  # its gradient is that of the output
        return output + self.zero


@contextmanager
def _probed(blocks: Sequence[Block], weighted: bool) -> Iterator[list[_Probe]]:
    probes = [_Probe(weighted) for _ in blocks]
    handles = [block.output.module.register_forward_hook(probe) for block, probe in zip(blocks, probes, strict=True)]
    try:
        yield probes
    finally:
        for handle in handles:
            handle.remove()


class _Sums:
    """Running sums of one block."""

    def __init__(self, block: Block) -> None:
        inner, out = block.output.module.in_features, block.output.module.out_features
        self.second = torch.zeros(inner, inner, dtype=torch.float64)
        self.mean = torch.zeros(inner, dtype=torch.float64)
        self.shift = torch.zeros(inner)
        self.sensitivity = torch.zeros(out, out, dtype=torch.float64)
        self.tokens = 0
        self.weighted = False

    def add(self, probe: _Probe, real: torch.Tensor) -> None:
        """Add a batch. Products are float32, sums over batches float64.

        All values are taken relative to the first batch's mean, since next to a large mean float32 would lose most of
        the variance.
        """
        x = probe.x[real]  # [tokens, n]
        if self.tokens == 0:
            self.shift = x.mean(0)
        x = x - self.shift
        weight = torch.ones(len(x))
        if probe.weighted and probe.zero.grad is not None:
            gradient = probe.zero.grad[real]  # [tokens, out]
            self.sensitivity += (gradient.T @ gradient).double()
            self.weighted = True
            weight = _weights(gradient.square().sum(1))
        self.second += ((x * weight[:, None]).T @ x).double()
        self.mean += (x * weight[:, None]).sum(0).double()
        self.tokens += len(x)

    def moments(self) -> Moments:
        """The means over all tokens."""
        mean = self.mean / self.tokens
        second = self.second / self.tokens - torch.outer(mean, mean)
        sensitivity = self.sensitivity / self.tokens if self.weighted else torch.eye(len(self.sensitivity)).double()
        return Moments((second + second.T) / 2, mean + self.shift, sensitivity, self.tokens)


def _weights(squares: torch.Tensor) -> torch.Tensor:
    """Weights of a batch's tokens, which are 1 on average."""
    total = squares.mean()
    return torch.ones_like(squares) if total == 0 else (1 - EVEN) * squares / total + EVEN
