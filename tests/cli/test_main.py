"""What the command line does around its commands: options, exit codes, errors."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from aebert import __version__, cli
from aebert.config import RunConfig
from aebert.errors import DataError, OutputError

from .conftest import Aebert


def test_the_version(aebert: Aebert) -> None:
    assert aebert("--version") == (0, f"aebert {__version__}\n", "")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("serach x.yaml", "No such command 'serach'. Did you mean 'search'?"),
        ("run", "Missing argument"),
        ("run x.yaml --trails 3", "No such option"),
        ("run x.yaml --trials many", "Invalid value for '--trials'"),
        ("latency-table x.yaml", "Missing option '--out'"),
        ("latency-table x.yaml --out y --form int4", "Invalid value for '--form'"),
        ("explain a.onnx --threads 0", "Invalid value for '--threads'"),
        ("predict a --batch many", "Invalid value for '--batch'"),
        ("bundle pack a", "No such command 'pack'"),
    ],
)
def test_what_is_typed_wrong_is_exit_code_2(typed: str, message: str, aebert: Aebert) -> None:
    done = aebert(*typed.split())
    assert (done.code, done.out) == (2, "")
    assert message in done.err.splitlines()[-1]


def test_no_command_shows_the_help(aebert: Aebert) -> None:
    done = aebert()
    assert done.code == 2
    assert "Run and its stages:" in done.out + done.err


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """`aebert tasks` raises this."""

    class Tasks:
        def __iter__(self) -> Iterator[str]:
            raise error

    monkeypatch.setattr("aebert.tasks.catalog.TASKS", Tasks())


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (DataError("x.csv:3 must be\n  one line"), "x.csv:3 must be one line"),
        (OutputError("x can't be written: full"), "x can't be written: full"),
        (
            OSError(errno.ENOSPC, "No space left on device", "results/x"),
            "results/x can't be written: No space left on device; what was finished is kept",
        ),
        (
            OSError(errno.EDQUOT, "Disk quota exceeded"),
            "a file can't be written: Disk quota exceeded; what was finished is kept",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "y"),
            "y can't be written: Read-only file system; what was finished is kept",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "secret"),
            "secret can't be read or written: Permission denied; what was finished is kept",
        ),
    ],
)
def test_a_user_s_error_is_one_line_and_exit_code_2(
    error: Exception, line: str, aebert: Aebert, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, error)
    assert aebert("tasks") == (2, "", f"aebert: error: {line}\n")


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(130)])
def test_ctrl_c_is_exit_code_130(stop: BaseException, aebert: Aebert, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, stop)
    done = aebert("tasks")
    assert done.code == 130
    assert done.err.splitlines()[-1] == "interrupted: what was finished is kept; run the same command to go on"


def test_another_exit_code_is_passed_on_without_a_word(aebert: Aebert, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, SystemExit(3))
    assert aebert("tasks") == (3, "", "")


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), ZeroDivisionError("ours")])
def test_our_own_errors_keep_their_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, error)
    monkeypatch.setattr(sys, "argv", ["aebert", "tasks"])
    with pytest.raises(type(error)):
        cli.main()


@pytest.fixture
def configs(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """The configs of the runs that commands would start; nothing is run."""
    found: list[RunConfig] = []

    class Pipeline:
        def __init__(self, config: RunConfig, progress: Any) -> None:
            found.append(config)
            self.run = self

        def lock(self) -> AbstractContextManager[None]:
            raise DataError("seen")

    monkeypatch.setattr("aebert.run.pipeline.Pipeline", Pipeline)
    return found


def test_options_override_the_config(aebert: Aebert, configs: list[RunConfig], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("{name: mine, seed: 1, search: {trials: 20}}", encoding="utf-8")
    sets = ("--set", "seed=3", "--set", "task.labels=[a, b=c]", "--set", "search.trials=30")
    done = aebert("run", str(tmp_path), *sets, "--trials", "40", "--name", "other", "--model", "./here")
    assert done.err == "aebert: error: seen\n"
    (config,) = configs
    assert (config.name, config.seed, config.search.trials, config.model.path) == ("other", 3, 40, "./here")
    assert config.task.labels == ("a", "b=c")


@pytest.mark.parametrize("typed", ["seed", "=3", ""])
def test_a_set_that_sets_nothing(typed: str, aebert: Aebert, configs: list[RunConfig], tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("", encoding="utf-8")
    done = aebert("run", str(tmp_path / "x.yaml"), "--set", typed)
    assert done == (2, "", f"aebert: error: --set takes KEY=VALUE such as search.trials=20, got {typed!r}\n")
    assert configs == []
