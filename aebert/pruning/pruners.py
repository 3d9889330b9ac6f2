"""Ways to make the sub-network of an architecture from a dense model, all called alike."""

from __future__ import annotations

from typing import Protocol

from transformers import PreTrainedModel

from aebert.errors import ConfigError
from aebert.pruning.architecture import Architecture
from aebert.pruning.criteria import CRITERIA, Importance, select
from aebert.pruning.slicing import extract
from aebert.registry import nearest

REPAIRING = ("library", "kwon")  # methods that also change weights; the others are criteria


def check_method(name: str) -> None:
    """Raise `ConfigError` for a name that is no pruning method."""
    known = [*REPAIRING, *CRITERIA]
    if name not in known:
        hint = nearest(name, known)
        raise ConfigError(f"pruning.method must be one of {', '.join(known)}, got {name!r}{hint}")


class Pruner(Protocol):
    """From how many units each block keeps to the smaller model: which units, and with which weights."""

    def __call__(self, architecture: Architecture, *, share_weights: bool = False) -> PreTrainedModel:
        """The sub-network, in eval mode; share_weights as of `aebert.pruning.slicing.extract`."""


class CriterionPruner:
    """Keeps the units with the highest importance; weights stay as they are."""

    def __init__(self, model: PreTrainedModel, importance: Importance) -> None:
        self._model, self._importance = model, importance

    def __call__(self, architecture: Architecture, *, share_weights: bool = False) -> PreTrainedModel:
        """The sub-network."""
        return extract(self._model, select(self._importance, architecture), share_weights=share_weights)
