"""A run from checkpoint and files to report, and again."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml
from transformers import AutoModelForSequenceClassification

from aebert.deployment.session import OnnxModel
from aebert.pruning.subnetwork import architecture_of
from aebert.runtime import Entity, EntityPrediction, Model
from aebert.runtime.predictions import Prediction

from .conftest import REVIEWS, Aebert, Workspace, dump


def _tree(folder: Path) -> dict[str, int | bytes]:
    """When each file was written; of the database what it holds, since a claim comes and goes."""
    return {
        str(path): dump(path) if path.name == "study.db" else path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_run_leaves_everything_and_a_second_one_does_nothing_again(aebert: Aebert, workspace: Workspace) -> None:
    first = aebert("run", "reviews.yaml")
    assert first.code == 0, first.err
    folder = workspace / "results" / "reviews"
    summary = json.loads((folder / "summary.json").read_text())
    origins = [trial["origin"] for trial in summary["trials"]]
    assert origins[:6] == ["dense", "uniform", "magnitude", "fisher", "knapsack", "repaired"]
    assert set(origins[6:]) <= {"repaired", "sampled"}
    assert len(origins) == 8
    assert all(trial["sparsity"] >= 0.5 for trial in summary["trials"][1:])
    names = [row["name"] for row in summary["finalists"]]
    assert names[0] == "dense"
    assert len(names) == 2
    for row in summary["finalists"]:
        low, high = row["report_interval"]
        assert low <= row["report_metrics"]["accuracy"] <= high
    kinds = [(row["name"], row["kind"]) for row in summary["profiles"]]
    assert kinds == [(name, kind) for name in names for kind in ("float32", "int8")]
    assert OnnxModel(folder / "models" / f"{names[1]}.int8.onnx").inputs == (
        "input_ids",
        "token_type_ids",
        "attention_mask",
    )
    with (folder / "front.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) >= 1
    assert (folder / "front.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in (folder / "bundles").iterdir()} == set(names)
    assert "<html" in (folder / "front.html").read_text(encoding="utf-8")[:200]
    resolved = yaml.safe_load((folder / "config.yaml").read_text())
    assert resolved["search"]["sampler"] == "tpe"

    models = {path: time for path, time in _tree(folder).items() if path.endswith((".onnx", ".safetensors", ".db"))}
    second = aebert("run", "reviews.yaml")
    assert second.code == 0
    answer, where = second.out.split("\n\n", 1)
    assert answer.startswith(("Ship ", "No file of reviews "))
    assert len(answer.splitlines()) <= 3
    assert "front.html; all tables: aebert show results/reviews\n" in where.replace(f"{workspace}/", "")
    assert {path: time for path, time in _tree(folder).items() if path in models} == models
    assert json.loads((folder / "summary.json").read_text())["trials"] == summary["trials"]


def test_the_finalist_is_smaller_and_loads_without_the_dense_model(aebert: Aebert, workspace: Workspace) -> None:
    assert aebert("finalists", "reviews.yaml").code == 0
    (found,) = (workspace / "results" / "reviews" / "finalists").iterdir()
    for part in (workspace / "results" / "reviews" / "dense").iterdir():
        part.unlink()
    model = AutoModelForSequenceClassification.from_pretrained(found)
    dense = AutoModelForSequenceClassification.from_pretrained(workspace / "my-checkpoint")
    kept = architecture_of(model.config)
    assert sum(kept.heads) < 8 or sum(kept.ffn) < 128
    assert sum(p.numel() for p in model.parameters()) < sum(p.numel() for p in dense.parameters())


def test_more_trials_go_on_and_other_settings_are_refused(aebert: Aebert, workspace: Workspace) -> None:
    assert aebert("search", "reviews.yaml").code == 0
    assert aebert("search", "reviews.yaml", "--trials", "9").code == 0
    refused = aebert("search", "reviews.yaml", "--set", "search.sampler=random", "--set", "seed=1")
    assert refused.code == 2
    assert "search.sampler was 'tpe', now 'random'" in refused.err
    assert "seed was 0, now 1" in refused.err
    shown = aebert("show", "reviews", "8")
    assert shown.code == 0
    assert aebert("show", "reviews", "9").code == 2


def test_an_encoder_without_output_layer_is_fine_tuned_first(aebert: Aebert, workspace: Workspace) -> None:
    result = aebert("dense", "reviews.yaml", "--model", "my-encoder", "--set", "dense.epochs=1")
    assert result.code == 0, result.err
    stage = json.loads(Path("results/reviews/stages/dense.json").read_text())
    assert stage["result"]["fine_tuned_here"] is True
    assert not list(Path("results/reviews/checkpoints").iterdir())


@pytest.mark.slow
def test_a_front_of_scores_over_several_budgets(aebert: Aebert, workspace: Workspace) -> None:
    for split in ("train", "dev", "test"):
        scored = Path(f"data/{split}.csv").read_text().replace(",good", ",4.5").replace(",bad", ",1")
        Path(f"scores-{split}.csv").write_text(scored)
    text = yaml.safe_load(REVIEWS)
    text |= {"model": {"path": "my-encoder"}, "dense": {"epochs": 1}, "deploy": {"fuse": "never"}}
    text["task"] = {"name": "stars", "kind": "regression", "text": ["review"], "label": "stars"}
    text["data"]["files"] = {split: f"scores-{split}.csv" for split in ("train", "dev", "test")}
    text["search"] |= {"budget": {"macs": [0.3, 0.6], "length": 12}, "trials": 12, "sampler": "nsga2"}
    text["search"]["first"] = ["uniform"]
    text["finalists"] |= {"count": 2, "distill": None}
    Path("front.yaml").write_text(yaml.safe_dump(text), encoding="utf-8")
    result = aebert("run", "front.yaml")
    assert result.code == 0, result.err
    summary = json.loads(Path("results/front/summary.json").read_text())
    assert summary["info"]["metric"] == "spearman"
    assert all("spearman" in row["report_metrics"] for row in summary["finalists"])
    finalists = [row for row in summary["finalists"] if row["name"] != "dense"]
    assert [row["budget"] for row in finalists] == [0.3, 0.6]
    assert all(row["chosen"] for row in finalists)
    assert all(row["macs_removed"] >= row["budget"] for row in finalists)


@pytest.mark.slow
def test_sentences_longer_than_the_limit_are_read_in_windows(aebert: Aebert, workspace: Workspace) -> None:
    text = yaml.safe_load(REVIEWS)
    text |= {"model": {"path": "my-encoder"}, "task": {"name": "entities", "kind": "ner"}}
    text["dense"] = {"epochs": 30, "learning_rate": 0.003, "batch_size": 8}
    text["deploy"] = {"int8": False, "fuse": "never"}
    files = {split: f"data/{split}.conll" for split in ("train", "dev", "test")}
    text["data"] = {"files": files, "max_length": 8, "window": True}
    Path("windows.yaml").write_text(yaml.safe_dump(text), encoding="utf-8")
    result = aebert("run", "windows.yaml")
    assert result.code == 0, result.err
    blocks = Path("data/test.conll").read_text(encoding="utf-8").strip().split("\n\n")
    sentences = [[line.split("\t") for line in block.splitlines()] for block in blocks]
    assert max(map(len, sentences)) > 6
    # the bundle finds what the report counts: whole sentences
    model = Model.load("results/windows/bundles/dense")
    rows = model.predict([[word for word, _ in sentence] for sentence in sentences])
    found = {(place, one.start, one.end) for place, row in enumerate(rows) for one in _entities(row)}
    true = {(place, *span) for place, sentence in enumerate(sentences) for span in _spans(sentence)}
    assert found
    assert not any(row.truncated for row in rows)
    summary = json.loads(Path("results/windows/summary.json").read_text())
    assert summary["info"]["metric"] == "f1"
    assert all("f1" in row["report_metrics"] for row in summary["finalists"])
    dense = summary["finalists"][0]["report_metrics"]
    assert dense["recall"] == pytest.approx(len(found & true) / len(true))
    assert dense["precision"] == pytest.approx(len(found & true) / len(found))
    assert summary["classes"][0]["support"] == len(true)
    refused = aebert("run", "windows.yaml", "--set", "data.window=false")
    assert refused.code == 2
    assert "data.window was True, now None" in refused.err


def _entities(row: Prediction) -> tuple[Entity, ...]:
    assert isinstance(row, EntityPrediction)
    return row.entities


def _spans(sentence: list[list[str]]) -> list[tuple[int, int]]:
    """Start and end of each entity in the words joined by blanks."""
    spans, place = [], 0
    for word, tag in sentence:
        if tag.startswith("B-"):
            spans.append((place, place + len(word)))
        elif tag.startswith("I-"):
            spans[-1] = (spans[-1][0], place + len(word))
        place += len(word) + 1
    return spans
