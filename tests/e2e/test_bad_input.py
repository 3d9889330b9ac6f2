"""What a user can get wrong: one line that says so, exit code 2, and nothing lost."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from transformers import AutoModelForSequenceClassification

from aebert.run import dense
from aebert.search import connections

from .conftest import Aebert, Result, Workspace, dump, start


def _refused(result: Result, *parts: str) -> None:
    assert result.code == 2, result
    lines = result.err.strip().splitlines()
    assert lines[-1].startswith("aebert: error: ")
    assert "Traceback" not in result.err
    for part in parts:
        assert part in lines[-1], lines[-1]


def _edit(old: str, new: str) -> None:
    path = Path("reviews.yaml")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


CONFIGS: list[tuple[str, str, str]] = [
    ("search:", "serch:", "unknown key 'serch' (did you mean 'search'?)"),
    ("trials: 8", "trails: 8", "unknown key 'search.trails' (did you mean 'trials'?)"),
    ("search:", "seed: 1\nseed: 2\nsearch:", "key 'seed' stands on line "),
    ("trials: 8", "trials: many", "search.trials: must be a whole number, at least 1, or auto"),
    (
        "trials: 8",
        "trials: 4",
        "search.trials must be at least 5, the dense model and 4 first trials (uniform, magnitude,",
    ),
    (
        "search: {",
        "search: {first: [unifrom], ",
        "unknown first trial 'unifrom' (did you mean 'uniform'?); known:",
    ),
    ("search: {", "search: {precision: int8, ", "search.precision: input should be 'float32', 'bfloat16' or 'float16'"),
    ("search: {", "search: {device: tpu9, ", "search.device must be one that torch can use here, got 'tpu9'"),
    ("search: {", "search: {score_in: int4, ", "search.score_in: input should be 'float32' or 'int8', got 'int4'"),
    (
        "search: {",
        "search: {score_in: int8, precision: bfloat16, ",
        "search.score_in: int8 needs search.precision float32, which int8 products replace, got 'bfloat16'; leave one",
    ),
    (
        "search: {",
        "deploy: {int8: false}\nsearch: {score_in: int8, ",
        "search.score_in: int8 needs deploy.int8 true, got false: the file that ships is float32; leave",
    ),
    (
        "sparsity: 0.5",
        "sparsity: 0.5, macs: 0.5",
        "give exactly one of sparsity, macs, zeros, params, size_mb and latency_ms, got sparsity and",
    ),
    ("sparsity: 0.5", "params: 10", "budget must be reachable: params 10"),
    ("sparsity: 0.5", "sparsity: 1.5", "search.budget.sparsity.0: input should be less than 1, got 1.5"),
    ("sparsity: 0.5", "sparsity: 0.9999", "budget must be reachable: sparsity 0.9999"),
    ("space: fine-grid", "space: fine", "search space 'fine' does not exist (did you mean 'fine-grid'?)"),
    ("space: fine-grid", "space: default, sampler: tpee", "unknown sampler 'tpee' (did you mean 'tpe'?)"),
    (
        "finalists:",
        "pruning: {method: fischer}\nfinalists:",
        "magnitude-unstructured, magnitude, random, fisher, taylor, got 'fischer' (did you mean",
    ),
    ("finalists:", "pruning: {criterion: fisher}\nfinalists:", "unknown key 'pruning.criterion'; known here: method"),
    (
        "search: {",
        "pruning: {method: kwon}\nsearch: {first: [knapsack], ",
        "search.first: knapsack needs the block library's errors; leave it out or set pruning.method to library",
    ),
    (
        "kind: classification",
        "kind: classify",
        "task.kind: input should be 'classification', 'regression', 'ner' or 'embedding'",
    ),
    ("text: [review]", "text: [reviews]", "'reviews'"),
    ("labels: [bad, good]", "labels: [bad, fine]", "data/train.csv:"),
    ("data/dev.csv", "data/development.csv", "data/development.csv"),
    ("path: my-checkpoint", "path: ./my-model", "model folder ./my-model does not exist"),
    ("path: my-checkpoint", "path: ~nobody-such/x", "path ~nobody-such/x must begin with a home folder"),
    ("data/dev.csv", "~nobody-such/dev.csv", "path ~nobody-such/dev.csv must begin with a home folder"),
    ("data:", "data:\n  root: ~nobody-such", "path ~nobody-such must begin with a home folder"),
    ("data:", "results: ~nobody-such\ndata:", "path ~nobody-such must begin with a home folder"),
    ("label: stars", "label: stars, metric: 'evaluate:~nobody-such/f1'", "path ~nobody-such/f1 must begin with a home"),
    ("space: fine-grid", "space: ~nobody-such/s.yaml", "path ~nobody-such/s.yaml must begin with a home folder"),
    ("sparsity: 0.5", "latency_ms: 5, device: ~nobody-such/d.json", "path ~nobody-such/d.json must begin with a home"),
    ("sparsity: 0.5", "latency_ms: 5, device: ~nobody-such/d.yaml", "path ~nobody-such/d.yaml must begin with a home"),
    ("path: my-checkpoint", "path: data", "must hold config.json"),
    ("task: {name: reviews,", "task: {name: [", "must be YAML"),
    (
        "search: {",
        "search: {storage: 'oracle+none://user:secret@host/db', ",
        "search.storage must be a database URL whose driver is installed",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), CONFIGS, ids=[new[:40] for _, new, _ in CONFIGS])
def test_a_wrong_config(old: str, new: str, message: str, aebert: Aebert) -> None:
    _edit(old, new)
    result = aebert("search", "reviews.yaml")
    _refused(result, message)
    assert "secret" not in result.err


def test_a_missing_config(aebert: Aebert) -> None:
    _refused(aebert("run", "nothing.yaml"), "config nothing.yaml can't be read: No such file or directory")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "train.csv"),
        ("review,stars\n", "train.csv"),
        ("review,stars\nfine film,good\ngreat cast,good\n", "role train must have rows of at least two classes"),
        ("review,stars\nfine film,good\nbad,terrible\n", "train.csv:3"),
    ],
    ids=["empty", "header only", "one class", "unknown label"],
)
def test_a_wrong_data_file(content: str, message: str, aebert: Aebert, workspace: Workspace) -> None:
    Path("train.csv").write_text(content)
    _edit("data/train.csv", "train.csv")
    _refused(aebert("dense", "reviews.yaml"), message)


def _truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])


def _without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize("damage", [_truncate, _without_weights])
def test_a_damaged_checkpoint(damage: Callable[[Path], None], aebert: Aebert, workspace: Workspace) -> None:
    shutil.copytree(workspace / "my-checkpoint", workspace / "copy")
    damage(workspace / "copy")
    _refused(aebert("dense", "reviews.yaml", "--model", "copy"), "copy")


def test_a_database_of_something_else(aebert: Aebert, workspace: Workspace) -> None:
    folder = workspace / "results" / "reviews"
    folder.mkdir(parents=True)
    (folder / "study.db").write_text("not a database, but long enough to be read as one " * 40)
    _refused(aebert("search", "reviews.yaml"), "study.db")
    assert (folder / "study.db").read_text().startswith("not a database")


def test_a_locked_database_keeps_its_trials(
    aebert: Aebert, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert aebert("search", "reviews.yaml").code == 0
    monkeypatch.setattr(connections, "LOCK_SECONDS", 0.3)
    path = workspace / "results" / "reviews" / "study.db"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        _refused(aebert("search", "reviews.yaml", "--trials", "10"), "is locked by another process")
    finally:
        holder.execute("ROLLBACK")
        holder.close()
    assert aebert("search", "reviews.yaml", "--trials", "10").code == 0


def test_two_processes_on_one_run(aebert: Aebert, workspace: Workspace) -> None:
    folder = workspace / "results" / "reviews"
    folder.mkdir(parents=True)
    with FileLock(folder / "run.lock"):
        _refused(aebert("search", "reviews.yaml"), "run reviews is in use by another aebert process")


def test_a_full_disk(aebert: Aebert, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "results/reviews/dense/model.safetensors")

    with monkeypatch.context() as patch:
        patch.setattr(dense, "store_model", full)
        _refused(aebert("search", "reviews.yaml"), "No space left on device", "what was finished is kept")
    assert aebert("search", "reviews.yaml").code == 0


def test_a_study_that_is_not_there(aebert: Aebert) -> None:
    _refused(aebert("pareto", "reviws"), "study 'reviws' must be a folder in results or a path")
    _refused(aebert("show", "reviws"), "there: none")


def test_a_wrong_override(aebert: Aebert) -> None:
    _refused(aebert("run", "reviews.yaml", "--set", "search.trials"), "--set takes KEY=VALUE")
    _refused(aebert("run", "reviews.yaml", "--set", "search.trials=[1"), "value of search.trials must be YAML")


def test_an_unknown_command_or_option(aebert: Aebert) -> None:
    assert aebert("serach", "reviews.yaml").code == 2
    assert aebert("run", "reviews.yaml", "--trails", "3").code == 2


def test_a_study_whose_search_has_not_started(aebert: Aebert) -> None:
    assert aebert("dense", "reviews.yaml").code == 0
    _refused(
        aebert("show", "reviews"), "study 'reviews' has no trials yet: run `aebert search results/reviews/config.yaml`"
    )
    listed = aebert("studies")
    assert listed.code == 0
    assert "not shown: reviews: study" in listed.err


def test_a_changed_row_does_not_undo_what_a_study_was_made_with(aebert: Aebert, workspace: Workspace) -> None:
    _own_data(workspace)
    assert aebert("search", "reviews.yaml").code == 0
    before = _contents(workspace / "results" / "reviews")
    data = workspace / "data" / "train.csv"
    text = data.read_text(encoding="utf-8")
    data.write_text(text.replace(",good", ",bad", 1), encoding="utf-8")
    for command in ("dense", "library", "search", "run"):
        _refused(aebert(command, "reviews.yaml"), "study 'reviews' was made with other settings: data.train_rows was")
    assert _contents(workspace / "results" / "reviews") == before
    data.write_text(text, encoding="utf-8")
    assert aebert("search", "reviews.yaml").code == 0
    assert _contents(workspace / "results" / "reviews") == before


def test_another_checkpoint_does_not_overwrite_the_dense_model_of_a_study(aebert: Aebert, workspace: Workspace) -> None:
    assert aebert("search", "reviews.yaml").code == 0
    before = _contents(workspace / "results" / "reviews")
    shutil.copytree((workspace / "my-checkpoint").resolve(), workspace / "other-checkpoint")
    model = AutoModelForSequenceClassification.from_pretrained(workspace / "other-checkpoint")
    with torch.no_grad():
        model.classifier.bias.add_(1.0)
    model.save_pretrained(workspace / "other-checkpoint")
    changed = ("--model", "other-checkpoint")
    _refused(aebert("run", "reviews.yaml", *changed), "has trials of another dense model: weights was", "nothing was")
    assert _contents(workspace / "results" / "reviews") == before


def test_settings_of_later_stages_are_compared_before_the_library_is_built_anew(
    aebert: Aebert, workspace: Workspace
) -> None:
    assert aebert("search", "reviews.yaml").code == 0
    before = _contents(workspace / "results" / "reviews")
    changed = ("--set", "pruning.calibration_rows=8")
    _refused(aebert("library", "reviews.yaml", *changed), "pruning.calibration_rows was 1024, now 8")
    assert _contents(workspace / "results" / "reviews") == before


def _own_data(workspace: Workspace) -> None:
    """The data of the workspace as a copy that may be changed."""
    source = (workspace / "data").resolve()
    (workspace / "data").unlink()
    shutil.copytree(source, workspace / "data")


def _contents(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, but for what a look at the database leaves; of a database what it holds."""
    return {
        str(path.relative_to(folder)): dump(path) if path.name == "study.db" else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "run.lock"
    }


def test_no_library_warns_while_it_is_loaded(workspace: Workspace) -> None:
    _edit("path: my-checkpoint", "path: ./my-model")
    with start(["run", "reviews.yaml"], workspace) as child:  # a process of its own, which has loaded nothing yet
        out, err = child.communicate()
    assert (child.returncode, out) == (2, "")
    assert err.splitlines() == [
        "aebert: error: model folder ./my-model does not exist; model.path takes 'minilm', a hub id or a folder"
    ]
