from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aebert.latency.fit import designs, fit, knots, random_models
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture

BASE = cast("ModelShape", SimpleNamespace(heads=(12,) * 12, ffn=(3072,) * 12))
MOBILE = cast("ModelShape", SimpleNamespace(heads=(4,) * 24, ffn=(512,) * 96))
TOY = cast("ModelShape", SimpleNamespace(heads=(4, 4), ffn=(64, 64)))


def simulated_ms(architecture: Architecture) -> float:
    """A device: 3 ms, then per block an overhead and a cost per unit, FFNs dearer per unit beyond 1536."""
    heads = sum(0.05 + 0.09 * count for count in architecture.heads if count)
    ffn = sum(0.08 + 0.0007 * width + 0.0004 * max(0, width - 1536) for width in architecture.ffn if width)
    return 3.0 + heads + ffn


def test_knots_are_aligned_and_end_at_the_full_width() -> None:
    assert knots(3072, 16) == (64, 240, 768, 1536, 2304, 3072)
    assert all(width % 16 == 0 for width in knots(3072, 16))
    assert knots(4, 1) == (1, 2, 3, 4)
    assert knots(10, 16) == (10,)


@pytest.mark.parametrize("shape", [BASE, MOBILE, TOY])
def test_designs_tell_every_rise_apart(shape: ModelShape) -> None:
    models = designs(shape)
    assert len(models) == len(set(models)) <= 24
    assert Architecture(shape.heads, shape.ffn) in models
    assert Architecture((0,) * len(shape.heads), (0,) * len(shape.ffn)) in models
    found = fit({each: simulated_ms(each) for each in models}, shape)
    for each in models:
        assert found.predict(each) == pytest.approx(simulated_ms(each), rel=1e-3)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_a_simulated_device_is_recovered_through_noise_and_disturbed_runs(seed: int) -> None:
    generator = np.random.default_rng(seed)
    models = designs(BASE)
    times = {each: simulated_ms(each) * generator.normal(1, 0.02) for each in models}
    times[models[generator.integers(3, len(models))]] *= 1.6  # other work came in between
    found = fit(times, BASE)
    errors = [found.predict(each) / simulated_ms(each) - 1 for each in random_models(BASE, 40, seed)]
    assert np.median(np.abs(errors)) < 0.08
    assert found.floor_ms == pytest.approx(3.0, rel=0.25)


def test_random_models_are_uneven_with_empty_blocks_and_of_all_sizes() -> None:
    models = random_models(BASE, 20, seed=1)
    assert len(set(models)) == 20
    assert models == random_models(BASE, 20, seed=1)
    shares = sorted(sum(each.ffn) / sum(BASE.ffn) for each in models)
    assert shares[0] < 0.3 < 0.7 < shares[-1]
    assert any(0 in each.heads or 0 in each.ffn for each in models)
    assert all(len(set(each.ffn)) > 3 for each in models)
    assert all(width % 16 == 0 for each in models for width in each.ffn)
