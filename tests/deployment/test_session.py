from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aebert.deployment.session import OnnxModel
from aebert.errors import ExportError


def test_logits_of_a_batch_ignore_keys_that_are_no_inputs(exported: Any, batch: dict[str, torch.Tensor]) -> None:
    model = OnnxModel(exported.path)
    arrays = {name: tensor.numpy() for name, tensor in batch.items()}
    logits = model.logits(arrays)
    assert logits.shape == (3, 12, 5)
    assert logits.dtype == np.float32
    assert np.array_equal(logits, model.logits({name: arrays[name].astype(np.int32) for name in model.inputs}))


def test_a_missing_input_is_named(exported: Any, batch: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ExportError, match=r"the batch lacks token_type_ids, attention_mask$"):
        OnnxModel(exported.path).logits({"input_ids": batch["input_ids"].numpy()})


def test_a_batch_the_graph_cannot_take_is_one_line(exported: Any) -> None:
    ids = np.full((2, 3), 99)  # the vocabulary ends at 98
    batch = {"input_ids": ids, "token_type_ids": ids * 0, "attention_mask": ids * 0 + 1}
    with pytest.raises(ExportError, match=r"^model.onnx can't run on a batch \[2, 3\]: .*$") as caught:
        OnnxModel(exported.path).logits(batch)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"nothing\.onnx must be an ONNX file; there is none"):
        OnnxModel(tmp_path / "nothing.onnx")


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.999])
def test_a_truncated_file(exported: Any, tmp_path: Path, keep: float, capfd: pytest.CaptureFixture[str]) -> None:
    content = exported.path.read_bytes()
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ExportError, match=r"broken\.onnx must be a whole ONNX file: .* \(export it again\)$") as caught:
        OnnxModel(broken)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_long_error_is_cut_to_its_first_line(exported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no such operator\nstack\nof calls")

    monkeypatch.setattr("onnxruntime.InferenceSession", fail)
    with pytest.raises(ExportError, match=r"must be a whole ONNX file: no such operator \(export it again\)$"):
        OnnxModel(exported.path)
