from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aebert.cli.app import print_report
from aebert.deployment.exported import ExportedForms, KeptGraphs, Quantization
from aebert.reporting.documents import read_summary_json, write_summary_json
from aebert.reporting.forms import forms_table
from aebert.reporting.page import front_html
from aebert.reporting.printing import print_tables
from aebert.reporting.report import Report


def tried(variant: str, verdict: str, **more: Any) -> dict[str, Any]:
    values = {"score": 0.875, "loss": 1.25, "median_ms": 2.5, "speedup": 3.0, "excluded": [], "size_bytes": 4_200_000}
    return {"variant": variant, "describes": "how", **values, "verdict": verdict, **more}


def part(fused: int, of: int) -> dict[str, int]:
    return {"fused": fused, "of": of}


PLAIN: dict[str, dict[str, Any]] = {
    "dense": {
        "parity": {"max_abs_difference": 1e-6},
        "fusion": {
            "attentions": part(2, 2),
            "gelus": part(1, 2),
            "norms": part(4, 4),
            "embeddings": part(0, 1),
            "notes": ["embeddings are not fused: why"],
        },
        "kept": {
            "float32": "plain",
            "int8_source": "fused",
            "fused_times_faster": {"float32": 0.9, "int8_source": 1.25},
        },
        "quantization": {
            "cpu": "AVX2",
            "max_loss": 1.0,
            "chosen": "dynamic-int8",
            "tried": [
                tried("static-int8", "loses 1.2 points", interval={"low": -0.75, "high": 3.25, "rows": 80}),
                tried("dynamic-int8", "chosen: the fastest within 1 points", loss=-0.5, excluded=["layer.1 (9)", "x"]),
            ],
        },
    },
    "trial-2": {"parity": {"max_abs_difference": 1e-6}, "fusion": None, "kept": {"float32": "plain"}},
}
FORMS = {name: ExportedForms.from_dict(one) for name, one in PLAIN.items()}


def test_the_table_has_a_row_per_form_and_a_note_per_model() -> None:
    table = forms_table(FORMS, "accuracy")
    titles = [column.title for column in table.columns]
    assert titles[:5] == ["model", "form", "graph", "size (MB)", "select"]
    assert [cell.text for cell in table.rows[0]] == [
        *("dense", "static-int8", "fused", "4.2", "87.5", "1.2", "-0.8 to 3.2", "2.50", "3.00×", "none"),
        "loses 1.2 points",
    ]
    assert [cell.text for cell in table.rows[1]][5:] == [
        *("-0.5", "–", "2.50", "3.00×", "layer.1 (9), x"),
        "chosen: the fastest within 1 points",
    ]
    assert len(table.rows) == 2
    assert table.note.splitlines()[2].startswith("95 % is the interval of the loss")
    assert table.note.splitlines()[4:] == [
        "dense: 2 of 2 attentions, 1 of 2 gelus, 4 of 4 norms, 0 of 1 embeddings are fused; the plain graph is kept "
        "for float32 (the fused one is 0.90 times as fast as the plain one), the fused graph is kept for quantized "
        "(the fused one is 1.25 times as fast as the plain one).",
        "dense: embeddings are not fused: why.",
        "trial-2: nothing is fused (deploy.fuse: never).",
        "Processor: AVX2.",
    ]


def test_where_graphs_were_not_timed_no_ratio_is_shown() -> None:
    forced = {"dense": replace(FORMS["dense"], kept=KeptGraphs("fused"), quantization=None)}
    table = forms_table(forced, "accuracy")
    assert table.rows == ()
    assert "embeddings are fused; the fused graph is kept for float32.\n" in table.note
    assert "ships" not in table.note


def test_reports_show_them_everywhere(report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = replace(report, forms=FORMS)
    printed = io.StringIO()
    print_tables(forms_table(FORMS, "accuracy"), file=printed)
    capsys.readouterr()
    print_report(whole)
    assert printed.getvalue() in capsys.readouterr().out
    print_report(report)
    assert "Quantized forms" not in capsys.readouterr().out

    page = front_html(whole)
    assert "<h3>Quantized forms</h3>" in page
    assert "chosen: the fastest within 1 points" in page
    assert "<h3>Quantized forms</h3>" not in front_html(report)

    write_summary_json(whole, tmp_path / "summary.json")
    assert json.loads((tmp_path / "summary.json").read_text())["forms"] == PLAIN
    assert read_summary_json(tmp_path / "summary.json") == whole


def test_a_loss_that_is_no_number_survives_the_summary(report: Report, tmp_path: Path) -> None:
    values = {**PLAIN["dense"]["quantization"], "tried": [tried("a", "b", loss=float("nan"))]}
    lost = {"dense": replace(FORMS["dense"], quantization=Quantization.from_dict(values))}
    write_summary_json(replace(report, forms=lost), tmp_path / "summary.json")
    quantization = read_summary_json(tmp_path / "summary.json").forms["dense"].quantization
    assert quantization is not None
    assert math.isnan(quantization.tried[0].loss)
