from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from aebert.deployment import parity
from aebert.deployment.modes import eval_mode
from aebert.deployment.parity import check_parity, other_shapes
from aebert.errors import ExportError


def test_a_sub_network_with_empty_blocks_equals_its_file_on_other_shapes(
    exported: Any, batch: dict[str, torch.Tensor]
) -> None:
    exported.model.train()
    result = check_parity(exported.model, exported.path, other_shapes(batch, pad_token_id=0, max_length=64))
    assert result.shapes == ((3, 12), (1, 3), (6, 15), (1, 36))
    # 5 labels for 22 tokens, 3 alone, 22 + 3 + 4 + 3 ragged, 36 in the long row; no padding
    assert result.compared == 5 * (22 + 3 + 32 + 36)
    assert result.max_abs_difference < 1e-5
    assert result.max_abs_logit > 0.1
    assert exported.model.training, "left as found"


@pytest.mark.parametrize("change", [0.01, float("nan")])
def test_a_changed_weight_is_found(exported: Any, batch: dict[str, torch.Tensor], change: float) -> None:
    other = copy.deepcopy(exported.model)
    other.classifier.bias.data[2] += change
    with pytest.raises(ExportError, match=r"^model.onnx must give the model's logits within .*\[3, 12\] .*opset\)$"):
        check_parity(other, exported.path, [batch])


def test_a_difference_is_told_with_its_size(exported: Any, batch: dict[str, torch.Tensor]) -> None:
    other = copy.deepcopy(exported.model)
    other.classifier.bias.data += 0.5
    with pytest.raises(ExportError, match=r"differs by 5\.0e-01 on a batch \[3, 12\]"):
        check_parity(other, exported.path, [batch], tolerance=1e-4)


def test_a_lost_bias_of_an_empty_block_is_found(exported: Any, batch: dict[str, torch.Tensor]) -> None:
    other = copy.deepcopy(exported.model)
    other.bert.encoder.layer[1].attention.output.dense.bias.data.zero_()
    with pytest.raises(ExportError, match="differs by"):
        check_parity(other, exported.path, [batch])


class Reply:
    """Stands for an exported file: gives the model's logits plus an error at one position."""

    path = Path("fake.onnx")
    inputs = ("input_ids", "token_type_ids", "attention_mask")

    def __init__(self, model: PreTrainedModel, row: int, token: int) -> None:
        self.model, self.place = model, (row, token)

    def logits(self, batch: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        with eval_mode(self.model), torch.no_grad():
            tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
            logits = self.model(**tensors).logits.numpy().copy()
        logits[self.place] += 1.0
        return np.asarray(logits)


def test_padding_does_not_count_and_tokens_do(
    uneven: PreTrainedModel, batch: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "OnnxModel", lambda *_: Reply(uneven, row=2, token=3))  # the first padding of row 2
    assert check_parity(uneven, Reply.path, [batch]).max_abs_difference == 0.0
    monkeypatch.setattr(parity, "OnnxModel", lambda *_: Reply(uneven, row=2, token=2))  # its last token
    with pytest.raises(ExportError, match=r"differs by 1\.0e\+00"):
        check_parity(uneven, Reply.path, [batch])


def test_large_logits_may_differ_by_a_share_of_their_size(
    uneven: PreTrainedModel, batch: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    large = copy.deepcopy(uneven)
    large.classifier.bias.data += 2000.0
    monkeypatch.setattr(parity, "OnnxModel", lambda *_: Reply(large, row=0, token=0))  # off by 1
    assert check_parity(large, Reply.path, [batch], tolerance=1e-3).max_abs_difference == 1.0
    with pytest.raises(ExportError, match=r"within 2\.0e-01, differs by 1\.0e\+00"):
        check_parity(large, Reply.path, [batch], tolerance=1e-4)


def test_no_batch_is_no_proof(exported: Any) -> None:
    with pytest.raises(ExportError, match="needs at least one batch"):
        check_parity(exported.model, exported.path, [])


def test_other_shapes_by_hand() -> None:
    batch = {
        "input_ids": torch.tensor([[5, 6, 7, 8], [9, 4, 1, 1]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]),
        "labels": torch.tensor([0, 1]),
    }
    same, alone, ragged, long = other_shapes(batch, pad_token_id=1, max_length=6)
    assert same.keys() == {"input_ids", "attention_mask"}
    assert alone["input_ids"].tolist() == [[9, 4]]
    # both rows, then both cut to 1/3 of 4 (2 tokens) and 2/3 of 2 (2 tokens); padded to 4 + 3, at most 6
    assert ragged["input_ids"].tolist() == [
        [5, 6, 7, 8, 1, 1],
        [9, 4, 1, 1, 1, 1],
        [5, 6, 1, 1, 1, 1],
        [9, 4, 1, 1, 1, 1],
    ]
    assert ragged["attention_mask"].sum(dim=1).tolist() == [4, 2, 2, 2]
    assert long["input_ids"].tolist() == [[5, 6, 7, 8, 5, 6]]
    assert long["attention_mask"].tolist() == [[1] * 6]
