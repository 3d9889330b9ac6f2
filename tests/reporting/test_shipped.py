from __future__ import annotations

from dataclasses import replace

import pytest

from aebert.deployment.choice import Tried
from aebert.deployment.exported import ExportedForms, KeptGraphs, Quantization
from aebert.reporting.finalists import finalists_table
from aebert.reporting.report import Report
from aebert.reporting.shipped import ShippedForm, unpriced


def exported(graph: str = "plain", variant: str = "dynamic-int8", excluded: tuple[str, ...] = ()) -> ExportedForms:
    """As an export hands it on, of what matters here; a variant that was not chosen comes first."""
    tried = (_tried("weight-int4", ("another",)), _tried(variant, excluded))
    return replace(
        in_float32("fused", int8_source=graph),
        quantization=Quantization(cpu="AVX2", max_loss=1.0, chosen=variant, tried=tried),
    )


def in_float32(graph: str, int8_source: str | None = None) -> ExportedForms:
    return ExportedForms(parity={}, fusion=None, kept=KeptGraphs(graph, int8_source))


def _tried(variant: str, excluded: tuple[str, ...]) -> Tried:
    return Tried(
        variant=variant,
        describes="how",
        size_bytes=1,
        score=0.9,
        loss=0.0,
        median_ms=1.0,
        speedup=1.0,
        excluded=excluded,
    )


def test_the_form_of_each_file() -> None:
    one = exported("plain", excluded=("layer.0.value (12)",))
    assert ShippedForm.of(one, quantized=False) == ShippedForm("float32", "fused")
    form = ShippedForm.of(one, quantized=True)
    assert form == ShippedForm(quantization="dynamic-int8", graph="plain", float32_layers=("layer.0.value (12)",))
    assert form.describe() == "dynamic-int8, plain graph, 1 layer in float32"
    assert form.to_dict() == {
        "quantization": "dynamic-int8",
        "graph": "plain",
        "float32_layers": ["layer.0.value (12)"],
    }
    assert ShippedForm("float32", "fused").describe() == "float32, fused graph"
    assert (
        ShippedForm(quantization="static-int8", graph="fused", float32_layers=("a", "b")).describe()
        == "static-int8, fused graph, 2 layers in float32"
    )


@pytest.mark.parametrize(
    ("one", "named"),
    [
        (exported(), ""),
        (exported(variant="dynamic-int8-per-matrix"), ""),
        (exported("fused"), "trial-2 (dynamic-int8, fused graph)"),
        (exported(variant="static-int8"), "trial-2 (static-int8, plain graph)"),
        (exported(variant="dynamic-uint8"), "trial-2 (dynamic-uint8, plain graph)"),
        (exported(excluded=("a",)), "trial-2 (dynamic-int8, plain graph, 1 layer in float32)"),
        (in_float32("plain"), ""),
        (in_float32("fused"), "trial-2 (float32, fused graph)"),
    ],
)
def test_a_file_that_the_latency_table_is_not_of_is_named(one: ExportedForms, named: str, report: Report) -> None:
    found = unpriced({"trial-2": one})
    kind = "dynamic int8" if one.quantization else "float32"
    whole = (
        f"Predictions are of {kind} files of plain graphs with no layer left out. These have another form, so that "
        f"only what was measured counts: {named}."
    )
    assert found == (whole if named else "")
    # in the note of the finalists, where milliseconds are named; the dense model has no budget
    timed = replace(report, info=replace(report.info, budget_kind="latency_ms"), forms={"trial-2": one})
    assert named in finalists_table(timed).note
    assert ("another form" in finalists_table(timed).note) == bool(named)
    dense = replace(timed, forms={"dense": one})
    assert "another form" not in finalists_table(dense).note
    assert "another form" not in finalists_table(replace(report, forms={"trial-2": one})).note
