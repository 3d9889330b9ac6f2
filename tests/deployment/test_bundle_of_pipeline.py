"""A bundle of a fine-tuned checkpoint predicts what transformers' own pipeline predicts from that checkpoint."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from seqeval.metrics.sequence_labeling import get_entities
from transformers import pipeline

from aebert.config import ModelConfig
from aebert.deployment.bundle import BundleSource, write_bundle
from aebert.deployment.onnx_export import export_onnx
from aebert.models.checkpoint import load_checkpoint
from aebert.models.families import FAMILIES
from aebert.runtime import ClassPrediction, EntityPrediction, Model, ScorePrediction
from aebert.tasks.task import Row, TaskSpec

from ..models.checkpoints import SPECS, TEXTS, fine_tuned, make_tokenizer

# an export takes seconds
EACH = [family if family == "bert" else pytest.param(family, marks=pytest.mark.slow) for family in FAMILIES]
LONG = " ".join(["a great film , and the cast is fine"] * 12)  # more tokens than the models have positions
TOLD = (*TEXTS, LONG, "Very  GOOD\u00a0cast!")
PAIRS = (("the film was good .", "great"), ("dull", "A very dull story, and a poor ending"), (LONG, "a poor ending"))
SENTENCES = ("the film was good .", "A very dull story , and a poor ending of it", "great", "xyz was in a story it is")

Shipped = Callable[[str, TaskSpec, Sequence[Row]], tuple[Model, Path]]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    """`shipped(family, spec, rows)`: the loaded bundle of a checkpoint, and the folder of the checkpoint."""
    root = tmp_path_factory.mktemp("shipped")

    def make(family: str, spec: TaskSpec, rows: Sequence[Row]) -> tuple[Model, Path]:
        folder = root / family / spec.kind
        if not folder.exists():
            _save(folder, family, spec)
        loaded = load_checkpoint(ModelConfig(path=str(folder)), spec, 0)
        graph = folder.with_suffix(".onnx")
        if not graph.exists():  # sentence pairs have the graph of single sentences
            export_onnx(loaded.model, loaded.tokenizer.model_input_names, graph, opset=20)
        source = BundleSource(
            name=family,
            graph=graph,
            reference=None,
            quantization="float32",
            tokenizer=loaded.tokenizer,
            config=loaded.model.config,
            spec=spec,
            max_length=64,
            samples=rows,
        )
        bundle = write_bundle(source, root / family / f"{spec.kind}-{len(spec.columns)}.zip")
        return Model.load(bundle), folder

    return make


def _save(folder: Path, family: str, spec: TaskSpec) -> None:
    """A checkpoint whose outputs differ between texts: random ones prefer one output for all of them."""
    model, tokenizer = copy.deepcopy(fine_tuned(family, spec.kind)), make_tokenizer(family, spec.kind)
    *_, last = (module for module in model.modules() if isinstance(module, torch.nn.Linear))
    with torch.no_grad():
        logits = model(**tokenizer(list(SENTENCES), padding=True, return_tensors="pt")).logits.flatten(0, -2)
        last.weight.mul_(4)
        last.bias.sub_(logits.mean(0)).mul_(4)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _pipeline(task: Any, folder: Path, texts: Sequence[Any], **options: Any) -> list[Any]:
    run = pipeline(task, model=str(folder), tokenizer=str(folder), dtype=torch.float32, device="cpu")
    return [run(text, **options) for text in texts]


def _agree(found: Sequence[Any], theirs: Sequence[Any], labels: Sequence[str]) -> None:
    for mine, one in zip(found, theirs, strict=True):
        expected = {entry["label"]: entry["score"] for entry in one}
        assert isinstance(mine, ClassPrediction)
        assert list(mine.probabilities) == list(labels)
        assert mine.probabilities == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert mine.label == max(expected, key=lambda label: expected[label])


@pytest.mark.parametrize("family", EACH)
def test_classes_and_their_probabilities_are_those_of_the_pipeline(family: str, shipped: Shipped) -> None:
    spec = SPECS["classification"]
    model, folder = shipped(family, spec, [Row((text,), 0) for text in TOLD])
    found = model.predict(TOLD)
    _agree(found, _pipeline("text-classification", folder, TOLD, top_k=None, truncation=True), spec.labels)
    assert [one.truncated for one in found] == [text == LONG for text in TOLD]


@pytest.mark.parametrize("family", EACH)
def test_classes_of_sentence_pairs_are_those_of_the_pipeline(family: str, shipped: Shipped) -> None:
    spec = replace(SPECS["classification"], columns=("text", "other"))
    model, folder = shipped(family, spec, [Row(pair, 0) for pair in PAIRS])
    asked = [{"text": text, "text_pair": other} for text, other in PAIRS]
    theirs = _pipeline("text-classification", folder, asked, top_k=None, truncation=True)
    _agree(model.predict(PAIRS), theirs, spec.labels)


# an output of a family's own output layer, as classes are; what makes a score of it knows no family
def test_scores_are_those_of_the_pipeline(shipped: Shipped) -> None:
    model, folder = shipped("bert", SPECS["regression"], [Row((text,), 0.5) for text in TOLD])
    theirs = _pipeline("text-classification", folder, TOLD, function_to_apply="none", truncation=True)
    found = [one.value for one in model.predict(TOLD) if isinstance(one, ScorePrediction)]
    assert found == pytest.approx([one[0]["score"] for one in theirs], rel=1e-4, abs=1e-5)


# one family of each kind of tokenizer: the words of entities are found in its tokens
@pytest.mark.parametrize("family", ["bert", pytest.param("roberta", marks=pytest.mark.slow)])
def test_entities_are_those_of_the_pipeline(family: str, shipped: Shipped) -> None:
    words = [tuple(text.split()) for text in SENTENCES]
    model, folder = shipped(family, SPECS["ner"], [Row(one, (0,) * len(one)) for one in words])
    theirs = _pipeline("token-classification", folder, SENTENCES, ignore_labels=[])
    expected = [_entities(text, tokens) for text, tokens in zip(SENTENCES, theirs, strict=True)]
    assert any(" " in text for entities in expected for *_, text, _ in entities)
    for given in (SENTENCES, words):
        for mine, entities in zip(model.predict(given), expected, strict=True):
            assert isinstance(mine, EntityPrediction)
            found = [(one.label, one.start, one.end, one.text) for one in mine.entities]
            assert found == [entity[:-1] for entity in entities]
            sure = [one.probability for one in mine.entities]
            assert sure == pytest.approx([entity[-1] for entity in entities], rel=1e-4)


def _entities(text: str, tokens: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, int, str, float]]:
    """Label, place, text and least probability of each entity: a word has the tag of its first token."""
    starts = [match.start() for match in re.finditer(r"\S+", text)]
    ends = [match.end() for match in re.finditer(r"\S+", text)]
    firsts = [next(token for token in tokens if token["start"] == start) for start in starts]
    return [
        (label, starts[i], ends[k], text[starts[i] : ends[k]], min(token["score"] for token in firsts[i : k + 1]))
        for label, i, k in get_entities([token["entity"] for token in firsts])
    ]
