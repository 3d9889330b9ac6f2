from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import GPT2Config, PreTrainedModel, RobertaConfig

from aebert.errors import ModelError
from aebert.models.families import FAMILIES, Block, family_of
from aebert.pruning.slicing import Selection, extract

TinyModel = Callable[..., PreTrainedModel]
every_family = pytest.mark.parametrize("family", list(FAMILIES))
Values = dict[torch.nn.Module, torch.Tensor]
both_heads = pytest.mark.parametrize("head", ["sequence", "token"])


def test_the_families_are_the_five_the_product_names() -> None:
    assert list(FAMILIES) == ["bert", "roberta", "electra", "distilbert", "mobilebert"]


@every_family
@both_heads
def test_blocks_are_found_and_used_once_each_in_forward_order(
    tiny_model: TinyModel, padded_batch: dict[str, torch.Tensor], family: str, head: str
) -> None:
    model = tiny_model(family, head)
    adapter = family_of(model.config)
    pairs = zip(adapter.attention_blocks(model), _grouped(adapter.ffn_blocks(model), 2), strict=True)
    expected = [block.output.module for attention, ffn in pairs for block in (attention, *ffn)]
    called: list[torch.nn.Module] = []
    for module in expected:
        module.register_forward_hook(lambda module, *_: called.append(module))
    model(**padded_batch)
    assert [id(module) for module in called] == [id(module) for module in expected]


def _grouped(blocks: list[Block], layers: int) -> list[list[Block]]:
    each = len(blocks) // layers
    return [blocks[start : start + each] for start in range(0, len(blocks), each)]


@every_family
@both_heads
def test_the_norm_behind_a_block_gets_its_output_and_the_residual(
    tiny_model: TinyModel, padded_batch: dict[str, torch.Tensor], family: str, head: str
) -> None:
    """The residual is the block's own input; in MobileBERT's attention what the bottleneck made of the layer's."""
    model = tiny_model(family, head)
    adapter = family_of(model.config)
    layers = adapter.encoder_layers(model)
    blocks = [*adapter.attention_blocks(model), *adapter.ffn_blocks(model)]
    entered, left = _watch(model)
    with torch.no_grad():
        model(**padded_batch)
    for index, block in enumerate(blocks):
        residual = entered[block.inputs[0].module]
        if family == "mobilebert" and index < len(layers):
            residual = left[layers[index].get_submodule("bottleneck.input")]
        torch.testing.assert_close(entered[block.norm.module], left[block.output.module] + residual)
    assert len({id(block.norm.module) for block in blocks}) == len(blocks)


def _watch(model: PreTrainedModel) -> tuple[Values, Values]:
    """First input and output of every module, once the model has run."""
    entered: Values = {}
    left: Values = {}

    def keep(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if inputs:
            entered[module] = inputs[0]
        left[module] = output

    for module in model.modules():
        module.register_forward_hook(keep)
    return entered, left


@every_family
def test_every_linear_layer_of_an_encoder_is_a_block_s_or_a_bottleneck_s(tiny_model: TinyModel, family: str) -> None:
    model = tiny_model(family)
    adapter = family_of(model.config)
    blocks = [*adapter.attention_blocks(model), *adapter.ffn_blocks(model)]
    known = {id(place.module) for block in blocks for place in (*block.inputs, block.output)}
    rest = {
        name
        for layer in adapter.encoder_layers(model)
        for name, module in layer.named_modules()
        if isinstance(module, torch.nn.Linear) and id(module) not in known
    }
    assert all("bottleneck" in name for name in rest), rest
    assert bool(rest) == (family == "mobilebert")


@every_family
@both_heads
def test_the_output_layer_makes_the_logits(
    tiny_model: TinyModel, padded_batch: dict[str, torch.Tensor], family: str, head: str
) -> None:
    model = tiny_model(family, head, labels=5)
    before = model(**padded_batch).logits
    with torch.no_grad():
        family_of(model.config).output_layer(model).bias[3] += 1.0
    torch.testing.assert_close(model(**padded_batch).logits - before, torch.eye(5)[3].expand_as(before))


@pytest.mark.parametrize("family", ["bert", "electra", "mobilebert"])
def test_token_types_are_declared_where_they_matter(
    tiny_model: TinyModel, padded_batch: dict[str, torch.Tensor], family: str
) -> None:
    assert FAMILIES[family].uses_token_types
    model, zeros = tiny_model(family), torch.zeros_like(padded_batch["input_ids"])
    first, second = (model(**padded_batch, token_type_ids=types).logits for types in (zeros, zeros + 1))
    assert not torch.allclose(first, second)


@every_family
def test_a_row_has_as_many_tokens_as_the_model_has_positions_for(tiny_model: TinyModel, family: str) -> None:
    dense = tiny_model(family)
    small = extract(dense, Selection(((0,), (1, 2)), ((3,),) * len(family_of(dense.config).ffn_blocks(dense))))
    for model in (dense, small):
        most = family_of(model.config).most_tokens(model.config)
        assert most == (63 if family == "roberta" else 64)  # the padding id of this RoBERTa is 0
        ids = torch.full((1, most), 5)
        model(input_ids=ids)
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, most + 1), 5))


def test_positions_of_roberta_begin_behind_the_padding() -> None:
    config = RobertaConfig(max_position_embeddings=514, pad_token_id=1)
    assert family_of(config).most_tokens(config) == 512


def test_an_unknown_family_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"one of bert, roberta, electra, distilbert, mobilebert, got 'gpt2'; choose"):
        family_of(GPT2Config())
