"""BERT-A2's FPGA figures, as its tables IV to VI give them (github.com/bosho86/BERTA2, commit b4eafa9)."""

from __future__ import annotations

import pytest

from aebert.errors import ConfigError
from aebert.latency.devices import load_device
from aebert.latency.estimates import estimate, published_errors
from aebert.latency.estimators.linear_sparsity import LinearSparsity
from aebert.latency.references import REFERENCE_SHAPES
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.pruning.cost import sparsity

BERT = REFERENCE_SHAPES["bert-base"]


@pytest.mark.parametrize(
    ("share", "stated_ms", "stated_speedup"),
    [(0.0, 9.97, 1.0), (0.3, 6.98, 1.43), (0.7, 2.99, 3.33)],
)
def test_the_stated_times_and_speedups_come_out(share: float, stated_ms: float, stated_speedup: float) -> None:
    model = load_device("alveo-u200-berta2").estimate
    assert model is not None
    found = model.with_zeros(9.97, share)
    assert round(found, 2) == stated_ms
    assert round(9.97 / found, 2) == stated_speedup


def test_the_device_file_agrees_with_what_it_cites() -> None:
    errors = published_errors(load_device("alveo-u200-berta2"))
    assert [(one.published.milliseconds, one.published.zeros) for one in errors] == [
        (9.97, 0),
        (6.98, 0.3),
        (2.99, 0.7),
    ]
    assert max(abs(one.error) for one in errors) < 0.001  # what two decimals leave open


def test_a_sub_network_costs_the_share_that_it_keeps() -> None:
    half = Architecture((6,) * 12, (1536,) * 12)
    found = estimate(load_device("alveo-u200-berta2"), half, BERT, length=32)
    assert found.estimated_ms == pytest.approx(9.97 * (1 - sparsity(half, BERT)))
    assert found.estimated_ms == pytest.approx(4.99, abs=0.01)  # half of it, and the norms


def test_other_encoders_and_batches_are_refused(toy_shape: ModelShape) -> None:
    device = load_device("alveo-u200-berta2")
    with pytest.raises(ConfigError, match=r"^device alveo-u200-berta2: .* 85,054,464 parameters .* got one of 1,"):
        estimate(device, Architecture.dense(toy_shape), toy_shape, length=8)
    with pytest.raises(ConfigError, match=r"holds for batch 1, got 2"):
        estimate(device, Architecture.dense(BERT), BERT, length=8, batch=2)


def test_zeros_cost_nothing_here() -> None:
    assert LinearSparsity(dense_ms=8.0, encoder_params=1).with_zeros(8.0, 0.25) == 6.0
