"""From a run to a prediction, as a user types it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from aebert.explain.export_choice import ExportChoice, find_export_choice
from aebert.runtime import Model

from .conftest import Aebert, Result, Workspace


@pytest.fixture
def bundle(aebert: Aebert, workspace: Workspace) -> Path:
    """That of the finalist of a finished run."""
    done = aebert("run", "reviews.yaml")
    assert done.code == 0, done.err
    folder = workspace / "results" / "reviews" / "bundles"
    names = sorted(path.name for path in folder.iterdir())
    assert names[0] == "dense"
    assert names[1].startswith("trial-")
    return folder / names[1]


@pytest.mark.slow
def test_a_run_ends_with_bundles_that_predict(bundle: Path, aebert: Aebert, workspace: Workspace) -> None:
    verified = aebert("bundle", "verify", str(bundle))
    assert verified.code == 0, verified.err
    assert [line.split()[:2] for line in verified.out.splitlines()] == [
        [name, "ok"] for name in ("format", "parts", "container", "tokenizer", "graph", "labels", "parity")
    ]
    summary = json.loads((workspace / "results/reviews/summary.json").read_text())
    row = next(row for row in summary["finalists"] if row["name"] == bundle.name)
    values = json.loads((bundle / "bundle.json").read_text())
    form = values["provenance"]["form"]
    assert values["graph"]["quantization"] == form["quantization"] == "dynamic-int8"
    assert form["graph"] == summary["forms"][bundle.name]["kept"]["int8_source"]
    kept = summary["forms"][bundle.name]["kept"]
    assert find_export_choice(bundle / "model.onnx") == ExportChoice(form["graph"], "auto")
    assert find_export_choice(workspace / f"results/reviews/models/{bundle.name}.int8.onnx") == ExportChoice(
        graph=kept["int8_source"], fuse="auto", fused_times_faster=kept["fused_times_faster"]["int8_source"]
    )
    assert form["float32_layers"] == summary["forms"][bundle.name]["quantization"]["tried"][0]["excluded"]
    assert values["scores"]["metrics"] == row["int8_report_metrics"]
    assert values["architecture"]["heads"] == row["architecture"]["heads"]
    assert values["architecture"]["dense"] == {"heads": [4, 4], "ffn": [64, 64]}
    assert str(workspace) not in (bundle / "bundle.json").read_text()
    assert set(values["provenance"]["versions"]) >= {"aebert", "torch", "transformers", "onnxruntime", "onnx"}

    shown = aebert("bundle", "show", str(bundle))
    assert shown.code == 0
    assert "reviews, classification: bad, good" in shown.out
    assert " ".join(f"{kept}/4" for kept in row["architecture"]["heads"]) in shown.out

    Path("lines.txt").write_text("the film is good\n\nawful plot\n", encoding="utf-8")
    predicted = aebert("predict", str(bundle), "--input", "lines.txt", "--batch", "1")
    assert predicted.code == 0, predicted.err
    first, empty, third = (json.loads(line) for line in predicted.out.splitlines())
    assert empty is None
    assert [first, third] == [
        one.to_dict() for one in Model.load(bundle).predict(["the film is good", "awful plot"], 1)
    ]

    rows = aebert("predict", str(bundle), "--input", "data/train.csv", "--batch", "1")
    assert rows.code == 0, rows.err
    with Path("data/train.csv").open(encoding="utf-8", newline="") as table:
        reviews = [row["review"] for row in csv.DictReader(table)]
    assert [json.loads(line) for line in rows.out.splitlines()] == [
        one.to_dict() for one in Model.load(bundle).predict(reviews, 1)
    ]
    _refused(aebert("predict", str(bundle), "--input", "data/train.csv", "--text", "text"), "columns: review, stars;")
    _refused(aebert("predict", str(bundle), "--input", "lines.txt", "--text", "review"), "--text names columns of a fi")

    times = {path: path.stat().st_mtime_ns for path in bundle.iterdir()}
    packed = aebert("bundle", "make", "reviews", "--model", bundle.name, "--out", "best.zip")
    assert packed.code == 0, packed.err
    assert packed.out == "best.zip\n"
    assert {path: path.stat().st_mtime_ns for path in bundle.iterdir()} == times
    assert aebert("bundle", "verify", "best.zip").code == 0

    shutil.rmtree(bundle)
    again = aebert("bundle", "make", "reviews")
    assert again.code == 0, again.err
    assert str(bundle.relative_to(workspace)) in again.out
    assert aebert("bundle", "verify", str(bundle)).code == 0
    _refused(aebert("bundle", "make", "reviews", "--model", "trial-99"), "--model must be one of dense, trial-")
    _refused(aebert("bundle", "make", "reviews", "--out", "x.zip"), "--out takes one bundle: name it with --model")


def _refused(result: Result, *parts: str) -> None:
    assert result.code == 2, result
    line = result.err.strip().splitlines()[-1]
    assert "Traceback" not in result.err
    assert line.startswith("aebert: error: ")
    for part in parts:
        assert part in line


def test_what_is_no_bundle_or_study(aebert: Aebert, workspace: Workspace) -> None:
    _refused(aebert("bundle", "verify", "data"), "bundle data fails the check of its format: must hold bundle.json")
    _refused(aebert("bundle", "show", "nothing"), "bundle nothing does not exist")
    _refused(aebert("bundle", "make", "nothing"), "study 'nothing' must be a folder in results or a path, got neither")
    _refused(aebert("predict", "reviews.yaml"), "bundle reviews.yaml must be a folder or a zip file")
    _refused(aebert("predict", "data", "--format", "xml"), "format must be one of json, tsv, npy, got 'xml'")
    assert aebert("predict", "data", "--batch", "many").code == 2
