"""Sequential repair: output projections fitted once more, to the inputs that the pruned blocks before them produce."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from operator import itemgetter
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from aebert.errors import DataError
from aebert.models.embedding import reads_first_token
from aebert.progress import SILENT, Progress
from aebert.pruning.criteria import Batches, frozen
from aebert.pruning.lockstep import DenseStates, Layer, Lockstep, layers_of
from aebert.pruning.moments import EVEN

# Strengths of damping that are tried, as shares of the mean of the moments' diagonal, and the parts of the rows that
# each is tried on in turn.
DAMPINGS = (0.01, 0.03, 0.1, 0.3, 1.0, 10.0)
FOLDS = 4
# Random combinations of the outputs that the errors of dampings are estimated on: all outputs would take most of the
# time of a repair.
PROBES = 32


def repair_sequentially(
    dense: PreTrainedModel,
    small: PreTrainedModel,
    batches: Batches,
    progress: Progress = SILENT,
    known: Sequence[PreTrainedModel] = (),
    states: DenseStates | None = None,
) -> None:
    """Refit every output projection of `small` in place, in the order of the forward pass; labels are not read.

    A block of the dense model adds y = W x + b to its residual stream h; the pruned one adds W' x' + b' to its own h'.
    W' and b' are the least-squares solution that brings h' + W' x' + b' nearest to h + y over the real tokens of the
    calibration rows, so they also make up for what the blocks before have lost. In the last layer of a model that reads
    only the first token, as sequence classifiers do, that token has all the weight but `EVEN`. Damping pulls towards
    the weights as they are. Its strength is cross-validated for each block (`DAMPINGS`, `FOLDS` parts of the rows),
    since few or short rows can't say more of a wide block: there, fitting them freely makes other rows worse. The
    errors that decide are estimated by `PROBES` random signs over the outputs (Hutchinson 1990, Communications in
    Statistics 19:2).
    A block without units has its bias fitted. The calibration rows run once through the dense model and about 2.5 times
    through the small one. The dense model is left as it is.

    known: sub-networks out of the same library, repaired with the same rows. The first layers, as far as one of them
      has the same ones, are taken over instead of fitted. states: of the dense model on these rows, if they are there.
    Raises: DataError when there is no row.
    """
    if not batches:
        raise DataError("repair needs at least one calibration row, got none: check data.roles and data.limits")
    with frozen(dense), frozen(small), torch.no_grad():
        steps, taken = Lockstep(states or DenseStates(dense, batches), small), _take_over(small, known)
        with progress.bar("repair", len(steps.layers)) as bar:
            for index, layer in enumerate(steps.layers):
                steps.enter()
                first = index == len(steps.layers) - 1 and reads_first_token(small)
                for place, site in enumerate(layer.sites if index >= taken else ()):
                    _refit(site.output, _moments(site.output, steps.pairs(index, place), first))
                steps.leave(index)
                bar.advance()


def _take_over(small: PreTrainedModel, known: Sequence[PreTrainedModel]) -> int:
    """Take over the output projections of the first layers that a known sub-network shares; return how many layers."""
    mine = layers_of(small)
    found = [(_shared(mine, layers_of(one)), one) for one in known]
    shared, nearest = max(found, key=itemgetter(0), default=(0, small))
    for layer, theirs in zip(mine[:shared], layers_of(nearest), strict=False):
        for site, other in zip(layer.sites, theirs.sites, strict=True):
            site.output.load_state_dict(other.output.state_dict())
    return shared


def _shared(mine: Sequence[Layer], theirs: Sequence[Layer]) -> int:
    """How many of the first layers have the same units: all that repair leaves alone is equal in them."""
    alike = (_are_alike(*pair) for pair in zip(mine, theirs, strict=True))
    return sum(1 for _ in takewhile(bool, alike))


def _are_alike(mine: Layer, theirs: Layer) -> bool:
    fitted = {id(p) for layer in (mine, theirs) for site in layer.sites for p in site.output.parameters()}
    pairs = zip(mine.module.parameters(), theirs.module.parameters(), strict=True)
    return all(one.shape == other.shape and (id(one) in fitted or one.equal(other)) for one, other in pairs)


@dataclass
class _Sums:
    """Sums over the tokens of some rows, in float64: what a block's least squares needs of them.

    gram [inputs + 1, inputs + 1]: of [x', 1] [x', 1]ᵀ. cross [out, inputs + 1]: of r [x', 1]ᵀ, where r is what the
    pruned stream lacks.
    """

    gram: torch.Tensor
    cross: torch.Tensor

    def without(self, part: _Sums) -> _Sums:
        """The sums over the other rows."""
        return _Sums(self.gram - part.gram, self.cross - part.cross)

    def of_outputs(self, mixed: torch.Tensor) -> _Sums:
        """The same for combinations [some, out] of the outputs."""
        return _Sums(self.gram, mixed @ self.cross)

    def change(self, step: torch.Tensor) -> float:
        """By how much a step [out, inputs + 1] changes the sum of r²."""
        return float(((step @ self.gram - 2 * self.cross) * step).sum())


def _moments(output: Any, pairs: Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]], first: bool) -> list[_Sums]:
    """Sums over each of `FOLDS` parts of the rows.

    first: whether nearly all weight is on the first token of each row.
    """
    size, out = output.in_features + 1, output.out_features
    found = [
        _Sums(torch.zeros(size, size, dtype=torch.float64), torch.zeros(out, size, dtype=torch.float64))
        for _ in range(FOLDS)
    ]
    rows = 0
    for inputs, missing, real in pairs:
        weights, fold = _weights(real, first), (rows + torch.arange(len(real))) % FOLDS
        rows += len(real)
        for part, sums in enumerate(found):
            chosen = real & (fold == part)[:, None]
            design = nn.functional.pad(inputs[chosen], (0, 1), value=1.0)
            weighted = design * weights[chosen][:, None]
            sums.gram += (weighted.T @ design).double()
            sums.cross += (missing[chosen].T @ weighted).double()
    return found


def _weights(real: torch.Tensor, first: bool) -> torch.Tensor:
    """Weights of a batch's tokens [batch, seq], which are 1 on average over the real tokens."""
    weights = torch.ones(real.shape)
    if first:
        weights[:] = EVEN
        weights[:, 0] += (1 - EVEN) * real.sum() / len(real)
    return weights


def _refit(output: Any, folds: Sequence[_Sums]) -> None:
    total = folds[0]
    for part in folds[1:]:
        total = _Sums(total.gram + part.gram, total.cross + part.cross)
    if len(total.gram) == 1:
        output.bias += (total.cross[:, 0] / total.gram[0, 0]).to(output.bias)
        return
    step = _step(total, _best_damping(total, folds))
    output.weight += step[:, :-1].to(output.weight)
    output.bias += step[:, -1].to(output.bias)


def _best_damping(total: _Sums, folds: Sequence[_Sums]) -> float:
    """The damping whose steps, each found on the other rows, leave the least error on a part of them; of equals, the
    strongest.
    """
    mixed = _probes(len(total.cross))
    parts = [part.of_outputs(mixed) for part in folds]
    rest = [(total.of_outputs(mixed).without(part), part) for part in parts]
    changes = {damping: sum(part.change(_step(others, damping)) for others, part in rest) for damping in DAMPINGS}
    return min(sorted(changes, reverse=True), key=changes.__getitem__)


def _probes(outputs: int) -> torch.Tensor:
    """Combinations [`PROBES`, outputs] whose squares add up to those of all outputs on average; or the outputs."""
    if outputs <= PROBES:
        return torch.eye(outputs, dtype=torch.float64)
    signs = torch.randint(2, (PROBES, outputs), generator=torch.Generator().manual_seed(0))
    return (2 * signs - 1).double()


def _step(sums: _Sums, damping: float) -> torch.Tensor:
    """The change [out, inputs + 1] of weights and bias that leaves the least error; the bias is free."""
    inputs = len(sums.gram) - 1
    if not sums.gram[-1, -1] > 0:  # no row
        return torch.zeros_like(sums.cross)
    scale = float(sums.gram.diagonal()[:-1].mean()) or 1.0  # if all inputs are 0, as ReLU may leave them, any will do
    added = torch.full((inputs + 1,), damping * scale, dtype=torch.float64)
    added[-1] = 0.0
    factor = torch.linalg.cholesky(sums.gram + added.diag())
    return torch.cholesky_solve(sums.cross.T, factor).T
