from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from aebert.deployment.fusion import Fused, fuse_onnx
from aebert.deployment.onnx_export import export_onnx
from aebert.deployment.parity import check_parity, other_shapes
from aebert.pruning.slicing import Selection, extract

NAMES = ("input_ids", "token_type_ids", "attention_mask")
FAMILIES = ("bert", "roberta", "electra", "distilbert", "mobilebert")


def names_of(family: str) -> tuple[str, ...]:
    return NAMES if family in ("bert", "electra", "mobilebert") else ("input_ids", "attention_mask")


def uneven_of(model: PreTrainedModel) -> PreTrainedModel:
    """Three of four heads and a few neurons in the first layer; nothing in the second but one head."""
    blocks = {"mobilebert": 6}.get(model.config.model_type, 2)
    ffn = tuple((0, 5, 6, 7, 33) if block % 2 == 0 else () for block in range(blocks))
    return extract(model, Selection(heads=((0, 2, 3), (1,)), ffn=ffn))


@pytest.fixture
def toy_batch(padded_batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    types = torch.randint(0, 2, (3, 12), generator=torch.Generator().manual_seed(2)) * padded_batch["attention_mask"]
    return {**padded_batch, "token_type_ids": types}


@pytest.mark.parametrize("opset", [18, 20])
def test_a_sub_network_with_empty_blocks_is_fused_and_computes_the_same(
    uneven: PreTrainedModel, exported: Any, batch: dict[str, torch.Tensor], tmp_path: Path, opset: int
) -> None:
    path = tmp_path / "fused.onnx"
    fusion = fuse_onnx(uneven, NAMES, path, plain=exported.path, opset=opset)
    print(fusion)
    assert fusion.attentions == Fused(1, 1)
    assert fusion.gelus == Fused(1, 1)
    assert fusion.embeddings == Fused(1, 1)
    parity = check_parity(uneven, path, other_shapes(batch, pad_token_id=0, max_length=64), tolerance=1e-5)
    assert parity.shapes == ((3, 12), (1, 3), (6, 15), (1, 36))


@pytest.mark.slow
@pytest.mark.parametrize("sliced", [False, True], ids=["dense", "sliced"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_fused_and_computes_the_same(
    family: str,
    sliced: bool,
    tiny_model: Callable[..., PreTrainedModel],
    toy_batch: dict[str, torch.Tensor],
    tmp_path: Path,
) -> None:
    model = tiny_model(family)
    model = uneven_of(model) if sliced else model
    plain = export_onnx(model, names_of(family), tmp_path / "plain.onnx", opset=20)
    fusion = fuse_onnx(model, names_of(family), tmp_path / "fused.onnx", plain=plain, opset=20)
    print(family, sliced, fusion)
    check_parity(model, tmp_path / "fused.onnx", other_shapes(toy_batch, pad_token_id=0, max_length=40), tolerance=1e-5)
    assert fusion.attentions == Fused(2, 2)
