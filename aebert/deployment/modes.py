"""Puts a model into the state in which it is exported and compared, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import PretrainedConfig, PreTrainedModel


@contextmanager
def eval_mode(model: PreTrainedModel) -> Iterator[None]:
    """Eval mode inside the block; afterwards every module has its own mode again."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def attention(model: PreTrainedModel, implementation: str) -> Iterator[None]:
    """Inside the block, every part of the model uses the attention function of this name in transformers' registry.

    It is set on the configs, because `set_attn_implementation` refuses classes whose source it can't find.
    """
    owned = [
        module.config for module in model.modules() if isinstance(getattr(module, "config", None), PretrainedConfig)
    ]
    before = {id(config): (config, config._attn_implementation) for config in owned}
    try:
        for config in owned:
            config._attn_implementation = implementation
        yield
    finally:
        for config, earlier in before.values():
            config._attn_implementation = earlier
