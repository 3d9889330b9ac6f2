from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.errors import ConfigError
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture

SHAPE = ModelShape(
    family="bert",
    hidden=8,
    head_size=2,
    ffn_per_layer=1,
    heads=(4, 4),
    ffn=(16, 16),
    head_params=(70, 70),
    ffn_params=(17, 17),
    head_macs=(64, 64),
    ffn_macs=(16, 16),
    fixed_params=96,
    fixed_macs=0,
    other_params=1000,
)
counts = st.lists(st.integers(0, 4096), max_size=24).map(tuple)
architectures = st.builds(Architecture, counts, counts)


@given(architectures)
def test_from_dict_inverts_to_dict_through_json(architecture: Architecture) -> None:
    again = Architecture.from_dict(json.loads(json.dumps(architecture.to_dict())))
    assert again == architecture
    assert hash(again) == hash(architecture)
    assert again.key() == architecture.key()


@given(architectures, architectures)
def test_different_architectures_have_different_keys(one: Architecture, other: Architecture) -> None:
    assert (one.key() == other.key()) == (one == other)


def test_the_key_stays_what_it_was() -> None:
    """Study databases and folders are named by it. sha256sum of `{"heads": [3, 0], "ffn": [5, 64]}`."""
    assert Architecture((3, 0), (5, 64)).key() == "3a28888d45"


def test_dense_keeps_everything() -> None:
    assert Architecture.dense(SHAPE) == Architecture((4, 4), (16, 16))


@pytest.mark.parametrize("heads", [(3, -1), (3, 1.0), (3, True), (3, "1"), (3, None)])
def test_a_count_must_be_a_whole_number(heads: Any) -> None:
    with pytest.raises(ConfigError, match=r"heads\[1\] must be a whole number ≥ 0, got "):
        Architecture(heads, (1,))


@pytest.mark.parametrize(
    ("heads", "ffn", "message"),
    [
        ((4,), (16, 16), r"heads must have 2 blocks as the model has, got 1"),
        ((4, 4), (16, 16, 16), r"ffn must have 2 blocks as the model has, got 3"),
        ((4, 5), (16, 16), r"heads\[1\] must be in 0\.\.4, got 5"),
        ((4, 4), (17, 16), r"ffn\[0\] must be in 0\.\.16, got 17"),
    ],
)
def test_an_architecture_must_fit_the_model(heads: tuple[int, ...], ffn: tuple[int, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Architecture(heads, ffn).check(SHAPE)


def test_one_that_fits_is_returned() -> None:
    fits = Architecture((0, 4), (16, 0))
    assert fits.check(SHAPE) is fits
