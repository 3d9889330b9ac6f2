"""A dense model and one of its sub-networks, run layer by layer on the same rows, each on its own states."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from aebert.models.families import Block, family_of
from aebert.pruning.criteria import Batches, frozen

# Sums of a dense model that are kept for the next sub-network: 0.6 GB for 1,024 rows of 32 tokens in MiniLM-L6
KEPT_BYTES = 1 << 30


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


@dataclass(frozen=True)
class Rows:
    """One batch in front of the first layer.

    embedded [batch, seq, hidden]: the layer's input. args, kwargs: what else a layer takes. real [batch, seq]: which
    tokens are not padding.
    """

    embedded: torch.Tensor
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    real: torch.Tensor


Sums = list[list[torch.Tensor]]  # by batch, by site of a layer: what goes into the norm [batch, seq, hidden]


class _Stop(Exception):
    """Raised by a hook to end a forward pass that has shown what it was run for."""


class DenseStates:
    """What the dense model computes for some rows, layer by layer: the sums that go into its norms.

    They are the same for all sub-networks, so they are kept for the next one where they fit into `most` bytes; where
    they don't, each layer runs again for each sub-network. The dense model must not change meanwhile.
    """

    def __init__(self, dense: PreTrainedModel, batches: Batches, most: int = KEPT_BYTES) -> None:
        self.layers = layers_of(dense)
        with frozen(dense), torch.no_grad():
            self.rows = [_enter(dense, self.layers[0].module, batch) for batch in batches]
        sites = sum(len(layer.sites) for layer in self.layers)
        self._keeps = sites * sum(one.embedded.numel() * one.embedded.element_size() for one in self.rows) <= most
        self._kept: list[Sums] = []

    def sums(self) -> Iterator[Sums]:
        """Those of each layer. Iterate inside `frozen` of the dense model, without gradients."""
        if self._kept:
            yield from self._kept
            return
        states = [one.embedded for one in self.rows]
        found: list[Sums] = []
        for layer in self.layers:
            each = [_run_dense(layer, state, rows) for state, rows in zip(states, self.rows, strict=True)]
            states = [state for state, _ in each]
            found.append([sums for _, sums in each])
            if not self._keeps:
                del found[:-1]
            elif len(found) == len(self.layers):
                self._kept = found
            yield found[-1]


class Lockstep:
    """The dense model and a sub-network in front of a layer.

    It holds, for all rows, the sub-network's input of one layer and the dense model's sums in that layer.
    """

    def __init__(self, dense: DenseStates, small: PreTrainedModel) -> None:
        self.layers = layers_of(small)
        self._rows, self._sums = dense.rows, dense.sums()
        self._targets: Sums = []
        self._states = [one.embedded for one in dense.rows]

    def enter(self) -> None:
        """Take the dense model through the next layer."""
        self._targets = next(self._sums)

    def pairs(self, index: int, place: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """What each batch shows at one site of the sub-network as it is now.

        Yields the inputs of the output projection [batch, seq, inputs], the dense model's sum of block and residual
        minus the sub-network's [batch, seq, hidden], and which tokens are real [batch, seq].
        """
        small = self.layers[index]
        for state, rows, targets in zip(self._states, self._rows, self._targets, strict=True):
            inputs, found = _run_small(small, small.sites[place], state, rows)
            yield inputs, targets[place] - found, rows.real

    def leave(self, index: int) -> None:
        """Run the sub-network through the layer too."""
        module = self.layers[index].module
        pairs = zip(self._states, self._rows, strict=True)
        self._states = [module(state, *rows.args, **rows.kwargs) for state, rows in pairs]


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
    return Rows(hidden, tuple(args), kwargs, batch["attention_mask"].bool())


def _run_dense(layer: Layer, state: torch.Tensor, rows: Rows) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The state after one layer of the dense model, and the sums that go into its norms."""
    sums: dict[nn.Module, torch.Tensor] = {}
    with _hooked([site.norm for site in layer.sites], lambda module, inputs: sums.update({module: inputs[0]})):
        after = layer.module(state, *rows.args, **rows.kwargs)
    return after, [sums[site.norm] for site in layer.sites]


def _run_small(layer: Layer, site: Site, state: torch.Tensor, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs of a block's output projection, and the sum that goes into the norm after it, where the run ends."""
    seen: list[torch.Tensor] = []

    def look(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(inputs[0])
        if module is site.norm:
            raise _Stop

    with _hooked([site.output, site.norm], look), suppress(_Stop):
        layer.module(state, *rows.args, **rows.kwargs)
    inputs, total = seen
    return inputs, total


@contextmanager
def _hooked(modules: Iterable[nn.Module], hook: Callable[[nn.Module, tuple[Any, ...]], None]) -> Iterator[None]:
    """Inside the block, `hook` sees the inputs of these modules."""
    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_pre_hook(hook).remove)
        yield
