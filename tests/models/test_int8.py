from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from aebert.models import int8
from aebert.models.blocks import ConstantOutput, EmptyProjection
from aebert.models.families import FAMILIES, family_of
from aebert.models.int8 import Int8Linear, Int8Weights, exact_engine, quantized
from aebert.pruning.slicing import Selection, extract

TinyModel = Callable[..., PreTrainedModel]
FORMS = [Int8Weights(per_channel, bits) for per_channel in (True, False) for bits in (7, 8)]
IDS = [form.describe() for form in FORMS]


@pytest.fixture
def chosen_anew() -> Iterator[None]:
    exact_engine.cache_clear()
    yield
    exact_engine.cache_clear()


def reference(layer: nn.Linear, x: np.ndarray, form: Int8Weights) -> np.ndarray:
    """Quantize, multiply integers, and scale back, by the definitions of the ONNX operators, in integers of 64 bits."""
    weight = layer.weight.detach().numpy()
    highest = np.abs(weight).max(axis=1, keepdims=True) if form.per_channel else np.abs(weight).max()
    scales = (highest / np.float32({7: 64, 8: 127}[form.bits])).astype(np.float32)
    whole = np.rint(weight / scales).astype(np.int64)
    low, high = min(x.min(), np.float32(0)), max(x.max(), np.float32(0))
    scale = np.float32((high - low) / np.float32(255))
    zero = np.rint(np.clip(-low / scale, 0, 255)).astype(np.int64)
    steps = np.clip(np.rint(x / scale).astype(np.int64) + zero, 0, 255)
    product = (steps - zero) @ whole.T
    result: np.ndarray = product * (scale * scales.reshape(-1)).astype(np.float64) + layer.bias.detach().numpy()
    return result


def extreme(bits: int, inputs: int) -> nn.Linear:
    """All weights of the largest size there is, with both signs: sums of the same sign, and sums that cancel."""
    layer = nn.Linear(inputs, 24)
    layer.weight.data[:] = {7: 64.0, 8: 127.0}[bits]
    layer.weight.data[8:16] *= -1
    layer.weight.data[16:, ::3] *= -1
    return layer


@pytest.mark.parametrize("form", FORMS, ids=IDS)
@pytest.mark.parametrize("inputs", [8, 33, 384, 1536])
def test_the_largest_weights_and_activations_do_not_overflow(inputs: int, form: Int8Weights) -> None:
    layer = extreme(form.bits, inputs)
    for rows in (1, 7, 130):
        x = torch.full((rows, inputs), 255.0)
        x[rows // 2, ::5] = 0.0
        found = Int8Linear(layer, form)(x).detach().numpy()
        expected = x.double().numpy() @ layer.weight.detach().double().numpy().T + layer.bias.detach().numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        np.testing.assert_allclose(found, reference(layer, x.numpy(), form), rtol=1e-6)


@pytest.mark.parametrize("form", FORMS, ids=IDS)
def test_a_layer_is_an_exact_product_of_integers(form: Int8Weights) -> None:
    torch.manual_seed(0)
    for inputs, outputs in ((3, 1), (32, 64), (200, 48)):
        layer = nn.Linear(inputs, outputs)
        layer.weight.data *= torch.logspace(-3, 1, outputs)[:, None]
        x = torch.randn(4, 11, inputs) + 0.5
        found = Int8Linear(layer, form)(x).detach().numpy()
        expected = reference(layer, x.numpy(), form)
        step = (x.max() - x.min().clamp(max=0)).item() / 255
        # a value half way between two steps may be rounded to either one, which adds a step times a weight
        atol = 1.01 * step * layer.weight.detach().abs().amax(1).numpy()
        off = np.abs(found - expected)
        assert (off <= atol).all()
        assert (off > 1e-5 * np.abs(expected).max(axis=(0, 1))).mean() < 0.02


def test_ranges_are_those_of_each_call() -> None:
    torch.manual_seed(0)
    layer = Int8Linear(nn.Linear(16, 8), Int8Weights())
    small, large = torch.rand(1, 16), 100 * torch.rand(1, 16)
    alone, together = layer(small), layer(torch.cat([small, large]))[:1]
    assert not torch.allclose(alone, together, atol=1e-3)
    torch.testing.assert_close(layer(torch.zeros(2, 16)), layer(torch.zeros(1, 16)).expand(2, 8))


def test_a_layer_takes_views_and_any_leading_axes() -> None:
    torch.manual_seed(0)
    layer = Int8Linear(nn.Linear(16, 8), Int8Weights(bits=7))
    x = torch.randn(16, 6, 5).transpose(0, 2)  # [5, 6, 16], strides of the original
    torch.testing.assert_close(layer(x), layer(x.contiguous()))
    torch.testing.assert_close(layer(x).reshape(30, 8), layer(x.reshape(30, 16)))


def test_weights_of_an_output_that_are_all_zero_leave_its_bias() -> None:
    layer = nn.Linear(16, 8)
    layer.weight.data[3] = 0.0
    found = Int8Linear(layer, Int8Weights())(torch.randn(5, 16))
    torch.testing.assert_close(found[:, 3], layer.bias.detach()[3].expand(5))
    layer.weight.data[:] = 0.0
    for form in FORMS:
        torch.testing.assert_close(Int8Linear(layer, form)(torch.randn(5, 16)), layer.bias.detach().expand(5, 8))


def test_a_layer_without_bias() -> None:
    layer = nn.Linear(16, 8, bias=False)
    assert Int8Linear(layer, Int8Weights())(torch.zeros(2, 16)).abs().max() == 0


# --- engines ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [7, 8])
def test_an_engine_that_saturates_is_not_chosen(
    bits: Literal[7, 8], monkeypatch: pytest.MonkeyPatch, chosen_anew: None
) -> None:
    """Each engine of this torch computes the extreme product; only those that get it right may be chosen."""
    layer, x = extreme(bits, 384), torch.full((7, 384), 255.0)
    expected = x.double() @ layer.weight.detach().double().T + layer.bias.detach().double()
    right = []
    for engine in set(torch.backends.quantized.supported_engines) & {"x86", "fbgemm", "onednn", "qnnpack"}:
        monkeypatch.setattr(int8, "exact_engine", lambda _, engine=engine: engine)
        found = Int8Linear(layer, Int8Weights(bits=bits))(x).detach().double()
        if (found - expected).abs().max() < 1e-6 * expected.abs().max():
            right.append(engine)
    monkeypatch.undo()
    assert exact_engine(bits) in right


def test_saturating_products_are_noticed(monkeypatch: pytest.MonkeyPatch, chosen_anew: None) -> None:
    multiply = int8._multiply
    monkeypatch.setattr(int8, "_multiply", lambda x, packed: multiply(x, packed).clamp(max=32767.0))
    assert exact_engine(7) is None
    assert exact_engine(8) is None
    with pytest.raises(ValueError, match="no engine that multiplies weights of 8 bits exactly"):
        Int8Linear(nn.Linear(4, 4), Int8Weights())


def test_a_torch_without_engines_has_none(monkeypatch: pytest.MonkeyPatch, chosen_anew: None) -> None:
    monkeypatch.setattr(int8, "_ENGINES", ())
    assert exact_engine(7) is None
    monkeypatch.undo()
    exact_engine.cache_clear()

    def gone(*_: Any) -> Any:
        raise AttributeError("'_OpNamespace' 'quantized' object has no attribute 'linear_prepack'")

    monkeypatch.setattr(int8, "_pack", gone)
    assert exact_engine(7) is None


def test_the_engine_of_the_process_is_left_as_found() -> None:
    before = torch.backends.quantized.engine
    other = next(name for name in torch.backends.quantized.supported_engines if name not in ("none", before))
    try:
        torch.backends.quantized.engine = other
        Int8Linear(nn.Linear(4, 4), Int8Weights())
        assert torch.backends.quantized.engine == other
    finally:
        torch.backends.quantized.engine = before


# --- models -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_model_is_only_read(family: str, tiny_model: TinyModel, padded_batch: dict[str, torch.Tensor]) -> None:
    model = tiny_model(family)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modules = [(id(module), type(module)) for module in model.modules()]
    with torch.inference_mode():
        logits = model(**padded_batch).logits
        coarse = quantized(model, Int8Weights(bits=7))(**padded_batch).logits
        assert torch.equal(model(**padded_batch).logits, logits)
    assert [(id(module), type(module)) for module in model.modules()] == modules
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert 0 < (coarse - logits).abs().max() < 0.3 * logits.abs().max()


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_product_and_table_is_quantized_and_the_rest_is_shared(family: str, tiny_model: TinyModel) -> None:
    model = tiny_model(family)
    found = quantized(model, Int8Weights())
    assert not any(isinstance(module, nn.Linear) for module in found.modules())
    products = sum(isinstance(module, nn.Linear) for module in model.modules())
    assert sum(isinstance(module, Int8Linear) for module in found.modules()) == products > 12
    tables = [(name, module) for name, module in found.named_modules() if isinstance(module, nn.Embedding)]
    assert len(tables) >= 2
    for name, table in tables:
        mine, theirs = table.weight, model.get_submodule(name).weight
        assert len(set(mine.flatten().tolist())) <= 256
        low, high = theirs.min().clamp(max=0), theirs.max().clamp(min=0)
        assert 0 < (mine - theirs).abs().max() <= 0.51 * (high - low) / 255
    norms = {name: one for name, one in model.named_parameters() if "norm" in name.lower()}
    shared = dict(found.named_parameters())
    assert norms
    assert all(shared[name] is one for name, one in norms.items())


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_blocks_without_units(
    family: str, per_channel: bool, tiny_model: TinyModel, padded_batch: dict[str, torch.Tensor]
) -> None:
    model = tiny_model(family)
    stack = len(list(family_of(model.config).ffn_blocks(model))) // 2
    small = extract(model, Selection(((0, 2), ()), (*[(1, 5, 6)] * stack, *[()] * stack)), share_weights=True)
    found = quantized(small, Int8Weights(per_channel, bits=7))
    kinds = [type(module) for module in found.modules()]
    assert kinds.count(ConstantOutput) == 1 + stack
    assert kinds.count(EmptyProjection) == 3 + stack
    with torch.inference_mode():
        exact, coarse = small(**padded_batch).logits, found(**padded_batch).logits
    assert 0 < (coarse - exact).abs().max() < 0.3 * exact.abs().max()


def test_modes_are_kept(tiny_model: TinyModel) -> None:
    assert not quantized(tiny_model(), Int8Weights()).training
    assert quantized(copy.deepcopy(tiny_model()).train(), Int8Weights()).training
