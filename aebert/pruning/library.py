"""The block library: every block at every width, repaired once, so that a candidate is assembled by look-up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import PreTrainedModel

from aebert.errors import ModelError
from aebert.files import replacing
from aebert.models.families import Block, family_of
from aebert.progress import SILENT, Progress
from aebert.pruning.architecture import Architecture
from aebert.pruning.criteria import Batches
from aebert.pruning.moments import Moments, collect_moments
from aebert.pruning.removal import GROUP, repair_widths
from aebert.pruning.slicing import Selection, extract

# Each pass over the calibration rows collects the moments of as many blocks as fit into this: one pass for BERT-base, a
# few for BERT-large.
MOMENTS_BYTES = 1 << 30


@dataclass(frozen=True)
class LibrarySettings:
    """What a library depends on besides the dense model and the calibration rows.

    weighted: weigh tokens and output directions by their effect on the logits (see `collect_moments`).
    inputs: digest of all that it is built from; files with another digest are built again.
    """

    weighted: bool
    seed: int
    inputs: str


def build_library(
    model: PreTrainedModel,
    batches: Batches,
    widths: Sequence[Sequence[int]],
    folder: Path,
    settings: LibrarySettings,
    progress: Progress = SILENT,
) -> list[str]:
    """Build what is missing of the library in `folder`, one safetensors file per block; return warnings.

    widths: for each block the numbers of units that it may keep, attention blocks first. A build that was stopped goes
    on after the last finished block. Memory: `MOMENTS_BYTES` for moments, twice the largest block's moments, and one
    block of the library.
    """
    blocks = family_of(model.config).blocks(model)
    missing = [index for index in range(len(blocks)) if not _is_built(folder, index, settings.inputs)]
    notes: list[str] = []
    for part in _parts(missing, [8 * block.output.module.in_features**2 for block, _ in blocks]):
        chosen = [blocks[index][0] for index in part]
        weighted, seed = settings.weighted, settings.seed
        moments = collect_moments(model, chosen, batches, weighted=weighted, seed=seed, progress=progress)
        notes += [] if notes else _warnings(moments)
        with progress.bar("library", len(part)) as bar:
            for index, known in zip(part, moments, strict=True):
                _build_block(*blocks[index], known, widths[index], _file(folder, index), settings.inputs)
                bar.advance()
    return notes


def _file(folder: Path, index: int) -> Path:
    return folder / f"block-{index:03}.safetensors"


def _is_built(folder: Path, index: int, inputs: str) -> bool:
    try:
        with safe_open(_file(folder, index), framework="pt") as file:
            return bool((file.metadata() or {}).get("inputs") == inputs)
    except (OSError, SafetensorError):
        return False


def _parts(indices: Sequence[int], sizes: Sequence[int]) -> Iterator[list[int]]:
    """Groups of blocks whose moments fit into memory together, each of at least one block."""
    part: list[int] = []
    for index in indices:
        if part and sum(sizes[other] for other in part) + sizes[index] > MOMENTS_BYTES:
            yield part
            part = []
        part.append(index)
    if part:
        yield part


def _warnings(moments: Sequence[Moments]) -> list[str]:
    tokens, most = moments[0].tokens, max(len(known.mean) for known in moments)
    if tokens >= most:
        return []
    return [
        f"calibration has {tokens} tokens for blocks of up to {most} units: the repair is held back by damping; "
        "raise pruning.calibration_rows"
    ]


def _build_block(block: Block, size: int, moments: Moments, widths: Sequence[int], path: Path, inputs: str) -> None:
    output = block.output.module
    units = output.in_features // size
    tensors: dict[str, torch.Tensor] = {}
    errors: list[tuple[int, float]] = []
    if units:
        group = 1 if size > 1 else GROUP  # there are few heads, and each is large
        weight, bias = output.weight.detach(), output.bias.detach()
        for entry in repair_widths(weight, bias, moments, {*widths, units, 0}, size=size, group=group):
            width = len(entry.units)
            errors.append((width, entry.error))
            tensors[f"units.{width}"] = torch.tensor(entry.units, dtype=torch.int32)
            tensors[f"bias.{width}"] = entry.bias.float()
            if 0 < width < units:
                # half precision: its rounding is far below what the removal lost
                tensors[f"weight.{width}"] = entry.weight.half()
    tensors["widths"] = torch.tensor([width for width, _ in errors], dtype=torch.int32)
    tensors["errors"] = torch.tensor([error for _, error in errors], dtype=torch.float64)
    with replacing(path) as written:
        save_file(tensors, written, metadata={"inputs": inputs})


class BlockLibrary:
    """A built library, memory-mapped. It is a pruner, which makes the repaired sub-network of an architecture.

    errors: per block {width: expected squared change of the logits}, in a unit that is the same for all blocks.
    """

    def __init__(self, model: PreTrainedModel, folder: Path) -> None:
        self._model = model
        count = len(family_of(model.config).blocks(model))
        self._files = [_open(_file(folder, index)) for index in range(count)]
        self.errors = tuple(_errors(file) for file in self._files)

    def __call__(self, architecture: Architecture, *, share_weights: bool = False) -> PreTrainedModel:
        """The sub-network with the units that the library keeps, and its repaired output projections.

        share_weights: as in `extract`. Raises: ModelError for a width that the library was not built for.
        """
        attention = len(architecture.heads)
        kept = [self._units(index, width) for index, width in enumerate(_widths(architecture))]
        selection = Selection(tuple(kept[:attention]), tuple(kept[attention:]))
        small = extract(self._model, selection, share_weights=share_weights)
        for index, (block, size) in enumerate(family_of(small.config).blocks(small)):
            self._repair(index, block, len(kept[index]), block.output.module.in_features // size)
        return small

    def _units(self, index: int, width: int) -> tuple[int, ...]:
        name = f"units.{width}"
        if width not in self.errors[index]:
            if width == 0:
                return ()
            known = ", ".join(map(str, sorted(self.errors[index])))
            raise ModelError(f"block {index} must have a width of the library's grid ({known}), got {width}")
        return tuple(self._files[index].get_tensor(name).tolist())

    def _repair(self, index: int, block: Block, width: int, kept: int) -> None:
        full = max(self.errors[index], default=0)
        if width == full:  # dense: nothing was lost
            return
        output = block.output.module
        if kept:
            output.weight = torch.nn.Parameter(self._files[index].get_tensor(f"weight.{width}").float())
        output.bias = torch.nn.Parameter(self._files[index].get_tensor(f"bias.{width}").clone())


def _widths(architecture: Architecture) -> tuple[int, ...]:
    return (*architecture.heads, *architecture.ffn)


def _open(path: Path) -> Any:
    try:
        file = safe_open(path, framework="pt")
        file.get_tensor("errors")  # type: ignore[no-untyped-call]  # an intact file may be another program's
        return file
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"block library {path} must be readable ({error}): delete the file, it is built again"
        ) from None


def _errors(file: Any) -> dict[int, float]:
    widths, errors = file.get_tensor("widths").tolist(), file.get_tensor("errors").tolist()
    return dict(zip(widths, errors, strict=True))


def error_table(library: BlockLibrary, widths: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """Errors of every block at its allowed widths, [widths] each; the knapsack of the first trials minimises them."""
    return [
        np.array([errors.get(width, 0.0) for width in allowed])
        for errors, allowed in zip(library.errors, widths, strict=True)
    ]
