from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import convert_model_to_external_data

from aebert.compare.targets import opened, vocabulary_of
from aebert.errors import AebertError


def refused(path: Path) -> str:
    with pytest.raises(AebertError) as caught, opened([path]):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def bundle(folder: Path, graph: Path) -> Path:
    folder.mkdir()
    (folder / "bundle.json").write_text("{}")
    (folder / "model.onnx").write_bytes(graph.read_bytes())
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0, "b": 1}}}))
    return folder


def test_an_onnx_file(classifier: Path) -> None:
    with opened([classifier]) as (target,):
        assert (target.name, target.form, target.kind) == (str(classifier), "ONNX", "onnx")
        assert (target.path, target.files, target.vocabulary) == (classifier, (classifier,), 50)
        assert target.size_bytes == classifier.stat().st_size


def test_weights_beside_a_graph_belong_to_it(classifier: Path, tmp_path: Path) -> None:
    model = onnx.load(classifier)
    convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    path = tmp_path / "large" / "m.onnx"
    path.parent.mkdir()
    onnx.save(model, path)
    with opened([path]) as (target,):
        assert target.files == (path, path.parent / "weights.bin")
        assert target.size_bytes > 50 * 5 * 4
    (path.parent / "weights.bin").unlink()
    assert "keeps weights in weights.bin beside it; that file is missing" in refused(path)


def test_weights_elsewhere_are_refused(classifier: Path, tmp_path: Path) -> None:
    model = onnx.load(classifier)
    convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    onnx.save(model, tmp_path / "m.onnx")
    stored = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    for tensor in stored.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../../secret"
    (tmp_path / "m.onnx").write_bytes(stored.SerializeToString())
    assert "must lie beside their graph, got ../../secret" in refused(tmp_path / "m.onnx")


def test_a_bundle_folder(classifier: Path, tmp_path: Path) -> None:
    folder = bundle(tmp_path / "mine", classifier)
    with opened([folder]) as (target,):
        assert (target.name, target.form, target.path) == (str(folder), "bundle", folder / "model.onnx")
        assert target.vocabulary == 50  # what its graph takes, not what its tokenizer gives


@pytest.mark.parametrize("inside", ["", "mine/"])
def test_a_packed_bundle(classifier: Path, tmp_path: Path, inside: str) -> None:
    folder, packed = bundle(tmp_path / "mine", classifier), tmp_path / "mine.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../escaped.json", "{}")
        for file in folder.iterdir():
            archive.write(file, inside + file.name)
    with opened([packed]) as (target,):
        assert (target.name, target.form, target.vocabulary) == (str(packed), "bundle", 50)
        assert target.path.read_bytes() == classifier.read_bytes()
        unpacked = target.path
    assert not unpacked.exists()


def test_a_checkpoint_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"vocab_size": 77}')
    (tmp_path / "model.safetensors").write_bytes(bytes(10))
    with opened([tmp_path]) as (target,):
        assert (target.form, target.kind, target.vocabulary, target.size_bytes) == ("torch eager", "checkpoint", 77, 10)


def test_what_is_no_target(classifier: Path, tmp_path: Path) -> None:
    assert "gone.onnx does not exist: a target is an ONNX file, a bundle," in refused(tmp_path / "gone.onnx")
    text = tmp_path / "text.onnx"
    text.write_text("not a graph")
    assert f"{text} must be an ONNX file: " in refused(text)
    text.write_bytes(b"")
    assert "must be an ONNX file with a graph; it has none" in refused(text)
    text.write_bytes(classifier.read_bytes()[:-20])
    assert f"{text} must be an ONNX file: " in refused(text)
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    assert refused(nothing).endswith("must hold bundle.json (a bundle) or config.json (a checkpoint)")
    (nothing / "a.onnx").touch()
    assert f"measure its files: {nothing}/*.onnx" in refused(nothing)


def test_incomplete_folders(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "bundle.json").touch()
    assert f"bundle {empty} must hold model.onnx; it does not" in refused(empty)
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "config.json").write_text("{")
    assert "must hold weights (*.safetensors or pytorch_model*.bin); it does not" in refused(checkpoint)
    (checkpoint / "model.safetensors").touch()
    assert "must have a config.json of JSON" in refused(checkpoint)


def test_bad_archives(classifier: Path, tmp_path: Path) -> None:
    packed = tmp_path / "other.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", "x")
    assert "must be an ONNX file or a packed bundle; it is a ZIP without bundle.json" in refused(packed)
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("bundle.json", "{}")
        archive.write(classifier, "model.onnx")
    content = bytearray(packed.read_bytes())
    content[len(content) // 2] ^= 1
    packed.write_bytes(bytes(content))
    assert f"bundle {packed} is damaged: Bad CRC-32" in refused(packed)


def graph(nodes: list[onnx.NodeProto], tables: dict[str, tuple[int, ...]]) -> onnx.GraphProto:
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["b", "s"])
    weights = [numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in tables.items()]
    return helper.make_graph(nodes, "g", [ids], [], weights)


node = helper.make_node


@pytest.mark.parametrize(
    ("nodes", "vocabulary"),
    [
        ([node("Gather", ["words", "input_ids"], ["x"])], 30),
        ([node("Cast", ["input_ids"], ["ids"]), node("Gather", ["words", "ids"], ["x"])], 30),
        ([node("Gather", ["types", "types_ids"], ["t"]), node("Gather", ["words", "input_ids"], ["x"])], 30),
        ([node("EmbedLayerNormalization", ["input_ids", "segments", "words", "places", "types"], ["x"])], 30),
        ([node("Relu", ["input_ids"], ["ids"]), node("Gather", ["words", "ids"], ["x"])], None),
        ([node("Gather", ["input_ids", "places"], ["x"])], None),
    ],
)
def test_the_vocabulary_is_the_table_that_ids_are_looked_up_in(
    nodes: list[onnx.NodeProto], vocabulary: int | None
) -> None:
    assert vocabulary_of(graph(nodes, {"words": (30, 4), "places": (64, 4), "types": (2, 4)})) == vocabulary
