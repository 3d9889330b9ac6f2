from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from transformers import PreTrainedModel

from aebert.deployment.exported import Fused, Fusion
from aebert.deployment.fusion import add_embeddings, fuse_onnx
from aebert.deployment.graph import load_onnx
from aebert.deployment.onnx_export import export_onnx
from aebert.deployment.parity import check_parity, largest_difference, other_shapes
from aebert.deployment.quantize import VARIANTS, QuantizeOptions, Source, quantize
from aebert.deployment.session import OnnxModel
from aebert.errors import ExportError
from aebert.pruning.slicing import Selection, extract

NAMES = ("input_ids", "token_type_ids", "attention_mask")
# attentions, GELUs, norms behind blocks, embeddings of the dense toys; ELECTRA's head has one GELU more
COUNTS = {
    "bert": (2, 2, 4, 1),
    "roberta": (2, 2, 4, 1),
    "electra": (2, 3, 4, 1),
    "distilbert": (2, 2, 4, 1),
    "mobilebert": (2, 0, 0, 0),
}
FAMILIES = tuple(COUNTS)


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


@pytest.mark.slow
def test_a_sub_network_with_empty_blocks_is_fused_at_once_and_computes_the_same(
    uneven: PreTrainedModel, exported: Any, batch: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "fused.onnx"
    fusion = fuse_onnx(uneven, NAMES, path, plain=exported.path, opset=20)  # `made` is of opset 18
    assert fusion.attentions == Fused(1, 1)
    assert fusion.gelus == Fused(1, 1)
    assert fusion.embeddings == Fused(1, 1)
    parity = check_parity(uneven, path, other_shapes(batch, pad_token_id=0, max_length=64), tolerance=1e-5)
    assert parity.shapes == ((3, 12), (1, 3), (6, 15), (1, 36))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "sliced"),
    [pytest.param(family, True, id=f"{family}-sliced") for family in FAMILIES]
    + [pytest.param("bert", False, id="bert-dense")],
)
def test_every_family_is_exported_and_fused_and_computes_the_same(
    family: str,
    sliced: bool,
    tiny_model: Callable[..., PreTrainedModel],
    toy_batch: dict[str, torch.Tensor],
    tmp_path: Path,
) -> None:
    model = tiny_model(family)
    model = uneven_of(model) if sliced else model
    plain, apart, fused = (tmp_path / f"{name}.onnx" for name in ("plain", "apart", "fused"))
    export_onnx(model, names_of(family), plain, opset=20)
    fusion = fuse_onnx(model, names_of(family), apart, plain=plain, opset=20, embeddings=False)
    attention, gelu, norms, embeddings = COUNTS[family]
    assert fusion.embeddings == Fused(0, 1)
    fusion = fusion.with_embeddings(add_embeddings(apart, fused))
    batches = other_shapes(toy_batch, pad_token_id=0, max_length=40)
    for path in (plain, fused):
        check_parity(model, path, batches, tolerance=1e-5)
    assert fusion.attentions == Fused(attention, attention)
    # the second layer of the sliced one has no neuron, and so no GELU
    assert fusion.gelus == Fused(gelu - sliced, gelu - sliced) if gelu else Fused(0, 0)
    assert fusion.norms == Fused(norms, norms)
    assert fusion.embeddings == Fused(embeddings, 1)
    assert fusion.complete is (family != "mobilebert")
    if family == "mobilebert":
        assert [note.partition(":")[0] for note in fusion.notes] == [
            "mobilebert's norms are a product and a sum (NoNorm)",
            "no GELU to fuse",
            "embeddings are not fused",
        ]
    # plain, or fused but for the embeddings, the file can be quantized and still computes alike
    arrays = {name: tensor.numpy() for name, tensor in toy_batch.items()}
    exact = OnnxModel(plain).logits(arrays)
    ways = [*((apart, name) for name in ("dynamic-int8", "static-int8", "weight-int8")), (plain, "dynamic-int8")]
    for path, name in ways:
        quantized = quantize(Source.load(path), tmp_path / "int8.onnx", VARIANTS[name], QuantizeOptions([arrays]))
        assert 0 < np.abs(OnnxModel(quantized).logits(arrays) - exact).max() < 0.25 * np.abs(exact).max()


@dataclass(frozen=True)
class Made:
    """The toy sub-network of one layer of attention, fused with its embeddings apart and with them."""

    apart: Path
    fused: Path
    fusion: Fusion


@pytest.fixture(scope="module")
def made(uneven: PreTrainedModel, exported: Any, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("fused")
    fusion = fuse_onnx(uneven, NAMES, folder / "apart.onnx", plain=exported.path, embeddings=False)
    reason = add_embeddings(folder / "apart.onnx", folder / "fused.onnx")
    return Made(folder / "apart.onnx", folder / "fused.onnx", fusion.with_embeddings(reason))


def test_the_shared_fused_file_computes_what_the_model_does(
    made: Made, uneven: PreTrainedModel, batch: dict[str, torch.Tensor]
) -> None:
    for part in ("attentions", "gelus", "embeddings"):
        assert getattr(made.fusion, part) == Fused(1, 1)
    batches = other_shapes(batch, pad_token_id=0, max_length=64)
    assert check_parity(uneven, made.fused, batches, tolerance=1e-5).shapes == ((3, 12), (1, 3), (6, 15), (1, 36))


def test_each_attention_has_the_heads_of_its_layer_and_no_reshapes(made: Made) -> None:
    graph = onnx.load(made.fused).graph
    (node,) = [node for node in graph.node if node.op_type == "MultiHeadAttention"]
    assert {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}["num_heads"] == 3
    assert [one.op_type for one in graph.node].count("Reshape") == 0
    assert [one.op_type for one in graph.node].count("Softmax") == 0
    assert made.fusion.describe() == "1 of 1 attentions, 1 of 1 gelus, 4 of 4 norms, 1 of 1 embeddings"
    assert made.fusion.notes == ("no attention to fuse in layers 2, which keep no head",)
    assert made.fusion.to_dict()["attentions"] == {"fused": 1, "of": 1}


def test_the_fused_file_equals_the_plain_one_also_with_padding(
    made: Made, exported: Any, batch: dict[str, torch.Tensor]
) -> None:
    batches = other_shapes(batch, pad_token_id=0, max_length=64)
    assert largest_difference(exported.path, made.fused, batches) < 1e-5
    # the check can fail: without its mask, a padded row reads its padding
    unmasked = [{**one, "attention_mask": torch.ones_like(one["attention_mask"])} for one in batches]
    plain, fused = OnnxModel(exported.path), OnnxModel(made.fused)
    same, other = (
        {name: tensor.numpy() for name, tensor in one.items() if name != "labels"} for one in (batches[0], unmasked[0])
    )
    assert np.abs(plain.logits(same) - fused.logits(other)).max() > 1e-2


def test_a_wrong_head_count_would_be_found(
    made: Made, uneven: PreTrainedModel, batch: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    graph = onnx.load(made.fused)
    (node,) = [node for node in graph.graph.node if node.op_type == "MultiHeadAttention"]
    next(one for one in node.attribute if one.name == "num_heads").i = 4
    onnx.save(graph, tmp_path / "wrong.onnx")
    with pytest.raises(ExportError, match="must give the model's logits"):
        check_parity(uneven, tmp_path / "wrong.onnx", [batch])


@pytest.mark.parametrize(
    "neurons", [pytest.param((), marks=pytest.mark.slow, id="empty"), pytest.param((1, 8), id="neurons")]
)
def test_a_sub_network_without_any_head_is_fused_and_quantized(
    neurons: tuple[int, ...],
    tiny_model: Callable[..., PreTrainedModel],
    toy_batch: dict[str, torch.Tensor],
    tmp_path: Path,
) -> None:
    # a budget of a few KB asks for it; no attention node then brings ONNX Runtime's domain into the graph
    model = extract(tiny_model("bert"), Selection(heads=((), ()), ffn=(neurons, neurons)))
    plain, apart, fused = (tmp_path / f"{name}.onnx" for name in ("plain", "apart", "fused"))
    export_onnx(model, NAMES, plain)
    fusion = fuse_onnx(model, NAMES, apart, plain=plain, embeddings=False)
    assert fusion.norms == Fused(4, 4)
    assert add_embeddings(apart, fused) is None
    check_parity(model, fused, other_shapes(toy_batch, pad_token_id=0, max_length=40), tolerance=1e-5)
    arrays = {name: tensor.numpy() for name, tensor in toy_batch.items()}
    exact = OnnxModel(plain).logits(arrays)
    for source, name in [
        (apart, "dynamic-int8"),
        (apart, "static-int8"),
        (apart, "weight-int4"),
        (plain, "weight-int4"),
    ]:
        path = quantize(Source.load(source), tmp_path / "int.onnx", VARIANTS[name], QuantizeOptions([arrays]))
        load_onnx(path)
        assert 0 < np.abs(OnnxModel(path).logits(arrays) - exact).max() < 0.25 * np.abs(exact).max()


def test_a_file_with_fused_embeddings_is_not_quantized(made: Made) -> None:
    with pytest.raises(ExportError, match=r"^fused\.onnx can't be quantized: its embeddings are fused"):
        Source.load(made.fused)


def test_the_plain_file_must_be_there(uneven: PreTrainedModel, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"plain\.onnx must be an ONNX file; there is none"):
        fuse_onnx(uneven, NAMES, tmp_path / "fused.onnx", plain=tmp_path / "plain.onnx")
    assert list(tmp_path.iterdir()) == []
