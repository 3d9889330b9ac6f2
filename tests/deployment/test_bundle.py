from __future__ import annotations

import copy
import errno
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from transformers import BertConfig, PreTrainedModel, PreTrainedTokenizerFast, RobertaConfig

from aebert.deployment.bundle import BundleSource, pack, write_bundle
from aebert.deployment.quantize import quantize_int8
from aebert.errors import BundleError, ExportError, OutputError
from aebert.models.evaluation import evaluate, prepare
from aebert.runtime import ClassPrediction, Model, verify
from aebert.runtime.container import GRAPH, MANIFEST, PARTS, QUANTIZED, SUMS, TOKENIZER, open_container, part_names
from aebert.tasks.task import Row, TaskSpec

SCORES = {"rows": 3, "rows_of": "report", "metrics": {"accuracy": 0.75}, "interval": [0.5, 1.0]}


@pytest.fixture(scope="module")
def source(
    toy: Any,
    tiny_tokenizer: PreTrainedTokenizerFast,
    tiny_task: Callable[..., tuple[TaskSpec, list[Row]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> BundleSource:
    """A real export of a toy classifier, quantized."""
    spec, rows = tiny_task("classification", 24)
    quantized = quantize_int8(toy.path, tmp_path_factory.mktemp("export") / "toy.int8.onnx")
    facts = {"scores": SCORES}
    return BundleSource(
        name="toy",
        graph=quantized,
        reference=toy.path,
        quantization="int8",
        tokenizer=tiny_tokenizer,
        config=toy.model.config,
        spec=spec,
        max_length=16,
        samples=rows,
        facts=facts,
    )


def _plain(source: BundleSource) -> BundleSource:
    """The same with the float32 graph."""
    assert source.reference is not None
    return replace(source, graph=source.reference, reference=None, quantization="float32")


def _manifest(bundle: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    return values


def test_a_bundle_holds_what_runs_and_what_is_known(source: BundleSource, tmp_path: Path) -> None:
    bundle = write_bundle(source, tmp_path / "deep" / "toy")
    files = {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()}
    assert files == {*PARTS, QUANTIZED, "README.md", "config.json", "tokenizer_config.json", SUMS}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["toy"]
    assert (bundle / QUANTIZED).read_bytes() == source.graph.read_bytes()
    assert (bundle / GRAPH).read_bytes() == source.reference.read_bytes()  # type: ignore[union-attr]
    values = _manifest(bundle)
    assert values["task"]["labels"] == ["bad", "good"]
    assert values["graph"] == {
        "file": QUANTIZED,
        "inputs": ["input_ids", "token_type_ids", "attention_mask"],
        "opset": 20,
        "quantization": "int8",
    }
    assert (values["text"]["max_length"], values["text"]["max_positions"]) == (16, 64)
    assert values["scores"] == SCORES
    assert len(list(verify(bundle))) == 7


def test_nothing_of_this_machine_and_no_text_of_a_row_is_in_it(source: BundleSource, tmp_path: Path) -> None:
    bundle = write_bundle(source, tmp_path / "toy")
    for name in (*part_names(open_container(bundle)), SUMS):
        content = (bundle / name).read_bytes()
        assert str(tmp_path).encode() not in content
        assert not re.search(rb"/(home|root|tmp|usr|work)/", content)
        assert all(str(row.text[0]).encode() not in content for row in source.samples)


def test_the_tolerance_of_int8_is_twice_what_quantization_changed(source: BundleSource, tmp_path: Path) -> None:
    parity = _manifest(write_bundle(source, tmp_path / "int8"))["parity"]
    # from outside: onnxruntime and nothing of ours
    import onnxruntime

    int8, float32 = (onnxruntime.InferenceSession(str(path)) for path in (source.graph, source.reference))
    changes = []
    for case in parity["cases"]:
        feed = {name: np.array([ids]) for name, ids in case["inputs"].items()}
        changes.append(np.abs(int8.run(None, feed)[0] - float32.run(None, feed)[0]).max())
    assert parity["quantization"] == pytest.approx(max(changes), rel=1e-3)
    assert parity["tolerance"] == pytest.approx(max(2 * parity["quantization"], 4 * parity["spread"]), rel=1e-9)
    stated = _manifest(write_bundle(_plain(source), tmp_path / "float32"))["parity"]
    assert stated["quantization"] == 0.0
    assert stated["tolerance"] == pytest.approx(1e-4 * max(1.0, stated["largest_logit"]), rel=1e-6)


def test_the_runtime_says_what_torch_says(
    source: BundleSource, tiny_model: Callable[..., PreTrainedModel], tmp_path: Path
) -> None:
    model = Model.load(write_bundle(_plain(source), tmp_path / "toy.zip"))
    prepared = prepare(source.samples, source.spec, source.tokenizer, 16, 1000)
    expected = np.stack(evaluate(tiny_model("bert", labels=2), prepared).logits)
    found = model.predict([row.text[0] for row in source.samples])
    for one, logits in zip(found, expected, strict=True):
        assert isinstance(one, ClassPrediction)
        shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        assert list(one.probabilities.values()) == pytest.approx(shares.tolist(), abs=1e-5)
        assert one.label == ("bad", "good")[int(logits.argmax())]


def test_what_the_tokenizer_was_last_used_for_is_not_shipped(source: BundleSource, tmp_path: Path) -> None:
    source.tokenizer(["the film"], padding="max_length", max_length=9, truncation=True)
    values = json.loads((write_bundle(source, tmp_path / "toy") / TOKENIZER).read_text(encoding="utf-8"))
    assert values["truncation"] is None
    assert values["padding"] is None
    assert source.tokenizer.backend_tokenizer.truncation is not None  # what would have been shipped


def test_a_graph_of_another_vocabulary_is_not_bundled(source: BundleSource, tmp_path: Path) -> None:
    config = copy.deepcopy(source.config)
    config.vocab_size += 3
    with pytest.raises(
        ExportError,
        match=r"toy can't be made: graph: onnx/model_quantized\.onnx must take the \d+ ids",
    ):
        write_bundle(replace(source, config=config), tmp_path / "toy")


def test_positions_of_roberta_begin_behind_the_padding(source: BundleSource, tmp_path: Path) -> None:
    pieces = source.config.vocab_size
    config = RobertaConfig(vocab_size=pieces, max_position_embeddings=18, pad_token_id=1)
    text = _manifest(write_bundle(replace(source, config=config), tmp_path / "toy"))["text"]
    assert (text["max_positions"], text["max_length"]) == (16, 16)
    bert = BertConfig(vocab_size=pieces, max_position_embeddings=64)
    long = replace(source, max_length=500, config=bert)
    assert _manifest(write_bundle(long, tmp_path / "toy"))["text"]["max_length"] == 64


def test_folder_to_zip_and_back(source: BundleSource, tmp_path: Path) -> None:
    bundle = write_bundle(source, tmp_path / "toy")
    there = pack(bundle, tmp_path / "toy.zip")
    assert len(list(verify(there))) == 7
    back = pack(there, tmp_path / "back")
    for name in (*part_names(open_container(bundle)), SUMS):
        assert (back / name).read_bytes() == (bundle / name).read_bytes()
    (back / TOKENIZER).write_bytes(b"")
    with pytest.raises(BundleError, match=r"tokenizer\.json must have the SHA-256"):
        pack(back, tmp_path / "x.zip")
    assert not (tmp_path / "x.zip").exists()


def test_a_bundle_is_replaced_whole(source: BundleSource, tmp_path: Path) -> None:
    bundle = write_bundle(source, tmp_path / "toy")
    (bundle / "stray").write_text("x")
    write_bundle(source, bundle)
    files = {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()}
    assert files == {*PARTS, QUANTIZED, "README.md", "config.json", "tokenizer_config.json", SUMS}
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_other_files_are_never_replaced(source: BundleSource, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match=r"must be a new folder or a bundle to replace; it holds other files"):
        write_bundle(source, tmp_path)
    with pytest.raises(OutputError, match=r"thesis.txt must be a zip file if it ends in .zip, else a folder"):
        write_bundle(source, tmp_path / "thesis.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_full_disk_leaves_the_old_bundle(
    source: BundleSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write_bundle(source, tmp_path / "toy")
    before = (bundle / MANIFEST).read_bytes()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="toy can't be written: No space left on device"):
        write_bundle(source, bundle)
    monkeypatch.undo()
    assert (bundle / MANIFEST).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def _broken(source: BundleSource, path: Path) -> Path:
    """The float32 graph with a classifier that gives no numbers."""
    assert source.reference is not None
    model = onnx.load(source.reference)
    (bias,) = (one for one in model.graph.initializer if one.name.endswith("classifier.bias"))
    bias.CopyFrom(numpy_helper.from_array(np.full(2, np.nan, dtype=np.float32), bias.name))
    onnx.save(model, path)
    return path


def test_what_does_not_fit_is_not_written(source: BundleSource, tmp_path: Path) -> None:
    broken = replace(source, graph=_broken(source, tmp_path / "broken.onnx"), reference=None)
    with pytest.raises(ExportError, match=r"^bundle toy can't be made: .*parity.tolerance must be above 0"):
        write_bundle(broken, tmp_path / "toy")
    labels = replace(source, spec=source.spec.with_labels(["a", "b", "c"]))
    with pytest.raises(ExportError, match=r"labels: onnx/model_quantized.onnx must give one logit for each of a, b, c"):
        write_bundle(labels, tmp_path / "toy")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.onnx"]
