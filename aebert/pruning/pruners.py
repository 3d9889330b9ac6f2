"""Pruning methods: ways to make the sub-network of an architecture from a dense model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from transformers import PreTrainedModel

from aebert.errors import ConfigError
from aebert.models.counting import shape_of
from aebert.models.shape import ModelShape
from aebert.progress import Progress
from aebert.pruning.architecture import Architecture
from aebert.pruning.criteria import CRITERIA, LABEL_FREE, Calibration, Importance, select
from aebert.pruning.kwon import KwonPruner
from aebert.pruning.library import BlockLibrary
from aebert.pruning.masks import MagnitudeMasks, matrix_shape
from aebert.pruning.slicing import extract
from aebert.registry import Registry, nearest


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


class Ingredients(Protocol):
    """What a method may build on besides the dense model; each part is made when it is first asked for."""

    @property
    def calibration(self) -> Calibration:
        """Calibration rows in batches."""

    @property
    def library(self) -> BlockLibrary:
        """The block library."""

    def importance(self, criterion: str, /) -> Importance:
        """A score for every unit, by a criterion."""


Ground = Literal["library", "calibration", "importance", "weights"]


@dataclass(frozen=True)
class PruningMethod:
    """One way to prune.

    built_on: what its sub-networks follow from, together with the dense model: the block library, the calibration rows,
      the scores of the criterion of the same name, or nothing but the weights. A run that is resumed asks whether that
      is still the same.
    uses_labels: whether labels of the calibration rows are read.
    make: a pruner for a dense model, which it does not change.
    shape: the units that it counts: heads and neurons, or single weights.
    """

    built_on: Ground
    uses_labels: bool
    make: Callable[[PreTrainedModel, Ingredients, Progress], Pruner]
    shape: Callable[[PreTrainedModel], ModelShape] = shape_of

    @property
    def is_unstructured(self) -> bool:
        """Whether single weights become zeros, instead of units being removed."""
        return self.shape is matrix_shape


METHODS: Registry[PruningMethod] = Registry("pruning method")  # besides criteria, each of which is a method too
METHODS.add("library", PruningMethod("library", False, lambda model, parts, progress: parts.library))
METHODS.add(
    "kwon",
    PruningMethod("calibration", True, lambda model, parts, progress: KwonPruner(model, parts.calibration, progress)),
)
METHODS.add(
    "magnitude-unstructured",
    PruningMethod("weights", False, lambda model, parts, progress: MagnitudeMasks(model), matrix_shape),
)


def method_names() -> list[str]:
    """All values of `pruning.method`."""
    return [*METHODS, *CRITERIA]


def pruning_method(name: str) -> PruningMethod:
    """The method of that name. Raises: ConfigError for a name that is neither a method's nor a criterion's."""
    if name in METHODS:
        return METHODS[name]
    if name in CRITERIA:
        uses_labels = name not in LABEL_FREE
        return PruningMethod(
            "importance", uses_labels, lambda model, parts, progress: CriterionPruner(model, parts.importance(name))
        )
    known = method_names()
    raise ConfigError(f"pruning.method must be one of {', '.join(known)}, got {name!r}{nearest(name, known)}")
