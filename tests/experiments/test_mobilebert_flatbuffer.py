"""The MobileBERT benchmark: what it counts and how it says so, not what it measures."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aebert.models.shape import ModelShape


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "experiments" / "benchmarks")
    return importlib.import_module("mobilebert_flatbuffer")


def test_a_row_compares_with_bert_large(script: Any) -> None:
    made: dict[str, Any] = {"params": 9, "parity": 1e-6, "bytes": {"int8": 12_000_000, "int4": 11_999_999}}
    large, ms = 1_600_000_000, script.Spread(50.0, 40.0, 80.0)  # target 10 MB, within 20 %: 12 MB
    row = script.file_row(script.Variant(0.5, 100), "int8", made, large, ms)
    assert row["model"] == "50 % removed"
    assert row["times_smaller_than_bert_large"] == pytest.approx(133.3333, abs=1e-3)
    assert row["tweets_per_second"] == 20.0
    assert row["within_20_percent_of_target"] is True
    made["bytes"]["int8"] += 1
    assert script.file_row(script.Variant(0.5, 100), "int8", made, large, ms)["within_20_percent_of_target"] is False


def test_parts_add_up_to_the_model(script: Any) -> None:
    shape = ModelShape(
        family="mobilebert",
        hidden=8,
        head_size=4,
        ffn_per_layer=1,
        heads=(2, 2),
        ffn=(16, 16),
        head_params=(140, 140),
        ffn_params=(17, 17),
        head_macs=(128,) * 2,
        ffn_macs=(16,) * 2,
        fixed_params=80,
        fixed_macs=0,
        other_params=100,
    )
    # heads 2·2·140 = 560, neurons 2·16·17 = 544; words 10·4 = 40 of the 100 others
    assert list(script.size_parts(shape, vocabulary=10, embedding_size=4).values()) == [1104, 80, 40, 60]


def test_bert_large_has_its_published_size(script: Any) -> None:
    # 335.1 M parameters of the encoder with embeddings and pooler, and a classifier of 3 · 1025
    assert script.bert_large_bytes() == 4 * (335_141_888 + 3 * 1025)


def test_without_data_tweets_are_random_and_fit(script: Any) -> None:
    tweets = script.read_tweets(None, 32)
    assert not tweets.real
    assert max(map(len, tweets.ids)) <= 32
    assert script._request(tweets.ids[0], 8)["input_ids"].shape == (1, min(8, len(tweets.ids[0])))
    assert np.all(script._request(tweets.ids[0], 8)["attention_mask"] == 1)
