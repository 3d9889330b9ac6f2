"""One adapter per encoder family: the only code that knows module names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from aebert.errors import ModelError
from aebert.registry import Registry


@dataclass(frozen=True)
class Place:
    """A module's parent and its name there, so that it can be read and replaced."""

    parent: nn.Module
    name: str

    @property
    def module(self) -> Any:
        """The module at this place."""
        return getattr(self.parent, self.name)

    def put(self, module: nn.Module) -> None:
        """Replace the module at this place."""
        setattr(self.parent, self.name, module)


@dataclass(frozen=True)
class Block:
    """A prunable block: projections whose output rows belong to units, and the one that sums over the units.

    inputs: query, key and value of attention; the up projection of an FFN. output: the projection back to the hidden
    size. norm: gets the sum of the output and the residual stream.
    """

    inputs: tuple[Place, ...]
    output: Place
    norm: Place


@dataclass(frozen=True)
class Family:
    """How to find the parts of the models of one family.

    model_type: transformers' name for the family. backbone: attribute of the task models that holds the encoder.
    layers: path from the backbone to the list of layers.
    attention, ffn: paths inside a layer, inputs first, output last; norms: paths of the norms after the two.
    heads, head_width: config attributes whose quotient (width by heads) is the head size.
    ffn_stack: name of a list of further FFNs that run before the last one (MobileBERT).
    uses_token_types: whether the model takes `token_type_ids`.
    positions_after_padding: whether the first token's position is the padding id plus 1 instead of 0.
    """

    model_type: str
    backbone: str
    layers: str
    attention: tuple[str, ...]
    ffn: tuple[str, ...]
    norms: tuple[str, str] = ("attention.output.LayerNorm", "output.LayerNorm")
    heads: str = "num_attention_heads"
    head_width: str = "hidden_size"
    ffn_stack: str | None = None
    uses_token_types: bool = True
    positions_after_padding: bool = False

    def layer_list(self, model: PreTrainedModel) -> nn.ModuleList:
        """The list that a model keeps its encoder layers in, in the order of the forward pass."""
        layers = model.get_submodule(f"{self.backbone}.{self.layers}")
        assert isinstance(layers, nn.ModuleList)
        return layers

    def encoder_layers(self, model: PreTrainedModel) -> list[nn.Module]:
        """Encoder layers in the order of the forward pass."""
        return list(self.layer_list(model))

    def attention_blocks(self, model: PreTrainedModel) -> list[Block]:
        """The attention blocks, one per layer."""
        return [_block(layer, self.attention, self.norms[0]) for layer in self.encoder_layers(model)]

    def ffn_blocks(self, model: PreTrainedModel) -> list[Block]:
        """All FFN blocks in the order of the forward pass; MobileBERT has several per layer."""
        return [block for layer in self.encoder_layers(model) for block in self._ffn_of(layer)]

    def blocks(self, model: PreTrainedModel) -> list[tuple[Block, int]]:
        """All blocks, attention first, each with the width of one unit: the head size, or 1 for a neuron."""
        size = self.head_size(model.config)
        return [(block, size) for block in self.attention_blocks(model)] + [
            (block, 1) for block in self.ffn_blocks(model)
        ]

    def _ffn_of(self, layer: nn.Module) -> Iterator[Block]:
        if self.ffn_stack and hasattr(layer, self.ffn_stack):
            for inner in layer.get_submodule(self.ffn_stack).children():
                yield _block(inner, self.ffn, self.norms[1])
        yield _block(layer, self.ffn, self.norms[1])

    def output_layer(self, model: PreTrainedModel) -> nn.Linear:
        """The layer whose rows are the task's labels."""
        head = model.get_submodule("classifier")
        layer = head if isinstance(head, nn.Linear) else head.get_submodule("out_proj")
        assert isinstance(layer, nn.Linear)
        return layer

    def head_size(self, config: PretrainedConfig) -> int:
        """The width of one head, which pruning never changes."""
        return int(getattr(config, self.head_width) // getattr(config, self.heads))

    def most_tokens(self, config: PretrainedConfig) -> int:
        """The most tokens that a row can have: as many as the model has positions for."""
        skipped = config.pad_token_id + 1 if self.positions_after_padding else 0
        return int(config.max_position_embeddings - skipped)


def _block(root: nn.Module, paths: tuple[str, ...], norm: str) -> Block:
    places = tuple(_place(root, path) for path in paths)
    return Block(places[:-1], places[-1], _place(root, norm))


def _place(root: nn.Module, path: str) -> Place:
    parent, _, name = path.rpartition(".")
    return Place(root.get_submodule(parent), name)


FAMILIES: Registry[Family] = Registry("model family")

_BERT_ATTENTION = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
_BERT_FFN = ("intermediate.dense", "output.dense")

# BioBERT, MiniLM, SciBERT, TinyBERT and the like are plain BERTs.
FAMILIES.add("bert", Family("bert", "bert", "encoder.layer", _BERT_ATTENTION, _BERT_FFN))
# RoBERTa has a single token type, which transformers' tokenizers don't send, so neither do we.
FAMILIES.add(
    "roberta",
    Family(
        "roberta",
        "roberta",
        "encoder.layer",
        _BERT_ATTENTION,
        _BERT_FFN,
        uses_token_types=False,
        positions_after_padding=True,
    ),
)
FAMILIES.add("electra", Family("electra", "electra", "encoder.layer", _BERT_ATTENTION, _BERT_FFN))
FAMILIES.add(
    "distilbert",
    Family(
        "distilbert",
        "distilbert",
        "transformer.layer",
        ("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"),
        ("ffn.lin1", "ffn.lin2"),
        norms=("sa_layer_norm", "output_layer_norm"),
        heads="n_heads",
        head_width="dim",
        uses_token_types=False,
    ),
)
FAMILIES.add(
    "mobilebert",
    Family(
        "mobilebert",
        "mobilebert",
        "encoder.layer",
        _BERT_ATTENTION,
        _BERT_FFN,
        head_width="true_hidden_size",
        ffn_stack="ffn",
    ),
)


def family_of(config: PretrainedConfig) -> Family:
    """The family of a model by its config; sub-networks belong to the family they were cut from."""
    name = getattr(config, "aebert_family", None) or config.model_type
    if name not in FAMILIES:
        raise ModelError(
            f"model family must be one of {', '.join(FAMILIES)}, got {name!r}; "
            "choose a checkpoint of one of these families"
        )
    return FAMILIES[name]
