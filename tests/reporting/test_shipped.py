from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aebert.reporting.finalists import finalists_table
from aebert.reporting.report import Report
from aebert.reporting.shipped import ShippedForm, unpriced


def exported(graph: str = "plain", variant: str = "dynamic-int8", excluded: tuple[str, ...] = ()) -> dict[str, Any]:
    """As an export records it, of what matters here; a variant that was not chosen comes first."""
    tried = [
        {"variant": "weight-int4", "excluded": ["another"]},
        {"variant": variant, "excluded": list(excluded)},
    ]
    kept = {"float32": "fused", "int8_source": graph}
    return {"kept": kept, "quantization": {"chosen": variant, "tried": tried}}


def test_the_form_of_each_file() -> None:
    one = exported("plain", excluded=("layer.0.value (12)",))
    assert ShippedForm.of(one, quantized=False) == ShippedForm("float32", "fused")
    form = ShippedForm.of(one, quantized=True)
    assert form == ShippedForm("dynamic-int8", "plain", ("layer.0.value (12)",))
    assert form.describe() == "dynamic-int8, plain graph, 1 layer in float32"
    assert form.to_dict() == {
        "quantization": "dynamic-int8",
        "graph": "plain",
        "float32_layers": ["layer.0.value (12)"],
    }
    assert ShippedForm("float32", "fused").describe() == "float32, fused graph"
    assert ShippedForm("static-int8", "fused", ("a", "b")).describe() == "static-int8, fused graph, 2 layers in float32"


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (exported(), ""),
        (exported(variant="dynamic-int8-per-matrix"), ""),
        (exported("fused"), "trial-2 (dynamic-int8, fused graph)"),
        (exported(variant="static-int8"), "trial-2 (static-int8, plain graph)"),
        (exported(variant="dynamic-uint8"), "trial-2 (dynamic-uint8, plain graph)"),
        (exported(excluded=("a",)), "trial-2 (dynamic-int8, plain graph, 1 layer in float32)"),
        ({"kept": {"float32": "plain"}}, ""),
        ({"kept": {"float32": "fused"}}, "trial-2 (float32, fused graph)"),
    ],
)
def test_a_file_of_another_form_than_the_latency_table_is_told(one: dict[str, Any], told: str, report: Report) -> None:
    found = unpriced({"trial-2": one})
    kind = "dynamic int8" if "quantization" in one else "float32"
    whole = (
        f"predicted: by a table of {kind} files of plain graphs with no layer left out. Of another form, so that only "
        f"measured counts: {told}."
    )
    assert found == (whole if told else "")
    # in the note of the finalists, where milliseconds are told; the dense model has no budget
    timed = replace(report, info=replace(report.info, budget_kind="latency_ms"), forms={"trial-2": one})
    assert told in finalists_table(timed).note
    assert ("Of another form" in finalists_table(timed).note) == bool(told)
    dense = replace(timed, forms={"dense": one})
    assert "Of another form" not in finalists_table(dense).note
    assert "Of another form" not in finalists_table(replace(report, forms={"trial-2": one})).note
