"""Several ways to quantize, from the config to the page."""

from __future__ import annotations

import json

import pytest

from .conftest import Aebert, Workspace

VARIANTS = ["dynamic-int8", "static-int8", "weight-int8"]


@pytest.mark.slow
def test_variants_are_tried_and_one_ships(aebert: Aebert, workspace: Workspace) -> None:
    sets = ("--set", f"deploy.variants={json.dumps(VARIANTS)}", "--set", "deploy.max_loss=100")
    done = aebert("export", "reviews.yaml", *sets)
    assert done.code == 0, done.err
    folder = workspace / "results" / "reviews"
    files = sorted(path.name for path in (folder / "models").glob("*.onnx"))
    name = files[-1].removesuffix(".onnx")
    assert files == ["dense.int8.onnx", "dense.onnx", f"{name}.int8.onnx", f"{name}.onnx"]
    assert name.startswith("trial-")
    assert not list((folder / "models" / "work").iterdir())
    lines = done.out.splitlines()
    assert all(f"{kind}: " in "".join(lines[:4]) for kind in ("dense.int8.onnx", f"{name}.onnx"))
    for model in ("dense", name):
        rows = [line.split() for line in lines if line.split()[:1] == [model]]
        assert [row[1] for row in rows] == VARIANTS
        assert ["chosen:" in row for row in rows].count(True) == 1
        (note,) = [line for line in lines if line.startswith(f"{model}: ") and " are fused; " in line]
        assert "graph is kept for float32 (the fused" in note
        assert "graph is kept for quantized (the fused" in note

    again = aebert("export", "reviews.yaml", *sets)
    assert again.out == done.out
    assert aebert("run", "reviews.yaml", *sets).code == 0
    summary = json.loads((folder / "summary.json").read_text())
    assert list(summary["forms"]) == ["dense", name]
    for model, one in summary["forms"].items():
        assert one["parity"]["max_abs_difference"] < 1e-3
        assert one["fusion"]["attentions"]["fused"] == one["fusion"]["attentions"]["of"]
        tried = {row["variant"]: row for row in one["quantization"]["tried"]}
        assert list(tried) == VARIANTS
        best = tried[one["quantization"]["chosen"]]
        assert best["median_ms"] <= 1.05 * min(row["median_ms"] for row in tried.values())
        assert all(row["interval"]["low"] <= row["loss"] <= row["interval"]["high"] for row in tried.values())
        assert best["size_bytes"] == (folder / "models" / f"{model}.int8.onnx").stat().st_size
        bundle = json.loads((folder / "bundles" / model / "bundle.json").read_text())
        assert bundle["graph"]["quantization"] == one["quantization"]["chosen"]
        assert bundle["provenance"]["form"]["graph"] == one["kept"]["int8_source"]
    table = done.out[done.out.index("Quantized forms") :]
    assert table in aebert("show", "reviews").out
    page = (folder / "front.html").read_text()
    assert "<h3>Quantized forms</h3>" in page
    # of both models, in the table of all and in that of each
    assert page.count('data-value="static-int8"') == 4


def test_wrong_forms_are_one_line_before_any_work(aebert: Aebert, workspace: Workspace) -> None:
    for value, message in (
        (
            "[static-int]",
            "unknown quantization variant 'static-int' (did you mean 'static-int8'?); known: dynamic-int8,",
        ),
        ("[]", "deploy.variants: give one or several different variants (int8: false ships none), got []\n"),
        ("[static-int8, static-int8]", "give one or several different variants"),
    ):
        done = aebert("export", "reviews.yaml", "--set", f"deploy.variants={value}")
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert message in done.err
    assert not (workspace / "results" / "reviews" / "dense").exists()
