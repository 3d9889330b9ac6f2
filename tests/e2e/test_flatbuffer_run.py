"""A run that ships FlatBuffers too."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import yaml

from .conftest import REVIEWS, Aebert, Workspace


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("litert_torch") is None, reason="converts: needs pip install 'aebert[litert]'"
)
def test_flatbuffers_are_made_scored_and_measured_once(aebert: Aebert, workspace: Workspace) -> None:
    text = yaml.safe_load(REVIEWS)
    text["deploy"] = {"fuse": "never", "litert": {"lengths": [8, 16], "int4": True}}
    text["search"] |= {"trials": 8}
    Path("phone.yaml").write_text(yaml.safe_dump(text), encoding="utf-8")
    first = aebert("run", "phone.yaml")
    assert first.code == 0, first.err
    assert first.out.startswith("Ship ") or first.out.startswith("No file of phone ")
    assert "LiteRT int8, 16 tokens" in aebert("show", "phone").out
    folder = Path("results/phone")
    summary = json.loads((folder / "summary.json").read_text())
    names = [row["name"] for row in summary["finalists"]]
    kinds = [f"LiteRT {kind}, {length} tokens" for length in (8, 16) for kind in ("float32", "int8", "int4")]
    rows = [row for row in summary["profiles"] if row["kind"].startswith("LiteRT")]
    assert [(row["name"], row["kind"]) for row in rows] == [(name, kind) for name in names for kind in kinds]
    assert all(row["p50_ms"] > 0 and row["speedup"] > 0 and 0 <= row["report_score"] <= 1 for row in rows)

    # what holds every row whole scores as the float32 ONNX file does; what cuts rows says how many
    whole, onnx = rows[3], summary["finalists"][0]
    assert whole["report_score"] == onnx["report_metrics"]["accuracy"]
    cut = json.loads((folder / "stages" / "report-dense.8.tflite.json").read_text())["result"]["cut"]
    uncut = json.loads((folder / "stages" / "report-dense.16.tflite.json").read_text())["result"]["cut"]
    assert (cut > 0, uncut) == (True, 0)
    made = json.loads((folder / "stages" / "litert-dense.json").read_text())["result"]
    assert set(made["parity"]) == {"8", "16"}
    assert made["peak_memory_bytes"] > 10**8

    times = {path: path.stat().st_mtime_ns for path in folder.glob("models/*.tflite")}
    assert len(times) == 6 * len(names)
    again = aebert("run", "phone.yaml")
    assert again.code == 0
    assert {path: path.stat().st_mtime_ns for path in folder.glob("models/*.tflite")} == times
