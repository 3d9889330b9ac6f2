from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aebert.config import RunConfig
from aebert.run.pipeline import Pipeline
from aebert.sections import check

MakePipeline = Callable[..., Pipeline]


@pytest.fixture(autouse=True)
def _exports(exports_made_once: None) -> None:
    """Nearly every test here exports the same model."""


@pytest.fixture
def pipeline(made: dict[str, Path], tmp_path: Path) -> MakePipeline:
    """A pipeline over a tiny fine-tuned model and 120 labelled texts; values replace whole sections of its config."""

    def make(**values: Any) -> Pipeline:
        data = {split: str(made["data"] / f"{split}.csv") for split in ("train", "dev", "test")}
        config = {
            "name": "toy",
            "results": str(tmp_path / "results"),
            "model": {"path": str(made["my-checkpoint"])},
            "task": {
                "name": "reviews",
                "kind": "classification",
                "text": ["review"],
                "label": "stars",
                "labels": ["bad", "good"],
            },
            "data": {"files": data, "max_length": 16},
            "pruning": {"calibration_rows": 16},
            "search": {"trials": 8, "space": "fine-grid", "budget": {"sparsity": 0.5}},
            "finalists": {"count": 1, "epochs": 1},
            "profile": {"runs": 10, "warmup": 1},
            "deploy": {"fuse": "never"},
        }
        return Pipeline(check(RunConfig, {**config, **values}, "test"))

    return make
