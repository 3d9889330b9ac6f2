"""Models with fewer layers than the one they come from."""

from __future__ import annotations

import copy

from transformers import PreTrainedModel

from aebert.errors import ModelError
from aebert.models.families import family_of


def first_layers(model: PreTrainedModel, count: int, *, share_weights: bool = False) -> PreTrainedModel:
    """A copy of a dense model that has only its first `count` layers, embeddings and output layer included.

    The other layers are gone, norms too: it is an ordinary model of the family, whose config says how many layers it
    has, so transformers saves and loads it without `aebert`. The dense model is not changed.
    share_weights: weights are the dense model's own tensors, not copies; for counting only.

    Raises: ModelError unless 1 ≤ `count` ≤ the number of the model's layers.
    """
    family = family_of(model.config)
    most = len(family.layer_list(model))
    if not 1 <= count <= most:
        raise ModelError(f"a model cut from {most} layers must keep 1 to {most} of them, got {count}")
    # weights are shared until the other layers are gone, so that none is copied for nothing
    small = copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})
    del family.layer_list(small)[count:]
    small.config.num_hidden_layers = count  # a family that calls it otherwise maps this name to its own
    return small if share_weights else copy.deepcopy(small)
