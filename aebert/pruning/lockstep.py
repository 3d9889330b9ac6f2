"""A dense model and one of its sub-networks, run layer by layer on the same rows, each on its own states."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from aebert.models.families import Block, family_of
from aebert.pruning.criteria import Batches


@dataclass(frozen=True)
class Site:
    """A block where both models are compared: its output projection, the norm that follows, and rows per unit."""

    output: Any
    norm: nn.Module
    size: int


@dataclass(frozen=True)
class Layer:
    """An encoder layer and its sites: attention, then the FFNs."""

    module: nn.Module
    sites: tuple[Site, ...]


@dataclass
class Rows:
    """One batch on its way through the layers of both models.

    dense, small: states between two layers [batch, seq, hidden]. args, kwargs: what else a layer takes. real
    [batch, seq]: which tokens are not padding. targets: sums of block and residual in the dense model's current layer.
    """

    dense: torch.Tensor
    small: torch.Tensor
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    real: torch.Tensor
    targets: list[torch.Tensor] = field(default_factory=list)


class _Stop(Exception):
    """Raised by a hook to end a forward pass that has shown what it was run for."""


class Lockstep:
    """The two models in front of a layer.

    It holds, for all rows, the input of one layer in both models and the dense model's sums in that layer. Each layer
    of the dense model runs once.
    """

    def __init__(self, dense: PreTrainedModel, small: PreTrainedModel, batches: Batches) -> None:
        self.layers = list(zip(layers_of(dense), layers_of(small), strict=True))
        self._batches = [_enter(dense, self.layers[0][0].module, batch) for batch in batches]

    def enter(self, index: int) -> None:
        """Run the dense model through the next layer, and keep the sums that go into its norms."""
        for batch in self._batches:
            _run_dense(self.layers[index][0], batch)

    def pairs(self, index: int, place: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """What each batch shows at one site of the sub-network as it is now.

        Yields the inputs of the output projection [batch, seq, inputs], the dense model's sum of block and residual
        minus the sub-network's [batch, seq, hidden], and which tokens are real [batch, seq].
        """
        small = self.layers[index][1]
        for batch in self._batches:
            inputs, found = _run_small(small, small.sites[place], batch)
            yield inputs, batch.targets[place] - found, batch.real

    def leave(self, index: int) -> None:
        """Run the sub-network through the layer too."""
        for batch in self._batches:
            batch.small = self.layers[index][1].module(batch.small, *batch.args, **batch.kwargs)


def layers_of(model: PreTrainedModel) -> list[Layer]:
    """The encoder layers of a model and their sites."""
    family = family_of(model.config)
    attention, ffn, head_size = family.attention_blocks(model), family.ffn_blocks(model), family.head_size(model.config)
    each = len(ffn) // len(attention)
    return [
        Layer(module, (_site(first, head_size), *(_site(block, 1) for block in ffn[index * each :][:each])))
        for index, (module, first) in enumerate(zip(family.encoder_layers(model), attention, strict=True))
    ]


def _site(block: Block, size: int) -> Site:
    return Site(block.output.module, block.norm.module, size)


def _enter(model: PreTrainedModel, first: nn.Module, batch: dict[str, torch.Tensor]) -> Rows:
    """A batch in front of the first layer, the same for both models, since pruning does not touch the embeddings."""
    seen: list[Any] = []

    def stop(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.extend((args, kwargs))
        raise _Stop

    handle = first.register_forward_pre_hook(stop, with_kwargs=True)
    with suppress(_Stop):
        try:
            model(**{name: tensor for name, tensor in batch.items() if name != "labels"})
        finally:
            handle.remove()
    (hidden, *args), kwargs = seen
    return Rows(hidden, hidden, tuple(args), kwargs, batch["attention_mask"].bool())


def _run_dense(layer: Layer, batch: Rows) -> None:
    """Run the dense model through one layer, and keep the sums that go into its norms."""
    sums: dict[nn.Module, torch.Tensor] = {}
    with _hooked([site.norm for site in layer.sites], lambda module, inputs: sums.update({module: inputs[0]})):
        batch.dense = layer.module(batch.dense, *batch.args, **batch.kwargs)
    batch.targets = [sums[site.norm] for site in layer.sites]


def _run_small(layer: Layer, site: Site, batch: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs of a block's output projection, and the sum that goes into the norm after it, where the run ends."""
    seen: list[torch.Tensor] = []

    def look(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(inputs[0])
        if module is site.norm:
            raise _Stop

    with _hooked([site.output, site.norm], look), suppress(_Stop):
        layer.module(batch.small, *batch.args, **batch.kwargs)
    inputs, total = seen
    return inputs, total


@contextmanager
def _hooked(modules: Iterable[nn.Module], hook: Callable[[nn.Module, tuple[Any, ...]], None]) -> Iterator[None]:
    """Inside the block, `hook` sees the inputs of these modules."""
    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_pre_hook(hook).remove)
        yield
