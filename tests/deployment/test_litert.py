from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from aebert.deployment import litert, litert_packages
from aebert.deployment.litert import export_litert, quantize_litert
from aebert.deployment.litert_packages import first_line, litert_package, require_litert
from aebert.deployment.litert_session import LiteRTModel
from aebert.deployment.opening import open_model
from aebert.deployment.parity import check_logits, other_shapes
from aebert.errors import ExportError
from aebert.models.counting import shape_of
from aebert.pruning.slicing import Selection, extract

BERT_INPUTS = ("input_ids", "token_type_ids", "attention_mask")

needs_litert = pytest.mark.skipif(
    importlib.util.find_spec("litert_torch") is None, reason="converts: needs pip install 'aebert[litert]'"
)

# --- without the converter --------------------------------------------------------------------------------------------


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litert_packages, "find_spec", lambda name: None)


MISSING = (
    r"^FlatBuffer files need the package {}, which is not installed: "
    r"pip install 'aebert\[litert\]' \(800 MB\), or leave out deploy\.litert$"
)


@pytest.mark.usefixtures("nothing_installed")
def test_a_missing_package_is_named_with_the_command_that_installs_it(uneven: PreTrainedModel, tmp_path: Path) -> None:
    for call in (
        require_litert,
        lambda: export_litert(uneven, BERT_INPUTS, tmp_path / "model.tflite", length=8),
        lambda: quantize_litert(tmp_path / "model.tflite", tmp_path / "small.tflite"),
    ):
        with pytest.raises(ExportError, match=MISSING.format("litert-torch")):
            call()
    with pytest.raises(ExportError, match=MISSING.format("ai-edge-litert")):
        LiteRTModel(tmp_path / "model.tflite")
    assert list(tmp_path.iterdir()) == []


def test_the_packages_wait_until_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert litert_package("json.decoder") is sys.modules["json.decoder"]
    assert "litert_torch" not in vars(litert)


def test_the_first_line_of_an_error() -> None:
    assert first_line(ValueError("\n  broken\nmore")) == "broken"
    assert first_line(KeyError()) == "KeyError"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litert_packages, "find_spec", lambda name: object())


@pytest.mark.usefixtures("installed")
def test_a_length_beyond_the_positions_is_refused(tiny_model: Any, tmp_path: Path) -> None:
    for family, most in (("bert", 64), ("roberta", 63)):  # the padding id of this RoBERTa is 0
        for length in (0, most + 1):
            with pytest.raises(ExportError, match=rf"must be in 1\.\.{most}, the model's positions, got {length}$"):
                export_litert(tiny_model(family), BERT_INPUTS, tmp_path / "model.tflite", length=length)


@pytest.mark.usefixtures("installed")
def test_weights_beyond_one_file_are_refused(
    uneven: PreTrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litert, "_MAX_WEIGHT_BYTES", 20_000)
    with pytest.raises(ExportError, match="a FlatBuffer must stay below 2 GB"):
        export_litert(uneven, BERT_INPUTS, tmp_path / "model.tflite", length=8)


@pytest.mark.usefixtures("installed")
def test_a_failed_conversion_is_one_line_and_leaves_the_model_as_found(
    uneven: PreTrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        console = type("Console", (), {"quiet": False})()

        @staticmethod
        def convert(wrapper: torch.nn.Module, sample_kwargs: dict[str, torch.Tensor]) -> None:
            assert not wrapper.training
            assert {name: (tuple(t.shape), t.dtype) for name, t in sample_kwargs.items()} == dict.fromkeys(
                BERT_INPUTS, ((1, 8), torch.int32)
            )
            raise RuntimeError("no lowering for aten.foo\nstack")

    monkeypatch.setattr(litert, "litert_package", lambda name: Broken)
    uneven.train()
    with pytest.raises(ExportError, match=r"^Subnetwork\w+ can't be converted to LiteRT: no lowering for aten\.foo$"):
        export_litert(uneven, BERT_INPUTS, tmp_path / "model.tflite", length=8)
    assert uneven.training
    assert uneven.config._attn_implementation == "sdpa"
    assert list(tmp_path.iterdir()) == []


class FakeRunner:
    """A token classifier of length 5 that says of each token its id, mask and type."""

    def get_input_details(self) -> dict[str, Any]:
        return {name: {"shape": np.array([1, 5])} for name in BERT_INPUTS}

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        assert all(value.dtype == np.int32 and value.shape == (1, 5) for value in inputs.values())
        self.last = inputs
        return {"logits": np.stack([inputs[name] for name in BERT_INPUTS], axis=-1).astype(np.float32)}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRunner:
    runner = FakeRunner()
    monkeypatch.setattr("aebert.deployment.litert_session._runner", lambda path, threads: runner)
    return runner


def test_shorter_rows_are_padded_masked_and_cut_again(fake: FakeRunner) -> None:
    model = LiteRTModel(Path("model.tflite"), pad_token_id=9)
    ids = np.array([[3, 4, 6], [7, 9, 9]])
    mask = np.array([[1, 1, 1], [1, 0, 0]])
    batch = {"input_ids": ids, "token_type_ids": ids * 0 + 1, "attention_mask": mask, "labels": ids}
    logits = model.logits(batch)
    assert logits.dtype == np.float32
    assert logits.tolist() == [[[3, 1, 1], [4, 1, 1], [6, 1, 1]], [[7, 1, 1], [9, 1, 0], [9, 1, 0]]]
    assert fake.last["input_ids"].tolist() == [[7, 9, 9, 9, 9]]
    assert fake.last["attention_mask"].tolist() == [[1, 0, 0, 0, 0]]
    assert fake.last["token_type_ids"].tolist() == [[1, 1, 1, 0, 0]]


def test_rows_that_are_too_long_and_inputs_that_are_missing(fake: FakeRunner) -> None:
    model = LiteRTModel(Path("model.tflite"))
    assert (model.inputs, model.length) == (BERT_INPUTS, 5)
    with pytest.raises(ExportError, match=r"the batch lacks token_type_ids, attention_mask$"):
        model.logits({"input_ids": np.ones((1, 5), dtype=np.int64)})
    long = np.ones((1, 6), dtype=np.int64)
    with pytest.raises(ExportError, match=r"^model\.tflite takes rows of at most 5 tokens, got 6; cut them, or make a"):
        model.logits(dict.fromkeys(BERT_INPUTS, long))


def test_a_file_is_opened_by_its_ending(exported: Any, fake: FakeRunner) -> None:
    assert isinstance(open_model(Path("model.tflite"), 1), LiteRTModel)
    assert open_model(exported.path, 1).inputs == BERT_INPUTS


# --- with it ----------------------------------------------------------------------------------------------------------


# what needs the converter is slow even where it is quick: CI installs it for the slow tests only
@needs_litert
@pytest.mark.slow
def test_missing_and_damaged_files(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    nothing, broken = tmp_path / "nothing.tflite", tmp_path / "broken.tflite"
    broken.write_bytes(b"TFL3 is not here")
    with pytest.raises(ExportError, match=r"nothing\.tflite must be a FlatBuffer; there is none \(export it first\)$"):
        LiteRTModel(nothing)
    with pytest.raises(ExportError, match=r"broken\.tflite must be a whole FlatBuffer: .* \(export it again\)$"):
        LiteRTModel(broken)


@needs_litert
@pytest.mark.slow
def test_quantizing_a_missing_or_damaged_file(tmp_path: Path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"TFL3 is not here")
    with pytest.raises(ExportError, match=r"nothing\.tflite must be a FlatBuffer; there is none"):
        quantize_litert(tmp_path / "nothing.tflite", tmp_path / "small.tflite")
    with pytest.raises(ExportError, match=r"broken\.tflite can't be quantized: .* \(export it again\)$"):
        quantize_litert(broken, tmp_path / "small.tflite")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.tflite"]


@needs_litert
@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "head"),
    # the output layer of token classifiers is the same for all
    [*((name, "sequence") for name in ("bert", "distilbert", "mobilebert", "electra", "roberta")), ("bert", "token")],
)
def test_every_family_computes_the_same_as_a_flatbuffer(
    family: str,
    head: str,
    tiny_model: Any,
    padded_batch: dict[str, torch.Tensor],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Uneven sub-networks: 3 of 4 heads and none; 5 neurons and none, in turns."""
    dense = tiny_model(family, head)
    every_other = tuple(() if block % 2 else (0, 5, 6, 7, 33) for block in range(len(shape_of(dense).ffn)))
    model = extract(dense, Selection(heads=((0, 2, 3), ()), ffn=every_other))
    batch = {**padded_batch, "token_type_ids": torch.zeros_like(padded_batch["input_ids"])}
    names = BERT_INPUTS if family in ("bert", "mobilebert", "electra") else ("input_ids", "attention_mask")
    path = export_litert(model, names, tmp_path / "model.tflite", length=16)
    assert capsys.readouterr().out == ""
    assert not model.training

    batches = other_shapes(batch, pad_token_id=0, max_length=16)
    parity = check_logits(model, LiteRTModel(path), batches, tolerance=1e-5, fix="")
    assert parity.shapes == ((3, 12), (1, 3), (6, 15), (1, 16))
    assert parity.max_abs_logit > 0.1
    small = quantize_litert(path, tmp_path / "small.tflite")
    check_logits(model, LiteRTModel(small), batches, tolerance=0.3, fix="")
    smaller = quantize_litert(path, tmp_path / "smaller.tflite", bits=4)
    assert smaller.stat().st_size < small.stat().st_size < path.stat().st_size
    with pytest.raises(ExportError, match="must give the model's logits within"):
        check_logits(model, LiteRTModel(smaller), batches, tolerance=1e-5, fix="")
