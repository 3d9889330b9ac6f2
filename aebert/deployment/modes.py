"""Putting a model into the state it is exported and compared in, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import PretrainedConfig, PreTrainedModel


@contextmanager
def eval_mode(model: PreTrainedModel) -> Iterator[None]:
    """Eval mode inside the block; afterwards every module has the mode it had, also where they differed."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def attention(model: PreTrainedModel, implementation: str) -> Iterator[None]:
    """An attention function by its name in transformers' registry inside the block, in every part of the model.

    Set on the configs, not by `set_attn_implementation`, which refuses classes it can't find the source of.
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
