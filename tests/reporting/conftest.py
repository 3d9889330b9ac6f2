"""A small report whose numbers were chosen by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aebert.pruning.architecture import Architecture
from aebert.reporting.report import Report
from aebert.reporting.rows import FileDifference, FinalistRow, ProfileRow
from aebert.search.record import GainRecord, Origin, StudyInfo, TrialRecord, Verdict

DENSE = Architecture((4, 4), (8, 8))
UNIFORM = Architecture((2, 2), (4, 4))


def _trial(
    number: int,
    origin: Origin,
    architecture: Architecture,
    budget: float | None,
    accuracy: float,
    loss: float,
    sparsity: float,
    same_as: int | None = None,
) -> TrialRecord:
    return TrialRecord(
        number=number,
        origin=origin,
        architecture=architecture,
        budget=budget,
        score=accuracy,
        metrics={"accuracy": accuracy, "f1": accuracy / 2},
        loss=loss,
        params=2_000_000 - round(1_000_000 * sparsity),
        sparsity=sparsity,
        macs=1000 - round(1000 * sparsity),
        macs_removed=sparsity,
        seconds=0.5,
        same_as=same_as,
    )


TRIALS = (
    _trial(0, "dense", DENSE, None, 0.75, 0.25, 0.0),
    _trial(1, "uniform", UNIFORM, 0.5, 0.5, 1.0, 0.5),
    _trial(2, "sampled", Architecture((4, 2), (4, 2)), 0.5, 0.625, 0.5, 0.5),
    _trial(3, "sampled", Architecture((0, 1), (8, 0)), 0.75, 0.375, 2.0, 0.75),
    _trial(4, "sampled", Architecture((4, 2), (4, 2)), 0.5, 0.625, 0.5, 0.5, same_as=2),
    _trial(5, "sampled", Architecture((1, 3), (3, 3)), 0.5, 0.25, 3.0, 0.625),
)
INFO = StudyInfo(
    name="toy",
    task="sst2",
    model="tiny",
    metric="accuracy",
    budget_kind="sparsity",
    targets=(0.5, 0.75),
    length=16,
    sampler="tpe",
    seed=7,
    trials=6,
    search_rows=8,
    notes=("one note",),
)
FINALISTS = (
    FinalistRow(
        name="dense",
        trial=None,
        architecture=DENSE,
        budget=None,
        sparsity=0.0,
        macs_removed=0.0,
        params=2_000_000,
        search_score=0.75,
        select_score=0.75,
        report_metrics={"accuracy": 0.8},
        report_interval=(0.7, 0.9),
    ),
    FinalistRow(
        name="trial-2",
        trial=2,
        architecture=TRIALS[2].architecture,
        budget=0.5,
        sparsity=0.5,
        macs_removed=0.5,
        params=1_500_000,
        search_score=0.625,
        select_score=0.7,
        report_metrics={"accuracy": 0.78},
        report_interval=(0.68, 0.88),
        int8_report_metrics={"accuracy": 0.77},
        int8_report_interval=(0.67, 0.87),
        chosen=True,
    ),
)
PROFILES = (
    ProfileRow(
        name="dense",
        kind="float32",
        size_bytes=8_000_000,
        p50_ms=12.0,
        p90_ms=13.0,
        p99_ms=15.0,
        throughput_per_s=80.0,
        peak_memory_bytes=100_000_000,
        report_score=0.8,
    ),
    ProfileRow(
        name="trial-2",
        kind="int8",
        size_bytes=1_500_000,
        p50_ms=3.0,
        p90_ms=3.5,
        p99_ms=4.0,
        throughput_per_s=320.0,
        peak_memory_bytes=None,
        speedup=4.0,
        speedup_low=3.9,
        speedup_high=4.1,
        report_score=0.77,
    ),
)


@pytest.fixture
def report() -> Report:
    """Two layers, four heads and eight FFN neurons each; trials 0, 2 and 3 are the front."""
    return Report(
        info=INFO,
        trials=TRIALS,
        finalists=FINALISTS,
        profiles=PROFILES,
        machine={"threads": 1},
        provenance={"commit": "abc"},
        rows={"report": 100},
    )


def _scored(
    number: int,
    origin: Origin,
    widths: tuple[int, int],
    budget: float | None,
    accuracy: float,
    removed: float,
    stopped_at: int | None = None,
) -> TrialRecord:
    """As a search of today records it; every standard error is a sixteenth, in which intervals are easily counted."""
    architecture = DENSE if budget is None else Architecture(widths, (4, 4))
    before = _trial(number, origin, architecture, budget, accuracy, 1 - accuracy, removed)
    error = None if stopped_at else 0.0625
    return replace(before, cost=removed, std_error=error, stopped_at=stopped_at, hypervolume=number * accuracy / 6)


RACED = (
    _scored(0, "dense", (4, 4), None, 0.75, 0.0),
    _scored(1, "uniform", (2, 2), 0.5, 0.5, 0.5),
    _scored(2, "knapsack", (1, 3), 0.5, 0.5625, 0.5),
    _scored(3, "sampled", (4, 2), 0.5, 0.625, 0.5),
    _scored(4, "sampled", (2, 4), 0.5, 0.375, 0.5, stopped_at=2),
    _scored(5, "neighbour", (1, 0), 0.75, 0.5, 0.75),
    _scored(6, "sampled", (0, 1), 0.75, 0.25, 0.75),
)
VERDICTS = (
    Verdict(
        budget=0.5,
        best=3,
        tied=(3, 2),
        chosen=2,
        candidates=5,
        optimism=0.0165,
        gains={
            "uniform": GainRecord(number=1, value=0.125, low=0.05, high=0.2),
            "knapsack": GainRecord(number=2, value=0.0625, low=-0.01, high=0.135),
        },
    ),
    Verdict(budget=0.75, best=5, tied=(5,), chosen=5, candidates=2, optimism=0.0, gains={}),
)


@pytest.fixture
def raced(report: Report) -> Report:
    """A study of a search with races and verdicts, before any finalist."""
    return Report(replace(report.info, trials=7), RACED, verdicts=VERDICTS)


def _timed(
    number: int, origin: Origin, widths: tuple[int, int], accuracy: float, removed: float, ms: float
) -> TrialRecord:
    return replace(_scored(number, origin, widths, None if number == 0 else 7.5, accuracy, removed), cost=ms)


# the more is removed, the faster: not so, so that a front over MACs would be another
TIMED = (
    _timed(0, "dense", (4, 4), 0.75, 0.0, 10.0),
    _timed(1, "uniform", (2, 2), 0.5, 0.5, 6.0),
    _timed(2, "sampled", (4, 2), 0.625, 0.625, 7.0),
    _timed(3, "sampled", (1, 3), 0.5625, 0.25, 4.0),
)


@pytest.fixture
def timed(report: Report) -> Report:
    """A study with a budget of 7.5 ms; its front is trials 0, 2 and 3."""
    info = replace(report.info, budget_kind="latency_ms", targets=(7.5,), trials=4, device="Toy 1, int8")
    dense, small = report.finalists
    small = replace(small, budget=7.5, sparsity=0.625, macs_removed=0.625, predicted_ms=7.0, measured_ms=7.2)
    return Report(
        info=info,
        trials=TIMED,
        finalists=(dense, small),
        profiles=report.profiles,
        machine=report.machine,
        provenance=report.provenance,
        rows=report.rows,
    )


@pytest.fixture
def trials_only(report: Report) -> Report:
    """The same study before any finalist."""
    return Report(report.info, report.trials)


@pytest.fixture
def held_against(report: Report) -> Report:
    """The same study, whose finalist is held against the first layer of the dense model, at the cost of 50 %."""
    dense, small = report.finalists
    layer = FinalistRow(
        name="first-1-layer",
        trial=None,
        architecture=Architecture((4,), (8,)),
        budget=0.5,
        sparsity=0.5,
        macs_removed=0.5,
        params=1_500_000,
        search_score=None,
        select_score=0.66,
        report_metrics={"accuracy": 0.74},
        report_interval=(0.64, 0.84),
        int8_report_metrics={"accuracy": 0.73},
        int8_report_interval=(0.63, 0.83),
        layers=1,
        cost=0.5,
    )
    fastest = replace(report.profiles[1], name="first-1-layer", p50_ms=2.0, report_score=0.73)
    return replace(
        report,
        finalists=(dense, replace(small, baseline="first-1-layer"), layer),
        profiles=(*report.profiles, fastest),
        differences=(
            FileDifference("trial-2 int8", "dense float32", -0.03, -0.06, 0.0),
            FileDifference("first-1-layer int8", "dense float32", -0.07, -0.1, -0.04),
            FileDifference("first-1-layer float32", "trial-2 float32", -0.04, -0.09, 0.01),
            FileDifference("first-1-layer int8", "trial-2 int8", -0.04, -0.06, -0.02),
        ),
    )
