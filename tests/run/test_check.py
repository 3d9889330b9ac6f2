from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from aebert.errors import ModelError, StudyError
from aebert.reporting.checked import Checked

from .conftest import MakePipeline

Copy = Callable[..., dict[str, str]]


@pytest.fixture
def copy(made: dict[str, Path], tmp_path: Path) -> Copy:
    """`copy(swapped=…, names=…)`: the value of `model` for a copy whose output layer or names of outputs are others."""

    def change(*, swapped: bool = False, names: tuple[str, str] | None = None) -> dict[str, str]:
        folder = shutil.copytree(made["my-checkpoint"], tmp_path / "copy")
        if swapped:
            tensors = load_file(folder / "model.safetensors")
            for key in ("classifier.weight", "classifier.bias"):
                tensors[key] = tensors[key].flip(0).contiguous()
            save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        if names is not None:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            config |= {"id2label": dict(enumerate(names)), "label2id": {name: at for at, name in enumerate(names)}}
            (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return {"path": str(folder)}

    return change


def test_a_fine_tuned_model_is_described_with_its_score(pipeline: MakePipeline) -> None:
    toy = pipeline()
    found = toy.inspect()
    assert not toy.run.folder.exists(), "looking leaves no trace"
    assert found.score is not None
    assert (found.score.metric, found.score.rows, found.score.guess) == ("accuracy", 24, 15 / 24)
    assert found.score.value > 0.9
    assert not found.trains
    assert found.checkpoint["outputs"] == {"bad": "bad", "good": "good"}
    assert {role: one["rows"] for role, one in found.lengths.items()} == {
        "train": 48,
        "search": 24,
        "select": 12,
        "report": 36,
    }
    assert found.classes["search"] == {"bad": 15, "good": 9}


def test_an_encoder_is_described_without_a_score(pipeline: MakePipeline, made: dict[str, Path]) -> None:
    found = pipeline(model={"path": str(made["my-encoder"])}).inspect()
    assert found.trains
    assert found.score is None
    assert found.seconds["dense"] > 0


def test_what_was_found_is_kept_with_the_run(pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pipeline().checked
    monkeypatch.setattr("aebert.run.check.check", lambda *_: pytest.fail("it is known"))
    again = pipeline().checked
    assert again == first
    assert Checked.from_dict(json.loads(json.dumps(first.to_dict()))) == first


def test_rows_that_are_cut_are_counted_by_role(pipeline: MakePipeline, made: dict[str, Path]) -> None:
    data = {"files": {split: str(made["data"] / f"{split}.csv") for split in ("train", "dev", "test")}}
    found = pipeline(data={**data, "max_length": 8}).inspect()
    assert found.lengths["report"]["cut"] > 0
    assert any(note.startswith("report: ") and note.endswith("and are cut") for note in found.notes)


def test_outputs_in_another_order_stop_the_run_before_any_work(
    pipeline: MakePipeline, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aebert.run.dense.store_model", lambda *_: pytest.fail("it is stored"))
    toy = pipeline(model=copy(swapped=True))
    with pytest.raises(ModelError, match=r"counts as fine-tuned, but its accuracy of 0\.000"):
        _ = toy.dense
    with pytest.raises(ModelError, match="counts as fine-tuned, but"):
        toy.inspect()


def test_a_user_may_trust_the_model_all_the_same(pipeline: MakePipeline, copy: Copy) -> None:
    model = copy(swapped=True)
    toy = pipeline(model={**model, "trust": True})
    assert toy.dense.digest
    assert any("model.trust lets the run go on" in note for note in toy.checked.notes)
    with pytest.raises(ModelError, match="counts as fine-tuned, but"):
        _ = pipeline(model=model).checked


def test_outputs_without_names_are_refused_with_the_line_to_add(pipeline: MakePipeline, copy: Copy) -> None:
    model = copy(swapped=True, names=("LABEL_0", "LABEL_1"))
    task = {"name": "reviews", "kind": "classification", "text": ["review"], "label": "stars"}
    with pytest.raises(ModelError, match=r"set model\.labels to .*; by the train rows that is \['good', 'bad'\]$"):
        pipeline(model=model, task=task).inspect()
    assert pipeline(model={**model, "labels": ["good", "bad"]}, task=task).inspect().score is not None


def test_a_study_of_other_settings_is_named(pipeline: MakePipeline) -> None:
    _ = pipeline().study
    with pytest.raises(StudyError, match="seed was 0, now 1"):
        pipeline(seed=1).inspect()


def test_notes_stand_in_the_study(pipeline: MakePipeline, made: dict[str, Path]) -> None:
    data = {"files": {split: str(made["data"] / f"{split}.csv") for split in ("train", "dev", "test")}}
    toy = pipeline(data={**data, "max_length": 8})
    assert toy.setup.info.notes == toy.checked.notes
    assert any("and are cut" in note for note in toy.setup.info.notes)
