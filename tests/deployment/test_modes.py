from __future__ import annotations

import copy

import pytest
from transformers import PreTrainedModel

from aebert.deployment.modes import attention, eval_mode


def test_every_module_gets_its_mode_back(uneven: PreTrainedModel) -> None:
    model = copy.deepcopy(uneven)
    model.train()
    model.bert.encoder.eval()
    before = {name: module.training for name, module in model.named_modules()}
    with eval_mode(model):
        assert not any(module.training for module in model.modules())
    assert {name: module.training for name, module in model.named_modules()} == before
    with pytest.raises(ZeroDivisionError), eval_mode(model):
        1 // 0  # noqa: B018
    assert {name: module.training for name, module in model.named_modules()} == before


def test_attention_is_eager_inside_and_as_before_after(uneven: PreTrainedModel) -> None:
    layer = uneven.bert.encoder.layer[0].attention.self
    assert layer.config._attn_implementation == "sdpa"
    with attention(uneven, "eager"):
        assert layer.config._attn_implementation == "eager"
    assert layer.config._attn_implementation == "sdpa"
    with pytest.raises(ZeroDivisionError), attention(uneven, "eager"):
        1 // 0  # noqa: B018
    assert layer.config._attn_implementation == "sdpa"
