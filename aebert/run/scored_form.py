"""The form that candidates are scored in: as they are, or as their quantized file computes."""

from __future__ import annotations

from aebert.config import RunConfig
from aebert.deployment.cpu import this_cpu
from aebert.errors import ConfigError
from aebert.models.int8 import Int8Weights, exact_engine


def scored_form(config: RunConfig) -> Int8Weights | None:
    """How the weights of candidates are quantized for scoring, as they are in a file made here; None for float32.

    Raises: ConfigError where `search.score_in: int8` contradicts another setting, or torch can't compute it here.
    """
    search = config.search
    if search.score_in == "float32":
        return None
    if search.device != "cpu":
        raise ConfigError(
            f"search.score_in: int8 needs search.device cpu, got {search.device!r}; set one of the two differently"
        )
    if search.precision != "float32":
        raise ConfigError(
            f"search.score_in: int8 needs search.precision float32, which int8 products replace, got "
            f"{search.precision!r}; leave one of the two out"
        )
    if not config.deploy.int8:
        raise ConfigError(
            "search.score_in: int8 needs deploy.int8 true, got false: the file that ships is float32; leave "
            "search.score_in out, or ship an int8 file"
        )
    form = Int8Weights(
        per_channel=config.deploy.tried != ("dynamic-int8-per-matrix",),
        bits=7 if this_cpu().needs_reduced_range else 8,
    )
    if exact_engine(form.bits) is None:
        raise ConfigError(
            "search.score_in: int8 needs a torch with an int8 engine whose products are exact on this processor, got "
            f"none for weights of {form.bits} bits; set search.score_in to float32"
        )
    return form
