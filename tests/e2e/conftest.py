"""A folder as a user would have it: a fine-tuned checkpoint, an encoder that is not, and labelled files."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

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
search: {trials: 8, space: fine-grid, budget: {sparsity: 0.5}}
finalists: {count: 1, epochs: 1}
profile: {runs: 10, warmup: 2}
"""


def dump(database: Path) -> bytes:
    """All that an SQLite database holds, as SQL."""
    with closing(sqlite3.connect(database)) as connection:
        return "\n".join(connection.iterdump()).encode()


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
def aebert(
    workspace: Workspace, exports_made_once: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Aebert:
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
