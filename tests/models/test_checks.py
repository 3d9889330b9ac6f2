"""The list of checks: each can fail, and only the first that fails speaks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aebert.errors import ModelError
from aebert.models.candidate import Candidate
from aebert.models.checks import CHECKS, run_checks
from aebert.models.settings import read_settings
from aebert.tasks.task import TaskKind

from .cases import CASES, Case
from .checkpoints import Folder, copy_checkpoint

Made = Callable[[str, TaskKind], Path]

# For each check a row of the table of cases that it refuses, and that no check before it does.
FAILS = {
    "folder": "adapter",
    "family": "pruned by aebert",
    "settings": "relative positions",
    "architecture": "class of another family",
    "outputs": "no names",
    "tensors": "DataParallel",
    "values": "NaN",
    "vocabulary": "words added to the tokenizer",
    "special tokens": "padding of another model",
    "casing": "uncased vocabulary, capitals kept",
    "round trip": "a step that transformers 5 leaves out",
    "lengths": "longer than the positions",
    "forward pass": "numbers that overflow",
}


def _candidate(folder: Folder, case: Case) -> Candidate:
    return Candidate(
        path=str(folder.path),
        folder=folder.path,
        stated=read_settings(folder.path),
        spec=case.task,
        given=case.options.get("labels"),
        labels_stated=False,
        train="auto",
        max_length=case.options.get("max_length"),
        seed=0,
    )


def test_every_check_has_a_row_that_fails_it() -> None:
    assert list(FAILS) == list(CHECKS)


@pytest.mark.parametrize("check", list(FAILS))
def test_each_check_can_fail_and_is_the_first_to(check: str, made: Made, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == FAILS[check])
    folder = copy_checkpoint(made("bert", case.kind), tmp_path / "model", "bert")
    case.edit(folder)
    candidate = _candidate(folder, case)
    for before in list(CHECKS)[: list(CHECKS).index(check)]:
        list(CHECKS[before].run(candidate))
    with pytest.raises(ModelError, match=case.says or "must"):
        list(CHECKS[check].run(candidate))
    with pytest.raises(ModelError, match=case.says or "must"):
        run_checks(_candidate(folder, case))


@pytest.mark.parametrize("check", list(FAILS))
def test_each_check_passes_a_checkpoint_as_transformers_saved_it(check: str, made: Made) -> None:
    folder = Folder(made("bert", "classification"), "bert")
    candidate = _candidate(folder, next(case for case in CASES if case.name == "as transformers saved it"))
    assert list(CHECKS[check].run(candidate)) == []


def test_every_check_says_what_it_proves() -> None:
    for name in CHECKS:
        assert CHECKS[name].proves[0].isupper()
        assert CHECKS[name].proves.endswith(".")
