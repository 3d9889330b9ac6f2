from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.deployment.exported import ExportedForms, KeptGraphs
from aebert.errors import StudyError
from aebert.pruning.architecture import Architecture
from aebert.reporting.report import Report
from aebert.reporting.rows import Behind, ClassRow, FinalistRow, ProfileRow
from aebert.search.record import GainRecord, StudyInfo, TrialRecord, Verdict

NUMBERS = st.floats(allow_nan=False)
SHARES = st.floats(0, 1)
COUNTS = st.integers(0, 10**12)
METRICS = st.dictionaries(st.text(max_size=5), NUMBERS, max_size=2).map(lambda values: {**values, "f1": 0.5})
PAIRS = st.tuples(NUMBERS, NUMBERS)
ARCHITECTURES = st.builds(
    Architecture, *(st.lists(st.integers(0, 99), max_size=4).map(tuple) for _ in ("heads", "ffn"))
)
TRIALS = st.builds(
    TrialRecord,
    number=COUNTS,
    architecture=ARCHITECTURES,
    budget=st.none() | SHARES,
    score=NUMBERS,
    metrics=METRICS,
    loss=NUMBERS,
    params=COUNTS,
    sparsity=SHARES,
    macs=COUNTS,
    macs_removed=SHARES,
    seconds=NUMBERS,
    **{name: st.none() | NUMBERS for name in ("cost", "std_error", "hypervolume")},
    stopped_at=st.none() | COUNTS,
)
GAINS = st.builds(GainRecord, number=COUNTS, value=NUMBERS, low=st.none() | NUMBERS, high=st.none() | NUMBERS)
VERDICTS = st.builds(
    Verdict,
    budget=SHARES,
    best=COUNTS,
    tied=st.lists(COUNTS, max_size=3).map(tuple),
    candidates=COUNTS,
    optimism=st.none() | NUMBERS,
    gains=st.dictionaries(st.sampled_from(["uniform", "knapsack"]), GAINS),
)
FINALISTS = st.builds(
    FinalistRow,
    architecture=ARCHITECTURES,
    report_metrics=st.none() | METRICS,
    report_interval=st.none() | PAIRS,
    int8_report_metrics=st.none() | METRICS,
    int8_report_interval=st.none() | PAIRS,
    behind=st.none() | st.builds(Behind, **dict.fromkeys(("value", "low", "high"), NUMBERS)),
    **{name: st.none() | NUMBERS for name in ("budget", "search_score", "select_score")},
    **dict.fromkeys(("sparsity", "macs_removed"), SHARES),
)
PROFILES = st.builds(
    ProfileRow,
    **dict.fromkeys(("p50_ms", "p90_ms", "p99_ms", "throughput_per_s"), NUMBERS),
    **{name: st.none() | NUMBERS for name in ("speedup", "speedup_low", "speedup_high", "report_score")},
)
CLASSES = st.builds(ClassRow, **dict.fromkeys(("precision", "recall", "f1"), SHARES), support=COUNTS)
INFOS = st.builds(StudyInfo, metric=st.just("f1"), targets=st.lists(SHARES, max_size=3).map(tuple))
PLAIN = st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | COUNTS | st.text(max_size=5), max_size=3)
ONE_FORM = ExportedForms(parity={}, fusion=None, kept=KeptGraphs("plain"))
REPORTS = st.builds(
    Report,
    info=INFOS,
    trials=st.lists(TRIALS, max_size=2).map(tuple),
    finalists=st.lists(FINALISTS, max_size=2).map(tuple),
    profiles=st.lists(PROFILES, max_size=2).map(tuple),
    machine=PLAIN,
    provenance=PLAIN,
    rows=st.dictionaries(st.sampled_from(["train", "report"]), COUNTS),
    verdicts=st.lists(VERDICTS, max_size=2).map(tuple),
    forms=st.dictionaries(st.sampled_from(["dense", "trial-1"]), st.just(ONE_FORM), max_size=2),
    classes=st.lists(CLASSES, max_size=2).map(tuple),
)


@given(REPORTS)
def test_a_report_comes_back_from_json_as_it_was(report: Report) -> None:
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report


def test_a_report_of_another_format_is_refused(report: Report) -> None:
    with pytest.raises(StudyError, match="must have a format of 1 to 3, got 4"):
        Report.from_dict({**report.to_dict(), "format": 4})


def test_format_1_has_no_verdicts(raced: Report) -> None:
    values = {**raced.to_dict(), "format": 1}
    del values["verdicts"]
    assert Report.from_dict(values) == replace(raced, verdicts=())
    with pytest.raises(KeyError, match="verdicts"):
        Report.from_dict({**values, "format": 2})


def test_format_2_has_no_forms(report: Report) -> None:
    values = {
        **replace(report, forms={"dense": ONE_FORM}).to_dict(),
        "format": 2,
    }
    del values["forms"]
    assert Report.from_dict(values) == report
    with pytest.raises(KeyError, match="forms"):
        Report.from_dict({**values, "format": 3})


def test_a_summary_from_before_the_scores_of_classes_has_none(report: Report) -> None:
    classed = replace(
        report,
        classes=(ClassRow(name="dense", kind="float32", label="good", precision=0.5, recall=0.25, f1=0.75, support=3),),
    )
    values = {key: value for key, value in classed.to_dict().items() if key != "classes"}
    assert Report.from_dict(values) == report


def test_finalists_from_before_they_were_compared_are_behind_none(report: Report) -> None:
    values = report.to_dict()
    for row in values["finalists"]:
        del row["behind"]
    assert Report.from_dict(values) == report


def test_every_trial_must_have_the_headline_metric(report: Report) -> None:
    lost = replace(report.trials[3], metrics={"loss": 1.0})
    with pytest.raises(StudyError, match=r"headline metric 'accuracy', trial 3 of study 'toy' has loss"):
        Report(report.info, (*report.trials[:3], lost))


def test_dense_is_the_dense_trial(report: Report) -> None:
    assert report.dense is report.trials[0]
    assert Report(report.info, report.trials[1:]).dense is None


def test_nan_stays_nan(report: Report) -> None:
    lost = replace(report.trials[1], score=math.nan)
    back = Report.from_dict(json.loads(json.dumps(Report(report.info, (lost,)).to_dict())))
    assert math.isnan(back.trials[0].score)
