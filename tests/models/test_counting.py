from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    MobileBertConfig,
    MobileBertForSequenceClassification,
    PreTrainedModel,
)

from aebert.models.counting import shape_of
from aebert.models.families import FAMILIES
from aebert.pruning.slicing import Selection, extract

TinyModel = Callable[..., PreTrainedModel]


def test_bert_base_by_hand() -> None:
    with torch.device("meta"):
        shape = shape_of(BertForSequenceClassification(BertConfig()))
    assert (shape.family, shape.hidden, shape.head_size, shape.ffn_per_layer, shape.layers) == ("bert", 768, 64, 1, 12)
    assert (set(shape.heads), set(shape.ffn)) == ({12}, {3072})
    assert set(shape.head_params) == {196_800}  # 3 × (768 × 64 + 64) + 64 × 768
    assert set(shape.ffn_params) == {1_537}  # 768 + 1 + 768
    assert (set(shape.head_macs), set(shape.ffn_macs)) == ({196_608}, {1_536})
    assert shape.fixed_params == 55_296  # 12 × (2 output biases and 2 norms: 6 × 768)
    assert shape.fixed_macs == 0
    # embeddings 23,837,184 = (30,522 + 512 + 2) × 768 + 2 × 768; pooler 590,592; output layer 2 × 769
    assert shape.other_params == 24_429_314


def test_mobilebert_by_hand() -> None:
    with torch.device("meta"):
        shape = shape_of(MobileBertForSequenceClassification(MobileBertConfig()))
    assert (shape.hidden, shape.head_size, shape.ffn_per_layer, shape.layers, len(shape.ffn)) == (512, 32, 4, 24, 96)
    assert (set(shape.heads), set(shape.ffn)) == ({4}, {512})
    assert set(shape.head_params) == {
        28_768
    }  # query and key read 128, value 512: 32 × (128 + 128 + 512 + 128) + 3 × 32
    assert set(shape.ffn_params) == {257}  # 128 + 1 + 128
    # a layer: input bottlenecks 2 × (512 × 128), output bottleneck 128 × 512
    assert shape.fixed_macs == 24 * 3 * 65_536
    # those with biases (2 × 128 + 512) and norms (2 × 256 + 1,024); 5 blocks' output bias and norm: 5 × (128 + 256)
    assert shape.fixed_params == 24 * (3 * 65_536 + 768 + 1_536 + 1_920)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_the_unit_costs_of_a_pruned_model_are_those_of_the_dense_one(tiny_model: TinyModel, family: str) -> None:
    dense = tiny_model(family)
    full = shape_of(dense)
    ffn = tuple(((2, 7), (), (63,))[block % 3] for block in range(len(full.ffn)))
    small = shape_of(extract(dense, Selection(((1,), ()), ffn)))
    assert small.heads == (1, 0)
    assert small.ffn == tuple(map(len, ffn))
    for name in ("family", "hidden", "head_size", "ffn_per_layer", "head_params", "ffn_params", "head_macs"):
        assert getattr(small, name) == getattr(full, name), name
    assert (small.ffn_macs, small.fixed_params, small.fixed_macs, small.other_params) == (
        full.ffn_macs,
        full.fixed_params,
        full.fixed_macs,
        full.other_params,
    )


def test_a_shape_is_plain_values(tiny_model: TinyModel) -> None:
    values = json.loads(json.dumps(shape_of(tiny_model()).to_dict()))
    # a head of size 8: 4 × 8 × 32 + 3 × 8; a neuron: 32 + 1 + 32
    assert (values["head_params"], values["ffn_params"]) == ([1048, 1048], [65, 65])
