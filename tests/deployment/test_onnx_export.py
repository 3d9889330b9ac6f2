from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from transformers import (
    BertConfig,
    BertForTokenClassification,
    DistilBertConfig,
    DistilBertForTokenClassification,
    ElectraConfig,
    ElectraForTokenClassification,
    MobileBertConfig,
    MobileBertForTokenClassification,
    PreTrainedModel,
    RobertaConfig,
    RobertaForTokenClassification,
)

from aebert.deployment import onnx_export
from aebert.deployment.onnx_export import export_onnx
from aebert.deployment.parity import check_parity, other_shapes
from aebert.deployment.quantize import quantize_int8
from aebert.errors import ExportError
from aebert.models.counting import shape_of
from aebert.pruning.slicing import Selection, extract

BERT_INPUTS = ("input_ids", "token_type_ids", "attention_mask")


def axes(values: Any) -> dict[str, list[Any]]:
    return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}


def test_inputs_are_those_of_the_model_with_dynamic_axes(exported: Any) -> None:
    graph = onnx.load(exported.path).graph
    assert axes(graph.input) == {name: ["batch", "seq"] for name in BERT_INPUTS}
    assert axes(graph.output) == {"logits": ["batch", "seq", 5]}


def test_blocks_without_units_vanish(exported: Any) -> None:
    graph = onnx.load(exported.path).graph
    # layer 0: query, key, value, scores, weighted sum, output, up, down; layer 1: nothing; the classifier
    assert Counter(node.op_type for node in graph.node)["MatMul"] == 9
    assert all(0 not in tensor.dims for tensor in graph.initializer)


def test_one_file_that_does_not_tell_where_it_was_made(exported: Any) -> None:
    assert [file.name for file in exported.path.parent.iterdir()] == ["model.onnx"]
    content = exported.path.read_bytes()
    assert b"stack_trace" not in content
    assert str(Path(onnx_export.__file__).parent).encode() not in content


def test_modes_and_attention_are_left_as_found(exported: Any) -> None:
    assert exported.modes_after == exported.modes_before
    assert set(exported.modes_before) == {True, False}
    assert exported.attention_after == "sdpa"


def test_a_failed_export_leaves_model_and_folder_as_found(
    uneven: PreTrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def fail(wrapper: torch.nn.Module, *_: Any, **__: Any) -> None:
        seen.append((any(m.training for m in wrapper.modules()), uneven.config._attn_implementation))
        raise torch.onnx.errors.OnnxExporterError("pages\nof advice") from ValueError("no such operator\nmore")

    uneven.train()
    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(
        ExportError, match=r"^SubnetworkBertFor\w+ can't be exported to ONNX opset 18: no such operator$"
    ):
        export_onnx(uneven, BERT_INPUTS, tmp_path / "model.onnx")
    assert seen == [(False, "eager")]
    assert uneven.training
    assert uneven.config._attn_implementation == "sdpa"
    assert list(tmp_path.iterdir()) == []


def test_inputs_without_token_ids_are_refused(uneven: PreTrainedModel, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"must contain input_ids .* got \['pixels', 'labels'\]"):
        export_onnx(uneven, ["pixels", "labels"], tmp_path / "model.onnx")


def test_weights_beyond_one_file_are_refused(
    uneven: PreTrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "_MAX_WEIGHT_BYTES", 20_000)
    with pytest.raises(ExportError, match="must stay below 2 GB"):
        export_onnx(uneven, BERT_INPUTS, tmp_path / "model.onnx")


def test_only_the_torchvision_message_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    log.addHandler(caplog.handler)  # torch's loggers don't propagate
    try:
        with onnx_export._quiet_exporter():
            log.warning("torchvision is not installed. Skipping %s", "torchvision::nms")
            log.warning("something else")
        log.warning("torchvision is not installed. Skipping it")
    finally:
        log.removeHandler(caplog.handler)
    assert [*dict.fromkeys(record.getMessage() for record in caplog.records)] == [
        "something else",
        "torchvision is not installed. Skipping it",
    ]


SIZES: dict[str, Any] = {"vocab_size": 99, "num_labels": 5, "max_position_embeddings": 64}
BERT_SIZES: dict[str, Any] = {
    **SIZES,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
BOTTLENECKS = {"intra_bottleneck_size": 32, "true_hidden_size": 32, "num_feedforward_networks": 2}
FAMILIES: list[tuple[Any, Any]] = [
    (BertForTokenClassification, BertConfig(**BERT_SIZES)),
    (RobertaForTokenClassification, RobertaConfig(**BERT_SIZES, pad_token_id=1, type_vocab_size=1)),
    (ElectraForTokenClassification, ElectraConfig(**BERT_SIZES, embedding_size=16)),
    (DistilBertForTokenClassification, DistilBertConfig(**SIZES, dim=32, n_layers=2, n_heads=4, hidden_dim=64)),
    (MobileBertForTokenClassification, MobileBertConfig(**BERT_SIZES, **BOTTLENECKS, embedding_size=16)),
]


# plain exports of sequence classifiers are compared in test_fusion.py, which needs them anyway, and dense ones of every
# family in test_bundle_of_pipeline.py
@pytest.mark.slow
@pytest.mark.parametrize(("model_class", "config"), FAMILIES, ids=lambda value: getattr(value, "__name__", ""))
def test_every_family_computes_the_same_after_export(
    model_class: Any,
    config: Any,
    randomized: Callable[[PreTrainedModel], PreTrainedModel],
    batch: dict[str, torch.Tensor],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    dense = randomized(model_class(config))
    every_other = tuple((0, 5, 6, 7, 33) if block % 2 else () for block in range(len(shape_of(dense).ffn)))
    model = extract(dense, Selection(heads=((0, 2, 3), ()), ffn=every_other))
    names = ("input_ids", "attention_mask") if config.model_type == "roberta" else BERT_INPUTS
    pad = config.pad_token_id
    batch["input_ids"] = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, pad)

    path = export_onnx(model, names, tmp_path / "model.onnx")

    assert capfd.readouterr() == ("", "")
    batches = other_shapes(batch, pad_token_id=pad, max_length=40)
    parity = check_parity(model, path, batches, tolerance=1e-5)
    assert parity.shapes == ((3, 12), (1, 3), (6, 15), (1, 36))
    assert parity.max_abs_logit > 0.1
    small = quantize_int8(path, tmp_path / "model.int8.onnx")
    check_parity(model, small, batches, tolerance=0.15)
    assert small.stat().st_size < path.stat().st_size
