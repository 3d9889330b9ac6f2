from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aebert.errors import ModelError
from aebert.models.pooling import Pooling, layout, read_pooling, write_layout
from aebert.tasks.task import TaskSpec

SPEC = TaskSpec("toy", "embedding", ("sentence",), "", (), "agreement", "agreement")
NAMES = ("Transformer", "Pooling", "Normalize")


def _folder(place: Path, kinds: tuple[str, ...] = NAMES, pooling: dict[str, Any] | None = None) -> Path:
    """A folder as sentence-transformers writes it."""
    paths = ["", *(f"{index}_{kind}" for index, kind in enumerate(kinds) if index)]
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    (place / "1_Pooling").mkdir(parents=True)
    (place / "modules.json").write_text(json.dumps(modules))
    stated = {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    (place / "1_Pooling" / "config.json").write_text(json.dumps(stated if pooling is None else pooling))
    return place


def test_what_modules_say(tmp_path: Path) -> None:
    assert read_pooling(_folder(tmp_path / "a"), SPEC) == Pooling("mean", True, "modules.json")
    plain = _folder(tmp_path / "b", NAMES[:2], {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    assert read_pooling(plain, SPEC) == Pooling("cls", False, "modules.json")


def test_newer_versions_name_the_mode_and_other_packages(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "a", pooling={"embedding_dimension": 8, "pooling_mode": "max", "include_prompt": True})
    text = (folder / "modules.json").read_text()
    (folder / "modules.json").write_text(text.replace("transformers.models.", "transformers.sentence_transformer."))
    assert read_pooling(folder, SPEC).mode == "max"


@pytest.mark.parametrize("mode", ["mean", "cls", "max"])
@pytest.mark.parametrize("normalize", [True, False])
def test_what_is_written_is_read(mode: Any, normalize: bool, tmp_path: Path) -> None:
    write_layout(tmp_path, layout(Pooling(mode, normalize, ""), 8, 64))
    assert read_pooling(tmp_path, SPEC) == Pooling(mode, normalize, "modules.json")
    assert json.loads((tmp_path / "sentence_bert_config.json").read_text())["max_seq_length"] == 64
    assert json.loads((tmp_path / "config_sentence_transformers.json").read_text())["default_prompt_name"] is None


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "dense": (lambda place: _folder(place, ("Transformer", "Pooling", "Dense")), r"got Dense, which aebert can't"),
    "order": (lambda place: _folder(place, ("Transformer", "Normalize", "Pooling")), r"in this order, .* Normalize, P"),
    "words": (lambda place: _folder(place, ("WordEmbeddings", "Pooling")), r"got WordEmbeddings"),
    "last": (lambda place: _folder(place, pooling={"pooling_mode_lasttoken": True}), r"mean, cls, max, got lasttoken"),
    "two": (
        lambda place: _folder(place, pooling={"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}),
        r"must name one pooling of mean, cls, max, got cls_token and mean_tokens",
    ),
    "none": (lambda place: _folder(place, pooling={}), r"got none"),
    "half copied": (lambda place: shutil.rmtree(_folder(place) / "1_Pooling"), r"must hold 1_Pooling/config.json"),
    "damaged": (lambda place: (_folder(place) / "modules.json").write_text("["), r"modules.json must be JSON"),
    "elsewhere": (
        lambda place: (_folder(place) / "modules.json").write_text(
            (place / "modules.json").read_text().replace('"path": ""', '"path": "0_Transformer"')
        ),
        r"it is in 0_Transformer",
    ),
    "prompt": (
        lambda place: (_folder(place) / "config_sentence_transformers.json").write_text(
            json.dumps({"prompts": {"query": "query: "}, "default_prompt_name": "query"})
        ),
        r"no default_prompt_name, got 'query'",
    ),
    "casing": (
        lambda place: (_folder(place) / "sentence_bert_config.json").write_text('{"do_lower_case": true}'),
        r"do_lower_case, which belongs to the tokenizer",
    ),
    "nothing said": (lambda place: place.mkdir(), r"without modules.json .* set task.pooling to one of mean, cls, max"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_is_lacking_is_refused_by_its_name(name: str, tmp_path: Path) -> None:
    make, message = REFUSED[name]
    make(tmp_path / "model")
    with pytest.raises(ModelError, match=message) as caught:
        read_pooling(tmp_path / "model", SPEC)
    assert "\n" not in str(caught.value)


def test_the_task_says_it_where_the_folder_does_not(tmp_path: Path) -> None:
    spec = TaskSpec("toy", "embedding", ("sentence",), "", (), "agreement", "agreement", pooling="cls", normalize=True)
    assert read_pooling(tmp_path, spec) == Pooling("cls", True, "task.pooling")
    with pytest.raises(ModelError, match=r'task.pooling must be as modules.json says, mean, got "cls"; leave it out'):
        read_pooling(_folder(tmp_path / "model"), spec)
