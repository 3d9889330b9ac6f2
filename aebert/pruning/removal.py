"""Removes the units of one block step by step, and repairs its output projection for their loss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from aebert.pruning.moments import Moments

DAMPING = 0.01  # added to the diagonal of the moments, as a share of its mean
GROUP = 8  # FFN neurons removed per step


@dataclass(frozen=True)
class Repaired:
    """What a block keeps at one width.

    units: those kept, ascending. weight [out, kept inputs], bias [out]: of the repaired output projection, float64.
    error: expected squared change of the block's output, in the metric of the moments' sensitivity.
    """

    units: tuple[int, ...]
    weight: torch.Tensor
    bias: torch.Tensor
    error: float


def repair_widths(
    weight: torch.Tensor,
    bias: torch.Tensor,
    moments: Moments,
    widths: Iterable[int],
    *,
    size: int = 1,
    group: int = GROUP,
    damping: float = DAMPING,
) -> Iterator[Repaired]:
    """Yield the block at each of `widths` (units kept), from the widest to the narrowest.

    weight [out, units * size], bias [out]: of the dense output projection. size: inputs per unit, which is the head
      size for a head and 1 for a neuron. group: units removed per step, the cheapest first; fewer where a width asks
      for it.

    Units are removed greedily by what their removal costs once the remaining weights are corrected for it, as Optimal
    Brain Surgeon does for single weights (Hassibi & Stork 1993) and ZipLM for structures (Kurtic et al. 2023,
    arXiv:2302.04089). With H = E[x xᵀ] + damping, P = H⁻¹ on the units still there, and S the output's sensitivity,
    removing the inputs R costs tr(S W_R (P_RR)⁻¹ W_Rᵀ) and corrects W by −W_R (P_RR)⁻¹ P_R·. The bias takes up the mean
    of what is lost. Damping keeps P finite for constant and dependent units, so rank-deficient moments (from fewer
    tokens than units) are safe.
    """
    dense = weight.double()
    state = _State(dense, moments, size, damping)
    for width in sorted(set(widths), reverse=True):
        state.shrink_to(width, group)
        corrected = bias.double() + dense @ moments.mean - state.weight @ moments.mean[state.inputs]
        yield Repaired(tuple(state.units.tolist()), state.weight.clone(), corrected, max(state.error, 0.0))


class _State:
    """A block that is losing units. Removed units stay in the arrays, as zeros, until `_compact`."""

    def __init__(self, dense: torch.Tensor, moments: Moments, size: int, damping: float) -> None:
        self.weight, self.size = dense.clone(), size
        self.sensitivity = moments.sensitivity
        self.units = torch.arange(dense.shape[1] // size)  # those that are in the arrays
        self.gone = torch.zeros(len(self.units), dtype=torch.bool)
        self.inverse = _damped_inverse(moments, damping)
        self.error = 0.0

    @property
    def inputs(self) -> torch.Tensor:
        """Indices of the inputs in the arrays."""
        return _inputs(self.units, self.size)

    def shrink_to(self, width: int, group: int) -> None:
        """Remove the cheapest units until `width` are left."""
        left = len(self.units)
        while left > width:
            count = min(group, left - width)
            self._remove(torch.topk(self._costs(), count, largest=False).indices)
            left -= count
        self._compact()

    def _costs(self) -> torch.Tensor:
        """What removing each unit alone would cost [units]; infinite for those that are gone."""
        seen = self.sensitivity @ self.weight  # [out, inputs]
        if self.size == 1:
            costs = (seen * self.weight).sum(0) / self.inverse.diagonal()
        else:
            costs = self._group_costs(seen)
        return costs.masked_fill(self.gone, torch.inf)

    def _group_costs(self, seen: torch.Tensor) -> torch.Tensor:
        count, size = len(self.units), self.size
        blocks = self.inverse.reshape(count, size, count, size).diagonal(dim1=0, dim2=2).permute(2, 0, 1).clone()
        blocks[self.gone] = torch.eye(size, dtype=torch.float64)
        weight, seen = (part.reshape(-1, count, size) for part in (self.weight, seen))
        gram = weight.permute(1, 2, 0) @ seen.permute(1, 0, 2)  # [units, size, size]
        costs: torch.Tensor = torch.linalg.solve(blocks, gram).diagonal(dim1=1, dim2=2).sum(1)
        return costs

    def _remove(self, chosen: torch.Tensor) -> None:
        gone = _inputs(chosen, self.size)
        rows = self.inverse[gone]  # P_R·
        factor = torch.linalg.cholesky(rows[:, gone])
        lost = self.weight[:, gone]
        solved = torch.cholesky_solve(lost.T, factor)  # (P_RR)⁻¹ W_Rᵀ
        self.error += float(((self.sensitivity @ lost) * solved.T).sum())
        self.weight.addmm_(solved.T, rows, alpha=-1)
        self.inverse.addmm_(rows.T, torch.cholesky_solve(rows, factor), alpha=-1)
        self.weight[:, gone] = 0.0  # what is left there is rounding
        self.inverse[gone] = 0.0
        self.inverse[:, gone] = 0.0
        self.gone[chosen] = True

    def _compact(self) -> None:
        kept_units = (~self.gone).nonzero().squeeze(1)
        kept = _inputs(kept_units, self.size)
        self.weight = self.weight[:, kept]
        self.inverse = self.inverse[kept][:, kept]
        self.units, self.gone = self.units[kept_units], self.gone[kept_units]


def _damped_inverse(moments: Moments, damping: float) -> torch.Tensor:
    second, rounding = moments.second, 1e-8 * float(moments.mean.square().mean())
    scale = max(float(second.diagonal().mean()), rounding) or 1.0  # all constant: any damping will do
    damped = second + damping * scale * torch.eye(len(second), dtype=torch.float64)
    return torch.cholesky_inverse(torch.linalg.cholesky(damped))


def _inputs(units: torch.Tensor, size: int) -> torch.Tensor:
    return (units[:, None] * size + torch.arange(size)).reshape(-1)
