"""Bundles in programs that aren't ours and have pins of their own, each in an environment that a variable names.

AEBERT_NODE_MODULES: a `node_modules` with `@huggingface/transformers` (npm install --ignore-scripts
@huggingface/transformers). Without it, or without Node, the test is skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedModel

from aebert.deployment.bundle import BundleSource, write_bundle
from aebert.deployment.onnx_export import export_onnx
from aebert.deployment.quantize import quantize_int8
from aebert.models.embedding import embedding_class, set_pooling
from aebert.models.pooling import Pooling
from aebert.runtime import EmbeddingPrediction, Model
from aebert.tasks.task import Row, TaskSpec

TEXTS = ["the film is good", "a very dull story and the cast it was awful"]
SCRIPT = """
import { env, pipeline } from '@huggingface/transformers';
env.allowRemoteModels = false;
env.localModelPath = process.argv[2];
for (const dtype of ['fp32', 'q8']) {
  const extract = await pipeline('feature-extraction', 'toy', { dtype });
  const vectors = [];
  for (const text of JSON.parse(process.argv[3]))
    vectors.push((await extract(text, { pooling: 'mean', normalize: true })).tolist()[0]);
  console.log(JSON.stringify(vectors));
}
"""


@pytest.fixture
def bundles(tiny_model: Callable[..., PreTrainedModel], tiny_tokenizer: Any, tmp_path: Path) -> dict[str, Path]:
    """The float32 and the quantized bundle of a toy embedder; the latter holds both graphs."""
    classifier = tiny_model("bert")
    set_pooling(classifier.config, Pooling("mean", True, "test"))
    model = embedding_class("bert")(classifier.config).eval()
    spec = TaskSpec("toy", "embedding", ("sentence",), "", (), "agreement", "agreement")
    rows = [Row((text,), 0.0) for text in TEXTS]
    plain = export_onnx(model, tiny_tokenizer.model_input_names, tmp_path / "plain.onnx", opset=20)
    int8 = quantize_int8(plain, tmp_path / "int8.onnx")
    common = (tiny_tokenizer, model.config, spec, 16, rows)
    return {
        "fp32": write_bundle(BundleSource("toy", plain, None, "float32", *common), tmp_path / "float32"),
        "q8": write_bundle(BundleSource("toy", int8, plain, "int8", *common), tmp_path / "models" / "toy"),
    }


def _ours(bundle: Path) -> np.ndarray:
    found = Model.load(bundle).predict(TEXTS, batch=1)
    return np.stack([one.vector for one in found if isinstance(one, EmbeddingPrediction)])


@pytest.mark.slow
def test_transformers_js_embeds_the_same(bundles: dict[str, Path], tmp_path: Path) -> None:
    modules = os.environ.get("AEBERT_NODE_MODULES")
    if shutil.which("node") is None or not modules or not (Path(modules) / "@huggingface" / "transformers").is_dir():
        pytest.skip("needs Node, and AEBERT_NODE_MODULES with @huggingface/transformers")
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "embed.mjs").write_text(SCRIPT)
    command = ["node", "embed.mjs", f"{bundles['q8'].parent}/", json.dumps(TEXTS)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for kind, line in zip(("fp32", "q8"), done.stdout.splitlines(), strict=True):
        np.testing.assert_allclose(np.array(json.loads(line)), _ours(bundles[kind]), atol=1e-5)
