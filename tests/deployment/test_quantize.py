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
from aebert.deployment.quantize import quantize_int8
from aebert.deployment.session import OnnxModel
from aebert.errors import ExportError, OutputError


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
    assert 0 < difference < 0.1 * np.abs(full).max()
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
