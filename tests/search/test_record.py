from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from aebert.pruning.architecture import Architecture
from aebert.search.first import FIRST_TRIALS
from aebert.search.record import GainRecord, TrialRecord, Verdict

counts = st.lists(st.integers(0, 4096), min_size=1, max_size=12).map(tuple)
finite = st.floats(allow_nan=False, allow_infinity=False)
records = st.builds(
    TrialRecord,
    number=st.integers(0, 10**6),
    origin=st.sampled_from(["dense", "neighbour", "sampled", *FIRST_TRIALS]),
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
    cost=st.none() | finite,
    std_error=st.none() | finite,
    stopped_at=st.none() | st.integers(1, 10**6),
    hypervolume=st.none() | finite,
    drift=st.none() | finite,
)
gains = st.builds(GainRecord, st.integers(0, 10**6), finite, st.none() | finite, st.none() | finite)
verdicts = st.builds(
    Verdict,
    budget=finite,
    best=st.integers(0, 10**6),
    tied=st.lists(st.integers(0, 10**6)).map(tuple),
    chosen=st.integers(0, 10**6),
    candidates=st.integers(1, 10**6),
    optimism=st.none() | finite,
    gains=st.dictionaries(st.sampled_from(["uniform", "fisher", "knapsack"]), gains),
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


@given(verdicts)
def test_a_verdict_survives_json(verdict: Verdict) -> None:
    assert Verdict.from_dict(json.loads(json.dumps(verdict.to_dict()))) == verdict


@given(verdicts)
def test_a_verdict_of_before_drifts_were_known_has_chosen_the_best(verdict: Verdict) -> None:
    old = {name: value for name, value in verdict.to_dict().items() if name != "chosen"}
    assert Verdict.from_dict(old) == replace(verdict, chosen=verdict.best)


@given(records)
def test_what_version_0_1_did_not_store_is_unknown(record: TrialRecord) -> None:
    new = ("cost", "std_error", "stopped_at", "hypervolume", "drift")
    old = {name: value for name, value in record.to_dict().items() if name not in new}
    read = TrialRecord.from_dict(old)
    assert (read.cost, read.std_error, read.stopped_at, read.hypervolume, read.drift) == (None,) * 5
    assert {**read.to_dict(), **{name: record.to_dict()[name] for name in new}} == record.to_dict()
