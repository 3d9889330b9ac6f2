from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from aebert.deployment.choice import LossInterval, Tried
from aebert.deployment.exported import ExportedForms, Fused, Fusion, KeptGraphs, Quantization

COUNTS = st.integers(0, 100)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.dictionaries(st.text(max_size=5), NUMBERS, max_size=2)
TEXTS = st.text(max_size=5)
PARTS = st.builds(Fused, COUNTS, COUNTS)
KEPT = st.builds(
    KeptGraphs,
    st.sampled_from(["plain", "fused"]),
    st.sampled_from([None, "plain", "fused"]),
    st.dictionaries(st.sampled_from(["float32", "int8_source"]), NUMBERS, max_size=2),
)
TRIED = st.builds(
    Tried,
    variant=TEXTS,
    describes=TEXTS,
    **dict.fromkeys(("score", "loss", "median_ms", "speedup"), NUMBERS),
    excluded=st.lists(TEXTS, max_size=2).map(tuple),
    verdict=TEXTS,
    interval=st.none() | st.builds(LossInterval, NUMBERS, NUMBERS, COUNTS),
)
QUANTIZED = st.builds(Quantization, TEXTS, NUMBERS, TEXTS, st.lists(TRIED, max_size=2).map(tuple))
FUSIONS = st.builds(Fusion, PARTS, PARTS, PARTS, PARTS, st.lists(TEXTS, max_size=2).map(tuple))
FORMS = st.builds(ExportedForms, PLAIN, st.none(), KEPT, st.none() | QUANTIZED) | st.builds(
    ExportedForms, PLAIN, FUSIONS, KEPT, st.none() | QUANTIZED, st.none() | PLAIN
)


@given(FORMS)
def test_what_an_export_hands_on_comes_back_from_json_as_it_was(forms: ExportedForms) -> None:
    assert ExportedForms.from_dict(json.loads(json.dumps(forms.to_dict()))) == forms


def test_what_was_not_done_is_not_in_the_json() -> None:
    forms = ExportedForms(parity={"max_abs_difference": 0.0}, fusion=None, kept=KeptGraphs("plain"))
    assert forms.to_dict() == {"parity": {"max_abs_difference": 0.0}, "fusion": None, "kept": {"float32": "plain"}}
