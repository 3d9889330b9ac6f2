"""Every row of the table of cases, on every family that it applies to."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from aebert.config import ModelConfig
from aebert.errors import ModelError
from aebert.models.checkpoint import Checkpoint, load_checkpoint
from aebert.models.families import FAMILIES
from aebert.tasks.encoding import collate, encode
from aebert.tasks.task import Row, TaskKind, TaskSpec

from .cases import CASES, Case
from .checkpoints import SPECS, TEXTS, Folder, copy_checkpoint, fine_tuned

Made = Callable[[str, TaskKind], Path]


def _load(folder: Folder, case: Case) -> Checkpoint:
    options = dict(case.options)
    config = ModelConfig(path=str(folder.path), labels=options.pop("labels", None))
    return load_checkpoint(config, case.task, 7, **options)


def _inputs(spec: TaskSpec, loaded: Checkpoint) -> dict[str, torch.Tensor]:
    rows = [
        Row(tuple(text.split()), (0,) * len(text.split()))
        if spec.kind == "ner"
        else Row((text,) * len(spec.columns), 0)
        for text in TEXTS
    ]
    inputs = collate(encode(rows, spec, loaded.tokenizer, 64), loaded.tokenizer)
    return {name: inputs[name] for name in ("input_ids", "attention_mask")}


ROWS = [pytest.param(case, family, id=f"{case.name}, {family}") for case in CASES for family in case.families]


@pytest.mark.parametrize(("case", "family"), ROWS)
def test_a_checkpoint_is_read_right_or_refused(case: Case, family: str, made: Made, tmp_path: Path) -> None:
    folder = copy_checkpoint(made(family, case.kind), tmp_path / "model", family)
    case.edit(folder)
    if case.says is None:
        _is_read_right(case, folder, _load(folder, case))
        return
    with pytest.raises(ModelError) as caught:
        _load(folder, case)
    message = str(caught.value)
    assert re.search(case.says, message), message
    assert "\n" not in message
    assert str(folder.path) in message


def _is_read_right(case: Case, folder: Folder, loaded: Checkpoint) -> None:
    assert re.search(case.notes, " | ".join(loaded.facts.notes)), loaded.facts.notes
    assert not case.notes == "" or not loaded.facts.notes or case.order is None, loaded.facts.notes
    assert loaded.fine_tuned is (case.order is not None)
    assert not loaded.model.training
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    assert tuple(loaded.model.config.id2label.values()) == case.task.output_names
    if case.order is None:
        _encoder_is_kept(folder, loaded)
        return
    model, inputs = fine_tuned(folder.family, case.kind), _inputs(case.task, loaded)
    with torch.inference_mode():
        mine, theirs = loaded.model(**inputs).logits, model(**inputs).logits
    expected = theirs if case.kind == "regression" else theirs[..., list(case.order)]
    coarse = {"float16": 1e-2, "bfloat16": 1e-1}.get(loaded.facts.dtypes[0], 1e-5)
    torch.testing.assert_close(mine, expected, rtol=coarse, atol=coarse)


def _encoder_is_kept(folder: Folder, loaded: Checkpoint) -> None:
    stored = {name.removeprefix(folder.encoder): tensor for name, tensor in folder.tensors().items()}
    weights = getattr(loaded.model, loaded.model.base_model_prefix).state_dict()
    kept = [name for name in weights if not name.startswith("pooler.") or name in stored]
    assert kept
    for name in kept:
        assert torch.equal(weights[name], stored[name]), name


def test_the_table_is_of_the_agreed_size() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(case.source for case in CASES)
    assert set(FAMILIES) == {family for case in CASES for family in case.families}
    assert set(SPECS) == {case.kind for case in CASES}
