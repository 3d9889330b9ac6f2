"""Files of embedding models: what they give, and that nothing is lost of what makes them fast."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from transformers import PreTrainedModel

from aebert.deployment.fusion import fuse_onnx
from aebert.deployment.onnx_export import export_onnx
from aebert.deployment.parity import check_parity, other_shapes
from aebert.models.embedding import embedding_class, set_pooling
from aebert.models.pooling import Pooling

INPUTS = ("input_ids", "token_type_ids", "attention_mask")


@pytest.mark.slow
@pytest.mark.parametrize(("family", "mode"), [("bert", "mean"), ("distilbert", "cls"), ("roberta", "max")])
def test_files_give_states_and_embeddings_and_fuse_all_norms(
    family: str,
    mode: Any,
    tiny_model: Callable[..., PreTrainedModel],
    padded_batch: dict[str, torch.Tensor],
    tmp_path: Path,
) -> None:
    classifier = tiny_model(family)
    set_pooling(classifier.config, Pooling(mode, True, "test"))
    model = embedding_class(family)(classifier.config).eval()
    plain = export_onnx(model, INPUTS, tmp_path / "plain.onnx", opset=20)
    fusion = fuse_onnx(model, INPUTS, tmp_path / "fused.onnx", plain=plain, opset=20)
    assert (fusion.norms.fused, fusion.norms.of) == (4, 4)
    assert (fusion.attentions.fused, fusion.attentions.of) == (2, 2)
    typed = {**padded_batch, "token_type_ids": torch.zeros_like(padded_batch["input_ids"])}
    batches = other_shapes(typed, pad_token_id=0, max_length=20)
    for path in (plain, tmp_path / "fused.onnx"):
        assert check_parity(model, path, batches).max_abs_difference < 1e-5
        # from outside: a program that pools by itself reads the first output
        session = onnxruntime.InferenceSession(str(path))
        assert [one.name for one in session.get_outputs()] == ["last_hidden_state", "sentence_embedding"]
        feed = {one.name: typed[one.name].numpy() for one in session.get_inputs()}
        states, vectors = session.run(None, feed)
        assert states.shape == (3, 12, 32)
        if mode == "cls":
            expected = states[:, 0] / np.linalg.norm(states[:, 0], axis=1, keepdims=True)
            np.testing.assert_allclose(vectors, expected, atol=1e-6)
