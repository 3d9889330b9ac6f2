from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel

from aebert.deployment.onnx_export import export_onnx
from aebert.deployment.quantize import quantize_int8
from aebert.models.counting import shape_of
from aebert.models.families import FAMILIES, family_of
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.pruning.cost import block_bytes, cost, fixed_bytes, macs_removed, sparsity
from aebert.pruning.slicing import Selection, extract

TinyModel = Callable[..., PreTrainedModel]


def _bert_base() -> ModelShape:
    with torch.device("meta"):
        return shape_of(BertForSequenceClassification(BertConfig()))


BERT_BASE = _bert_base()


def _cut(dense: PreTrainedModel) -> PreTrainedModel:
    """Uneven: 2 heads, none; 5 neurons, none, all, one, …"""
    blocks = range(len(shape_of(dense).ffn))
    widths = ((0, 9, 17, 40, 63), (), tuple(range(64)), (8,))
    return extract(dense, Selection(((0, 3), ()), tuple(widths[block % 4] for block in blocks)))


@pytest.mark.parametrize("family", list(FAMILIES))
def test_params_are_those_in_the_tensors_of_the_cut_model(tiny_model: TinyModel, family: str) -> None:
    dense = tiny_model(family)
    small, shape = _cut(dense), shape_of(dense)
    architecture = Architecture(shape_of(small).heads, shape_of(small).ffn)
    found = cost(architecture, shape, 128)
    layers = family_of(small.config).encoder_layers(small)
    assert found.params == sum(tensor.numel() for tensor in small.state_dict().values())
    assert found.encoder_params == sum(tensor.numel() for layer in layers for tensor in layer.state_dict().values())


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("length", [5, 12])
@pytest.mark.parametrize("pruned", [False, True])
def test_macs_are_those_torch_counts_while_running(
    tiny_model: TinyModel, family: str, length: int, pruned: bool
) -> None:
    dense = tiny_model(family)
    model, shape = _cut(dense) if pruned else dense, shape_of(dense)
    model.requires_grad_(False).set_attn_implementation("eager")
    ids = torch.ones(1, length, dtype=torch.long)
    counter = FlopCounterMode(display=False)
    with counter:
        model(input_ids=ids, attention_mask=ids)
    place = f"{type(model).__name__}.{FAMILIES[family].backbone}.{FAMILIES[family].layers.partition('.')[0]}"
    flops = sum(counter.get_flop_counts()[place].values())  # of the encoder; 2 per MAC
    architecture = Architecture(shape_of(model).heads, shape_of(model).ffn)
    assert cost(architecture, shape, length).macs == flops // 2


def test_bert_base_by_hand() -> None:
    dense = cost(Architecture.dense(BERT_BASE), BERT_BASE, 128)
    assert dense.encoder_params == 85_054_464  # 12 × 7,087,872
    assert dense.params == 109_483_778
    # per token and layer 4 × 768² + 2 × 768 × 3,072 for projections, 2 × 128 × 768 for attention
    assert dense.macs == 11_173_625_856


def test_half_of_everything_removes_half_of_the_macs() -> None:
    half = Architecture((6,) * 12, (1536,) * 12)
    assert macs_removed(half, BERT_BASE, 128) == 0.5
    # output biases and norms stay: 55,296 of 85,054,464
    assert sparsity(half, BERT_BASE) == pytest.approx(0.5 * (1 - 55_296 / 85_054_464), abs=1e-12)


def test_the_ends_of_the_scale() -> None:
    nothing = Architecture((0,) * 12, (0,) * 12)
    dense = Architecture.dense(BERT_BASE)
    assert (sparsity(dense, BERT_BASE), macs_removed(dense, BERT_BASE, 128)) == (0.0, 0.0)
    assert macs_removed(nothing, BERT_BASE, 128) == 1.0
    assert sparsity(nothing, BERT_BASE) == pytest.approx(1 - 55_296 / 85_054_464, abs=1e-12)


def _architectures(shape: ModelShape) -> st.SearchStrategy[Architecture]:
    def of(full: tuple[int, ...]) -> Any:
        return st.tuples(*(st.integers(0, most) for most in full))

    return st.builds(Architecture, of(shape.heads), of(shape.ffn))


@given(_architectures(BERT_BASE), st.integers(0, 23), st.integers(1, 512))
def test_removing_a_unit_lowers_every_cost(architecture: Architecture, block: int, length: int) -> None:
    units = [*architecture.heads, *architecture.ffn]
    if units[block] == 0:
        units[block] = 1
        architecture = Architecture(tuple(units[:12]), tuple(units[12:]))
    units[block] -= 1
    smaller = Architecture(tuple(units[:12]), tuple(units[12:]))
    before, after = cost(architecture, BERT_BASE, length), cost(smaller, BERT_BASE, length)
    removed = before.params - after.params
    assert removed == before.encoder_params - after.encoder_params
    assert removed == (196_800 if block < 12 else 1_537)
    assert before.macs - after.macs == length * (196_608 + 128 * length if block < 12 else 1_536)
    assert sparsity(smaller, BERT_BASE) > sparsity(architecture, BERT_BASE)


def _file_bytes(architecture: Architecture, shape: ModelShape, *, int8: bool) -> int:
    widths = (*architecture.heads, *architecture.ffn)
    return fixed_bytes(shape, int8=int8) + sum(block_bytes(shape, b, w, int8=int8) for b, w in enumerate(widths))


@pytest.mark.parametrize("pruned", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("head", ["sequence", pytest.param("token", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "family", ["bert", *(pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES if name != "bert")]
)
def test_a_file_is_never_larger_than_counted_and_only_a_little_smaller(
    tiny_model: TinyModel, tmp_path: Path, family: str, head: str, pruned: bool
) -> None:
    dense = tiny_model(family, head)
    model, shape = _cut(dense) if pruned else dense, shape_of(dense)
    found = shape_of(model)
    architecture = Architecture(found.heads, found.ffn)
    names = ("input_ids", "token_type_ids", "attention_mask")
    float32 = export_onnx(model, names, tmp_path / "float32.onnx", opset=20).stat().st_size
    allowance = 24_000 + 10_000 * len(shape.ffn)  # of a toy most is graph: 0.2 % of MiniLM's 23 MB
    assert 0 <= _file_bytes(architecture, shape, int8=False) - float32 <= allowance
    for per_channel in (True, False):
        path = quantize_int8(tmp_path / "float32.onnx", tmp_path / "int8.onnx", per_channel=per_channel)
        assert 0 <= _file_bytes(architecture, shape, int8=True) - path.stat().st_size <= allowance


MINILM = ModelShape(
    family="bert",
    hidden=384,
    head_size=32,
    ffn_per_layer=1,
    heads=(12,) * 6,
    ffn=(1536,) * 6,
    head_params=(49248,) * 6,
    ffn_params=(769,) * 6,
    head_macs=(49152,) * 6,
    ffn_macs=(768,) * 6,
    fixed_params=13824,
    fixed_macs=0,
    other_params=12067202,
)


@pytest.mark.parametrize(
    ("heads", "ffn", "float32", "int8"),
    [
        # sizes of files exported with torch 2.13 from MiniLM-L6 with two labels, opset 20
        ((12,) * 6, (1536,) * 6, 90_896_382, 22_974_012),
        ((3, 0, 12, 12, 1, 1), (0, 640, 2, 1536, 32, 64), 61_068_643, 15_418_488),
    ],
)
def test_minilm_files_are_counted_to_a_fifth_of_a_percent(
    heads: tuple[int, ...], ffn: tuple[int, ...], float32: int, int8: int
) -> None:
    architecture = Architecture(heads, ffn)
    assert float32 <= _file_bytes(architecture, MINILM, int8=False) <= 1.002 * float32
    assert int8 <= _file_bytes(architecture, MINILM, int8=True) <= 1.002 * int8


@given(st.integers(0, 23), st.integers(1, 3072), st.booleans())
def test_a_wider_block_takes_more_bytes(block: int, width: int, int8: bool) -> None:
    assert block_bytes(BERT_BASE, block, width, int8=int8) > block_bytes(BERT_BASE, block, width - 1, int8=int8) >= 0
    assert block_bytes(BERT_BASE, block, 0, int8=int8) == 0
