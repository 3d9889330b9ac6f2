from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from aebert.digests import weights_digest
from aebert.errors import ConfigError
from aebert.models.counting import shape_of
from aebert.models.families import FAMILIES
from aebert.progress import SILENT
from aebert.pruning.architecture import Architecture
from aebert.pruning.criteria import CRITERIA, Calibration, Importance
from aebert.pruning.library import BlockLibrary, LibrarySettings, build_library
from aebert.pruning.pruners import CriterionPruner, Pruner, method_names, pruning_method
from aebert.pruning.slicing import Selection, extract
from aebert.pruning.subnetwork import architecture_of
from aebert.registry import Registry

TinyModel = Callable[..., PreTrainedModel]
Tensors = dict[str, torch.Tensor]
every_family = pytest.mark.parametrize("family", list(FAMILIES))
two_families = pytest.mark.parametrize("family", ["bert", "mobilebert"])  # all are in each method's own tests
WIDTHS = (0, 5, 16, 33, 64)


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits, labels, reduction="none")


@dataclass(frozen=True)
class Toys:
    """What methods build on, of a tiny model; `used` says which of it was asked for."""

    model: PreTrainedModel
    rows: Calibration
    folder: Path
    used: set[str] = field(default_factory=set)

    @property
    def calibration(self) -> Calibration:
        self.used.add("calibration")
        return self.rows

    @property
    def library(self) -> BlockLibrary:
        self.used.add("library")
        shape = shape_of(self.model)
        widths = [*[range(5)] * len(shape.heads), *[WIDTHS] * len(shape.ffn)]
        settings = LibrarySettings(weighted=True, seed=0, inputs="a")
        build_library(self.model, self.rows.batches, widths, self.folder, settings)
        return BlockLibrary(self.model, self.folder)

    def importance(self, criterion: str) -> Importance:
        self.used.add("importance")
        return CRITERIA[criterion](self.model, self.rows, SILENT)


def pruner_of(name: str, model: PreTrainedModel, rows: Calibration, folder: Path) -> Pruner:
    return pruning_method(name).make(model, Toys(model, rows, folder), SILENT)


STRUCTURED = [name for name in method_names() if not pruning_method(name).is_unstructured]  # others: test_masks.py
every_method = pytest.mark.parametrize("method", STRUCTURED)


@pytest.fixture
def calibration(padded_batch: Tensors) -> Calibration:
    return Calibration([{**padded_batch, "labels": torch.tensor([0, 1, 2])}], cross_entropy, seed=0)


def logits(model: PreTrainedModel, batch: Tensors) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model(**batch).logits
    return result


def architectures(model: PreTrainedModel) -> list[Architecture]:
    ffn = len(shape_of(model).ffn)
    return [
        Architecture((3, 1), tuple((33, 16)[block % 2] for block in range(ffn))),
        Architecture((0, 4), tuple((64, 0)[block % 2] for block in range(ffn))),
        Architecture((0, 0), (0,) * ffn),
    ]


# --- what all have in common -----------------------------------------------------------------------------------------


@every_method
@two_families
def test_all_make_the_architecture_asked_for(
    tiny_model: TinyModel, calibration: Calibration, padded_batch: Tensors, method: str, family: str, tmp_path: Path
) -> None:
    model = tiny_model(family)
    before = weights_digest(model)
    pruner = pruner_of(method, model, calibration, tmp_path)
    for architecture in architectures(model):
        alone, sharing = pruner(architecture), pruner(architecture, share_weights=True)
        for small in (alone, sharing):
            assert architecture_of(small.config) == architecture
            assert (shape_of(small).heads, shape_of(small).ffn) == (architecture.heads, architecture.ffn)
            assert not small.training
        assert torch.equal(logits(alone, padded_batch), logits(sharing, padded_batch))
        assert shares(sharing, model)
        assert not shares(alone, model)
    assert weights_digest(model) == before


def shares(small: PreTrainedModel, model: PreTrainedModel) -> bool:
    theirs = {parameter.data_ptr() for parameter in model.parameters()}
    return any(parameter.data_ptr() in theirs for parameter in small.parameters())


@every_method
@two_families
def test_all_give_the_dense_model_when_nothing_is_removed(
    tiny_model: TinyModel, calibration: Calibration, padded_batch: Tensors, method: str, family: str, tmp_path: Path
) -> None:
    model = tiny_model(family)
    small = pruner_of(method, model, calibration, tmp_path)(Architecture.dense(shape_of(model)))
    torch.testing.assert_close(logits(small, padded_batch), logits(model, padded_batch), rtol=1e-5, atol=1e-6)


@every_method
def test_all_are_repeatable(tiny_model: TinyModel, calibration: Calibration, method: str, tmp_path: Path) -> None:
    """Neither the global generator nor what was pruned before plays a part."""
    first, second = (pruner_of(method, tiny_model(), calibration, tmp_path / name) for name in "ab")
    wanted, other, _ = architectures(tiny_model())
    expected = weights_digest(first(wanted))
    torch.manual_seed(123)
    second(other)
    assert weights_digest(second(wanted)) == expected


@every_method
def test_all_build_on_what_they_say(
    tiny_model: TinyModel, calibration: Calibration, method: str, tmp_path: Path
) -> None:
    model = tiny_model()
    toys = Toys(model, calibration, tmp_path)
    pruning_method(method).make(model, toys, SILENT)(architectures(model)[0])
    assert toys.used == {pruning_method(method).built_on}


@every_method
def test_all_read_labels_if_they_say_so(
    tiny_model: TinyModel, calibration: Calibration, method: str, tmp_path: Path
) -> None:
    others = [{**batch, "labels": batch["labels"].flip(0)} for batch in calibration.batches]
    relabelled = Calibration(batches=others, loss=calibration.loss, seed=calibration.seed)
    found = [
        [weights_digest(pruner(architecture)) for architecture in architectures(tiny_model())]
        for pruner in (
            pruner_of(method, tiny_model(), rows, tmp_path / name)
            for name, rows in {"a": calibration, "b": relabelled}.items()
        )
    ]
    assert (found[0] != found[1]) == pruning_method(method).uses_labels


# --- a criterion's ---------------------------------------------------------------------------------------------------


@every_family
def test_a_criterion_keeps_the_highest_scores_with_their_weights(
    tiny_model: TinyModel, padded_batch: Tensors, family: str
) -> None:
    model = tiny_model(family)
    ffn = len(shape_of(model).ffn)
    rising, ties = np.arange(64.0), np.zeros(64)
    scores = Importance(
        (np.array([0.1, 3.0, -1.0, 2.0]), np.array([1.0, 1.0, 5.0, 1.0])),
        tuple((rising, ties)[block % 2] for block in range(ffn)),
    )
    small = CriterionPruner(model, scores)(Architecture((2, 2), tuple((3, 2)[block % 2] for block in range(ffn))))
    kept = Selection(((1, 3), (0, 2)), tuple(((61, 62, 63), (0, 1))[block % 2] for block in range(ffn)))
    assert weights_digest(small) == weights_digest(extract(model, kept))
    assert torch.equal(logits(small, padded_batch), logits(extract(model, kept), padded_batch))


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["library", "kwon", "magnitude", "random", "fisher", "taylor"])
def test_methods_are_known_by_name(name: str) -> None:
    assert name in method_names()
    assert pruning_method(name).built_on == {"library": "library", "kwon": "calibration"}.get(name, "importance")


@pytest.mark.parametrize(
    ("name", "hint"), [("libary", "library"), ("fischer", "fisher"), ("Kwon", "kwon"), ("obs-xyz", None)]
)
def test_an_unknown_method_is_an_error_that_names_the_known_ones(name: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        pruning_method(name)
    message = str(caught.value)
    known = "library, kwon, magnitude-unstructured, magnitude, random, fisher, taylor"
    expected = f"pruning.method must be one of {known}, got {name!r}"
    assert message.startswith(expected)
    assert "\n" not in message
    assert bool(hint) == (message != expected)
    assert hint is None or re.search(rf"\b{hint}\b", message.removeprefix(expected))


def test_a_new_criterion_is_a_method_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    more: Registry[object] = Registry("criterion")
    more.add("mine", object())
    monkeypatch.setattr("aebert.pruning.pruners.CRITERIA", more)
    assert pruning_method("mine").built_on == "importance"
