"""Whole runs on data and in folders as people have them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from datasets import Dataset

from .conftest import Aebert, Workspace

ODD = "it's a?b #c%20 [ü]"


def _excel(source: Path, target: Path) -> None:
    """The same rows as a spreadsheet program of another country writes them, and an empty one at the end."""
    with source.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    lines = [f"{label};{text};;\r\n" for text, label in [("v2", "v1"), *rows[1:]]]
    target.write_bytes("".join([*lines, ";;;\r\n"]).encode("utf-8-sig"))


@pytest.mark.slow
def test_a_run_on_odd_files_in_an_odd_folder(aebert: Aebert, workspace: Workspace) -> None:
    before = {path.name for path in workspace.iterdir()}
    folder = workspace / ODD
    folder.mkdir()
    for split in ("train", "dev"):
        _excel(workspace / f"data/{split}.csv", folder / f"{split}.csv")
    config = f"""
name: reviews
results: "{ODD}/results"
model: {{path: my-checkpoint}}
task: {{name: reviews, kind: classification, text: [text], label: label, labels: [bad, good], metric: f1_macro}}
data:
  files: {{train: "{ODD}/train.csv", dev: "{ODD}/dev.csv"}}
  header: {{v1: label, v2: text}}
  max_length: 8
search: {{trials: 8, space: fine-grid, budget: {{sparsity: 0.5}}}}
finalists: {{count: 1, epochs: 1}}
profile: {{runs: 10, warmup: 2}}
deploy: {{fuse: never}}
"""
    (folder / "c.yaml").write_text(config, encoding="utf-8")
    ran = aebert("run", f"{ODD}/c.yaml")
    assert ran.code == 0, ran.err
    assert {path.name for path in workspace.iterdir()} == before | {ODD}
    assert list(workspace.rglob("study.db")) == [folder / "results/reviews/study.db"]
    summary = json.loads((folder / "results/reviews/summary.json").read_text(encoding="utf-8"))
    assert summary["info"]["metric"] == "f1_macro"
    assert summary["rows"] == {"train": 38, "search": 6, "select": 4, "report": 36}
    assert aebert("show", "reviews", "--results", f"{ODD}/results").code == 0
    bundle = f"{ODD}/results/reviews/bundles/dense"
    assert aebert("bundle", "verify", bundle).code == 0
    odd = aebert("predict", bundle, "--input", f"{ODD}/dev.csv", "--text", "v2")
    usual = aebert("predict", bundle, "--input", "data/dev.csv", "--text", "review")
    assert (odd.code, usual.code, len(usual.out.splitlines())) == (0, 0, 36)
    assert odd.out == usual.out + "null\n"


@pytest.mark.slow
def test_a_run_on_annotated_documents(aebert: Aebert, workspace: Workspace) -> None:
    (workspace / "docs").mkdir()
    for number in range(40):
        name, place = f"docs/{number}", "great" if number % 2 else "nice"
        own = f"{chr(98 + number % 24)} {chr(98 + number // 24)}"  # no sentence stands in two documents
        text = f"The film {own} is {place} . A dull plot {own} and a fine cast ."
        (workspace / f"{name}.txt").write_text(text, encoding="utf-8")
        spans = [(text.index(word), word) for word in (place, "fine")]
        lines = [f"T{i}\tPRAISE {start} {start + len(word)}\t{word}\n" for i, (start, word) in enumerate(spans)]
        (workspace / f"{name}.ann").write_text("".join(lines), encoding="utf-8")
    Dataset.from_dict({"tokens": [["a", "great", "cast"]] * 2, "tags": [["O", "B-PRAISE", "O"]] * 2}).to_parquet(
        workspace / "test.parquet"
    )
    config = """
model: {path: my-encoder}
task: {name: praise, kind: ner}
data:
  files: {all: docs, test: test.parquet}
  roles: {train: "all[:60%]", search: "all[60%:80%]", select: "all[80%:]"}
  max_length: 16
dense: {epochs: 1}
search: {trials: 8, space: fine-grid, budget: {sparsity: 0.5}}
finalists: {count: 1, epochs: 1}
profile: {runs: 10, warmup: 2}
deploy: {fuse: never}
"""
    (workspace / "praise.yaml").write_text(config, encoding="utf-8")
    ran = aebert("run", "praise.yaml")
    assert ran.code == 0, ran.err
    summary = json.loads((workspace / "results/praise/summary.json").read_text(encoding="utf-8"))
    assert summary["rows"] == {"train": 48, "search": 16, "select": 16, "report": 2}
    assert "BRAT: documents 40, spans 80, tagged 80" in summary["info"]["notes"]
