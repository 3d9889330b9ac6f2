from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from aebert.errors import ModelError
from aebert.models.counting import shape_of
from aebert.models.families import FAMILIES, family_of
from aebert.pruning.architecture import Architecture
from aebert.pruning.slicing import Selection, extract
from aebert.pruning.subnetwork import architecture_of, load_subnetwork, subnetwork_class

TinyModel = Callable[..., PreTrainedModel]
GOLDEN = Path(__file__).parent.parent / "golden"
AUTO = {"sequence": AutoModelForSequenceClassification, "token": AutoModelForTokenClassification}


def cut(model: PreTrainedModel) -> PreTrainedModel:
    blocks = range(len(shape_of(model).ffn))
    return extract(model, Selection(((0, 2, 3), ()), tuple(((1, 8, 63), ())[block % 2] for block in blocks)))


@pytest.fixture
def saved(tiny_model: TinyModel, tmp_path: Path) -> Path:
    """Folder of a sub-network of BERT."""
    cut(tiny_model()).save_pretrained(tmp_path / "small")
    return tmp_path / "small"


@pytest.mark.parametrize("folder", sorted(GOLDEN.glob("subnetwork-*")), ids=lambda folder: folder.name)
def test_sub_networks_of_released_versions_load_and_compute_the_same(folder: Path) -> None:
    stored = json.loads((folder / "logits.json").read_text())
    with torch.no_grad():
        logits = load_subnetwork(folder)(**{name: torch.tensor(ids) for name, ids in stored["inputs"].items()}).logits
    torch.testing.assert_close(logits, torch.tensor(stored["logits"]), rtol=1e-4, atol=1e-5)


def test_there_is_a_released_sub_network() -> None:
    assert (GOLDEN / "subnetwork-0.1.0" / "model.safetensors").is_file()


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("head", ["sequence", "token"])
def test_auto_classes_read_sub_networks(
    tiny_model: TinyModel, padded_batch: dict[str, torch.Tensor], tmp_path: Path, family: str, head: str
) -> None:
    small = cut(tiny_model(family, head))
    small.save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    assert config.model_type == f"aebert-{family}"
    assert family_of(config) is FAMILIES[family]
    assert architecture_of(config) == Architecture(shape_of(small).heads, shape_of(small).ffn)
    model = AUTO[head].from_pretrained(tmp_path).eval()
    assert isinstance(model, subnetwork_class(type(tiny_model(family, head))))
    with torch.no_grad():
        assert torch.equal(model(**padded_batch).logits, small(**padded_batch).logits)


def test_the_file_holds_the_kept_weights_alone(tiny_model: TinyModel, saved: Path) -> None:
    sizes = {name: tuple(tensor.shape) for name, tensor in load_file(saved / "model.safetensors").items()}
    first, second = "bert.encoder.layer.0.", "bert.encoder.layer.1."
    assert sizes[f"{first}attention.self.query.weight"] == (24, 32)
    assert sizes[f"{first}attention.output.dense.weight"] == (32, 24)
    assert sizes[f"{first}intermediate.dense.bias"] == (3,)
    assert sizes[f"{first}output.dense.weight"] == (32, 3)
    assert [name for name in sizes if name.startswith(f"{second}attention")] == [
        f"{second}attention.output.LayerNorm.bias",
        f"{second}attention.output.LayerNorm.weight",
        f"{second}attention.output.dense.bias",
    ]


def test_label_names_are_kept(tiny_model: TinyModel, tmp_path: Path) -> None:
    model = tiny_model()
    model.config.id2label = {0: "bad", 1: "so-so", 2: "good"}
    cut(model).save_pretrained(tmp_path)
    assert load_subnetwork(tmp_path).config.id2label == {0: "bad", 1: "so-so", 2: "good"}


def test_a_loaded_sub_network_is_ready_to_evaluate(saved: Path) -> None:
    model = load_subnetwork(saved)
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_a_sub_network_of_a_sub_network_is_of_the_same_class(tiny_model: TinyModel) -> None:
    small = cut(tiny_model())
    assert type(extract(small, Selection(((0,), ()), ((0,), ())))) is type(small)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"sub-network folder .*nowhere must hold config\.json; it does not"):
        load_subnetwork(tmp_path / "nowhere")


def test_truncated_weights_are_an_error(saved: Path) -> None:
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ModelError, match=r"are damaged or truncated \(.*\): copy them again"):
        load_subnetwork(saved)


@pytest.mark.parametrize("text", ["", "{", '{"model_type": "aebert-bert"'])
def test_a_damaged_config_is_an_error_of_one_line(saved: Path, text: str) -> None:
    (saved / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"can't be loaded: ") as caught:
        load_subnetwork(saved)
    assert "\n" not in str(caught.value)


def test_a_missing_weight_is_named(saved: Path) -> None:
    weights = load_file(saved / "model.safetensors")
    del weights["bert.encoder.layer.1.output.dense.bias"]
    save_file(weights, saved / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match=r"must be those its config describes; bert\.encoder\.layer\.1\.output\.dense\.b"
    ):
        load_subnetwork(saved)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"aebert_heads": [4, 0]}, r"can't be loaded: its weights have other sizes than its config"),
        ({"aebert_heads": [3, 1]}, r"must be those its config describes; bert\.encoder\.layer\.1\.attention"),
        ({"aebert_ffn": [3]}, r"can't be loaded: zip\(\) argument 2 is shorter"),
        ({"aebert_heads": None}, r"must state the size of each block in aebert_heads, got None"),
        ({"model_type": "bert"}, r"must hold a sub-network, it holds a model of type 'bert'"),
    ],
    ids=str,
)
def test_a_config_that_does_not_fit_its_weights_is_an_error(
    saved: Path, changed: dict[str, object], message: str
) -> None:
    config = json.loads((saved / "config.json").read_text()) | changed
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=message) as caught:
        load_subnetwork(saved)
    assert "\n" not in str(caught.value)


def test_a_config_without_block_sizes_is_an_error(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    del config["aebert_ffn"]
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"must state the size of each block in aebert_ffn, got nothing"):
        load_subnetwork(saved)


def test_a_dense_model_is_no_sub_network(tiny_model: TinyModel, tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"must hold a sub-network, it holds a model of type 'bert'"):
        load_subnetwork(tmp_path)
