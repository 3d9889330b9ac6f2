"""Pruning without retraining by Kwon et al. 2022 (arXiv:2204.09656): mask search, rearrangement and mask tuning.

The counts per block are given, so all that is left of their search is to take the best units of each block. The rest
follows the paper and the authors' code (github.com/WoosukKwon/retraining-free-pruning, prune/ and utils/linalg.py),
with these differences:
- Gradients are per example, not per mini-batch, so the result does not depend on the batch size.
- Least squares problems are solved exactly, in float64, where they run LSMR in float32. So only scales out of bounds
  (see `MOST`) end the tuning, and never an LSMR that does not converge.
- The teacher is the dense model, as in the paper; their code takes one pruned to the square root of the target ratio.
- A single neuron is damped in the same way as several. The shift of attention blocks (see `_System`) is not damped, and
  there is none where no layer norm follows (MobileBERT).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from aebert.models.counting import shape_of
from aebert.models.embedding import reads_first_token
from aebert.progress import SILENT, Progress
from aebert.pruning.architecture import Architecture
from aebert.pruning.criteria import Batches, Calibration, frozen, mask_gradients
from aebert.pruning.lockstep import DenseStates, Lockstep
from aebert.pruning.slicing import Selection, extract

MOST = 10.0  # a scale beyond ±10 ends the tuning (prune/rescale.py)
DAMPING = 1.0  # of the normal equations (utils/linalg.py)


def rearrange(gradients: np.ndarray, keep: int) -> tuple[int, ...]:
    """The `keep` units of a block that stay after greedy rearrangement, ascending. gradients: [examples, units].

    The aim is the set of removed units whose summed gradient has the smallest square, summed over examples: the rise of
    the loss under a block-diagonal Fisher. It starts from the units of least diagonal Fisher. Then each kept unit in
    turn, the worst first, joins the removed ones, and the removed unit whose return lowers the sum most comes back
    (among equals, the one removed longest).
    Source: section 4.2 and prune/rearrange.py; here on the Gram matrix, O(units) per exchange, in float64.
    """
    units = gradients.shape[1]
    if keep in (0, units):
        return tuple(range(keep))
    gram = gradients.T.astype(np.float64) @ gradients.astype(np.float64)
    order = np.argsort(-gram.diagonal(), kind="stable")[::-1]
    removed = order[: units - keep]
    overlap = gram[:, removed].sum(1)  # of each unit with the sum over the removed ones
    for unit in order[units - keep :]:
        removed = np.append(removed, unit)
        overlap += gram[:, unit]
        # |sum - g|² = |sum|² - 2 sum·g + |g|²
        place = np.argmin(gram.diagonal()[removed] - 2 * overlap[removed])
        overlap -= gram[:, removed[place]]
        removed = np.delete(removed, place)
    return tuple(int(unit) for unit in np.setdiff1d(np.arange(units), removed))


class KwonPruner:
    """Makes tuned sub-networks of a dense model; what does not depend on the architecture is computed once."""

    def __init__(self, model: PreTrainedModel, calibration: Calibration, progress: Progress = SILENT) -> None:
        """Compute all mask gradients. Raises: DataError when the calibration has no rows."""
        self._model = model
        self._batches = calibration.batches
        parts = zip(*mask_gradients(model, calibration, progress), strict=True)
        self._gradients = [torch.cat(part).float().numpy() for part in parts]  # [examples, units] per block

    def select(self, architecture: Architecture) -> Selection:
        """The units to keep. Raises: ConfigError when the architecture does not fit the model."""
        architecture.check(shape_of(self._model))
        counts = (*architecture.heads, *architecture.ffn)
        kept = [rearrange(part, count) for part, count in zip(self._gradients, counts, strict=True)]
        return Selection(tuple(kept[: len(architecture.heads)]), tuple(kept[len(architecture.heads) :]))

    def __call__(self, architecture: Architecture, *, share_weights: bool = False) -> PreTrainedModel:
        """A sub-network as `extract` gives, its output projections' columns multiplied by the tuned scales.

        The calibration rows run once through the dense model and about 2.5 times through the small one. The dense model
        is left as found.
        Raises: ConfigError when the architecture does not fit the model.
        """
        small = extract(self._model, self.select(architecture), share_weights=share_weights)
        tune(self._model, small, self._batches)
        return small


def tune(dense: PreTrainedModel, small: PreTrainedModel, batches: Batches) -> None:
    """Scale the units of a sub-network of `dense`, in place, so that its blocks come closer to the dense model's.

    Block by block in the order of the forward pass, the sum of block and residual is brought near the dense model's, in
    least squares over all tokens but padding. The block's input is what the blocks before it, already tuned, really
    give. As in the authors' code, the first attention block is left alone, and the FFN blocks of the last layer are
    tuned on the first token alone where the task head reads nothing else. The first block with a scale that is not
    finite or is beyond ±10 ends the tuning: that block and all after it stay as they are.
    Memory: for all rows, the input of one layer in both models and the dense model's sums in it.
    Source: section 4.3 and prune/rescale.py.
    """
    with frozen(dense), frozen(small), torch.no_grad():
        pair = _Pair(dense, small, batches)
        all(pair.tune(index) for index in range(len(pair.steps.layers)))  # ends at the first that returns False


class _Pair:
    """Tunes a sub-network layer by layer, in lockstep with the dense model."""

    def __init__(self, dense: PreTrainedModel, small: PreTrainedModel, batches: Batches) -> None:
        self.steps = Lockstep(DenseStates(dense, batches, most=0), small)
        self._reads_first_token = reads_first_token(small)

    def tune(self, index: int) -> bool:
        """Scale the units of one layer and run it in both models; returns False when the tuning has to end."""
        self.steps.enter()
        for place, site in enumerate(self.steps.layers[index].sites):
            if index == place == 0 or site.output.in_features == 0:
                continue
            scales = self._scales(index, place)
            if not scales.isfinite().all() or scales.abs().max() > MOST:
                return False
            site.output.weight.mul_(scales.repeat_interleave(site.size))
        self.steps.leave(index)
        return True

    def _scales(self, index: int, place: int) -> torch.Tensor:
        site = self.steps.layers[index].sites[place]
        first_only = self._reads_first_token and place > 0 and index == len(self.steps.layers) - 1
        system = _System(site.output.weight, site.size, shifts=place == 0 and isinstance(site.norm, nn.LayerNorm))
        for inputs, missing, real in self.steps.pairs(index, place):
            wanted = real & (torch.arange(real.shape[1]) == 0) if first_only else real
            system.add(inputs[wanted], missing[wanted])
        return system.solve()


class _System:
    """Normal equations of one block's scales, in float64: least squares without the matrix of all contributions.

    Unit u adds scale_u X_u W_uᵀ to the block's output, with X_u [tokens, size] and W_u [hidden, size]. The scalar
    product of what two units add is the sum over their rows of (XᵀX) * (WᵀW).
    shifts: the sum may miss its target by a number that is the same for all tokens and features, since the layer norm
      after it removes that. The authors allow it for attention blocks, in the form of a column of ones.
    """

    def __init__(self, weight: torch.Tensor, size: int, *, shifts: bool) -> None:
        self._weight, self._size, self._shifts = weight.double(), size, shifts  # [hidden, units * size]
        zeros = self._weight.new_zeros
        self._inputs = zeros(weight.shape[1], weight.shape[1])  # XᵀX
        self._missing = zeros(weight.shape[1])  # per row, the product of what it adds and what is missing
        self._sums = zeros(weight.shape[1])  # per row, the sum of what it adds
        self._missing_sum, self._count = 0.0, 0

    def add(self, inputs: torch.Tensor, missing: torch.Tensor) -> None:
        """Add tokens: inputs [tokens, units * size] of the output projection, missing [tokens, hidden]."""
        inputs, missing = inputs.double(), missing.double()
        self._inputs += inputs.T @ inputs
        self._missing += (inputs * (missing @ self._weight)).sum(0)
        self._sums += inputs.sum(0) * self._weight.sum(0)
        self._missing_sum += float(missing.sum())
        self._count += missing.numel()

    def solve(self) -> torch.Tensor:
        """Scales [units], float32; all are 1 when nothing is missing.

        With G the Gram matrix of the units and b their products with what is missing, `scale - 1` minimises
        |G d - b|² + |d|², as the authors damp the normal equations: d = (G² + 1)⁻¹ G b, the real part of (G + i)⁻¹ b.
        """
        units = len(self._sums) // self._size
        gram = self._inputs * (self._weight.T @ self._weight)
        gram = gram.reshape(units, self._size, units, self._size).sum((1, 3))
        right = self._missing.reshape(units, -1).sum(1)
        if self._shifts:
            sums = self._sums.reshape(units, -1).sum(1)
            gram = gram - torch.outer(sums, sums) / self._count
            right = right - sums * self._missing_sum / self._count
        damped = torch.complex(gram, DAMPING * torch.eye(units, dtype=torch.float64))
        change: torch.Tensor = torch.linalg.solve(damped, right.to(torch.complex128)).real
        return (1.0 + change).float()
