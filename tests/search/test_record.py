from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from aebert.pruning.architecture import Architecture
from aebert.search.record import TrialRecord

counts = st.lists(st.integers(0, 4096), min_size=1, max_size=12).map(tuple)
finite = st.floats(allow_nan=False, allow_infinity=False)
records = st.builds(
    TrialRecord,
    number=st.integers(0, 10**6),
    origin=st.sampled_from(["dense", "uniform", "sampled"]),
    architecture=st.builds(Architecture, heads=counts, ffn=counts),
    budget=st.none() | st.floats(0, 1),
    score=finite,
    metrics=st.dictionaries(st.text(), finite),
    loss=finite,
    params=st.integers(0, 10**12),
    sparsity=st.floats(0, 1),
    macs=st.integers(0, 10**15),
    macs_removed=st.floats(0, 1),
    seconds=st.floats(0, 1e6),
    same_as=st.none() | st.integers(0, 10**6),
)


@given(records)
def test_a_record_survives_json(record: TrialRecord) -> None:
    assert TrialRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record


@given(records)
def test_plain_values_share_nothing_with_the_record(record: TrialRecord) -> None:
    before = dict(record.metrics)
    values = record.to_dict()
    values["metrics"]["added"] = 1.0
    values["architecture"]["heads"].append(1)
    assert record.metrics == before
    assert TrialRecord.from_dict(record.to_dict()) == record
