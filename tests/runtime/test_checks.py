"""Whatever is wrong with a bundle, `verify` says so in one line that names the check."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aebert.errors import BundleError
from aebert.runtime.checks import CHECKS, verify
from aebert.runtime.container import GRAPH, MANIFEST, PARTS, SUMS, TOKENIZER, Digest, sums
from aebert.runtime.session import read_opsets

from .conftest import lookup_graph


@pytest.mark.parametrize("name", ["classification", "regression", "ner", "zip"])
def test_a_good_bundle_passes_every_check(name: str, made: dict[str, Path]) -> None:
    found = {check.name: check.detail for check in verify(made[name], threads=2)}
    assert list(found) == list(CHECKS)
    assert found["container"] == ("zip file" if name == "zip" else "folder")
    assert found["graph"].startswith("opset 20 runs in onnxruntime ")
    assert "differ by at most 0, allowed 0.0" in found["parity"]


def _failure(path: Path) -> str:
    with pytest.raises(BundleError) as caught:
        list(verify(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def scratch(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of a bundle as folder and as zip file, to be damaged and mended."""
    folder = tmp_path_factory.mktemp("scratch")
    shutil.copytree(made["ner"], folder / "b")
    shutil.copyfile(made["zip"], folder / "b.zip")
    return folder


@pytest.mark.parametrize("name", ["b.zip", *(f"b/{part}" for part in (*PARTS, SUMS))])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_flipped_byte_is_noticed(name: str, scratch: Path, data: st.DataObject) -> None:
    path = scratch / name
    content = path.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1), label="place")
    change = data.draw(st.integers(1, 255), label="change")
    damaged = bytearray(content)
    damaged[place] ^= change
    try:
        path.write_bytes(damaged)
        assert str(scratch) in _failure(scratch / name.split("/")[0])
    finally:
        path.write_bytes(content)
    assert len(list(verify(scratch / name.split("/")[0]))) == len(CHECKS)


Edit = Callable[[dict[str, Any]], None]


def _remade(bundle: Path, folder: Path, edit: Edit | None = None, **parts: bytes) -> Path:
    """A copy with other parts and another manifest, whose digests are right: what only the later checks can find."""
    shutil.copytree(bundle, folder)
    names = {"graph": GRAPH, "tokenizer": TOKENIZER}
    for key, content in parts.items():
        (folder / names[key]).write_bytes(content)
    values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    values["parts"] = {name: Digest.of((folder / name).read_bytes()).to_dict() for name in (GRAPH, TOKENIZER)}
    if edit:
        edit(values)
    (folder / MANIFEST).write_text(json.dumps(values), encoding="utf-8")
    (folder / SUMS).write_bytes(sums({name: Digest.of((folder / name).read_bytes()) for name in PARTS}))
    return folder


def test_a_remade_bundle_can_pass(made: dict[str, Path], tmp_path: Path) -> None:
    assert len(list(verify(_remade(made["ner"], tmp_path / "b")))) == len(CHECKS)


def test_a_newer_format(made: dict[str, Path], tmp_path: Path) -> None:
    path = _remade(made["ner"], tmp_path / "b", lambda values: values.update(format=4))
    assert _failure(path) == (
        f"bundle {path} fails the check of its format: has format 4, this aebert reads up to 3: install a newer aebert"
    )


def test_parts_of_another_bundle(made: dict[str, Path], tmp_path: Path) -> None:
    path = _remade(made["ner"], tmp_path / "b", lambda values: values["parts"][GRAPH].update(bytes=1))
    assert "its parts: onnx/model.onnx must be the one that bundle.json was made for; their SHA-256 differ" in _failure(
        path
    )


def test_another_tokenizer(made: dict[str, Path], tmp_path: Path) -> None:
    tokenizer = json.loads((made["ner"] / TOKENIZER).read_text(encoding="utf-8"))
    smaller, other = json.loads(json.dumps(tokenizer)), json.loads(json.dumps(tokenizer))
    del smaller["model"]["vocab"]["of"]
    path = _remade(made["ner"], tmp_path / "smaller", tokenizer=json.dumps(smaller).encode())
    size = len(tokenizer["model"]["vocab"])
    assert f"its tokenizer: tokenizer.json must have the {size} ids of the training, it has {size - 1}" in _failure(
        path
    )
    vocabulary = other["model"]["vocab"]
    vocabulary["b"], vocabulary["d"] = vocabulary["d"], vocabulary["b"]
    vocabulary["a"], vocabulary["is"] = vocabulary["is"], vocabulary["a"]
    vocabulary["the"], vocabulary["and"] = vocabulary["and"], vocabulary["the"]
    path = _remade(made["ner"], tmp_path / "other", tokenizer=json.dumps(other).encode())
    assert "its tokenizer: tokenizer.json must encode ('The', 'quick'," in _failure(path)
    path = _remade(made["ner"], tmp_path / "none", tokenizer=b"{}")
    assert "its tokenizer: tokenizer.json can't be read: " in _failure(path)


def test_a_graph_of_another_or_a_too_new_opset(made: dict[str, Path], tmp_path: Path) -> None:
    model = onnx.load(made["ner"] / GRAPH)
    model.opset_import[0].version = 18
    older = _remade(made["ner"], tmp_path / "older", graph=model.SerializeToString())
    assert "its graph: onnx/model.onnx must have opset 20 as bundle.json states, it has 18" in _failure(older)
    model.opset_import[0].version = 9999
    stated = _remade(
        made["ner"], tmp_path / "newer", lambda v: v["graph"].update(opset=9999), graph=model.SerializeToString()
    )
    message = _failure(stated)
    assert "its graph: its graph can't run in onnxruntime " in message
    assert "9999" in message
    no_graph = _remade(made["ner"], tmp_path / "none", graph=b"\xff\xff")
    assert "its graph: onnx/model.onnx must be an ONNX file: " in _failure(no_graph)


def test_a_graph_with_other_embeddings_than_the_tokenizer_has_ids_for(made: dict[str, Path], tmp_path: Path) -> None:
    """A tokenizer with a smaller vocabulary would look up embeddings of other pieces in the whole table."""
    size = json.loads((made["ner"] / MANIFEST).read_text(encoding="utf-8"))["text"]["embeddings"]
    graph = lookup_graph(np.zeros((size + 1, 3)), tmp_path / "large.onnx", tokens=True).read_bytes()
    path = _remade(made["ner"], tmp_path / "b", graph=graph)
    message = f"its graph: onnx/model.onnx must take the {size} ids that bundle.json states, it takes others"
    assert message in _failure(path)
    stated = _remade(made["ner"], tmp_path / "c", lambda values: values["text"].update(embeddings=size + 1))
    assert message.replace(str(size), str(size + 1)) in _failure(stated)
    older = _remade(made["ner"], tmp_path / "d", lambda values: values["text"].pop("embeddings"), graph=graph)
    assert "its graph" not in _failure(older)  # which states nothing, but its logits are others


def test_a_graph_with_fewer_ids_than_the_tokenizer(made: dict[str, Path], tmp_path: Path) -> None:
    graph = lookup_graph(np.zeros((20, 3)), tmp_path / "small.onnx", tokens=True)
    path = _remade(made["ner"], tmp_path / "b", graph=graph.read_bytes())
    assert "its graph: onnx/model.onnx must take all ids of tokenizer.json, it can't take" in _failure(path)


def test_a_graph_with_other_inputs(made: dict[str, Path], tmp_path: Path) -> None:
    path = _remade(made["ner"], tmp_path / "b", lambda values: values["graph"].update(inputs=["input_ids"]))
    expected = "its graph: onnx/model.onnx must take input_ids, it takes input_ids, token_type_ids, attention_mask"
    assert expected in _failure(path)


def test_labels_that_do_not_match(made: dict[str, Path], tmp_path: Path) -> None:
    path = _remade(made["ner"], tmp_path / "b", lambda values: values["task"].update(outputs=["O", "B-PRAISE"]))
    assert "its labels: onnx/model.onnx must give one logit for each of O, B-PRAISE, it gives 3" in _failure(path)


def test_logits_that_differ(made: dict[str, Path], tmp_path: Path) -> None:
    def edit(values: dict[str, Any]) -> None:
        values["parity"]["cases"][0]["logits"][2][1] += 0.5
        values |= {"machine": {"cpu": "Some CPU"}}
        values["graph"]["quantization"] = "int8"

    message = _failure(_remade(made["ner"], tmp_path / "b", edit))
    assert "its parity: logits must be within " in message
    assert "they differ by 0.5 (made on Some CPU; quantized products saturate on some CPUs only" in message


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda values: values.pop("text"), "bundle.json must state 'text'; make the bundle again"),
        (lambda values: values["text"].pop("pad_id"), "bundle.json must state 'pad_id'"),
        (
            lambda values: values["task"].update(kind="ranking"),
            "task.kind must be one of classification, regression, n",
        ),
        (lambda values: values["text"].update(max_length="x"), "bundle.json has a value of the wrong type (invalid"),
        (lambda values: values["text"].update(max_length=65), "text.max_length must be in 8..text.max_positions"),
        (lambda values: values["parity"].update(cases=[]), "parity.cases must not be empty"),
        (lambda values: values["parity"].update(tolerance=float("nan")), "parity.tolerance must be above 0"),
        (lambda values: values["task"].update(outputs=["O", "O"]), "task.outputs must name different logits"),
        (lambda values: values.update(format="1"), "bundle.json must state the format of a bundle, 1 to 3, got '1'"),
        (lambda values: values.update(parts=[]), "bundle.json has a value of the wrong type"),
        (
            lambda values: values["text"].update(embeddings=values["text"]["vocabulary"] - 1),
            "text.embeddings must be at least text.vocabulary",
        ),
    ],
)
def test_a_manifest_that_breaks_a_rule(edit: Edit, message: str, made: dict[str, Path], tmp_path: Path) -> None:
    assert f"fails the check of its format: bundle.json: {message}".replace(
        "bundle.json: bundle.json", "bundle.json"
    ) in (_failure(_remade(made["ner"], tmp_path / "b", edit)))


def test_a_manifest_that_is_no_object(made: dict[str, Path], tmp_path: Path) -> None:
    path = _remade(made["ner"], tmp_path / "b")
    for content in (b"[1]", b"null", b"[" * 100_000, b"\xff"):
        (path / MANIFEST).write_bytes(content)
        assert "fails the check of its format: bundle.json must " in _failure(path)


@given(domains=st.dictionaries(st.sampled_from(["", "com.microsoft", "ai.onnx.ml"]), st.integers(1, 300), min_size=1))
def test_opsets_are_those_that_onnx_reads(domains: dict[str, int]) -> None:
    graph = onnx.helper.make_graph([], "g", [], [])
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in domains.items()]
    content = onnx.helper.make_model(graph, opset_imports=imports).SerializeToString()
    assert read_opsets(content) == {domain or "ai.onnx": version for domain, version in domains.items()}


@given(content=st.binary(max_size=40))
def test_bytes_that_are_no_graph_are_refused_or_state_nothing(content: bytes) -> None:
    with suppress(ValueError):
        assert all(isinstance(version, int) for version in read_opsets(content).values())
