from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aebert.explain.export_choice import ExportChoice, find_export_choice

DETAIL = {"deploy": {"fuse": "auto"}}
KEPT = {"float32": "fused", "int8_source": "plain", "fused_times_faster": {"float32": 1.2, "int8_source": 0.9}}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for folder in ("models", "stages", "bundles/trial-7"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def record(run: Path, result: Any, detail: Any = DETAIL) -> None:
    values = {"inputs": "0", "detail": detail, "result": result}
    (run / "stages" / "export-trial-7.json").write_text(json.dumps(values), encoding="utf-8")


def test_the_choice_is_that_of_the_file_s_kind(run: Path) -> None:
    record(run, {"kept": KEPT})
    assert find_export_choice(run / "models" / "trial-7.onnx") == ExportChoice(
        graph="fused", fuse="auto", fused_times_faster=1.2
    )
    assert find_export_choice(run / "models" / "trial-7.int8.onnx") == ExportChoice(
        graph="plain", fuse="auto", fused_times_faster=0.9
    )
    assert find_export_choice(run / "models" / "dense.onnx") is None
    record(run, {"kept": {"float32": "plain"}}, {"deploy": {"fuse": "never"}})
    assert find_export_choice(run / "models" / "trial-7.onnx") == ExportChoice("plain", "never")


def test_a_bundle_says_which_graph_it_has(run: Path) -> None:
    folder = run / "bundles" / "trial-7"
    provenance = {"form": {"graph": "plain"}, "deploy": {"fuse": "auto"}}
    (folder / "bundle.json").write_text(json.dumps({"provenance": provenance}), encoding="utf-8")
    assert find_export_choice(folder / "model.onnx") == ExportChoice("plain", "auto")


@pytest.mark.parametrize("result", [{}, {"kept": {}}, {"kept": None}, [], None])
def test_a_record_of_another_version_says_nothing(result: Any, run: Path) -> None:
    record(run, result)
    assert find_export_choice(run / "models" / "trial-7.onnx") is None


def test_damaged_records_and_lone_files_say_nothing(run: Path) -> None:
    (run / "stages" / "export-trial-7.json").write_bytes(b"\xff{")
    (run / "models" / "bundle.json").write_text("[]", encoding="utf-8")
    assert find_export_choice(run / "models" / "trial-7.onnx") is None
    assert find_export_choice(Path("trial-7.onnx")) is None
