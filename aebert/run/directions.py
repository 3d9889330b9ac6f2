"""What criteria differentiate where there is no loss: embeddings, along random directions.

A loss against the dense model's own embeddings would say nothing, since its gradient is zero at the dense model. The
Fisher information of a Gaussian around the embedding e is Jᵀ J (J: Jacobian of e), and Jᵀ v with E[v vᵀ] = I is a draw
of its gradients, as Fisher information is the expectation over what the model itself would put out.
Source: Kunstner et al. 2019, arXiv:1905.12558, section 2.2 (sampled Fisher instead of the empirical one).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from aebert.tasks.task import Row


def with_directions(rows: Sequence[Row], hidden: int, seed: int) -> list[Row]:
    """The rows, each of one text, with random signs [1, hidden] as their targets."""
    signs = np.random.default_rng([seed, 2]).integers(0, 2, (len(rows), 1, hidden)).astype(np.float32) * 2 - 1
    return [replace(row, targets=one) for row, one in zip(rows, signs, strict=True)]


def along(embeddings: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """Product [batch] of embeddings and directions [batch, hidden], whose gradient to masks criteria take."""
    return (embeddings * directions).sum(dim=-1)
