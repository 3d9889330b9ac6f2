from __future__ import annotations

import pytest

from aebert.latency.references import bert_shape
from aebert.models.shape import ModelShape


@pytest.fixture
def toy_shape() -> ModelShape:
    """2 layers, hidden 8, 2 heads of 4, FFN 16: a head has 128 weights and 12 biases, a neuron 16 and 1."""
    return bert_shape(8, 2, 2, 16)
