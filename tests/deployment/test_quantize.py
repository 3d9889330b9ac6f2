from __future__ import annotations

import errno
import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from aebert.deployment import quantize
from aebert.deployment.cpu import Cpu, this_cpu
from aebert.deployment.quantize import VARIANTS, DynamicInt8, QuantizeOptions, Source, StaticInt8, quantize_int8
from aebert.deployment.session import OnnxModel
from aebert.errors import ExportError, OutputError

# Share of the largest logit. Weights of 7 bits, on processors without int8 dot products, are rounded twice as coarsely.
INT8_ERROR = 0.2 if this_cpu().needs_reduced_range else 0.1


def test_weights_and_embeddings_become_int8(exported: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = exported.path.read_bytes()
    with caplog.at_level(logging.WARNING):
        path = quantize_int8(exported.path, tmp_path / "model.int8.onnx")
    assert caplog.records == []
    assert exported.path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model.int8.onnx"]
    graph = onnx.load(path).graph
    signed, unsigned = (
        sorted(tuple(t.dims) for t in graph.initializer if t.data_type == kind and len(t.dims) == 2)
        for kind in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
    )
    # attention output, up (5 neurons) and classifier (5 labels), query, key, value; down
    assert signed == [(5, 32), (24, 32), (32, 5), (32, 5), (32, 24), (32, 24), (32, 24)]
    assert unsigned == [(2, 32), (64, 32), (99, 32)]  # token types, positions, words
    assert all(t.data_type != onnx.TensorProto.FLOAT or np.prod(t.dims) <= 64 for t in graph.initializer)


@pytest.mark.parametrize("per_channel", [False, True])
def test_the_int8_file_is_smaller_and_answers_alike(
    exported: Any, batch: dict[str, torch.Tensor], tmp_path: Path, per_channel: bool
) -> None:
    path = quantize_int8(exported.path, tmp_path / "model.int8.onnx", per_channel=per_channel)
    assert path.stat().st_size < exported.path.stat().st_size
    arrays = {name: tensor.numpy() for name, tensor in batch.items()}
    real = arrays["attention_mask"].astype(bool)
    full, small = (OnnxModel(file).logits(arrays)[real] for file in (exported.path, path))
    difference = np.abs(full - small).max()
    assert 0 < difference < INT8_ERROR * np.abs(full).max()
    assert (full.argmax(-1) == small.argmax(-1)).mean() >= 0.9


def test_a_scale_per_channel_is_closer(exported: Any, batch: dict[str, torch.Tensor], tmp_path: Path) -> None:
    arrays = {name: tensor.numpy() for name, tensor in batch.items()}
    full = OnnxModel(exported.path).logits(arrays)
    error = {}
    for per_channel in (False, True):
        path = quantize_int8(exported.path, tmp_path / f"{per_channel}.onnx", per_channel=per_channel)
        error[per_channel] = np.abs(OnnxModel(path).logits(arrays) - full).mean()
    assert error[True] < error[False]


def test_a_damaged_source_is_refused(exported: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(exported.path.read_bytes()[:-10])
    with pytest.raises(ExportError, match=r"broken\.onnx must be a whole ONNX file"):
        quantize_int8(broken, tmp_path / "small.onnx")
    with pytest.raises(ExportError, match=r"nothing\.onnx must be an ONNX file; there is none"):
        quantize_int8(tmp_path / "nothing.onnx", tmp_path / "small.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["broken.onnx"]


def test_a_full_disk_leaves_the_old_file(exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "small.onnx"
    target.write_bytes(b"old")

    def half(_: Any, written: Path, **__: Any) -> None:
        written.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(quantize, "quantize_dynamic", half)
    with pytest.raises(OutputError, match=r"small\.onnx can't be written: No space left on device"):
        quantize_int8(exported.path, target)
    assert target.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["small.onnx"]


def feeds(batch: dict[str, torch.Tensor]) -> list[dict[str, Any]]:
    arrays = {name: tensor.numpy() for name, tensor in batch.items() if name != "labels"}
    return [{name: array[row : row + 1, :3] for name, array in arrays.items()} for row in range(3)] + [arrays]


@pytest.mark.parametrize("name", list(VARIANTS))
def test_every_variant_answers_alike_in_a_smaller_file(
    name: str, exported: Any, batch: dict[str, torch.Tensor], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, handlers = Source.load(exported.path), list(logging.getLogger().handlers)
    with caplog.at_level(logging.WARNING):
        path = quantize.quantize(source, tmp_path / "small.onnx", VARIANTS[name], QuantizeOptions(feeds(batch)))
    assert [one.getMessage() for one in caplog.records] == []
    assert logging.getLogger().handlers == handlers, "no logger set up for the whole process"
    assert VARIANTS[name].describe()
    (*_, arrays) = feeds(batch)
    real = arrays["attention_mask"].astype(bool)
    full, small = (OnnxModel(file).logits(arrays)[real] for file in (exported.path, path))
    assert 0 < np.abs(full - small).max() < (0.7 if "int4" in name else INT8_ERROR) * np.abs(full).max()
    if "weight" not in name:  # blocks of 32 are padded, which outweighs matrices as small as these
        assert path.stat().st_size < exported.path.stat().st_size


@pytest.mark.parametrize("name", ["dynamic-int8", "static-int8", "weight-int4"])
def test_what_is_excluded_stays_float32(
    name: str, exported: Any, batch: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    source = Source.load(exported.path)
    assert "bert.encoder.layer.0.intermediate.dense" in source.layers.values()
    up = next(node for node, layer in source.layers.items() if layer.endswith("intermediate.dense"))
    words = next(node for node, layer in source.layers.items() if layer.endswith("word_embeddings"))
    setting = QuantizeOptions(feeds(batch), exclude=frozenset({up, words}))
    path = quantize.quantize(source, tmp_path / "small.onnx", VARIANTS[name], setting)
    kept = {tuple(t.dims) for t in onnx.load(path).graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
    assert {(32, 5), (99, 32)} <= kept
    everything = QuantizeOptions(feeds(batch), exclude=frozenset(source.layers))
    same = quantize.quantize(source, tmp_path / "same.onnx", VARIANTS[name], everything)
    (*_, arrays) = feeds(batch)
    assert np.abs(OnnxModel(same).logits(arrays) - OnnxModel(exported.path).logits(arrays)).max() < 1e-5


def test_what_weights_of_a_layer_take(exported: Any) -> None:
    source = Source.load(exported.path)
    taken = {layer: source.weight_bytes(node) for node, layer in source.layers.items()}
    assert taken["bert.embeddings.word_embeddings"] == 99 * 32 * 4
    assert taken["bert.encoder.layer.0.attention.self.value"] == 32 * 24 * 4
    assert taken["bert.encoder.layer.0.output.dense"] == 5 * 32 * 4


def test_static_quantization_fixes_the_ranges_of_every_product(
    exported: Any, batch: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    source = Source.load(exported.path)
    path = quantize.quantize(source, tmp_path / "small.onnx", StaticInt8(), QuantizeOptions(feeds(batch)))
    nodes = onnx.load(path).graph.node
    made = {name: node.op_type for node in nodes for name in node.output}
    products = [node for node in nodes if node.name in source.products]
    assert len(products) == len(source.products)
    assert all([made[name] for name in node.input] == ["DequantizeLinear"] * 2 for node in products)


def test_static_quantization_needs_rows(exported: Any, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"needs calibration rows, got none; raise deploy\.calibration_rows"):
        quantize.quantize(Source.load(exported.path), tmp_path / "small.onnx", StaticInt8(), QuantizeOptions())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("sets", "largest"), [(("avx2",), 64), (("avx512_vnni",), 127)])
def test_weights_have_7_bits_where_products_of_8_overflow(
    sets: tuple[str, ...], largest: int, exported: Any, tmp_path: Path
) -> None:
    setting = QuantizeOptions(cpu=Cpu("x86_64", sets))
    path = quantize.quantize(Source.load(exported.path), tmp_path / "small.onnx", DynamicInt8(), setting)
    signed = [t for t in onnx.load(path).graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 2]
    assert max(int(np.abs(onnx.numpy_helper.to_array(t).astype(int)).max()) for t in signed) == largest
