"""A folder as a user would have it: a fine-tuned checkpoint, an encoder that is not, and labelled files."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from aebert import cli

Workspace = Path

torch.set_num_threads(1)  # threads of a tiny model wait for each other longer than they work

REVIEWS = """
model: {path: my-checkpoint}
task: {name: reviews, kind: classification, text: [review], label: stars, labels: [bad, good]}
data:
  files: {train: data/train.csv, dev: data/dev.csv, test: data/test.csv}
  max_length: 16
search: {trials: 6, space: fine-grid, budget: {sparsity: 0.5}}
finalists: {count: 1, epochs: 1}
profile: {runs: 10, warmup: 2}
"""


@pytest.fixture(scope="session")
def made(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Any, tiny_tokenizer: Any, tiny_task: Any
) -> dict[str, Path]:
    """Checkpoints and data, made once; tests get links to them."""
    root = tmp_path_factory.mktemp("made")
    model = tiny_model("bert", labels=2)
    model.config.id2label, model.config.label2id = {0: "bad", 1: "good"}, {"bad": 0, "good": 1}
    model.save_pretrained(root / "my-checkpoint")
    model.base_model.save_pretrained(root / "my-encoder")
    for folder in ("my-checkpoint", "my-encoder"):
        tiny_tokenizer.save_pretrained(root / folder)
    _write_data(root / "data", tiny_task)
    return {name: root / name for name in ("my-checkpoint", "my-encoder", "data")}


def _write_data(folder: Path, tiny_task: Any) -> None:
    folder.mkdir()
    sizes = {"train": slice(0, 48), "dev": slice(48, 84), "test": slice(84, 120)}
    _, reviews = tiny_task("classification", 120)
    spec, sentences = tiny_task("ner", 120)
    for split, part in sizes.items():
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            # the number keeps rows of different splits different, as roles drop texts that they share
            rows = [
                (f"{row.text[0]} {chr(98 + index % 24)} {chr(98 + index // 24)}", ("bad", "good")[int(row.label)])
                for index, row in enumerate(reviews)
            ][part]
            csv.writer(file).writerows([("review", "stars"), *rows])
        blocks = [
            "".join(f"{word}\t{spec.tags[tag]}\n" for word, tag in zip(row.text, row.label, strict=True))
            + f"{chr(98 + index % 24)}\tO\n{chr(98 + index // 24)}\tO\n"
            for index, row in enumerate(sentences)
        ][part]
        (folder / f"{split}.conll").write_text("\n".join(blocks), encoding="utf-8")


@pytest.fixture
def workspace(made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The working directory of the test, with `reviews.yaml`."""
    for name, place in made.items():
        (tmp_path / name).symlink_to(place)
    (tmp_path / "reviews.yaml").write_text(REVIEWS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AEBERT_DATA", raising=False)
    return tmp_path


@dataclass(frozen=True)
class Result:
    """code: exit code; out, err: what was printed."""

    code: int
    out: str
    err: str


Aebert = Callable[..., Result]


@pytest.fixture
def aebert(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Aebert:
    """`aebert("run", "reviews.yaml")` as the command line would do it, in this process."""

    def call(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["aebert", *arguments])
        capfd.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capfd.readouterr()
        return Result(code, printed.out, printed.err)

    return call


def start(arguments: Sequence[str], folder: Path) -> subprocess.Popen[str]:
    """Start the command line in a process of its own."""
    # a test run in the background of a script has Ctrl-C switched off, and its children would inherit that
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from aebert.cli import main; main()"
    )
    command = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
