"""Predictions, worked out by hand from the weights of the toy graphs (`conftest.WEIGHTS`)."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from math import exp
from pathlib import Path
from typing import Any

import pytest

from aebert.deployment.bundle import write_bundle
from aebert.errors import BundleError, ConfigError
from aebert.runtime import ClassPrediction, Entity, EntityPrediction, Model, ScorePrediction
from aebert.runtime.container import MANIFEST, TOKENIZER
from aebert.runtime.manifest import parse_manifest

from .conftest import SPECS, Source


def test_classes(made: dict[str, Path]) -> None:
    good, bad, neither = Model.load(made["classification"]).predict(["a good film", "bad", ""])
    assert isinstance(good, ClassPrediction)
    assert good.label == "good"
    assert good.probabilities["good"] == pytest.approx(1 / (1 + exp(-2)))
    assert good.probabilities["bad"] == pytest.approx(1 / (1 + exp(2)))
    assert isinstance(bad, ClassPrediction)
    assert (bad.label, bad.truncated) == ("bad", False)
    assert isinstance(neither, ClassPrediction)
    assert neither.probabilities == {"bad": 0.5, "good": 0.5}


def test_the_zip_file_says_the_same(made: dict[str, Path]) -> None:
    texts = ["a good film", "bad", "nice and dull"]
    assert Model.load(made["zip"]).predict(texts) == Model.load(str(made["classification"])).predict(texts)


def test_numbers_of_pairs(made: dict[str, Path]) -> None:
    found = Model.load(made["regression"]).predict([("good the", "the bad"), ("the", "film")])
    assert found == [ScorePrediction(1.5, False), ScorePrediction(0.25, False)]


def test_entities_of_a_text_and_of_words(made: dict[str, Path]) -> None:
    model = Model.load(made["ner"])
    (text,) = model.predict(["The film is good fine, nice."])
    assert isinstance(text, EntityPrediction)
    sure = exp(2) / (exp(2) + 2)
    assert [(one.label, one.start, one.end, one.text) for one in text.entities] == [
        ("PRAISE", 12, 21, "good fine"),
        ("PRAISE", 23, 27, "nice"),
    ]
    assert text.entities[0].probability == pytest.approx(sure)
    (words,) = model.predict([["nice", "\u200b", "the", "good"]])
    assert isinstance(words, EntityPrediction)
    assert [(one.start, one.end, one.text) for one in words.entities] == [(0, 4, "nice"), (11, 15, "good")]


def test_entities_beyond_the_limit_are_found_in_windows(toy_source: Source, tmp_path: Path) -> None:
    spec = replace(SPECS["ner"], window=True)
    bundle = write_bundle(toy_source("ner", spec=spec, max_length=8), tmp_path / "windows")
    assert parse_manifest((bundle / MANIFEST).read_bytes(), bundle).window
    # windows of five words: the first entity is in the second and in the third one
    before = "the film is a very dull story and it "
    text = f"{before}good fine was the nice"
    for batch in (1, 32):
        long, short = Model.load(bundle).predict([text, "good"], batch)
        assert isinstance(long, EntityPrediction)
        assert isinstance(short, EntityPrediction)
        found = [(one.start, one.end, one.text) for one in long.entities]
        assert found == [(len(before), len(before) + 9, "good fine"), (len(text) - 4, len(text), "nice")]
        assert (long.truncated, [one.text for one in short.entities]) == (False, ["good"])


def test_a_bundle_without_windows_says_nothing_of_them(made: dict[str, Path]) -> None:
    content = (made["ner"] / MANIFEST).read_bytes()
    assert "window" not in json.loads(content)["text"]
    assert parse_manifest(content, made["ner"]).window is False


def test_a_word_of_several_sub_words_counts_by_its_first(made: dict[str, Path]) -> None:
    (found,) = Model.load(made["ner"]).predict(["goods film"])
    assert isinstance(found, EntityPrediction)
    assert [one.text for one in found.entities] == ["goods"]


def test_words_by_another_rule(made: dict[str, Path]) -> None:
    (found,) = Model.load(made["ner"], words="blanks").predict(["good,nice"])
    assert isinstance(found, EntityPrediction)
    assert [one.text for one in found.entities] == ["good,nice"]


def test_what_is_cut_off_has_no_say_and_is_reported(made: dict[str, Path]) -> None:
    text = "the " * 6 + "good"
    (whole,) = Model.load(made["ner"]).predict([text])
    (cut,) = Model.load(made["ner"], max_length=8).predict([text])
    assert isinstance(whole, EntityPrediction)
    assert (len(whole.entities), whole.truncated) == (1, False)
    assert cut == EntityPrediction((), True)


def test_batches_do_not_change_order_or_numbers(made: dict[str, Path]) -> None:
    model = Model.load(made["classification"], threads=2)
    texts = [" ".join(["the"] * (index * 7 % 12) + ["good"] * (index % 3)) for index in range(40)]
    alone = [model.predict([text])[0] for text in texts]
    for batch in (1, 7, 100):
        assert model.predict(texts, batch) == alone
    assert model.predict([]) == []


def test_predictions_as_plain_values(made: dict[str, Path]) -> None:
    (found,) = Model.load(made["ner"]).predict([["good", "film"]])
    values = found.to_dict()
    assert values["truncated"] is False
    assert Entity(**values["entities"][0]).text == "good"
    assert found.cells() == [["0", "4", "PRAISE", "good"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threads": 0}, "threads must be at least 1, got 0"),
        ({"max_length": 7}, r"max-length must be in 8..64 for this bundle, got 7"),
        ({"max_length": 65}, r"max-length must be in 8..64 for this bundle, got 65"),
        ({"words": "commas"}, "words must be one of blanks, edges, marks, got 'commas'"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, Any], message: str, made: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match=message):
        Model.load(made["ner"], **arguments)


def test_a_batch_of_none(made: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="batch must be at least 1, got 0"):
        Model.load(made["ner"]).predict(["good"], batch=0)


def test_a_damaged_bundle_is_not_loaded(made: dict[str, Path], tmp_path: Path) -> None:
    content = bytearray(made["zip"].read_bytes())
    (tmp_path / "x.zip").write_bytes(content)
    Model.load(tmp_path / "x.zip")
    content[content.index(b"lookup")] ^= 2  # the graph's name, which no computation needs
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(BundleError, match="must be a whole zip file"):
        Model.load(tmp_path / "x.zip")


def test_a_tokenizer_of_another_vocabulary_is_not_loaded(made: dict[str, Path], tmp_path: Path) -> None:
    """Not even where the digests of the parts are not compared: its ids are other embeddings."""
    folder = shutil.copytree(made["classification"], tmp_path / "b")
    values = json.loads((folder / TOKENIZER).read_text(encoding="utf-8"))
    size = len(values["model"]["vocab"])
    del values["model"]["vocab"]["of"]
    (folder / TOKENIZER).write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(BundleError, match=rf"b: tokenizer\.json must have the {size} ids of the training, it has"):
        Model.load(folder, check=False)
