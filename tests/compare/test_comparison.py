from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binom

from aebert.compare.comparison import Settings, compare, drift, median_ranks, paired_ratio, summarize
from aebert.compare.targets import Target, opened
from aebert.errors import ConfigError, ExportError

TINY = Settings(lengths=(8,), runs=6, warmup=1)


def target(name: str, vocabulary: int | None = 50, path: Path = Path("x.onnx")) -> Target:
    return Target(name=name, form="ONNX", kind="onnx", path=path, files=(), vocabulary=vocabulary)


def found(times: Mapping[str, Sequence[float]], **changes: Any) -> dict[str, Any]:
    """What a runner returns, of one shape."""
    cell = {"threads": 1, "batch_size": 2, "length": 8, "rejected": 0, "noisy": 0, "milliseconds": times, "joules": {}}
    footprint = {"load_ms": 5.0, "peak_memory_bytes": 300, "baseline_memory_bytes": 100}
    whole = {
        "machine": {"cores": 2},
        "conditions": {"load of others": "watched"},
        "warnings": ["it is warm"],
        "footprints": [footprint] * len(times),
    }
    return {**whole, "cells": [{**cell, **changes}]}


def test_figures_by_hand() -> None:
    times = {"a": [10.0, 20.0, 30.0, 40.0, 100.0], "b": [10.0, 10.0, 10.0, 10.0, 10.0]}
    result = summarize([target("a"), target("b")], TINY, found(times, joules={"a": [1.0, 2.0, 3.0, 4.0, 5.0]}))
    a, b = result.cells
    assert (a.p50_ms, a.p90_ms, a.p99_ms) == pytest.approx((30.0, 76.0, 97.6))  # 40 + 0.6 * 60, 40 + 0.96 * 60
    assert a.mean_ms == pytest.approx(40.0)
    assert a.std_ms == pytest.approx(35.35533905932738)  # (900 + 400 + 100 + 0 + 3600) / 4 = 1250
    assert a.throughput_per_s == pytest.approx(50.0)  # 5 requests of 2 in 0.2 s
    assert (a.joules, b.joules) == (3.0, None)
    assert (a.target, a.threads, a.batch_size, a.length, a.runs) == ("a", 1, 2, 8, 5)
    assert (a.ratio.median, b.ratio.median) == (1.0, 3.0)
    assert b.std_ms == 0.0
    assert result.warnings == ("it is warm",)


def test_the_ratio_is_paired_and_has_an_interval() -> None:
    # ratios 5, 1/5, 3, 2, 4, 1: of 6 values the whole span is the interval of the median
    ratio = paired_ratio([5, 1, 3, 2, 4, 1], [1, 5, 1, 1, 1, 1])
    assert (ratio.median, ratio.low, ratio.high) == (2.5, 0.2, 5.0)
    few = paired_ratio([5, 1, 3], [1, 1, 1])
    assert (few.median, few.low, few.high) == (3.0, None, None)


@pytest.mark.parametrize(
    ("n", "ranks"),
    [
        (1, None),
        (5, None),
        (6, (0, 5)),  # 2 / 64 = 3 % miss
        (10, (1, 8)),
        (50, (17, 32)),  # tables of the sign test: the 18th and the 33rd
        (100, (39, 60)),  # the 40th and the 61st
    ],
)
def test_ranks_of_the_medians_interval(n: int, ranks: tuple[int, int] | None) -> None:
    assert median_ranks(n) == ranks


@pytest.mark.parametrize("n", range(6, 120))
def test_the_interval_holds_the_median_in_95_of_100_cases_and_no_narrower_one_does(n: int) -> None:
    ranks = median_ranks(n)
    assert ranks is not None
    low, high = ranks
    # it misses if at most `low` values are below the median, or at most `low` above it
    assert 1 - 2 * binom.cdf(low, n, 0.5) >= 0.95
    assert 1 - 2 * binom.cdf(low + 1, n, 0.5) < 0.95
    assert high == n - 1 - low


def test_drift_is_the_change_from_the_first_half_to_the_second() -> None:
    assert drift([10.0] * 5 + [12.0] * 5) == pytest.approx(0.2)
    assert drift([10.0] * 5 + [8.0] * 5) == pytest.approx(-0.2)
    assert drift([10.0] * 4 + [20.0] * 5) == 0.0


@pytest.mark.parametrize(
    ("changes", "machine", "message"),
    [
        (
            {"noisy": 4},
            {},
            "other processes were busy in 4 of 6 runs, even after retries: close them and measure again",
        ),
        (
            {"milliseconds": {"a": [10.0] * 5 + [12.0] * 5}},
            {},
            "times of a went up by 20 % within the runs of one shape",
        ),
        ({}, {"machine": {"cores": 0.5}}, "1 threads share 0.5 cores"),
        (
            {},
            {"conditions": {"load of others": "not watched"}},
            "this system doesn't show the load of other processes, so it was not watched (pip install psutil)",
        ),
    ],
)
def test_doubts(changes: dict[str, Any], machine: dict[str, Any], message: str) -> None:
    raw = {**found({"a": [10.0] * 10}, **changes), "warnings": [], **machine}
    assert summarize([target("a")], TINY, raw).warnings == (message,)


def test_no_doubts() -> None:
    raw = {**found({"a": [10.0] * 5 + [10.9] * 5}), "warnings": []}
    assert summarize([target("a")], TINY, raw).warnings == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lengths": ()}, "lengths must be different numbers from 1 on, got none"),
        ({"batches": (0, 1)}, "batches must be different numbers from 1 on, got 0,1"),
        ({"threads": (2, 2)}, "threads must be different numbers from 1 on, got 2,2"),
        ({"runs": 0}, "runs must be at least 1 and warmup at least 0, got 0 and 5"),
        ({"warmup": -1}, "got 50 and -1"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Settings(**settings)


@pytest.mark.parametrize(
    ("targets", "vocabulary", "message"),
    [
        ([], None, "at least one target"),
        ([target("a"), target("a")], None, "targets must differ, got a a"),
        ([target("a", None)], None, "the vocabulary of a can't be found in its graph: give it with --vocabulary"),
        ([target("a", 90), target("b", 50)], 60, "at most the 50 rows of the embedding of b, got 60"),
        ([target("a", 1)], None, "a vocabulary must have at least 2 token ids, got 1"),
        ([target("a", None)], 1, "at least 2 token ids, got 1"),
    ],
)
def test_targets_that_do_not_go_together(targets: list[Target], vocabulary: int | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compare(targets, Settings(vocabulary=vocabulary))


def test_models_are_measured_against_each_other(classifier: Path, tmp_path: Path) -> None:
    other = tmp_path / "sub" / "tiny.onnx"
    other.parent.mkdir()
    other.write_bytes(classifier.read_bytes())
    settings = Settings(lengths=(8, 200), batches=(1, 4), threads=(1, 2), runs=6, warmup=0)
    with opened([classifier, other]) as targets:
        result = compare(targets, settings)
    # the shortest names that differ
    names = [f"{tmp_path.name}/tiny.onnx", "sub/tiny.onnx"]
    assert [one.name for one in result.targets] == names
    shapes = [(t, b, n, name) for t in (1, 2) for b in (1, 4) for n in (8, 200) for name in names]
    assert [(cell.threads, cell.batch_size, cell.length, cell.target) for cell in result.cells] == shapes
    assert all(0 < cell.p50_ms <= cell.p90_ms <= cell.p99_ms for cell in result.cells)
    assert result.settings.vocabulary == 50
    for one in result.targets:
        assert one.size_bytes == classifier.stat().st_size
        assert one.peak_memory_bytes > one.baseline_memory_bytes > 10_000_000
    text = json.dumps(result.to_dict())
    assert str(tmp_path) not in text


def test_what_cannot_run_is_one_line(classifier: Path) -> None:
    too_many = Settings(lengths=(8,), runs=6, vocabulary=60)
    with pytest.raises(ExportError) as caught:
        compare(
            [Target(name="tiny", form="ONNX", kind="onnx", path=classifier, files=(classifier,), vocabulary=None)],
            too_many,
        )
    assert "tiny can't be loaded: tiny.onnx can't run on 1 × 8 tokens" in str(caught.value)
    assert "\n" not in str(caught.value)
