"""Checkpoints that are saved once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aebert.tasks.task import TaskKind

from .checkpoints import save_checkpoint


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, TaskKind], Path]:
    """`made(family, kind)`: the folder of a checkpoint that is fine-tuned for a kind of task."""
    root = tmp_path_factory.mktemp("checkpoints")

    def path(family: str, kind: TaskKind) -> Path:
        if not (root / family / kind).exists():
            save_checkpoint(root / family / kind, family, kind)
        return root / family / kind

    return path
