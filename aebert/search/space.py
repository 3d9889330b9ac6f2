"""Search spaces: which widths each block may have."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from aebert.errors import ConfigError
from aebert.files import expand_user
from aebert.models.shape import ATTENTION_MATRICES, MatrixShape, ModelShape
from aebert.pruning.architecture import Architecture
from aebert.registry import nearest
from aebert.sections import Section, check, read_yaml


class Range(Section):
    """Widths of one kind of block. min: fewest units (`all`: never pruned); step: grid from there up to all units."""

    min: Annotated[int, Field(ge=0)] | Literal["all"] = 0
    step: Annotated[int, Field(ge=1)] = 1


class WeightRange(Section):
    """Weights that unstructured pruning keeps of a matrix. min: least share; levels: from there up to all weights."""

    min: Annotated[float, Field(ge=0, lt=1)] = 0.0
    levels: Annotated[int, Field(ge=1, le=4096)] = 256


class SearchSpace(Section):
    """A YAML file of `search_spaces/`. per: one preference per `block`, or one per `layer` that its blocks share.

    heads, ffn: units that are removed. weights: of methods that set single weights to zero, where a block is a matrix.
    """

    source: str
    heads: Range = Range()
    ffn: Range = Range(step=32)
    weights: WeightRange = WeightRange()
    per: Literal["block", "layer"] = "block"


def space_folder() -> Path:
    """The folder of the named spaces: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "search_spaces"
    return inside if inside.is_dir() else package.parent / "search_spaces"


def load_space(name: str) -> SearchSpace:
    """Load a space by its name or by the path of a YAML file."""
    path = expand_user(name) if name.endswith((".yaml", ".yml")) else space_folder() / f"{name}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in space_folder().glob("*.yaml"))
        hint = nearest(name, known)
        raise ConfigError(f"search space {name!r} does not exist{hint}; known: {', '.join(known)}, or a .yaml file")
    return check(SearchSpace, read_yaml(path, "search space"), str(path))


@dataclass(frozen=True)
class Grid:
    """Allowed widths of every block, attention blocks first: `low`, `low + step`, … and `full`, as arrays [blocks].

    preference: index of the preference that each block follows; names: what the study database calls each preference.
    exact: whether a block may stop between two levels, so that a budget is met to the unit.
    """

    low: np.ndarray
    step: np.ndarray
    full: np.ndarray
    preference: np.ndarray
    names: tuple[str, ...]
    attention_blocks: int
    exact: bool = False

    def widths(self, levels: np.ndarray) -> np.ndarray:
        """Width of each block at its level: `low` at level 0, and `full` at the last, even if that step is smaller."""
        widths: np.ndarray = np.minimum(self.low + levels * self.step, self.full)
        return widths

    @property
    def last(self) -> np.ndarray:
        """Highest level of each block."""
        last: np.ndarray = -(-(self.full - self.low) // self.step)
        return last

    @cached_property
    def ladder(self) -> np.ndarray:
        """Width of each block at each level [blocks, most levels]; a block with fewer levels repeats `full`."""
        return self.widths(np.arange(self.last.max() + 1)[:, None]).T

    @cached_property
    def climbs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every step of a block to its next level, as block, level before, and middle, each [steps].

        middle: share of the block's range, 0..1, above which the upper level is nearer. Sorted by block and level.
        """
        block, level = np.nonzero(np.arange(self.ladder.shape[1] - 1) < self.last[:, None])
        middle = (self.ladder[block, level] + self.ladder[block, level + 1]) / 2
        return block, level, (middle - self.low[block]) / (self.full - self.low)[block]

    @property
    def allowed(self) -> list[list[int]]:
        """The widths that each block may have, ascending."""
        return [row[: last + 1] for row, last in zip(self.ladder.tolist(), self.last.tolist(), strict=True)]

    def levels(self, architecture: Architecture) -> np.ndarray:
        """For each block, the level whose width is nearest to the architecture's; of two as near, the smaller."""
        nearest: np.ndarray = np.abs(self.ladder - self._of(architecture)[:, None]).argmin(axis=1)
        return nearest

    def preferences(self, architecture: Architecture) -> np.ndarray:
        """The preferences [names] that mean this architecture: the share of its range that each block has, 0..1.

        A preference that several blocks follow is the mean of their shares. Blocks with only one width are left out of
        it; a preference without other blocks is 0.
        """
        span = self.full - self.low
        shares = np.clip((self._of(architecture) - self.low) / np.maximum(span, 1), 0.0, 1.0)
        blocks = np.bincount(self.preference, span > 0, len(self.names))
        return np.bincount(self.preference, shares * (span > 0), len(self.names)) / np.maximum(blocks, 1)

    def _of(self, architecture: Architecture) -> np.ndarray:
        widths = np.array([*architecture.heads, *architecture.ffn])
        if len(architecture.heads) != self.attention_blocks or len(widths) != len(self.full):
            raise ValueError(
                f"architecture must have the grid's {len(self.full)} blocks, {self.attention_blocks} of them "
                f"attention, got {len(widths)} and {len(architecture.heads)}"
            )
        return widths

    def architecture(self, levels: np.ndarray) -> Architecture:
        """The architecture with these levels."""
        return self.of_widths(self.widths(levels))

    def of_widths(self, widths: np.ndarray) -> Architecture:
        """The architecture with these widths [blocks]."""
        counts = [int(width) for width in widths]
        return Architecture(tuple(counts[: self.attention_blocks]), tuple(counts[self.attention_blocks :]))


def make_grid(space: SearchSpace, shape: ModelShape) -> Grid:
    """Lay a space over a model. Raises: ConfigError when a block is narrower than the space's min."""
    layers = tuple(f"layer.{layer}" for layer in range(shape.layers))
    full = np.array([*shape.heads, *shape.ffn])
    low, step = _of_weights(space, shape) if isinstance(shape, MatrixShape) else _of_units(space, shape)
    return Grid(
        low=low,
        step=step,
        full=full,
        preference=np.array(shape.block_layers if space.per == "layer" else range(len(full))),
        names=layers if space.per == "layer" else shape.block_names,
        attention_blocks=len(shape.heads),
        exact=isinstance(shape, MatrixShape),
    )


def _of_units(space: SearchSpace, shape: ModelShape) -> tuple[np.ndarray, np.ndarray]:
    """Fewest units of each block, and steps between its widths."""
    kinds = [*((space.heads, full, "heads") for full in shape.heads), *((space.ffn, full, "ffn") for full in shape.ffn)]
    low = [_low(allowed, full, kind) for allowed, full, kind in kinds]
    return np.array(low), np.array([allowed.step for allowed, _, _ in kinds])


def _of_weights(space: SearchSpace, shape: MatrixShape) -> tuple[np.ndarray, np.ndarray]:
    """The same in weights of each matrix. A min of so many heads or neurons is that share of a matrix's weights."""
    units, _ = _of_units(space, shape.physical)
    shares = units / np.array([*shape.physical.heads, *shape.physical.ffn])
    attention = np.repeat(shares[: shape.layers], ATTENTION_MATRICES)
    ffn = np.repeat(shares[shape.layers :], shape.ffn_per_layer // shape.physical.ffn_per_layer)
    full = np.array([*shape.heads, *shape.ffn])
    low = np.ceil(np.maximum(np.concatenate([attention, ffn]), space.weights.min) * full).astype(int)
    return low, np.maximum(-(-(full - low) // space.weights.levels), 1)


def _low(allowed: Range, full: int, kind: str) -> int:
    if allowed.min == "all":
        return full
    if allowed.min > full:
        raise ConfigError(
            f"{kind}.min of the search space must be at most {full}, the model's width, got {allowed.min}"
        )
    return allowed.min
