from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import RenderableType

from aebert.errors import ConfigError, ModelError
from aebert.models.stored import stored_shape
from aebert.profiling.devices import Device, load_device
from aebert.profiling.references import REFERENCE_SHAPES, bert_shape
from aebert.pruning.architecture import Architecture
from aebert.reporting.devices import device_detail, devices_table, estimated_front, estimates_table
from aebert.reporting.rows import Report
from aebert.reporting.tables import print_table
from aebert.search.record import StudyInfo, TrialRecord

SHAPE = bert_shape(32, 2, 4, 64)
INFO = StudyInfo("toy", "sst2", "m", "accuracy", "sparsity", (0.5,), 16, "tpe", 0, 9, 100)
PI = load_device("raspberry-pi-5")


def trial(number: int, heads: int, ffn: int, score: float, **other: Any) -> TrialRecord:
    made = TrialRecord(
        number,
        "sampled",
        Architecture((heads,) * 2, (ffn,) * 2),
        0.5,
        score,
        {"accuracy": score},
        0.3,
        1,
        0.5,
        1,
        0.5,
        0.0,
    )
    return replace(made, **other)


TRIALS = (
    trial(0, 4, 64, 0.9, origin="dense", sparsity=0.0),
    trial(1, 2, 32, 0.8),
    trial(2, 3, 48, 0.7),  # slower and worse than trial 1
    trial(3, 0, 0, 0.5),
    trial(4, 1, 16, 0.85, stopped_at=20),  # a race stopped it: its score is an estimate
    trial(5, 1, 16, 0.6),
    trial(6, 1, 16, 0.6),
)


def shown(table: RenderableType) -> str:
    stream = io.StringIO()
    print_table(table, stream)
    return stream.getvalue()


def test_the_front_is_over_estimated_time_and_score() -> None:
    priced = estimated_front(Report(INFO, TRIALS), SHAPE, PI, length=None, batch=1, precision="int8")
    assert [one.trial.number for one in priced] == [0, 1, 5, 3]
    times = [one.estimate.estimated_ms for one in priced]
    assert times == sorted(times, reverse=True)
    assert {one.estimate.length for one in priced} == {16}


def test_a_dense_model_that_is_beaten_is_shown_first() -> None:
    trials = (replace(TRIALS[0], score=0.1), *TRIALS[1:])
    priced = estimated_front(Report(INFO, trials), SHAPE, PI, length=8, batch=2, precision="float32")
    assert [one.trial.number for one in priced] == [0, 1, 5, 3]
    assert (priced[0].estimate.length, priced[0].estimate.batch) == (8, 2)


def test_the_table_says_that_it_estimates_and_on_what() -> None:
    report = Report(INFO, TRIALS)
    text = shown(estimates_table(report, estimated_front(report, SHAPE, PI, length=None, batch=1, precision="int8")))
    assert text.startswith("Estimate, not a measurement: raspberry-pi-5, length 16, batch 1, int8")
    assert "0 (dense)             90.0" in text
    assert "estimated ms" in text
    assert "estimated speedup" in text
    assert "  - active cooling, no throttling" in text
    assert "error against 7 published times -87 % to -29 %" in text


def test_a_device_that_is_measured_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'this' is measured here, so it has no estimate"):
        estimated_front(Report(INFO, TRIALS), SHAPE, load_device("this"), length=None, batch=1, precision="int8")


def test_devices_are_listed_with_where_their_times_come_from() -> None:
    text = shown(devices_table([load_device("this"), PI, Device(name="mine", host="pi@board")]))
    rows = [line.split("  ")[0].strip() for line in text.splitlines()]
    assert {"this", "raspberry-pi-5", "mine"} <= set(rows)
    assert "estimate (roofline)" in text
    assert "measured on pi@board" in text


def test_an_estimated_device_shows_parameters_sources_and_errors() -> None:
    text = shown(device_detail(PI))
    for part in ("clock_ghz: 2.4", "macs_per_cycle: float32 8, int8 32", "source: Arm Cortex-A76", "assumptions:"):
        assert part in text
    assert "estimate 35.67 ms, measured 256.24 ms: -86 %" in text


def test_a_measured_device_shows_its_connection() -> None:
    text = shown(device_detail(Device(name="mine", host="pi@board", port=2222, python="py", threads=3)))
    for part in ("mine: measured on pi@board", "port: 2222", "python: py", "threads: 3"):
        assert part in text
    assert "identity" not in text
    assert shown(device_detail(load_device("this"))) == "this: measured here\nthe machine this runs on\n"


def test_the_shape_of_a_stored_model_needs_no_weights(tiny_model: Any, tmp_path: Path) -> None:
    from aebert.models.shape import shape_of

    model = tiny_model("bert", labels=2)
    model.config.save_pretrained(tmp_path)
    assert stored_shape(tmp_path) == shape_of(model)
    assert REFERENCE_SHAPES["bert-base"] != stored_shape(tmp_path)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"must hold a model's config\.json; there is none"):
        stored_shape(tmp_path)
