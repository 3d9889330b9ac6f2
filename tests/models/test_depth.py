from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, PreTrainedModel

from aebert.deployment.onnx_export import export_onnx
from aebert.deployment.session import OnnxModel
from aebert.digests import weights_digest
from aebert.errors import ModelError
from aebert.models.counting import shape_of
from aebert.models.depth import first_layers
from aebert.models.families import FAMILIES, family_of

TinyModel = Callable[..., PreTrainedModel]
AUTO: dict[str, Any] = {"sequence": AutoModelForSequenceClassification, "token": AutoModelForTokenClassification}
every_family = pytest.mark.parametrize("family", list(FAMILIES))
both_heads = pytest.mark.parametrize("head", list(AUTO))


def logits(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(**batch).logits
    return found


def by_hand(model: PreTrainedModel, count: int, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits of the whole model, in which every layer after `count` hands on what it is given."""
    family = family_of(model.config)
    bypassed = [
        layer.register_forward_hook(
            lambda _, inputs, output: (inputs[0], *output[1:]) if _is_tuple(output) else inputs[0]
        )
        for layer in family.encoder_layers(model)[count:]
    ]
    found = logits(model, batch)
    for handle in bypassed:
        handle.remove()
    return found


def _is_tuple(output: Any) -> bool:
    return isinstance(output, tuple)


@every_family
@both_heads
def test_it_computes_what_the_whole_model_does_without_its_last_layers(
    tiny_model: TinyModel, padded_batch: dict[str, torch.Tensor], family: str, head: str
) -> None:
    model = tiny_model(family, head)
    expected = by_hand(model, 1, padded_batch)
    assert not torch.allclose(expected, logits(model, padded_batch), atol=1e-3)
    torch.testing.assert_close(logits(first_layers(model, 1), padded_batch), expected)
    torch.testing.assert_close(logits(first_layers(model, 2), padded_batch), logits(model, padded_batch))


@every_family
def test_the_other_layers_are_gone_and_the_model_is_as_it_was(tiny_model: TinyModel, family: str) -> None:
    model = tiny_model(family)
    digest, dense = weights_digest(model), shape_of(model)
    small = first_layers(model, 1)
    shape = shape_of(small)
    assert (shape.layers, small.config.num_hidden_layers) == (1, 1)
    assert (shape.fixed_params, shape.fixed_macs) == (dense.fixed_params // 2, dense.fixed_macs // 2)
    assert (shape.heads, shape.ffn) == (dense.heads[:1], dense.ffn[: dense.ffn_per_layer])
    assert shape.other_params == dense.other_params
    for parameter in small.parameters():
        parameter.data.zero_()
    assert weights_digest(model) == digest
    assert (model.config.num_hidden_layers, shape_of(model)) == (2, dense)


@every_family
@both_heads
def test_transformers_alone_loads_what_was_stored(
    tiny_model: TinyModel, padded_batch: dict[str, torch.Tensor], tmp_path: Path, family: str, head: str
) -> None:
    small = first_layers(tiny_model(family, head), 1)
    small.save_pretrained(tmp_path)
    again, loading = AUTO[head].from_pretrained(tmp_path, output_loading_info=True)
    assert type(again) is type(small)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert weights_digest(again) == weights_digest(small)
    torch.testing.assert_close(logits(again.eval(), padded_batch), logits(small, padded_batch))


def test_weights_are_shared_for_counting_only(tiny_model: TinyModel) -> None:
    model = tiny_model()
    own = {id(parameter) for parameter in model.parameters()}
    assert {id(parameter) for parameter in first_layers(model, 1, share_weights=True).parameters()} < own
    assert not {id(parameter) for parameter in first_layers(model, 1).parameters()} & own


@pytest.mark.parametrize("count", [0, 3])
def test_layers_that_there_are_not_cannot_be_kept(tiny_model: TinyModel, count: int) -> None:
    with pytest.raises(ModelError, match=f"cut from 2 layers must keep 1 to 2 of them, got {count}"):
        first_layers(tiny_model(), count)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "distilbert", "mobilebert"])
def test_the_exported_file_agrees(
    tiny_model: TinyModel, padded_batch: dict[str, torch.Tensor], tmp_path: Path, family: str
) -> None:
    small = first_layers(tiny_model(family), 1)
    path = export_onnx(small, list(padded_batch), tmp_path / "small.onnx", opset=20)
    found = OnnxModel(path, 1).logits({name: tensor.numpy() for name, tensor in padded_batch.items()})
    torch.testing.assert_close(torch.from_numpy(found), logits(small, padded_batch), rtol=1e-4, atol=1e-5)
